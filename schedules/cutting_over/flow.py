"""A line leaves cron and its schedule runs it, from one minute to the next; and back. Called by `cut_over`.

    who      cut-over                               back
    record   an open CutOver, committed             (it is open)
    stops    cron: the line is commented out        Beatkeeper: the schedule is a shadow, committed
    starts   Beatkeeper: live, committed            cron: the line is put back
    record                                          the CutOver is closed

Whoever ran it stops first. So an interruption between the two leaves nobody who runs the line, never
both: most jobs must not run twice, and what was not started is on record as the shadow's runs. An
open CutOver whose schedule is a shadow is such an interruption; the same command completes it.

All of it happens in the middle of one minute (`rules.safe_minute`), by the clock of this host, which
has to agree with the database's. What the steps are for each line is found in `cutting_over.plan`, what
speaks against them in `cutting_over.objections`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import Error as DatabaseError
from django.db import connection, transaction

from schedules import catalog
from schedules.cutting_over.crontab_edit import Crontab, write_backup
from schedules.cutting_over.going_back import Edit, edits
from schedules.cutting_over.objections import Objection, objections
from schedules.cutting_over.plan import Move, Wanted, crontab_of, known_elsewhere, moves, to_do
from schedules.errors import NotPossible
from schedules.host_clock import CLOCKS_AGREE, Clock
from schedules.models import CutOver, Schedule
from schedules.querysets import database_now
from schedules.rules import cut_over_lines
from schedules.rules.definition import Mode
from schedules.rules.safe_minute import LAST_CHANCE, is_in_time, next_minute, seconds_to_wait

TRIES = 3
"""Minutes in which it is tried, where a lock is not to be had in time."""


class TooLate(NotPossible):
    """The safe part of the minute was over before anything was changed."""


class Interrupted(NotPossible):
    """One side was changed, the other could not be: nobody runs the lines now, and the message says so."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """With `objections` nothing was done; `overridden` are those that --force set aside.

    `already` are names of moves with nothing to do; `edits` is what the lines that go back do not say.
    """

    place: str
    moves: Sequence[Move]
    already: Sequence[str] = ()
    edits: Sequence[Edit] = ()
    objections: Sequence[Objection] = ()
    overridden: Sequence[Objection] = ()
    effective_at: datetime | None = None
    backup: str = ""


@dataclass(frozen=True, kw_only=True)
class Request:
    wanted: Wanted
    by: str
    undo: bool = False
    force: bool = False
    dry_run: bool = False


def run(
    request: Request, *, clock: Clock | None = None, on_wait: Callable[[float], None] = lambda seconds: None
) -> Report:
    """Does it, or refuses; waits for the safe part of a minute, and tells `on_wait` for how long.

    Raises NotPossible, with everything as it was, or Interrupted.
    """
    clock = clock or Clock()
    source = request.wanted.source
    if known := known_elsewhere(source):
        raise NotPossible(
            f"Nothing came from {source}: the lines of this crontab were imported from {known}. Name that "
            "instead. Nothing was changed."
        )
    crontab = crontab_of(source)
    try:
        with crontab.locked():
            return _run(request, crontab, clock, on_wait)
    except OSError as error:
        raise NotPossible(
            f"{crontab.place} cannot be edited: {error.strerror or error}. Nothing was changed."
        ) from error


def _run(request: Request, crontab: Crontab, clock: Clock, on_wait: Callable[[float], None]) -> Report:
    report = _look(request, crontab, crontab.read(), clock)
    if report.objections or request.dry_run or not to_do(report.moves, undo=request.undo):
        return report
    for last in [False] * (TRIES - 1) + [True]:
        if wait := seconds_to_wait(clock.now()):
            on_wait(wait)
            clock.sleep(wait)
        content = crontab.read()
        report = _look(request, crontab, content, clock)
        if report.objections:
            return report
        with suppress(*() if last else (TooLate,)):
            return (_Undo if request.undo else _CutOver)(request, crontab, content, report, clock).act()
    raise AssertionError("the last try raises or returns")


def _look(request: Request, crontab: Crontab, content: bytes, clock: Clock) -> Report:
    found = moves(request.wanted, crontab, content, undo=request.undo)
    left = to_do(found, undo=request.undo)
    against = objections(crontab, content, found, now=database_now(), undo=request.undo)
    if (apart := clock.apart()) > CLOCKS_AGREE:
        against.append(
            Objection(
                reason=f"the clock of this host and the database's differ by {apart:.1f} s: a minute might "
                "run twice, or not at all. Set the clocks (at most one second apart)"
            )
        )
    missing = _not_found(request.wanted, found, undo=request.undo)
    forced = [it for it in against if it.may_be_forced and request.force]
    return Report(
        place=crontab.place,
        moves=found,
        already=[] if request.undo else [move.name for move in found if move not in left],
        edits=edits(left) if request.undo else [],
        objections=[*missing, *(it for it in against if it not in forced)],
        overridden=forced,
    )


def _not_found(wanted: Wanted, found: Sequence[Move], *, undo: bool) -> list[Objection]:
    """What was named and is not there."""
    if not found and not wanted.names and not wanted.lines:
        return [Objection(reason=f"no {'line' if undo else 'shadow'} to be moved came from {wanted.source}")]
    names = {move.name for move in found}
    there = {number for move in found for number in move.lines}
    reasons = [f'no schedule "{name}" came from this crontab' for name in wanted.names if name not in names]
    reasons += [f"no schedule came from line {line}" for line in wanted.lines if line not in there]
    return [Objection(reason=reason) for reason in reasons]


class _Act:
    """One try, in one minute."""

    def __init__(
        self, request: Request, crontab: Crontab, content: bytes, report: Report, clock: Clock
    ) -> None:
        self.request, self.crontab, self.report, self.clock = request, crontab, report, clock
        self.content = content
        self.todo = to_do(report.moves, undo=request.undo)
        self.fresh: list[int] = []
        self.effective_at = next_minute(clock.now())
        self.backup = write_backup(crontab.place, content, clock.now())

    def _check_time(self) -> None:
        if not is_in_time(self.clock.now(), self.effective_at):
            raise TooLate("The safe part of the minute is over. Nothing was changed; repeat the command.")

    def _write(self, content: bytes) -> None:
        if content != self.content:
            self.crontab.replace(content, expected=self.content)

    def _may_reverse(self) -> bool:
        return is_in_time(self.clock.now(), self.effective_at, deadline=LAST_CHANCE)

    def _nobody_runs(self) -> str:
        names = ", ".join(f'"{move.name}"' for move in self.todo)
        return (
            f"INTERRUPTED: from {self.effective_at:%H:%M} UTC on neither cron nor Beatkeeper runs {names}. "
            "Repair it now: repeat the command, with or without --undo. By hand: remove what stands before "
            f"the time in the lines of {self.crontab.place} that begin with "
            f'"# cut over to Beatkeeper" (as it was: {self.backup}).'
        )

    def _done(self) -> Report:
        names = [move.name for move in self.todo]
        wanted = Wanted(source=self.request.wanted.source, names=names)
        after = moves(wanted, self.crontab, self.crontab.read(), undo=self.request.undo)
        by_name = {it.name: it for it in after}
        return replace(
            self.report,
            moves=[by_name.get(move.name, move) for move in self.report.moves],
            effective_at=self.effective_at,
            backup=str(self.backup),
        )


class _CutOver(_Act):
    def act(self) -> Report:
        new = cut_over_lines.take_out(self.content, self._record())
        try:
            with transaction.atomic():
                self._go_live()
                self._check_time()
                self._write(new)
        except BaseException as error:
            if not self._stands(new):
                self._forget_intent()
                raise
            if not self._came_true(new, error):
                raise Interrupted(self._nobody_runs()) from error
        return self._done()

    def _record(self) -> dict[int, str]:
        """The intent, committed, and a copy of the file. Returns the marks of the lines to take out."""
        marks: dict[int, str] = {}
        for move in self.todo:
            intent = {"line": move.number, "text": move.text, "effective_at": self.effective_at}
            row = move.row or CutOver(schedule=move.schedule, name=move.name, path=self.request.wanted.source)
            if not move.is_out:
                intent["backup"] = str(self.backup)
            for column, value in (intent | {"done_by": self.request.by}).items():
                setattr(row, column, value)
            row.save()
            if move.row is None:
                self.fresh.append(row.pk)
            if not move.is_out:
                marks[move.number] = cut_over_lines.mark_of(row.pk, move.text)
        return marks

    def _go_live(self) -> None:
        """Locked, unchanged since the look, settled up to now as shadows, and live from then on."""
        schedules = {it.schedule.pk: it.schedule for it in self.todo if it.schedule and not it.is_live}
        for row in Schedule.objects.lock(list(schedules)):
            seen = schedules[row.pk]
            if row.revision_id != seen.revision_id or row.source_text != seen.source_text:
                raise NotPossible(
                    f'Somebody edited "{row.name}" just now. Nothing was changed; repeat the command.'
                )
        note = f"cut over from {self.crontab.place}"[:255]
        catalog.make_live(list(schedules), by=self.request.by, note=note)

    def _forget_intent(self) -> None:
        """Nothing has come of it. Where the database is away, the next try finds it and uses it."""
        with suppress(DatabaseError):
            CutOver.objects.filter(pk__in=self.fresh).delete()

    def _stands(self, new: bytes) -> bool:
        """Whether the file was replaced before the failure."""
        return new != self.content and self.crontab.read() == new

    def _came_true(self, new: bytes, error: BaseException) -> bool:
        """The line is out. True: the commit succeeded after all, and only its answer was lost.

        Raises NotPossible where it failed for certain and the line could be put back in time.
        """
        pks = [move.schedule.pk for move in self.todo if move.schedule and not move.is_live]
        live = _are_live(pks)
        if live is not False or not self._may_reverse():
            return live is True
        try:
            self.crontab.replace(self.content, expected=new)
        except (OSError, NotPossible):
            return False
        self._forget_intent()
        raise NotPossible(
            f"The schedules could not be made live ({error}). {self.crontab.place} is as it was: cron runs "
            "the lines as before."
        ) from error


class _Undo(_Act):
    def act(self) -> Report:
        live = [move.schedule.pk for move in self.todo if move.is_live and move.schedule]
        self._stop(live)
        new = cut_over_lines.put_back(self.content, [it.taken.mark for it in self.todo if it.taken])
        try:
            self._check_time()
            self._write(new)
        except BaseException as error:
            if new == self.content or self.crontab.read() != new:
                self._reverse(live, error)
        rows = [move.row.pk for move in self.todo if move.row]
        CutOver.objects.filter(pk__in=rows).update(undone_at=database_now(), undone_by=self.request.by)
        return self._done()

    def _stop(self, live: list[int]) -> None:
        """Shadows from now on, committed. Where the answer to the commit is lost, the rows tell."""
        try:
            with transaction.atomic():
                Schedule.objects.lock(live)
                self._check_time()
                catalog.make_shadow(live, by=self.request.by, note=f"back to {self.crontab.place}"[:255])
        except DatabaseError as error:
            are_live = _are_live(live)
            if are_live is None:
                raise Interrupted(self._nobody_runs()) from error
            if are_live:
                raise NotPossible(f"The database refused ({error}). Nothing was changed.") from error

    def _reverse(self, live: list[int], error: BaseException) -> None:
        """The schedules are shadows and the lines are not back: live again, in the same minute."""
        try:
            if not self._may_reverse():
                raise Interrupted(self._nobody_runs()) from error
            catalog.make_live(live, by=self.request.by, note="the crontab could not be edited")
        except DatabaseError:
            raise Interrupted(self._nobody_runs()) from error
        raise NotPossible(
            f"{self.crontab.place} could not be edited ({error}). The schedules are live as before."
        ) from error


def _are_live(pks: Sequence[int]) -> bool | None:
    """What the database holds, over a new connection; None where it does not answer.

    Under the lock, which waits for a commit that is still on its way.
    """
    try:
        connection.close()
        with transaction.atomic():
            return all(row.mode == Mode.LIVE for row in Schedule.objects.lock(pks))
    except DatabaseError:
        return None
