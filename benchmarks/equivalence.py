"""The equivalence report for 5,000 distinct lines, beside the naive way: stepping through every instant.

    python -m benchmarks.equivalence [--lines 5000] [--years 2]

Both sides of each line are computed and compared as the report does it, in one process and without a
database. Every tenth line is dense (it starts each minute of some hours). The naive way is to take the
instants one by one from croniter, or from cronsim; it is measured on a sample of the same lines, for
two weeks only, and its answers are not cron's (see tests/rules).
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from croniter import croniter
from cronsim import CronSim

from schedules.rules import daemon
from schedules.rules.daemon import Window
from schedules.rules.equivalence import Stored, compare, stored_minutes
from schedules.rules.timing import CronTiming

START = datetime(2026, 11, 21, 4, 30, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York", "UTC")
SAMPLE, SAMPLE_DAYS = 10, 14
Steps = Callable[[str, datetime], Iterator[datetime]]
STEPPING: dict[str, Steps] = {
    "croniter, one side": lambda text, begin: croniter(text, begin, ret_type=datetime),
    "cronsim, one side": CronSim,
}


@dataclass(frozen=True)
class Cost:
    """`instants` are those of one side."""

    seconds: float
    lines: int
    instants: int

    @property
    def per_line(self) -> float:
        return self.seconds / self.lines


def lines(count: int) -> list[tuple[str, str]]:
    """Distinct expressions, each with a zone; every tenth is dense."""
    chance = random.Random(1)
    found: dict[str, str] = {}
    while len(found) < count:
        dense = len(found) % 10 == 0
        found.setdefault(_dense(chance) if dense else _ordinary(chance), chance.choice(ZONES))
    return list(found.items())


def ours(given: Sequence[tuple[str, str]], window: Window) -> Cost:
    begun, instants = time.perf_counter(), 0
    for expression, zone in given:
        by_cron = daemon.starts(daemon.read(expression), zone, window)
        stored = stored_minutes(Stored(CronTiming(expression, zone)), window)
        comparison = compare(by_cron, stored, window)
        assert comparison.is_identical, expression
        instants += comparison.instants
    return Cost(time.perf_counter() - begun, len(given), instants)


def stepping(steps: Steps, given: Sequence[tuple[str, str]], window: Window) -> float:
    """Seconds for every instant of the lines, one after the other."""
    begun = time.perf_counter()
    for expression, zone in given:
        end = window.end
        for moment in steps(expression, window.start.astimezone(ZoneInfo(zone))):
            if moment >= end:
                break
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=5000)
    parser.add_argument("--years", type=int, default=2)
    given = parser.parse_args()
    all_lines = lines(given.lines)
    result = ours(all_lines, Window.of_years(START, given.years))
    print(f"{result.lines:,} distinct lines, {given.years} years, {result.instants:,} instants on each side:")
    print(f"  {result.seconds:.1f} s, {result.per_line * 1e3:.2f} ms a line")
    _beside_libraries(all_lines[:: max(len(all_lines) // SAMPLE, 1)][:SAMPLE])


def _beside_libraries(sample: Sequence[tuple[str, str]]) -> None:
    window = Window(START, SAMPLE_DAYS * 1440)
    small = ours(sample, window)
    print(f"{small.lines} of them over {SAMPLE_DAYS} days, {small.instants:,} instants")
    print(f"  beatkeeper, both sides   {small.seconds * 1e3:8.1f} ms")
    for name, steps in STEPPING.items():
        cost = stepping(steps, sample, window)
        print(f"  {name:<23}  {cost * 1e3:8.1f} ms  (x{cost / small.seconds:,.0f})", flush=True)


def _dense(chance: random.Random) -> str:
    first, last = sorted((chance.randrange(30), chance.randrange(30, 60)))
    return f"{first}-{last} * * * *" if chance.random() < 0.5 else f"* {first % 6}-{6 + last % 18} * * *"


def _ordinary(chance: random.Random) -> str:
    minute = chance.choice((str(chance.randrange(60)), f"*/{chance.randrange(2, 31)}"))
    hour = chance.choice(
        ("*", str(chance.randrange(24)), f"{chance.randrange(12)}-{chance.randrange(12, 24)}")
    )
    day = chance.choice(("*", "*", "*", str(chance.randrange(1, 32)), f"*/{chance.randrange(2, 9)}"))
    weekday = chance.choice(("*", "*", "1-5", str(chance.randrange(7))))
    return f"{minute} {hour} {day} * {weekday}"


if __name__ == "__main__":
    main()
