"""How late runs began, or were passed over, and which part of that faults explain. Pure.

Asked by `checker` (I8), `causes` and `figures`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.chaos.rows import BY_THE_CLOCK, Evidence, RunRow, Window


@dataclass(frozen=True)
class Start:
    """A first attempt that began, or the decision that there is none, in host time."""

    run: RunRow
    due: float
    started: float

    @property
    def seconds(self) -> float:
        return self.started - self.due


def starts(evidence: Evidence) -> list[Start]:
    """The first execution of each run by the clock, in the order in which they were due.

    Not those whose instant had passed when the schedules were committed: nobody could be on time for them.
    """
    first: dict[int, float] = {}
    for it in evidence.truth.executions:
        first[it.run] = min(first.get(it.run, it.started), it.started)
    found = [
        Start(run, evidence.host_time_of(run.scheduled_for), first[run.pk])
        for run in evidence.runs
        if run.pk in first and run.trigger in BY_THE_CLOCK and run.scheduled_for > evidence.created.latest
    ]
    return sorted(found, key=lambda it: it.due)


def passed_over(evidence: Evidence) -> list[Start]:
    """When it was decided of each row of missed instants that they start nothing."""
    committed = evidence.host_time_of(evidence.created.latest)
    return [
        Start(
            run,
            max(evidence.host_time_of(run.scheduled_for), committed),
            evidence.host_time_of(run.created_at),
        )
        for run in evidence.runs
        if run.reason == "missed"
    ]


def percentile(values: Sequence[float], part: float) -> float:
    """Of at least one value; `part` is in [0, 1)."""
    return sorted(values)[int(len(values) * part)]


class Faults:
    """The times in which something was wrong or recovering, as a union of windows."""

    def __init__(self, windows: Iterable[Window]) -> None:
        self._spans: list[list[float]] = []
        for start, end in sorted((it.start, it.end + it.grace) for it in windows):
            if self._spans and start <= self._spans[-1][1]:
                self._spans[-1][1] = max(self._spans[-1][1], end)
            else:
                self._spans.append([start, end])
        self._starts = [span[0] for span in self._spans]

    def seconds_between(self, start: float, end: float) -> float:
        first = max(bisect_right(self._starts, start) - 1, 0)
        return sum(
            max(0.0, min(end, span[1]) - max(start, span[0])) for span in self._spans[first:] if span[0] < end
        )

    def touch(self, start: float, end: float) -> bool:
        """Whether one lay between, were it for a moment."""
        number = bisect_right(self._starts, end) - 1
        return number >= 0 and self._spans[number][1] >= start


BURST = "burst"


def bursts(evidence: Evidence) -> list[Window]:
    """The time from the instant of a burst to its last start: no fault, and makes runs late all the same.

    What fell due meanwhile is worked off after it, in no more time again.
    """
    jobs = {job.schedule_id for job in evidence.jobs if job.once is not None}
    found = [it for it in starts(evidence) if it.run.schedule_id in jobs]
    if not found:
        return []
    begin, end = min(it.due for it in found), max(it.started for it in found)
    return [Window(BURST, begin, end, grace=end - begin)]
