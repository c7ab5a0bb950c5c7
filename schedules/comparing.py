"""What cron's log says it started, beside what the schedules would have started, or did.

The log is read in `log_files` and `rules.cron_log`, its starts are given to schedules in `log_matching`
and paired with due instants in `rules.pairing`. Compared is only the time
in which both sides were watching: the log's first to last line, from the moment on at which a schedule
came to be, up to the first instant that beat has not decided, and not while its line was cut over.
Called by the command `compare_cron`.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min

from schedules import conf, log_matching
from schedules.errors import NotPossible
from schedules.models import CronComparison, CutOver, Run, Schedule
from schedules.rules.cron_log import CronLog
from schedules.rules.definition import Kind
from schedules.rules.pairing import pair
from schedules.rules.states import BY_THE_CLOCK, Reason, State

SHOWN = 5
"""Instants that each difference names; the counts tell of all."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of time, with both ends."""

    since: datetime
    until: datetime

    def holds(self, at: datetime) -> bool:
        return self.since <= at <= self.until


@dataclass(kw_only=True)
class Line:
    """What was found for one schedule, or for a command of none (`schedule` ""). Times are ISO 8601, UTC."""

    schedule: str
    account: str
    command: str
    id: int | None = None
    mode: str = ""
    source: str = ""
    line: int | None = None
    matched: int = 0
    both_ran: int = 0
    only_cron: int = 0
    only_us: int = 0
    drift_p50: float | None = None
    drift_max: float | None = None
    first_only_cron: list[str] = field(default_factory=list)
    first_only_us: list[str] = field(default_factory=list)
    since: str = ""
    until: str = ""
    note: str = ""

    @property
    def differs(self) -> bool:
        return bool(self.schedule) and bool(self.only_cron or self.only_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """A due instant of a schedule: when we decided it or started it, and whether a command ran."""

    at: datetime
    acted_at: datetime
    ran: bool
    schedule: int


def compare(
    logs: Sequence[CronLog],
    *,
    name: str,
    since: datetime | None,
    until: datetime | None,
    tolerance: timedelta,
    now: datetime,
    by: str,
) -> CronComparison:
    """Compares, stores, and returns the comparison. Raises NotPossible where there is nothing to compare."""
    span = _span(logs, since, until, now)
    starts = sorted((it for log in logs for it in log.starts if span.holds(it.at)), key=lambda it: it.at)
    schedules = list(
        Schedule.objects.live()
        .filter(kind=Kind.COMMAND.value)
        .exclude(cron="")
        .annotate(began_at=Min("revisions__changed_at"))
        .select_related("interval")
        .order_by("source", "source_line", "name")
    )
    grouped, unknown = log_matching.by_group(starts, schedules)
    instants = _instants(schedules, span)
    spans = {row.pk: _watched(row, span, now) for row in schedules}
    cut_over = _cut_over(schedules)
    lines: list[Line] = []
    for group in log_matching.groups(schedules):
        key = group[0].pk
        if not grouped[key] and not any(row.source for row in group):
            continue  # neither imported nor in the log: cron never knew it
        lines += _compare_group(group, grouped[key], instants, spans, cut_over, tolerance)
    lines += [_unknown_line(account, command, times) for (account, command), times in unknown.items()]
    return CronComparison.objects.create(
        compared_at=now,
        compared_by=by,
        log=name[:4096],
        since=span.since,
        until=span.until,
        matched=sum(it.matched for it in lines),
        only_cron=sum(it.only_cron for it in lines if it.schedule),
        only_us=sum(it.only_us for it in lines),
        result=[asdict(it) for it in lines],
    )


def _span(logs: Sequence[CronLog], since: datetime | None, until: datetime | None, now: datetime) -> Span:
    begins = [log.first for log in logs if log.first]
    ends = [log.last for log in logs if log.last]
    if not begins or not ends:
        lines = sum(log.lines for log in logs)
        raise NotPossible(
            f"No line of the log ({lines:,} read) begins with a time that cron's log has. Is it cron's log? "
            "On Debian: /var/log/syslog, /var/log/cron.log, or --journal"
        )
    kept = now - timedelta(days=conf.current().retention_days)
    start, end = max(min(begins), kept, since or kept), min(max(ends), until or now, now)
    if start >= end:
        raise NotPossible(
            f"The log ({min(begins):%Y-%m-%d %H:%M} to {max(ends):%Y-%m-%d %H:%M} UTC) and the time to "
            "compare have nothing in common."
        )
    return Span(since=start, until=end)


def _watched(row: Any, span: Span, now: datetime) -> Span:
    """When we looked at this schedule too: from its first revision to the last instant that was decided."""
    since = max(span.since, row.began_at or now)
    until = span.until
    if row.next_run_at is not None and row.next_run_at <= until:
        until = row.next_run_at - timedelta(seconds=1)
    return Span(since=since, until=until)


def _instants(schedules: Sequence[Schedule], span: Span) -> dict[int, list[Instant]]:
    """What each schedule started, or would have. One query."""
    rows = Run.objects.filter(
        schedule__in=[row.pk for row in schedules],
        trigger__in=BY_THE_CLOCK,
        scheduled_for__gte=span.since - timedelta(hours=1),
        scheduled_for__lte=span.until,
    ).values_list("schedule_id", "scheduled_for", "created_at", "started_at", "state", "reason")
    found: dict[int, list[Instant]] = defaultdict(list)
    for pk, at, created_at, started_at, state, reason in rows.order_by("scheduled_for").iterator():
        if state == State.SKIPPED and reason != Reason.SHADOW:
            continue  # missed, too late, beside another run: nothing would have started
        ran = state != State.SKIPPED
        found[pk].append(Instant(at=at, acted_at=started_at or created_at, ran=ran, schedule=pk))
    return found


def _cut_over(schedules: Sequence[Schedule]) -> dict[int, list[CutOver]]:
    found: dict[int, list[CutOver]] = defaultdict(list)
    for row in CutOver.objects.filter(schedule__in=[row.pk for row in schedules]):
        if row.schedule_id is not None:
            found[row.schedule_id].append(row)
    return found


def _compare_group(
    group: Sequence[Schedule],
    times: Sequence[datetime],
    instants: dict[int, list[Instant]],
    spans: dict[int, Span],
    cut_over: dict[int, list[CutOver]],
    tolerance: timedelta,
) -> list[Line]:
    lines = {row.pk: _line(row, spans[row.pk], cut_over[row.pk]) for row in group}
    ours = sorted(
        (it for row in group for it in instants.get(row.pk, ()) if _is_compared(it, cut_over[row.pk])),
        key=lambda it: (it.at, it.schedule),
    )
    pairs = pair(times, [it.at for it in ours], tolerance=tolerance)
    drifts: dict[int, list[float]] = defaultdict(list)
    for start, number in pairs.pairs:
        it = ours[number]
        if spans[it.schedule].holds(it.at) or spans[it.schedule].holds(times[start]):
            lines[it.schedule].matched += 1
            lines[it.schedule].both_ran += it.ran
            drifts[it.schedule].append((it.acted_at - times[start]).total_seconds())
    first = group[0].pk
    for start in pairs.lone_starts:
        if _is_inside(times[start], spans[first], tolerance):
            lines[first].only_cron += 1
            _note(lines[first].first_only_cron, times[start])
            if _is_out(times[start], cut_over[first]):
                lines[first].note = "cron started it although its line was cut over: is the line back?"
    for number in pairs.lone_instants:
        it = ours[number]
        if _is_inside(it.at, spans[it.schedule], tolerance):
            lines[it.schedule].only_us += 1
            _note(lines[it.schedule].first_only_us, it.at)
    for pk, found in drifts.items():
        most: float = max(found, key=abs)
        lines[pk].drift_p50, lines[pk].drift_max = round(statistics.median(found), 3), round(most, 3)
    _say_what_is_missing(group, times, lines)
    return list(lines.values())


def _is_inside(at: datetime, span: Span, tolerance: timedelta) -> bool:
    """Far enough from both ends that its other half would be there."""
    return span.since + tolerance <= at <= span.until - tolerance


def _is_compared(it: Instant, rows: Sequence[CutOver]) -> bool:
    """False for what ran while the line was out of the crontab. A shadow's instants always count."""
    return not it.ran or not _is_out(it.at, rows)


def _is_out(at: datetime, rows: Sequence[CutOver]) -> bool:
    return any(row.effective_at <= at and (row.undone_at is None or at <= row.undone_at) for row in rows)


def _line(row: Schedule, span: Span, cut_overs: Sequence[CutOver]) -> Line:
    is_open = any(it.undone_at is None for it in cut_overs)
    return Line(
        schedule=row.name,
        id=row.pk,
        account=row.run_as,
        command=row.command,
        mode=row.mode,
        source=row.source,
        line=row.source_line,
        since=span.since.isoformat(),
        until=span.until.isoformat(),
        note="cut over: what it ran since then is not compared" if is_open else "",
    )


def _say_what_is_missing(
    group: Sequence[Schedule], times: Sequence[datetime], lines: dict[int, Line]
) -> None:
    for row in group:
        line = lines[row.pk]
        if not times and not line.note:
            line.note = "never seen in the log" + ("" if line.only_us else ", and never due in that time")
        if line.both_ran and not line.note:
            line.note = f"live: cron and Beatkeeper both ran it {line.both_ran:,} times"
        if len(group) > 1 and line.only_cron:
            line.note = line.note or f"{len(group)} lines have this command; a log cannot tell them apart"


def _unknown_line(account: str, command: str, times: Sequence[datetime]) -> Line:
    line = Line(schedule="", account=account, command=command, only_cron=len(times))
    for at in times[:SHOWN]:
        _note(line.first_only_cron, at)
    return line


def _note(shown: list[str], at: datetime) -> None:
    if len(shown) < SHOWN:
        shown.append(at.isoformat())
