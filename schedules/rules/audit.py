"""Whether a schedule's runs are exactly its due instants: a history and rows in, findings out.

Every due instant must have exactly one row, or lie in exactly one row that stands for a range of missed
ones; every row must be a due instant. Both come in order and are walked through once, so that memory
does not grow with them. Reads nothing; `auditing` brings the rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from schedules.rules.history import TICK, History, Instant, Version

MOST_FINDINGS = 100
"""Findings that are kept for one schedule; beyond it they are only counted."""


class Wrong(StrEnum):
    MISSING = "missing"  # due, and no row
    DOUBLED = "doubled"  # due, and more than one row
    EXTRA = "extra"  # a row, and not due
    WRONG_COUNT = "wrong_count"  # a row that stands for other instants than it says
    WRONG_NEXT = "wrong_next"  # the schedule waits for another instant than its timing's next


@dataclass(frozen=True, slots=True)
class Row:
    """A run that the clock started, or that stands for `count` missed instants up to `until`.

    `became` is what the audit counts it under, such as "started" or "overlap".
    """

    run_id: int
    scheduled_for: datetime
    until: datetime | None
    count: int
    became: str
    decided_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """`count` instants from `at` to `until` (both included) are wrong in the same way."""

    wrong: Wrong
    at: datetime
    until: datetime
    count: int
    revision: int | None
    runs: tuple[int, ...]
    what: str
    cause: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The schedule as it is at `now`. An instant younger than `on_time` may still be undecided."""

    now: datetime
    on_time: timedelta
    next_run_at: datetime | None
    timing_error: str
    outside: str
    """The author of edits that came from elsewhere."""


@dataclass
class Verdict:
    """`due` instants were judged; `became` counts them by what became of their rows."""

    due: int = 0
    became: Counter[str] = field(default_factory=Counter)
    by_boot: int = 0
    pending: int = 0
    """Due within the last `on_time`, and not decided yet."""
    unjudged: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)
    """Instants or rows by kind, those beyond `MOST_FINDINGS` included."""

    @property
    def is_clean(self) -> bool:
        return not self.wrong


def judge(
    history: History, rows: Iterable[Row], *, start: datetime, end: datetime, standing: Standing
) -> Verdict:
    """Judges the instants of start <= at < end. `rows` are ordered by `scheduled_for`, and hold those that
    begin in that time or, before it, stand for a range that reaches into it."""
    walk = _Walk(history, start, end, standing)
    for row in rows:
        walk.pass_until(row.scheduled_for)
        walk.take(row)
    walk.pass_until(None)
    if end >= standing.now:
        _judge_next(history, standing, walk.verdict)
    walk.verdict.unjudged += [_unreadable(version) for version in history.versions if _overlaps(version, end)]
    return walk.verdict


@dataclass
class _Gap:
    """Consecutive due instants of one revision without a row."""

    version: Version
    first: datetime
    last: datetime
    count: int = 1


class _Walk:
    def __init__(self, history: History, start: datetime, end: datetime, standing: Standing) -> None:
        self.history, self.standing = history, standing
        self.verdict = Verdict()
        self._due = history.due(start, end)
        self._head: Instant | None = next(self._due, None)
        past = (moment for moment in reversed(history.past_moments) if start <= moment.at < end)
        self._past = {moment.at: moment for moment in past}  # set again, it still fires once: the first time
        self._taken: Row | None = None
        self._gap: _Gap | None = None

    def pass_until(self, moment: datetime | None) -> None:
        """What is due before the moment has no row; None: to the end."""
        while self._head is not None and (moment is None or self._head.at < moment):
            self._note_missing(self._head)
            self._head = next(self._due, None)
        if moment is None:
            self._close_gap(at_end=True)
            for instant in self._past.values():
                self._note_missing(instant)
                self._close_gap(at_end=True)

    def take(self, row: Row) -> None:
        past = self._past.pop(row.scheduled_for, None)
        if past is not None and self._is_of(row, past):
            self._count(row, 1)
        elif row.until is not None:
            self._take_range(row, row.until)
        elif self._head is not None and self._head.at == row.scheduled_for:
            self._accept(row, self._head.version, 1)
            self._head = next(self._due, None)
        elif self._reaches(row.scheduled_for) and self.history.due_at(row.scheduled_for):
            self._note_doubled(row, row.scheduled_for, 1)
        else:
            self._refuse(row)

    def _is_of(self, row: Row, past: Instant) -> bool:
        """Whether the row is that of a past moment: it may lie among instants of earlier revisions that have
        rows of their own. What an edit settles is decided at its very moment, under the revision before."""
        if row.created_at == past.version.changed_at:
            return not any(self.history.due(past.at, past.at + TICK))
        return row.created_at > past.version.changed_at

    def _take_range(self, row: Row, until: datetime) -> None:
        instants = self.history.due(row.scheduled_for, until + TICK)
        first = next(instants, None)
        if first is None:
            self._refuse(row)
            return
        last, count, doubled = first, 1, int(self._reaches(first.at))
        for last in instants:
            count, doubled = count + 1, doubled + self._reaches(last.at)
        if doubled:
            self._note_doubled(row, first.at, doubled)
        inside = 0
        while self._head is not None and self._head.at <= until:
            inside, self._head = inside + 1, next(self._due, None)
        self._accept(row, first.version, inside)
        if (first.at, last.at, count) != (row.scheduled_for, until, row.count):
            self._note_wrong_count(row, until, first.at, last.at, count)

    def _reaches(self, at: datetime) -> bool:
        """Whether a row that was taken already stands for the instant."""
        return self._taken is not None and at <= (self._taken.until or self._taken.scheduled_for)

    def _accept(self, row: Row, version: Version, count: int) -> None:
        self._close_gap(at_end=self._gap is not None and self._gap.version is not version)
        self._count(row, count)
        if not self._reaches(row.until or row.scheduled_for):
            self._taken = row

    def _count(self, row: Row, instants: int) -> None:
        self.verdict.due += instants
        self.verdict.became[row.became] += instants

    def _refuse(self, row: Row) -> None:
        version = self.history.in_force(row.scheduled_for)
        if version is not None and version.is_by_boot:
            self.verdict.by_boot += 1
        elif version is None or version.timing is not None:  # one that cannot be read says nothing
            self._note_extra(row, version)

    def _note_missing(self, instant: Instant) -> None:
        if self._is_about_to_be_decided(instant):
            self.verdict.pending += 1
            return
        self.verdict.due += 1
        gap = self._gap
        if gap is not None and gap.version is instant.version:
            gap.last, gap.count = instant.at, gap.count + 1
            return
        self._close_gap(at_end=True)
        self._gap = _Gap(instant.version, instant.at, instant.at)

    def _is_about_to_be_decided(self, instant: Instant) -> bool:
        standing = self.standing
        is_ahead = standing.next_run_at is not None and standing.next_run_at <= instant.at
        due_since = max(instant.at, instant.version.changed_at)
        return is_ahead and due_since >= standing.now - standing.on_time

    def _close_gap(self, *, at_end: bool = False) -> None:
        """`at_end`: nothing of that revision has a row after it."""
        gap, self._gap = self._gap, None
        if gap is None:
            return
        if at_end and self._was_switched_off_outside(gap.version):
            self.verdict.due -= gap.count
            self.verdict.unjudged.append(_switched_off_outside(gap))
            return
        what = "no run"
        if gap.count > 1:
            what = f"{gap.count:,} instants without a run, until {_utc(gap.last)}"
        cause = _why_missing(gap, self.standing)
        number = gap.version.number
        self._note(Finding(Wrong.MISSING, gap.first, gap.last, gap.count, number, (), what, cause))

    def _was_switched_off_outside(self, version: Version) -> bool:
        """Then nobody knows since when: the revision is as old as the look that found it."""
        after = self.history.follower(version)
        return after is not None and not after.enabled and after.changed_by == self.standing.outside

    def _note_doubled(self, row: Row, at: datetime, count: int) -> None:
        assert self._taken is not None
        what = f"runs {self._taken.run_id} and {row.run_id} stand for " + (
            "the same instant" if count == 1 else f"the same {count:,} instants"
        )
        cause = (
            f"run {row.run_id} was decided {_decided(row)}, run {self._taken.run_id} {_decided(self._taken)}"
        )
        runs = (self._taken.run_id, row.run_id)
        self._note(Finding(Wrong.DOUBLED, at, row.until or at, count, None, runs, what, cause))

    def _note_extra(self, row: Row, version: Version | None) -> None:
        what = f"run {row.run_id}, and nothing was due"
        cause = f"{_why_not_due(self.history, row.scheduled_for, version)}; decided {_decided(row)}"
        number = version.number if version else None
        until = row.until or row.scheduled_for
        self._note(Finding(Wrong.EXTRA, row.scheduled_for, until, 1, number, (row.run_id,), what, cause))

    def _note_wrong_count(
        self, row: Row, until: datetime, first: datetime, last: datetime, count: int
    ) -> None:
        what = f"run {row.run_id} stands for {row.count:,} missed instants until {_utc(until)}"
        cause = f"due are {count:,}, from {_utc(first)} to {_utc(last)}; decided {_decided(row)}"
        self._note(Finding(Wrong.WRONG_COUNT, row.scheduled_for, until, 1, None, (row.run_id,), what, cause))

    def _note(self, finding: Finding) -> None:
        _add(self.verdict, finding)


def _add(verdict: Verdict, finding: Finding) -> None:
    verdict.wrong[finding.wrong] += finding.count
    if len(verdict.findings) < MOST_FINDINGS:
        verdict.findings.append(finding)


def _judge_next(history: History, standing: Standing, verdict: Verdict) -> None:
    """A schedule that waits for the wrong instant misses the next ones, or never wakes up."""
    last, set_to, now = history.last, standing.next_run_at, standing.now
    if last is None or last.timing is None or standing.timing_error:
        return
    if set_to is not None and set_to <= now:
        is_right, expected = history.due_at(set_to) is not None, None
    else:
        following = history.next_due(now)
        expected = following.at if following else None
        is_right = set_to == expected
    if not is_right:
        what = f"the next run is set to {_utc(set_to) if set_to else 'never'}"
        by_timing = f"by revision {last.number} it is {_utc(expected) if expected else 'never'}"
        cause = by_timing if set_to is None or set_to > now else "no revision has that instant"
        _add(
            verdict, Finding(Wrong.WRONG_NEXT, set_to or now, set_to or now, 1, last.number, (), what, cause)
        )


def _why_missing(gap: _Gap, standing: Standing) -> str:
    if standing.timing_error:
        return f"the schedule was set aside: {standing.timing_error}"
    if standing.next_run_at is not None and standing.next_run_at <= gap.first:
        return f"not decided yet: the next run still is {_utc(standing.next_run_at)}; is a beat running?"
    return "the next run moved on: the row was deleted since, or it never was written"


def _why_not_due(history: History, at: datetime, version: Version | None) -> str:
    if version is None:
        return "the schedule had no definition yet"
    said = f"revision {version.number} by {version.changed_by or 'unknown'} of {_utc(version.changed_at)}"
    if not version.enabled:
        return f"the schedule was disabled ({said})"
    if version.is_paused(at):
        return f"the schedule was paused ({said})"
    others = [v.number for v in history.versions if v.timing and any(v.timing.between(at, at + TICK))]
    if others:
        return f"revision {others[-1]} has this instant, but {said} was in force"
    return f"no instant of {said}"


def _overlaps(version: Version, end: datetime) -> bool:
    return version.timing is None and version.changed_at < end


def _unreadable(version: Version) -> str:
    since = _utc(version.changed_at)
    return f"revision {version.number}, in force since {since}, cannot be read: {version.problem}"


def _switched_off_outside(gap: _Gap) -> str:
    return (
        f"{gap.count:,} instants from {_utc(gap.first)} to {_utc(gap.last)}: somebody disabled the schedule "
        "outside Beatkeeper in that time, nobody knows when"
    )


def _decided(row: Row) -> str:
    by = f" by {row.decided_by}" if row.decided_by else ""
    return f"at {_utc(row.created_at)}{by}"


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
