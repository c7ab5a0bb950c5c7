"""A lane carries out its part of the plan, one fault after the other, until it is told to stop.

What it did, and for how long, becomes a `Window`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set

from benchmarks.chaos.faults import Fault, Stage
from benchmarks.chaos.plan import Step
from benchmarks.chaos.rows import Window
from benchmarks.chaos.scratch import host_time

PASSED_OVER = 0.01
"""Seconds that a step takes which is impossible here."""

LOOKS_EVERY = 0.2
"""Seconds between two looks at what has happened."""


class Lane:
    def __init__(self, stage: Stage, steps: Iterator[Step], *, note: Callable[[str], None]) -> None:
        """`note` is told of each fault when it is over."""
        self.windows: list[Window] = []
        self.troubles: list[str] = []
        """Faults that could not be injected or healed: then the run proves nothing."""
        self.left_out: Counter[str] = Counter()
        """Faults of the plan that cannot happen here, or found nothing to hit."""
        self._stage, self._steps, self._note = stage, steps, note
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What lasts is healed first."""
        self._stopping.set()
        self._thread.join()

    def _work(self) -> None:
        for step in self._steps:
            possible = step.kind.is_possible(self._stage)
            if self._stopping.wait(step.pause if possible else PASSED_OVER):
                return
            if possible:
                self._try(step.kind(self._stage, step.chance()))
            else:
                self.left_out[step.kind.name] += 1

    def _try(self, fault: Fault) -> None:
        try:
            self._do(fault)
        except Exception as error:
            self.troubles.append(f"{fault.name}: {type(error).__name__}: {error}")

    def _do(self, fault: Fault) -> None:
        began, start = time.monotonic(), host_time()
        if not fault.inject():
            self.left_out[fault.name] += 1
            return
        try:
            self._stopping.wait(max(0.0, fault.seconds - (time.monotonic() - began)))
        finally:
            fault.heal()
        self.windows.append(Window(fault.name, start, host_time(), fault.grace, fault.cut_off))
        self._note(f"{start:.2f} to {host_time():.2f} {fault.name}")


def await_each(names: Set[str], lanes: Sequence[Lane], *, seconds: float) -> set[str]:
    """Those of the faults that none of the lanes has done, at the latest when so many seconds have passed."""
    end = time.monotonic() + seconds
    while missing := names - {window.name for lane in lanes for window in lane.windows}:
        if time.monotonic() >= end:
            break
        time.sleep(LOOKS_EVERY)
    return set(missing)
