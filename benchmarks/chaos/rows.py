"""What a run leaves behind, as values: rows of the tables, faults, and all of it together as `Evidence`.

`evidence` and `truth` make them, `checker`, `lateness` and `figures` judge them. Nothing here reads anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from benchmarks.chaos.load import Job
from benchmarks.chaos.truth import Truth

LOSSES = ("worker_lost", "interrupted")
BY_THE_CLOCK = ("schedule", "catch_up")


@dataclass(frozen=True)
class RunRow:
    pk: int
    schedule_id: int | None
    scheduled_for: datetime
    trigger: str
    state: str
    reason: str
    detail: str
    attempt: int
    missed_count: int
    missed_until: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def was_skipped_at_once(self) -> bool:
        return self.state == "skipped" and self.finished_at == self.created_at


@dataclass(frozen=True)
class AttemptRow:
    run: int
    number: int
    outcome: str
    started_at: datetime
    finished_at: datetime | None
    reason: str
    decision: str
    pid: int | None
    late_result: str


@dataclass(frozen=True)
class Window:
    """A fault, in host time, with the seconds after its end in which the system may still recover.

    `cut_off` are the processes whose work went on although nobody could hear of it; None: no one's, an
    empty set: every worker's.
    """

    name: str
    start: float
    end: float
    grace: float
    cut_off: frozenset[int] | None = None

    def hides(self, pid: int | None, start: float, end: float) -> bool:
        if self.cut_off is None or self.end < start or self.start > end:
            return False
        return not self.cut_off or pid in self.cut_off


@dataclass(frozen=True)
class Span:
    """A moment of the database's clock, known to lie between two looks at it."""

    earliest: datetime
    latest: datetime


@dataclass
class Evidence:
    jobs: Sequence[Job]
    created: Span
    disabled: Span
    runs: Sequence[RunRow]
    attempts: Sequence[AttemptRow]
    truth: Truth
    windows: Sequence[Window]
    host_time_of: Callable[[datetime], float]
    """When the database's clock first showed the instant, in host time."""
    counters: dict[int, int]
    """What each schedule says of itself: how many runs it has started."""
    worker_lost_limit: int
    epsilon: float
    """Seconds within which a run starts while nothing is wrong."""
    on_time: timedelta
    """The product's own: an older instant is late, and the catch-up policy decides."""
    leftovers: Sequence[str] = ()
    complaints: Sequence[str] = ()
    cancelled: Collection[int] = ()
    """Runs that somebody asked to cancel, whatever the answer was."""
    deleted: Collection[int] = ()
    """Schedules that somebody asked to delete, likewise."""
    audited: Sequence[str] = ()
    """Findings of the product's own audit, which follows the edits by their revisions."""
    was_shown_twice: Callable[[datetime], bool] = lambda moment: False
    """Whether the database's clock came back to the time: nobody can tell how late a run of it is."""


@dataclass(frozen=True)
class Violation:
    invariant: str
    run: int | None
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} {f'run {self.run}: ' if self.run else ''}{self.what}"
