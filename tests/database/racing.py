"""Two real connections at once: functions run in threads, which start together or meet at a pause."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import connection

PATIENCE = 20
"""Seconds after which a test that hangs fails."""


class Racer(threading.Thread):
    """A function in a thread with a connection of its own. `result` joins, and raises what it raised."""

    def __init__(self, function: Callable[[], Any], barrier: threading.Barrier | None = None) -> None:
        super().__init__(daemon=True)
        self._function, self._barrier = function, barrier
        self._value: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            if self._barrier is not None:
                self._barrier.wait(PATIENCE)
            self._value = self._function()
        except BaseException as error:
            self._error = error
        finally:
            connection.close()

    @property
    def result(self) -> Any:
        self.join(PATIENCE)
        assert not self.is_alive(), "the racer hangs"
        if self._error is not None:
            raise self._error
        return self._value


def together(*functions: Callable[[], Any]) -> list[Any]:
    """Starts all at the same moment; their results, in order."""
    barrier = threading.Barrier(len(functions))
    racers = [Racer(function, barrier) for function in functions]
    return [racer.result for racer in racers]


class Pause:
    """A wrapper that stops the first caller of `function` after its work, until `go` is set."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._first = threading.Lock()
        self.reached, self.go = threading.Event(), threading.Event()

    def __get__(self, instance: Any, owner: type | None = None) -> Callable[..., Any]:
        """Patched into a class it is a method."""
        return self if instance is None else partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        value = self._function(*args, **kwargs)
        if self._first.acquire(blocking=False):
            self.reached.set()
            assert self.go.wait(PATIENCE)
        return value
