"""Why a run did, did not or will not happen at a moment: `explain`. Called by the command and the admin.

The history says what was due by the revision then in force, the rows what became of it. The verdict
comes first, then the facts in the order in which things happened. Reads only, in one snapshot, with a
fixed number of queries.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

from schedules.explaining.evidence import Evidence, gather, names, run_for, run_within
from schedules.explaining.explanation import (
    Explanation,
    Fact,
    Question,
    Verdict,
)
from schedules.explaining.runs import by_hand, facts_of, no_beat_sentence, sentence_of, verdict_of, who_could
from schedules.explaining.silence import why_silent
from schedules.histories import histories_of
from schedules.keeping import keep_of
from schedules.models import Run, Schedule
from schedules.occurrences import queue_of
from schedules.rules import asked, wording
from schedules.rules.cron.clock import zone
from schedules.rules.definition import Definition, Mode
from schedules.rules.explaining import ClockChange, compare_fields, say_clock_change, stands_for_gap
from schedules.rules.history import TICK, History, Instant, Version
from schedules.rules.states import ACTIVE
from schedules.rules.timing import (
    CronTiming,
)
from schedules.sql.snapshot import snapshot


def explain(schedule: Schedule, *, at: str = "", instant: datetime | None = None) -> Explanation:
    """`at` is a moment as typed, on the clock of the schedule; `instant` one that a program names.

    Without both: what is the matter with the schedule now. Raises TimingError where `at` is no time.
    """
    with snapshot() as now:
        history = histories_of([schedule.pk]).get(schedule.pk, History(()))
        here = _zone_of(history)
        if instant is not None:
            wanted = asked.at_instant(instant, here)
        elif at:
            wanted = asked.read(at, here, now=now)
        else:
            wanted = asked.at_instant(_worth_asking(schedule, history, now), here)
        return _Answer(schedule, history, wanted, now, here).explained()


def _zone_of(history: History) -> ZoneInfo:
    plain = history.last.plain_timing if history.last else None
    return zone(plain.timezone if isinstance(plain, CronTiming) else settings.TIME_ZONE)


def _worth_asking(schedule: Schedule, history: History, now: datetime) -> datetime:
    """The last due instant while something is still to become of it, or else the next one, or else now."""
    last = history.last_due(now + TICK)
    if last is not None:
        run = run_for(schedule, last)
        if run.state in ACTIVE if run is not None else schedule.is_due(now):
            return last.at
    current = history.last
    if current is None or current.is_paused(now):
        return now
    following = history.next_due(now)
    return following.at if following else now


_UNNOTICED = "somebody disabled it outside Beatkeeper, which beat takes note of within minutes"
_NONE = ("nothing was due before", "nothing is due after it, as things are")


class _Answer(Question):
    """Finds what is due, gathers what became of it, and adds what frames it."""

    def explained(self) -> Explanation:
        instant = self._instant() or self._recorded()
        at = instant.at if instant else self.asked.at
        before, after = self.history.last_due(at), self.history.next_due(at if instant else at - TICK)
        evidence = gather(
            self.schedule, asked=self.asked, instant=instant, before=before, after=after, now=self.now
        )
        told = self._due(instant, evidence) if instant else why_silent(self)
        version = instant.version if instant else self.version
        if version is not None:
            told.facts.insert(0, self._timing(version))
            told.facts += [Fact("clock", text) for text in self._clock(version, told.verdict)]
        told.facts += [by_hand(run, self.here) for run in evidence.by_hand]
        if before or after:
            told.facts += self._neighbours((before, evidence.previous), (after, evidence.following))
        told.before, told.after = before.at if before else None, after.at if after else None
        return told

    def _instant(self) -> Instant | None:
        """What is due at the moment that was asked about, or instead of it at the end of a gap."""
        plain = self.version.plain_timing if self.version else None
        if isinstance(plain, CronTiming):
            change = self.change(plain)
            if change is not None and change.is_gap and not self._is_made_up_for(plain, change):
                return None
        exactly = self.history.due_at(self.asked.at)
        return exactly or next(self.history.due(self.asked.at, self.asked.until), None)

    def _recorded(self) -> Instant | None:
        """A run by the clock of which no revision tells: by a boot, or one that should not be there."""
        run = run_within(self.schedule, self.asked.at, self.asked.until)
        version = self.version or self.history.last
        return Instant(run.scheduled_for, version) if run is not None and version is not None else None

    def _is_made_up_for(self, timing: CronTiming, change: ClockChange) -> bool:
        return not compare_fields(timing, self.wall(timing)).failing and stands_for_gap(timing, change)

    def _due(self, instant: Instant, evidence: Evidence) -> Explanation:
        at, run = instant.at, evidence.run
        when = self.when(at)
        if run is not None:
            sentence = sentence_of(run, evidence.attempts, when, self.now)
            told = self.tell(at, verdict_of(run), sentence)
            told.run_id, told.facts = run.pk, list(facts_of(run, evidence, self.here))
            if not instant.version.is_by_boot and self.history.due_at(at) is None:
                told.say("audit", "by the revisions nothing was due then; manage.py audit_firings tells more")
            return told
        if (
            not self.schedule.enabled
            and not self.schedule.is_deleted
            and instant.version is self.history.last
        ):
            return self.tell(at, Verdict.DISABLED, f"Due at {when}, but {_UNNOTICED}.")
        if at > self.now:
            return self._future(at, evidence)
        if at < keep_of(self.schedule).before(self.now):
            return self.tell(
                at, Verdict.FORGOTTEN, f"Was due at {when}. What became of it is not on record any more."
            )
        return self._without_row(at, evidence)

    def _without_row(self, at: datetime, evidence: Evidence) -> Explanation:
        when = self.when(at)
        if self.schedule.timing_error:
            told = self.tell(at, Verdict.SET_ASIDE, f"Was due at {when}; the schedule was set aside instead.")
            told.say("set aside", self.schedule.timing_error)
        elif self.schedule.next_run_at is not None and self.schedule.next_run_at <= at:
            told = self.tell(
                at,
                Verdict.UNDECIDED,
                f"Was due at {when}, {self.ago(at)} ago, and no beat has decided it yet.",
            )
            told.say("beat", self._beats(evidence))
        else:
            told = self.tell(
                at,
                Verdict.MISSING,
                f"Was due at {when} and has no run: the row was deleted, or never written.",
            )
        return told

    def _future(self, at: datetime, evidence: Evidence) -> Explanation:
        definition, beats = self._definition(), self._beats(evidence)
        is_shadow = definition is not None and definition.mode == Mode.SHADOW
        does = "be recorded" if is_shadow else "run"
        but = "; nothing starts: it is a shadow" if is_shadow else ""
        if not evidence.live_beats:
            but += "; but no beat is alive, and without one nothing is decided"
        told = self.tell(at, Verdict.WILL_RUN, f"Will {does} {self.when(at)}, in {self.ago(at)}{but}.")
        told.say("decided", f"at that moment, by a beat: {beats}")
        if definition is not None and not is_shadow:
            told.say("workers", who_could(definition, queue_of(definition), evidence))
        return told

    def _beats(self, evidence: Evidence) -> str:
        live = evidence.live_beats
        return (
            f"{names(live)} {'is' if len(live) == 1 else 'are'} alive" if live else no_beat_sentence(evidence)
        )

    def _definition(self) -> Definition | None:
        try:
            return Definition.from_dict(self.schedule.revision.definition) if self.schedule.revision else None
        except (LookupError, TypeError, ValueError):
            return None

    def _timing(self, version: Version) -> Fact:
        if version.timing is None:
            return Fact("timing", f"unknown: revision {version.number} cannot be read")
        plain = version.plain_timing
        text = wording.describe(version.timing)
        if isinstance(plain, CronTiming):
            text = f"{plain.expression}: {text} ({plain.timezone})"
        since = f"{self.when(version.changed_at)} by {version.changed_by or 'unknown'}"
        return Fact("timing", f"{text}; revision {version.number} of {since}")

    def _clock(self, version: Version, verdict: Verdict) -> Iterator[str]:
        """Where the moment is special on the clock; what becomes of it, unless the verdict says so."""
        timing = version.plain_timing
        change = self.change(timing) if isinstance(timing, CronTiming) else None
        if change is None or not isinstance(timing, CronTiming):
            return
        runs_after = any(timing.between(change.at, change.at + timedelta(minutes=1)))
        said = say_clock_change(timing, change, self.wall(timing), runs_after=runs_after)
        yield from said[:1] if verdict == Verdict.NOT_DUE else said

    def _neighbours(self, *found: tuple[Instant | None, Run | None]) -> Iterator[Fact]:
        for label, none, (instant, run) in zip(("before", "after"), _NONE, found, strict=True):
            if instant is None:
                yield Fact(label, none)
            elif run is not None:
                yield Fact(label, f"{self.when(instant.at)}: run {run.pk} {run.label}", run.pk)
            elif instant.at > self.now:
                yield Fact(label, f"{self.when(instant.at)}, in {self.ago(instant.at)}")
            else:
                is_open = self.schedule.next_run_at is not None and self.schedule.next_run_at <= instant.at
                known = "not decided yet" if is_open else "no run is on record"
                yield Fact(label, f"{self.when(instant.at)}: {known}")
