"""Reads what the jobs wrote: one execution per attempt that began, with what is known of its end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Execution:
    """Host times in seconds. `seen` is the last sign of life; `ended` is None where none was written:
    the process was killed some time after `seen`."""

    run: int
    attempt: int
    pid: int
    started: float
    seen: float
    ended: float | None = None
    code: int | None = None

    @property
    def succeeded(self) -> bool:
        return self.code == 0

    @property
    def until(self) -> float:
        """Up to here it certainly lived."""
        return self.seen if self.ended is None else self.ended


@dataclass
class Truth:
    executions: list[Execution] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Lines that fit nothing: a torn write would be a fault of the test itself."""


def read(lines: Iterable[str]) -> Truth:
    truth = Truth()
    living: dict[tuple[int, int, int], Execution] = {}
    for line in lines:
        try:
            what, run, attempt, pid, moment, rest = line.split()
            key = (int(run), int(attempt), int(pid))
            _take(truth, living, what, key, float(moment), rest)
        except (ValueError, KeyError):
            truth.unreadable.append(line.rstrip("\n"))
    return truth


def _take(
    truth: Truth,
    living: dict[tuple[int, int, int], Execution],
    what: str,
    key: tuple[int, int, int],
    moment: float,
    rest: str,
) -> None:
    if what == "S":
        living[key] = Execution(*key, started=moment, seen=moment)
        truth.executions.append(living[key])
        return
    execution = living[key]
    execution.seen = moment
    if what in "ET" and len(what) == 1:
        execution.ended, execution.code = moment, int(rest)
    elif what != "H":
        raise ValueError(what)
