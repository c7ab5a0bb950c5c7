"""The story of each run that violates something: its row, its attempts, its lines, the faults meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.chaos.rows import Violation, Window
from schedules.models import Attempt, Run

TOLD = 12
"""Runs that are told in full."""


def tell(violations: Sequence[Violation], windows: Sequence[Window], truth: Path) -> str:
    runs = list(dict.fromkeys(violation.run for violation in violations if violation.run))[:TOLD]
    lines = truth.read_text().splitlines()
    told = [line for run in runs for line in _story(run, lines)]
    faults = [
        f"  {window.start:.2f} to {window.end:.2f} {window.name}"
        for window in sorted(windows, key=lambda it: it.start)
    ]
    return "\n".join([*told, "faults, in host time:", *faults])


def _story(pk: int, lines: Sequence[str]) -> Iterator[str]:
    for run in Run.objects.filter(pk=pk).values():
        yield f"run {pk}: {_plain(run)}"
    for attempt in Attempt.objects.filter(run=pk).order_by("number").values():
        yield f"  attempt: {_plain(attempt)}"
    yield from (f"  {line}" for line in lines if line.split()[1:2] == [str(pk)])


def _plain(row: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in row.items() if value not in (None, "", 0, False))
