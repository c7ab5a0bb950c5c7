"""What a cut-over, or its reversal, would do to each line. Reads only.

A *move* is one line and its schedule. Both sides are looked at as they are, so that a cut-over that
was interrupted is completed, or taken back, by the same steps. Called by `flow`, which acts;
why it may not is in `cutting_over.objections`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from django.db.models import Q

from schedules.accounts import Accounts
from schedules.cutting_over.crontab_edit import ACCOUNT_LABEL, Crontab, crontab_at
from schedules.importing.sources import SPOOLS
from schedules.importing.values import Remark, Sources
from schedules.models import CrontabFile, CutOver, Schedule
from schedules.rules import crontab, cut_over_lines
from schedules.rules.crontab.grammar import Daemon
from schedules.rules.crontab.lines import Job
from schedules.rules.cut_over_lines import Taken
from schedules.rules.definition import Mode


@dataclass(frozen=True, kw_only=True)
class Move:
    """One line: its place in the file now (0: it is not there), whether it is taken out, who would run it.

    `row` is the cut-over that is open; `schedule` is None where it is gone from the database. `job` is
    what cron makes of the line, or would once it is back; None where cron has no such line.
    """

    name: str
    text: bytes
    number: int
    taken: Taken | None
    schedule: Schedule | None
    row: CutOver | None
    job: Job | None = None

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
    def is_cut_over(self) -> bool:
        """Beatkeeper runs it, and cron does not."""
        return self.is_out and self.is_live


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


def known_elsewhere(source: str) -> str:
    """The source under which this account's crontab is known, where it is not under this one; or ""."""
    account = source.removeprefix(ACCOUNT_LABEL)
    if account == source:
        path = Path(source)
        account = path.name if path.parent in SPOOLS else ""
    others = [f"{ACCOUNT_LABEL}{account}", *(str(spool / account) for spool in SPOOLS)] if account else []
    known = _known({source, *others})
    return "" if source in known else next((it for it in others if it in known), "")


def _known(sources: Collection[str]) -> set[str]:
    """Those that lines came from, or were taken out of."""
    imported = Schedule.objects.live().filter(source__in=sources).values_list("source", flat=True)
    taken = CutOver.objects.filter(path__in=sources, undone_at__isnull=True).values_list("path", flat=True)
    return {*imported, *taken}


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


def as_cron_had_it(crontab_file: Crontab, content: bytes, found: Sequence[Move]) -> crontab.Crontab:
    """The whole file, read with the lines of these moves in their places."""
    own = cut_over_lines.put_back(content, [move.taken.mark for move in found if move.taken])
    return crontab.parse(own, crontab_file.format, Accounts(), dialect=crontab_file.daemon)


def moves(wanted: Wanted, crontab_file: Crontab, content: bytes, *, undo: bool) -> list[Move]:
    """Those that were named, in the order of their lines. Without names those that can be moved at all."""
    found = _named(wanted, content, undo=undo)
    jobs = {job.line: job for job in as_cron_had_it(crontab_file, content, found).jobs}
    return [replace(move, job=jobs.get(move.number)) for move in found]


def to_do(found: Sequence[Move], *, undo: bool) -> list[Move]:
    """The moves that are not where they should be yet."""
    return [move for move in found if (move.row is not None if undo else not move.is_cut_over)]


def _named(wanted: Wanted, content: bytes, *, undo: bool) -> list[Move]:
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
