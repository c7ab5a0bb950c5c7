"""What a cut-over, or its reversal, would do to each line, and why it may not. Reads only.

A *move* is one line and its schedule. Both sides are looked at as they are, so that a cut-over that
was interrupted is completed, or taken back, by the same steps. Called by `cutting_over`, which acts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Q

from schedules import conf
from schedules.accounts import Accounts
from schedules.crontab_edit import Crontab, crontab_at, daemon_runs
from schedules.import_values import Remark, Sources
from schedules.models import Beat, CrontabFile, CutOver, Schedule, Worker
from schedules.occurrences import queue_of
from schedules.revisions import definition_of
from schedules.rules import crontab, cut_over_lines
from schedules.rules.crontab_grammar import Daemon
from schedules.rules.crontab_lines import Job
from schedules.rules.cut_over_lines import Taken
from schedules.rules.definition import Kind, Mode
from schedules.rules.safe_minute import clock_change_near

_DECIDING_PARTS = ("dispatch", "publish")
"""The parts of a beat without which nothing starts."""


@dataclass(frozen=True, kw_only=True)
class Objection:
    """Why it is refused; --force sets aside what `may_be_forced`. `line` 0: about the whole file."""

    reason: str
    line: int = 0
    may_be_forced: bool = False


@dataclass(frozen=True, kw_only=True)
class Move:
    """One line: its place in the file now (0: it is not there), whether it is taken out, who would run it.

    `row` is the cut-over that is open; `schedule` is None where it is gone from the database.
    """

    name: str
    text: bytes
    number: int
    taken: Taken | None
    schedule: Schedule | None
    row: CutOver | None

    @property
    def is_out(self) -> bool:
        return self.taken is not None

    @property
    def is_live(self) -> bool:
        row = self.schedule
        return row is not None and not row.is_deleted and row.mode == Mode.LIVE

    @property
    def line(self) -> int:
        """For people, also where it is no longer in the file."""
        source = self.schedule.source_line if self.schedule else None
        return self.number or (self.row.line if self.row else 0) or source or 0

    @property
    def lines(self) -> set[int]:
        """The numbers by which somebody may name it: where it is, and where it was."""
        source = self.schedule.source_line if self.schedule else None
        return {self.number, self.row.line if self.row else 0, source or 0} - {0}

    @property
    def was_interrupted(self) -> bool:
        """Neither runs it: the line is out, and the schedule is not live."""
        return self.row is not None and self.is_out and not self.is_live


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the operator named. No lines and no names: every line of the source."""

    source: str
    lines: Collection[int] = ()
    names: Collection[str] = ()


def crontab_of(source: str) -> Crontab:
    """The crontab itself, as its import found it. Raises NotPossible where it is not one of this machine."""
    known = CrontabFile.objects.filter(source=source).first()
    if known is None:
        return crontab_at(source)
    return crontab_at(source, path=known.path, daemon=Daemon(known.dialect))


def read_as_cron_had_them(sources: Sources) -> None:
    """Before an import: lines that are cut over are what they were, so that their schedules are not gone.

    What another installation took out stays a comment, and is told.
    """
    open_rows = CutOver.objects.filter(path__in=[it.label for it in sources.found], undone_at__isnull=True)
    marks = {(row.path, cut_over_lines.mark_of(row.pk, bytes(row.text))) for row in open_rows}
    for place, source in enumerate(sources.found):
        found = cut_over_lines.taken(source.text)
        ours = [it.mark for it in found if (source.label, it.mark) in marks and it.is_intact]
        sources.notes += [_not_ours(source.file, it) for it in found if it.mark not in ours]
        sources.found[place] = replace(source, text=cut_over_lines.put_back(source.text, ours))


def _not_ours(file: str, line: Taken) -> Remark:
    return Remark(
        file=file,
        line=line.number,
        reason="the line was taken out by the cut-over of another installation, or edited after ours: it "
        "is a comment, and is not imported",
    )


def moves(wanted: Wanted, content: bytes, *, undo: bool) -> list[Move]:
    """Those that were named, in the order of their lines. Without names those that can be moved at all."""
    rows = {row.schedule_id or -row.pk: row for row in _open_rows(wanted.source)}
    known = Q(source=wanted.source) | Q(pk__in=[pk for pk in rows if pk > 0])
    schedules = Schedule.objects.filter(known).exclude(source_line=None).select_related("revision")
    by_pk = {it.pk: it for it in schedules if not it.is_deleted or it.pk in rows}
    taken = {one.mark: one for one in cut_over_lines.taken(content)}
    lines = cut_over_lines.lines_of(content)
    found = [_move(by_pk.get(pk), rows.get(pk), lines, taken) for pk in dict.fromkeys([*by_pk, *rows])]
    if wanted.lines or wanted.names:
        found = [it for it in found if it.name in wanted.names or it.lines & set(wanted.lines)]
    elif undo:
        found = [it for it in found if it.row is not None]
    else:
        found = [it for it in found if it.row is not None or not it.is_live]
    return sorted(found, key=lambda it: (it.line, it.name))


def _open_rows(source: str) -> list[CutOver]:
    return list(CutOver.objects.filter(path=source, undone_at__isnull=True).order_by("pk"))


def _move(
    schedule: Schedule | None, row: CutOver | None, lines: Sequence[bytes], taken: dict[str, Taken]
) -> Move:
    out = taken.get(cut_over_lines.mark_of(row.pk, bytes(row.text))) if row else None
    name, text, expected = (row.name, bytes(row.text), row.line) if row else ("", b"", 0)
    if schedule is not None and out is None:
        text = schedule.source_text.encode("utf-8", "surrogateescape")
        expected = schedule.source_line or expected
    number = out.number if out else _find(text, expected, lines)
    return Move(
        name=name if schedule is None or schedule.is_deleted else schedule.name,
        text=text,
        number=number,
        taken=out,
        schedule=schedule,
        row=row,
    )


def _find(text: bytes, expected: int, lines: Sequence[bytes]) -> int:
    """Its number where it stands at its place, or once elsewhere; 0 otherwise."""
    if 0 < expected <= len(lines) and lines[expected - 1] == text:
        return expected
    return lines.index(text) + 1 if lines.count(text) == 1 else 0


def objections(
    crontab_file: Crontab, content: bytes, found: Sequence[Move], *, now: datetime, undo: bool
) -> list[Objection]:
    """Everything that speaks against it, about the file first."""
    about_file = [Objection(reason=why) for why in crontab_file.why_ignored()]
    marks = [move.taken.mark for move in found if move.taken]
    own = cut_over_lines.put_back(content, marks)
    read = crontab.parse(own, crontab_file.format, Accounts(), dialect=crontab_file.daemon)
    about_file += [
        Objection(
            reason=f"cron ignores the whole file, because of this line: {error.reason}", line=error.line
        )
        for error in read.errors
    ]
    if undo:
        return [*about_file, *_undo_objections(found, now)]
    jobs = {job.line: job for job in read.jobs}
    about_lines = [it for move in found for it in _line_objections(move, jobs.get(move.number))]
    return [
        *about_file,
        *about_lines,
        *_beat_objection(now),
        *_worker_objections(found, now),
        *_zones(found, now),
    ]


def _line_objections(move: Move, job: Job | None) -> Iterator[Objection]:
    row, line = move.schedule, move.line
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
    elif differing := _differences(row, job):
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


def _differences(row: Schedule, job: Job) -> list[str]:
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
