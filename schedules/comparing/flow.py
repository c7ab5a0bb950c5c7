"""What cron's log says it started, beside what the schedules would have started, or did.

The log is read in `log_files` and `rules.cron_log`, its starts are given to schedules in `log_matching` and
paired with due instants in `rules.pairing`. Compared is only the time in which both sides were watching:
the log's first to last line, from the moment on at which a schedule came to be, up to the first instant
that beat has not decided, and not while its line was cut over. What was found is put into words in `notes`.
Called by the command `compare_cron`.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min

from schedules import conf
from schedules.comparing import log_matching
from schedules.comparing.instants import Group, Instant, with_instants
from schedules.comparing.notes import Line, Span, note_instant, say_what_is_missing
from schedules.errors import NotPossible
from schedules.importing.sources import is_read_by_cron
from schedules.keeping import keep_of
from schedules.models import CronComparison, CutOver, Schedule
from schedules.rules.cron_log import CronLog, Start
from schedules.rules.definition import Kind, Mode
from schedules.rules.pairing import pair
from schedules.sql.snapshot import snapshot


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What was stored, and the schedules that were left out because cron never had them.

    `left_out` has their names by the source that they were imported from.
    """

    stored: CronComparison
    left_out: dict[str, list[str]]

    @property
    def both_ran(self) -> int:
        return sum(line["both_ran"] for line in self.stored.result)

    @property
    def differences(self) -> int:
        """Starts that only one side has, and those that both ran: each of them twice."""
        return self.stored.only_cron + self.stored.only_us + self.both_ran


def compare(
    logs: Sequence[CronLog],
    *,
    name: str,
    since: datetime | None,
    until: datetime | None,
    tolerance: timedelta,
    now: datetime,
    by: str,
    chosen: Collection[int] | None = None,
) -> Compared:
    """Compares and stores. Raises NotPossible where there is nothing to compare.

    `chosen` are the keys of the schedules to compare, with those that a log cannot tell from them; None:
    all that cron may have had. Left out of all are live ones of which the log shows nothing, imported from
    what no cron reads here.
    """
    span = _span(logs, since, until, now)
    starts = sorted((it for log in logs for it in log.starts if span.holds(it.at)), key=lambda it: it.at)
    with snapshot():
        lines, left_out = _compare_all(starts, span, tolerance, now, chosen)
    stored = CronComparison.objects.create(
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
    return Compared(stored=stored, left_out=left_out)


def _compare_all(
    starts: Sequence[Start], span: Span, tolerance: timedelta, now: datetime, chosen: Collection[int] | None
) -> tuple[list[Line], dict[str, list[str]]]:
    """The lines, and what was left out. Four queries."""
    schedules = list(
        Schedule.objects.live()
        .filter(kind=Kind.COMMAND.value)
        .exclude(cron="")
        .annotate(began_at=Min("revisions__changed_at"))
        .select_related("interval")
        .order_by("source", "source_line", "name")
    )
    grouped, unknown = log_matching.by_group(starts, schedules)
    spans = {row.pk: _watched(row, span, now) for row in schedules}
    cut_over = _cut_over(schedules)
    groups, left_out = _choose(log_matching.groups(schedules), grouped, chosen)
    found = {
        group[0].pk: _compare_group(group, grouped[group[0].pk], ours, spans, cut_over, tolerance)
        for group, ours in with_instants(groups, span)
    }
    lines = [line for group in groups for line in found[group[0].pk]]
    lines += [_unknown_line(account, command, times) for (account, command), times in unknown.items()]
    return lines, left_out


def _choose(
    groups: Sequence[Group], grouped: Mapping[int, Sequence[datetime]], chosen: Collection[int] | None
) -> tuple[list[Group], dict[str, list[str]]]:
    """The groups to compare, and the names of the schedules that are left out, by their source."""
    taken: list[Group] = []
    left_out: dict[str, list[str]] = defaultdict(list)
    for group in groups:
        if chosen is not None:
            taken += [group] if any(row.pk in chosen for row in group) else []
        elif grouped.get(group[0].pk) or any(_may_be_crons(row) for row in group):
            taken.append(group)
        else:
            for row in group:
                if row.source:
                    left_out[row.source].append(row.name)
    return taken, dict(left_out)


def _may_be_crons(row: Schedule) -> bool:
    """Whether cron should have started it: a shadow stands beside cron, and so does what cron reads here."""
    return bool(row.source) and (row.mode == Mode.SHADOW or is_read_by_cron(row.source))


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
    since = max(span.since, row.began_at or now, keep_of(row).before(now))
    until = span.until
    if row.next_run_at is not None and row.next_run_at <= until:
        until = row.next_run_at - timedelta(seconds=1)
    return Span(since=since, until=until)


def _cut_over(schedules: Sequence[Schedule]) -> dict[int, list[CutOver]]:
    found: dict[int, list[CutOver]] = defaultdict(list)
    for row in CutOver.objects.filter(schedule__in=[row.pk for row in schedules]):
        if row.schedule_id is not None:
            found[row.schedule_id].append(row)
    return found


def _compare_group(
    group: Sequence[Schedule],
    times: Sequence[datetime],
    instants: Sequence[Instant],
    spans: dict[int, Span],
    cut_over: dict[int, list[CutOver]],
    tolerance: timedelta,
) -> list[Line]:
    lines = {row.pk: _line(row, spans[row.pk], cut_over[row.pk]) for row in group}
    ours = sorted(
        (it for it in instants if _is_compared(it, cut_over[it.schedule])),
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
            note_instant(lines[first].first_only_cron, times[start])
            if _is_out(times[start], cut_over[first]):
                lines[first].note = "cron started it although its line was cut over: is the line back?"
    for number in pairs.lone_instants:
        it = ours[number]
        if _is_inside(it.at, spans[it.schedule], tolerance):
            lines[it.schedule].only_us += 1
            note_instant(lines[it.schedule].first_only_us, it.at)
    for pk, found in drifts.items():
        most: float = max(found, key=abs)
        lines[pk].drift_p50, lines[pk].drift_max = round(statistics.median(found), 3), round(most, 3)
    dues = Counter(it.schedule for it in ours if spans[it.schedule].holds(it.at))
    for row in group:
        say_what_is_missing(
            lines[row.pk], row, times, dues=dues[row.pk], alike=len(group), span=spans[row.pk]
        )
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


def _unknown_line(account: str, command: str, times: Sequence[datetime]) -> Line:
    line = Line(schedule="", account=account, command=command, only_cron=len(times))
    for at in times:
        note_instant(line.first_only_cron, at)
    return line
