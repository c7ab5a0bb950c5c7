"""Why a cut-over, or its reversal, is refused: whatever might run a minute twice, or not at all. Reads only.

Called by `flow` with the moves of `plan`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from schedules import conf
from schedules.cutting_over.crontab_edit import Crontab, daemon_runs
from schedules.cutting_over.plan import Move, as_cron_had_it, to_do
from schedules.models import Beat, Schedule, Worker
from schedules.occurrences import queue_of
from schedules.revisions import definition_of
from schedules.rules.crontab.lines import Job
from schedules.rules.definition import Kind
from schedules.rules.safe_minute import clock_change_near

_DECIDING_PARTS = ("dispatch", "publish")
"""The parts of a beat without which nothing starts."""


@dataclass(frozen=True, kw_only=True)
class Objection:
    """Why it is refused; --force sets aside what `may_be_forced`. `line` 0: about the whole file."""

    reason: str
    line: int = 0
    may_be_forced: bool = False


def objections(
    crontab_file: Crontab, content: bytes, found: Sequence[Move], *, now: datetime, undo: bool
) -> list[Objection]:
    """Everything that speaks against it, about the file first."""
    about_file = [Objection(reason=why) for why in crontab_file.why_ignored()]
    about_file += [
        Objection(
            reason=f"cron ignores the whole file, because of this line: {error.reason}", line=error.line
        )
        for error in as_cron_had_it(crontab_file, content, found).errors
    ]
    if undo:
        return [*about_file, *_undo_objections(found, now)]
    left = to_do(found, undo=False)
    if not left:
        return about_file
    return [
        *about_file,
        *(it for move in left for it in _line_objections(move)),
        *_beat_objection(now),
        *_worker_objections(left, now),
        *_zones(left, now),
    ]


def _line_objections(move: Move) -> Iterator[Objection]:
    row, line, job = move.schedule, move.line, move.job
    name = f'"{move.name}"'
    if row is None or row.is_deleted:
        yield Objection(
            reason=f"the schedule {name} has been deleted. Put the line back with --undo", line=line
        )
        return
    if move.taken is not None and not move.taken.is_intact:
        yield Objection(reason=f"the line of {name} was edited after it was taken out", line=line)
    if move.row is None and move.is_live:
        yield Objection(
            reason=f"{name} is live already, so cron and Beatkeeper both run it. Make it a shadow first",
            line=line,
        )
    yield from (Objection(reason=f"{name} {why}", line=line) for why in _not_running(row))
    if job is None:
        yield Objection(
            reason=f"the line of {name} is not in the file as it was imported. Import the file again",
            line=line,
        )
    elif differing := differences(row, job):
        yield Objection(
            reason=f"{name} is not what the line says ({', '.join(differing)} differs). Import the file "
            "again, or, if it was changed on purpose, say --force",
            line=line,
            may_be_forced=True,
        )


def _not_running(row: Schedule) -> Iterator[str]:
    """Why nothing would run it after the cut-over."""
    if not row.enabled:
        yield "is disabled: neither cron nor Beatkeeper would run it. Enable it first"
    elif row.paused_until is not None:
        yield "is paused: neither cron nor Beatkeeper would run it. Resume it first"
    if row.timing_error or row.revision is None:
        yield f"cannot be used: {row.timing_error or 'it has no revision'}"


def differences(row: Schedule, job: Job) -> list[str]:
    """What the schedule says otherwise than the line, in words."""
    said = {
        "time": (row.cron, job.expression),
        "command": (row.command, job.command),
        "standard input": (row.stdin, job.stdin),
        "environment": ([tuple(pair) for pair in row.environment], list(job.environment)),
        "account": (row.run_as, row.run_as if job.user is None else job.user),
        "zone": (row.timezone, job.zone or row.timezone),
        "timing": (row.has_own_timing, True),
    }
    return [word for word, (ours, theirs) in said.items() if ours != theirs]


def _undo_objections(found: Sequence[Move], now: datetime) -> Iterator[Objection]:
    for move in found:
        if move.row is None:
            yield Objection(reason=f'"{move.name}" was not cut over', line=move.line)
        elif move.taken is None and not move.number:
            yield Objection(
                reason=f'the line of "{move.name}" is no longer in the file. Write it there again: '
                f"{move.text.decode('utf-8', 'backslashreplace')} (whole file as it was: {move.row.backup})",
                line=move.row.line,
            )
        elif move.taken is not None and not move.taken.is_intact:
            yield Objection(
                reason=f'the line of "{move.name}" was edited after it was taken out', line=move.line
            )
    if daemon_runs() is False:
        yield Objection(
            reason="no cron daemon runs here, so nothing would run these lines. Start it, or say --force",
            may_be_forced=True,
        )
    yield from _zones(found, now)


def _beat_objection(now: datetime) -> Iterator[Objection]:
    if not any(_decides(beat, now) for beat in Beat.objects.alive()):
        yield Objection(
            reason="no beat is running, so nothing would start. Start it (manage.py up), or say --force",
            may_be_forced=True,
        )


def _decides(beat: Beat, now: datetime) -> bool:
    """It lives, and the parts that start runs make progress."""
    lease = conf.current().lease
    told = [beat.parts.get(part) for part in _DECIDING_PARTS]
    moments = [datetime.fromisoformat(at) for at in told if isinstance(at, str)]
    return now - beat.seen_at <= lease and all(now - at <= lease for at in moments)


def _worker_objections(found: Sequence[Move], now: datetime) -> Iterator[Objection]:
    """A worker has to serve the queue, and for a command to be the account or root."""
    workers = list(Worker.objects.alive().filter(seen_at__gte=now - conf.current().lease))
    for move in found:
        row = move.schedule
        if row is None or row.is_deleted or row.timing_error:
            continue
        queue = queue_of(definition_of(row))
        serving = [it for it in workers if not queue or queue in it.queues.split(",")]
        reason = ""
        if not serving:
            reason = f'no worker serves the queue "{queue}"'
        elif not _may_run_as(row, serving):
            reason = f'no worker of the queue "{queue}" may run commands of the account "{row.run_as}"'
        if reason:
            yield Objection(
                reason=f'{reason}, so "{move.name}" would not run. Start one, or say --force',
                line=move.line,
                may_be_forced=True,
            )


def _may_run_as(row: Schedule, workers: Sequence[Worker]) -> bool:
    if row.kind != Kind.COMMAND or not row.run_as:
        return True
    return any(worker.account in ("root", row.run_as) for worker in workers)


def _zones(found: Sequence[Move], now: datetime) -> Iterator[Objection]:
    zones = sorted({move.schedule.timezone for move in found if move.schedule})
    for name in zones:
        if clock_change_near(name, now):
            yield Objection(
                reason=f"the clock of {name} changes within three hours before or after now, and cron makes "
                "up for minutes then. Wait until that is over, or say --force",
                may_be_forced=True,
            )
