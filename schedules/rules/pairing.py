"""Which start of cron and which due instant are one and the same: by nearness, each at most once. Pure.

cron starts a job at or after its minute, never before. So a start belongs to the latest instant up to
it within the same minute; what is left over is paired within the tolerance, in order. Called by
`comparing`, for lines with the same account and command together: a log cannot tell those apart.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

EARLY = timedelta(seconds=2)
"""A log may be written by a clock that is a little behind ours."""

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Positions in the two lists: pairs (start, instant), and what stays alone."""

    pairs: tuple[tuple[int, int], ...]
    lone_starts: tuple[int, ...]
    lone_instants: tuple[int, ...]


def pair(starts: Sequence[datetime], instants: Sequence[datetime], *, tolerance: timedelta) -> Pairs:
    """Both lists ascending; an instant may occur once for each schedule that is due at it."""
    near = _nearest(starts, instants, min(tolerance, _MINUTE - EARLY))
    left_starts = [at for at in range(len(starts)) if at not in near]
    taken = set(near.values())
    left_instants = [at for at in range(len(instants)) if at not in taken]
    near |= _in_order(starts, instants, left_starts, left_instants, tolerance)
    taken = set(near.values())
    return Pairs(
        pairs=tuple(sorted(near.items())),
        lone_starts=tuple(at for at in range(len(starts)) if at not in near),
        lone_instants=tuple(at for at in range(len(instants)) if at not in taken),
    )


def _nearest(starts: Sequence[datetime], instants: Sequence[datetime], most: timedelta) -> dict[int, int]:
    """Each start with the latest free instant before it."""
    found: dict[int, int] = {}
    taken: set[int] = set()
    for number, start in enumerate(starts):
        at = bisect_right(instants, start + EARLY) - 1
        while at in taken and at > 0 and instants[at - 1] == instants[at]:
            at -= 1
        if at >= 0 and at not in taken and start - instants[at] <= most:
            found[number] = at
            taken.add(at)
    return found


def _in_order(
    starts: Sequence[datetime],
    instants: Sequence[datetime],
    left_starts: Sequence[int],
    left_instants: Sequence[int],
    tolerance: timedelta,
) -> dict[int, int]:
    """As many pairs as there can be of what is left, oldest with oldest."""
    found: dict[int, int] = {}
    waiting = list(left_instants)[::-1]
    for number in left_starts:
        while waiting and starts[number] - instants[waiting[-1]] > tolerance:
            waiting.pop()
        if waiting and instants[waiting[-1]] <= starts[number] + EARLY:
            found[number] = waiting.pop()
    return found
