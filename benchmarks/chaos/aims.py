"""What a run ought to reach, and whether it did: the figures held against those aimed for. Pure.

An aim that is missed is no violation: it depends on the machine and its other work. `figures` prints them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.chaos.lateness import Start, percentile, starts
from benchmarks.chaos.rows import Evidence, Window

PEACE_SECONDS = 1.0
BROKER_SECONDS, DATABASE_SECONDS = 35.0, 15.0
"""From a server's return to the first start."""

WORKER_MEBIBYTES = 150
"""While commands flood their output."""

BROKER = (
    "broker-crash",
    "broker-outage",
    "silence-beats-broker",
    "silence-workers-broker",
    "refuse-beats-broker",
)
DATABASE = (
    *("database-crash", "database-outage", "database-full", "database-locked"),
    *("silence-beats-database", "silence-workers-database", "refuse-workers-database"),
)


@dataclass(frozen=True)
class Aim:
    what: str
    reached: float
    limit: float
    unit: str

    def __str__(self) -> str:
        verdict = "held" if self.reached <= self.limit else "missed"
        return f"{self.what}: {self.reached:.3g} {self.unit}, at most {self.limit:g}: {verdict}"


def aims(evidence: Evidence, *, quiet_until: float, peaks: Mapping[str, int]) -> Iterator[Aim]:
    """Those that the run says something of. `peaks` is in MiB, by what the process is."""
    found = sorted(starts(evidence), key=lambda it: it.started)
    quiet = [it.seconds for it in found if it.started < quiet_until and it.run.trigger == "schedule"]
    if quiet:
        yield Aim("p99 of starts before the first fault", percentile(quiet, 0.99), PEACE_SECONDS, "s")
    for server, names, limit in (
        ("broker", BROKER, BROKER_SECONDS),
        ("database", DATABASE, DATABASE_SECONDS),
    ):
        times = list(_returns([it for it in evidence.windows if it.name in names], found))
        if times:
            yield Aim(f"first start after the {server}'s return, at worst", max(times), limit, "s")
    workers = [size for what, size in peaks.items() if "worker" in what]
    if workers:
        yield Aim("memory of a worker, at most", max(workers), WORKER_MEBIBYTES, "MiB")


def _returns(windows: Sequence[Window], found: Sequence[Start]) -> Iterator[float]:
    """Seconds from the end of each window to the first start of a run, unless the next window was quicker."""
    for window in windows:
        following = min((it.start for it in windows if it.start > window.start), default=math.inf)
        after = next((it.started for it in found if it.started >= window.end), None)
        if after is not None and after < following:
            yield after - window.end
