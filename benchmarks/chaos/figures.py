"""The figures of one run, as lines to print: how much was done, what it suffered, how late, how soon well."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.chaos.aims import aims
from benchmarks.chaos.lateness import BURST, Faults, Start, percentile, starts
from benchmarks.chaos.rows import BY_THE_CLOCK, LOSSES, Evidence, Violation

SHOWN = 40
"""Violations that are printed in full."""


def lines(
    evidence: Evidence,
    violations: Sequence[Violation],
    *,
    quiet_until: float,
    peaks: Mapping[str, int] | None = None,
) -> Iterator[str]:
    """`peaks`: the most memory that a process had, in MiB, by what it is."""
    yield from _work(evidence)
    yield from _harm(evidence)
    yield from _times(evidence, quiet_until)
    yield from _bursts(evidence)
    yield from _recovery(evidence)
    yield from (
        f"aim                {aim}" for aim in aims(evidence, quiet_until=quiet_until, peaks=peaks or {})
    )
    yield from _verdict(violations)
    yield _summary(evidence, violations)


def _work(evidence: Evidence) -> Iterator[str]:
    states = Counter(
        f"skipped: {run.reason}" if run.state == "skipped" else run.state for run in evidence.runs
    )
    outcomes = Counter(row.outcome for row in evidence.attempts)
    yield f"occurrences        {_occurrences(evidence):,} of {len(evidence.jobs)} schedules"
    yield f"runs               {len(evidence.runs):,}: {counted(states)}"
    yield f"attempts           {len(evidence.attempts):,}: {counted(outcomes)}"
    yield f"executions seen    {len(evidence.truth.executions):,} by the jobs themselves"
    done = {(it.run, it.attempt) for it in evidence.truth.executions if it.succeeded}
    unheard = sum((row.run, row.number) in done for row in evidence.attempts if row.outcome in LOSSES)
    yield f"done, but lost     {unheard:,} attempts whose job ended well and whose worker could not say so"


def _occurrences(evidence: Evidence) -> int:
    return sum(max(run.missed_count, 1) for run in evidence.runs if run.trigger in BY_THE_CLOCK)


def _harm(evidence: Evidence) -> Iterator[str]:
    kinds = _kinds(evidence)
    yield f"kills              {_kills(kinds):,}"
    yield f"faults             {kinds.total():,}: {counted(kinds)}"


def _kinds(evidence: Evidence) -> Counter[str]:
    return Counter(window.name for window in evidence.windows if window.name != BURST)


def _kills(kinds: Counter[str]) -> int:
    return sum(count for name, count in kinds.items() if name.endswith("-kill"))


def _times(evidence: Evidence, quiet_until: float) -> Iterator[str]:
    faults = Faults(evidence.windows)
    on_time = [late for late in starts(evidence) if late.run.trigger == "schedule"]
    quiet = [late.seconds for late in on_time if late.started < quiet_until]
    calm = [
        late.seconds
        for late in on_time
        if late.due >= quiet_until and not faults.seconds_between(late.due, late.started)
    ]
    hit = [late.seconds for late in on_time if faults.seconds_between(late.due, late.started)]
    yield f"start after instant, before the first fault      {_percentiles(quiet)}"
    yield f"start after instant, clear of every fault later  {_percentiles(calm)}"
    yield f"start after instant, while faults or recovery    {_percentiles(hit)}"


def _bursts(evidence: Evidence) -> Iterator[str]:
    jobs = {job.schedule_id for job in evidence.jobs if job.once is not None}
    late = [it.seconds for it in starts(evidence) if it.run.schedule_id in jobs]
    if jobs:
        yield f"start after instant, {len(jobs):,} due at once          {_percentiles(late)}"


def _recovery(evidence: Evidence) -> Iterator[str]:
    for name, times in sorted(_recoveries(evidence).items()):
        known = sorted(seconds for seconds in times if seconds is not None)
        said = f"median {known[len(known) // 2]:.1f} s, worst {known[-1]:.1f} s" if known else "-"
        late = len(times) - len(known)
        note = f"; {late} still catching up at the next fault" if late else ""
        yield f"on time again after {name:26}{said}, n={len(known)}{note}"


def _recoveries(evidence: Evidence) -> dict[str, list[float | None]]:
    """From the end of a fault to the last late start after it. Kills beside it are part of the picture."""
    lasting = sorted(
        (it for it in evidence.windows if not it.name.endswith("-kill") and it.name != BURST),
        key=lambda it: it.start,
    )
    ordered = sorted(starts(evidence), key=lambda it: it.started)
    found: dict[str, list[float | None]] = defaultdict(list)
    for number, window in enumerate(lasting):
        following = lasting[number + 1].start if number + 1 < len(lasting) else math.inf
        found[window.name].append(_recovered(ordered, window.end, following, evidence.epsilon))
    return found


def _recovered(ordered: Sequence[Start], end: float, following: float, epsilon: float) -> float | None:
    """None: runs were still late, or none had started, when the next fault began."""
    after = [it for it in ordered if end <= it.started < following]
    late = [it.started for it in after if it.seconds > epsilon]
    if not after or late[-1:] == [after[-1].started]:
        return None
    return max(late, default=end) - end


def _verdict(violations: Sequence[Violation]) -> Iterator[str]:
    kinds = Counter(violation.invariant for violation in violations)
    said = f": {counted(kinds)}" if kinds else ""
    yield f"violations         {len(violations):,}{said}"
    yield from (f"  {violation}" for violation in violations[:SHOWN])
    if len(violations) > SHOWN:
        yield f"  and {len(violations) - SHOWN:,} more"


def _summary(evidence: Evidence, violations: Sequence[Violation]) -> str:
    """All that one run is compared by with another, in one line."""
    kinds, late = _kinds(evidence), [it.seconds for it in starts(evidence) if it.run.trigger == "schedule"]
    times = [it for found in _recoveries(evidence).values() for it in found if it is not None]
    return (
        f"summary            {_occurrences(evidence):,} occurrences, {_kills(kinds):,} kills, "
        f"{kinds.total():,} faults, {len(violations):,} violations; late {_percentiles(late)}; "
        f"on time again {f'within {max(times):.1f} s' if times else '-'}"
    )


def counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


def _percentiles(values: Sequence[float]) -> str:
    if not values:
        return "none"
    p50, p99 = (percentile(values, part) for part in (0.5, 0.99))
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s, max {max(values):.2f} s, n={len(values):,}"
