"""The figures of one run, as lines to print: how much was done, what it suffered, how late, how soon well."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from benchmarks.chaos.lateness import Faults, Start, starts
from benchmarks.chaos.rows import LOSSES, Evidence, Violation

SHOWN = 40
"""Violations that are printed in full."""


def lines(evidence: Evidence, violations: Sequence[Violation], *, quiet_until: float) -> Iterator[str]:
    yield from _work(evidence)
    yield from _harm(evidence)
    yield from _times(evidence, quiet_until)
    yield from _recovery(evidence)
    yield from _verdict(violations)


def _work(evidence: Evidence) -> Iterator[str]:
    by_clock = [run for run in evidence.runs if run.trigger in ("schedule", "catch_up")]
    occurrences = sum(max(run.missed_count, 1) for run in by_clock)
    states = Counter(
        f"skipped: {run.reason}" if run.state == "skipped" else run.state for run in evidence.runs
    )
    outcomes = Counter(row.outcome for row in evidence.attempts)
    yield f"occurrences        {occurrences:,} of {len(evidence.jobs)} schedules"
    yield f"runs               {len(evidence.runs):,}: {_counted(states)}"
    yield f"attempts           {len(evidence.attempts):,}: {_counted(outcomes)}"
    yield f"executions seen    {len(evidence.truth.executions):,} by the jobs themselves"
    done = {(it.run, it.attempt) for it in evidence.truth.executions if it.succeeded}
    unheard = sum((row.run, row.number) in done for row in evidence.attempts if row.outcome in LOSSES)
    yield f"done, but lost     {unheard:,} attempts whose job ended well and whose worker could not say so"


def _harm(evidence: Evidence) -> Iterator[str]:
    kinds = Counter(window.name for window in evidence.windows)
    kills = sum(count for name, count in kinds.items() if name.endswith("-kill"))
    yield f"kills              {kills:,}"
    yield f"faults             {sum(kinds.values()):,}: {_counted(kinds)}"


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


def _recovery(evidence: Evidence) -> Iterator[str]:
    """From the end of a fault to the last late start after it. Kills beside it are part of the picture."""
    lasting = sorted(
        (window for window in evidence.windows if not window.name.endswith("-kill")), key=lambda it: it.start
    )
    ordered = sorted(starts(evidence), key=lambda it: it.started)
    found: dict[str, list[float | None]] = defaultdict(list)
    for number, window in enumerate(lasting):
        following = lasting[number + 1].start if number + 1 < len(lasting) else math.inf
        found[window.name].append(_recovered(ordered, window.end, following, evidence.epsilon))
    for name, times in sorted(found.items()):
        known = sorted(seconds for seconds in times if seconds is not None)
        said = f"median {known[len(known) // 2]:.1f} s, worst {known[-1]:.1f} s" if known else "-"
        late = len(times) - len(known)
        note = f"; {late} still catching up at the next fault" if late else ""
        yield f"on time again after {name:26}{said}, n={len(known)}{note}"


def _recovered(ordered: Sequence[Start], end: float, following: float, epsilon: float) -> float | None:
    """None: runs were still late, or none had started, when the next fault began."""
    after = [it for it in ordered if end <= it.started < following]
    late = [it.started for it in after if it.seconds > epsilon]
    if not after or late[-1:] == [after[-1].started]:
        return None
    return max(late, default=end) - end


def _verdict(violations: Sequence[Violation]) -> Iterator[str]:
    kinds = Counter(violation.invariant for violation in violations)
    said = f": {_counted(kinds)}" if kinds else ""
    yield f"violations         {len(violations):,}{said}"
    yield from (f"  {violation}" for violation in violations[:SHOWN])
    if len(violations) > SHOWN:
        yield f"  and {len(violations) - SHOWN:,} more"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


def _percentiles(values: Sequence[float]) -> str:
    if not values:
        return "none"
    ordered = sorted(values)
    p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99))
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s, max {ordered[-1]:.2f} s, n={len(ordered):,}"
