"""What a beat is made of: threads that each repeat one step, and the clock guard that they share.

`beat` decides which parts there are; here is how a part repeats, fails, recovers and shows progress.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import datetime

from django.db import close_old_connections, connection

from schedules import events

SHORTEST_RETRY, LONGEST_RETRY = 1.0, 15.0
"""Seconds between tries of a step that fails, with jitter."""

AGREEING_TICKS = 3

FRESH_SECONDS = 2.0
"""A connection that worked this short a while ago is neither asked whether it still does, nor too old: asking
is a round trip, and what falls due now would wait for it."""


class ClockGuard:
    """Compares the database's clock with the monotonic one. A jump stops claims until they agree again.

    A step forward would fire early and call every worker lost; a step back would fire nothing.
    """

    def __init__(self, limit: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.limit, self._monotonic = limit, monotonic
        self._last: tuple[datetime, float] | None = None
        self._missing = 0

    def agrees(self, now: datetime) -> bool:
        """Whether `now`, just read from the database, moved on like the monotonic clock since last time."""
        tick = self._monotonic()
        drift = 0.0
        if self._last is not None:
            drift = (now - self._last[0]).total_seconds() - (tick - self._last[1])
        self._last = (now, tick)
        if abs(drift) > self.limit:
            self._missing = AGREEING_TICKS
            events.clock_jumped(drift)
        elif self._missing:
            self._missing -= 1
            if not self._missing:
                events.clock_agrees()
        return not self._missing

    @property
    def is_suspended(self) -> bool:
        return self._missing > 0


class Part:
    """A thread that repeats `step`, which returns the seconds to pause; `wake` cuts a pause short.

    A step that raises is tried again, ever more slowly, and `on_trouble` is told. Progress is the end
    of a step that did not raise.
    """

    def __init__(
        self, name: str, step: Callable[[], float], *, on_trouble: Callable[[], None] = lambda: None
    ) -> None:
        self.name, self._step, self._on_trouble = name, step, on_trouble
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name=f"beat-{name}", daemon=True)
        self._failures = 0
        self._progress = time.monotonic()
        self._began: float | None = None
        self.has_progressed = False

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self, *, timeout: float) -> None:
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout)

    @property
    def age(self) -> float:
        """Seconds since the last progress."""
        return time.monotonic() - self._progress

    @property
    def busy_for(self) -> float:
        """Seconds that the step which runs just now has taken; 0 between steps."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def _repeat(self) -> None:
        while not self._stopping.is_set():
            self._began = time.monotonic()
            pause = self._try()
            self._began = None
            (self._stopping if self._failures else self._wake).wait(pause)  # no wake cuts a back-off short
            self._wake.clear()
        connection.close()

    def _try(self) -> float:
        try:
            if self._failures or self.age > FRESH_SECONDS:
                close_old_connections()
            pause = self._step()
        except Exception as error:
            return self._failed(error)
        if self._failures:
            events.part_recovered(self.name, failures=self._failures)
            self._failures = 0
        self._progress, self.has_progressed = time.monotonic(), True
        return pause

    def _failed(self, error: Exception) -> float:
        self._failures += 1
        events.part_failing(self.name, error, failures=self._failures)
        connection.close()
        self._on_trouble()
        longest = min(SHORTEST_RETRY * 2 ** min(self._failures - 1, 10), LONGEST_RETRY)
        return random.uniform(SHORTEST_RETRY / 2, longest)
