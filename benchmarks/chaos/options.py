"""What one run is asked for, as `__main__` reads it from the command line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.chaos.faults import Clock, Fault
from benchmarks.chaos.load import PERIOD
from benchmarks.chaos.plan import Plan


@dataclass(frozen=True)
class Options:
    """Times are in seconds. `broker` is "files" with SQLite, and only then."""

    scale: float
    broker: str
    seconds: float = 0
    quiet: float = 0
    calm: float = 0
    seed: int = 0
    only: Sequence[type[Fault]] = ()
    thorough: bool = False
    """Until each fault has happened that is asked for and possible."""
    kill_gap: float = 3
    outage_gap: float = 12
    lease: float = 8
    epsilon: float = 2
    clock: bool = False
    pooled: bool = False
    keep: bool = False
    history: int = 0
    """Runs that are on record before the first one of this run."""
    period: int = PERIOD
    """Of all schedules that go by an interval."""
    burst: int = 0
    """Schedules that are all due at one instant."""

    @property
    def is_embedded(self) -> bool:
        return self.broker == "files"

    @property
    def engine(self) -> str:
        database = "SQLite" if self.is_embedded else "PostgreSQL"
        return f"{database}{', pgbouncer' if self.pooled else ''}, {self.broker}"

    def plan(self) -> Plan:
        return Plan(self.seed, self.only, self.kill_gap, self.outage_gap)


def usual_scale() -> float:
    """What a machine can carry while it also starts again what is killed: a twentieth for each processor."""
    return min(1.0, 0.05 * (os.cpu_count() or 1))


def steps_the_clock(kinds: Sequence[type[Fault]]) -> bool:
    return any(issubclass(kind, Clock) for kind in kinds)
