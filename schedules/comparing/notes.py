"""What a comparison with cron's log found for one schedule, and the remark that people read. No database.

Called by `comparing`, which finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from schedules.models import Schedule

SHOWN = 5
"""Instants that each difference names; the counts tell of all."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of time, with both ends. Nothing where it ends before it begins."""

    since: datetime
    until: datetime

    def holds(self, at: datetime) -> bool:
        return self.since <= at <= self.until

    @property
    def is_empty(self) -> bool:
        return self.since >= self.until


@dataclass(kw_only=True)
class Line:
    """What was found for one schedule, or for a command of none (`schedule` ""). Times are ISO 8601, UTC.

    Of the starts that are `matched`, `both_ran` are those that our side did not only record.
    """

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
        return bool(self.only_cron or self.only_us or self.both_ran)


def note_instant(shown: list[str], at: datetime) -> None:
    if len(shown) < SHOWN:
        shown.append(at.isoformat())


def say_what_is_missing(
    line: Line, row: Schedule, times: Sequence[datetime], *, dues: int, alike: int, span: Span
) -> None:
    """Sets the note. `dues`: our instants in the span; `alike`: schedules that a log cannot tell apart."""
    if line.both_ran:
        again = f"; {line.note}" if line.note else ""
        line.note = f"live: cron and Beatkeeper both ran it {_times(line.both_ran)}{again}"
    if alike > 1 and line.only_cron:
        line.note = line.note or f"{alike} lines have this command; a log cannot tell them apart"
    if line.only_us and not times:
        line.note = line.note or "never seen in the log"
    if not line.matched and not line.differs:
        line.note = line.note or _why_nothing(row, times, dues, span)


def _why_nothing(row: Schedule, times: Sequence[datetime], dues: int, span: Span) -> str:
    if span.is_empty:
        is_behind = row.next_run_at is not None and row.next_run_at <= span.since
        return "beat has decided nothing of that time yet" if is_behind else _made_late(row)
    if not dues:
        return "never due in that time" if times else "never seen in the log, and never due in that time"
    if not times:
        return "never seen in the log; due only at the ends of that time, where its start may be missing"
    return "seen and due only at the ends of that time, where the other half may be missing"


def _made_late(row: Schedule) -> str:
    return f"{'imported' if row.source else 'made'} after the log ended"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"
