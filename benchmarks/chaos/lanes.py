"""Two lanes of faults side by side, both drawn from the seed: quick kills, and whatever takes its time.

Each lane does one thing after the other; what it did, and for how long, becomes a `Window`.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence

from benchmarks.chaos.faults import Fault, Stage
from benchmarks.chaos.rows import Window
from benchmarks.chaos.scratch import host_time


class Lane:
    """Injects faults of `kinds` until told to stop, with a pause of `gap` seconds between them."""

    def __init__(
        self,
        stage: Stage,
        kinds: Sequence[type[Fault]],
        *,
        chance: random.Random,
        gap: tuple[float, float],
        note: Callable[[str], None],
    ) -> None:
        """`note` is told of each fault when it is over."""
        self.windows: list[Window] = []
        self.troubles: list[str] = []
        """Faults that could not be injected or healed: then the run proves nothing."""
        self._stage, self._chance, self._gap, self._note = stage, chance, gap, note
        self._kinds = [kind for kind in kinds if kind.is_possible(stage)]
        self._bag: list[type[Fault]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        if self._kinds:
            self._thread.start()

    def stop(self) -> None:
        """What lasts is healed first."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _work(self) -> None:
        while not self._stopping.wait(self._chance.uniform(*self._gap)):
            fault = self._next()(self._stage, self._chance)
            try:
                self._do(fault)
            except Exception as error:
                self.troubles.append(f"{fault.name}: {type(error).__name__}: {error}")

    def _next(self) -> type[Fault]:
        """Each kind once, in random order, and then again: a short run has seen many kinds."""
        if not self._bag:
            self._bag = self._chance.sample(self._kinds, len(self._kinds))
        return self._bag.pop()

    def _do(self, fault: Fault) -> None:
        began, start = time.monotonic(), host_time()
        if not fault.inject():
            return
        try:
            self._stopping.wait(max(0.0, fault.seconds - (time.monotonic() - began)))
        finally:
            fault.heal()
        self.windows.append(Window(fault.name, start, host_time(), fault.grace, fault.cut_off))
        self._note(f"{start:.2f} to {host_time():.2f} {fault.name}")
