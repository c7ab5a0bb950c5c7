"""Two real connections at once, in threads that meet where a test says: nothing here is left to chance.

`meet` brings two transactions into one of four orders; `Held` stops one before its commit; `Pause` stops
a function after its work; `Killed` ends a thread as if its process had died there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from enum import Enum
from functools import partial
from typing import Any

from django.db import connection, transaction

PATIENCE = 60
"""Seconds after which a test that hangs fails."""

LOOK = 0.005
"""Seconds between two looks at whether a racer waits for a lock; it never decides anything."""


class Killed(BaseException):
    """Raised by a hook where the process is to die: no `except Exception` sees it."""


class Racer(threading.Thread):
    """A function in a thread with a connection of its own. `result` joins, and raises what it raised.

    `reads_first`: it stops before the first statement that locks or writes, with everything read that
    it reads before; `go` lets it on.
    """

    def __init__(
        self,
        function: Callable[[], Any],
        barrier: threading.Barrier | None = None,
        *,
        reads_first: bool = False,
    ) -> None:
        super().__init__(daemon=True)
        self._function, self._barrier, self._reads_first = function, barrier, reads_first
        self._value: Any = None
        self._error: BaseException | None = None
        self._writes = False
        self.has_read, self.go = threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        try:
            with ExitStack() as stack:
                stack.enter_context(connection.execute_wrapper(self._observe))
                if self._barrier is not None:
                    self._barrier.wait(PATIENCE)
                self._value = self._function()
        except BaseException as error:
            self._error = error
        finally:
            self.has_read.set()
            connection.close()

    def _observe(self, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if not locks(sql):
            return execute(sql, *rest)
        if self._reads_first and not self.has_read.is_set():
            self.has_read.set()
            assert self.go.wait(PATIENCE), "nobody let the racer go on"
        self._writes = True
        try:
            return execute(sql, *rest)
        finally:
            self._writes = False

    def waits(self) -> bool:
        """Returns once it is known: True, it waits for somebody's lock; False, it is over."""
        deadline = time.monotonic() + PATIENCE
        while self.is_alive():
            if self._writes and _somebody_is_blocked():
                return True
            assert time.monotonic() < deadline, "the racer neither waits for a lock nor ends"
            self.join(LOOK)
        return False

    @property
    def result(self) -> Any:
        self.join(PATIENCE)
        assert not self.is_alive(), "the racer hangs"
        if self._error is not None:
            raise self._error
        return self._value


def locks(sql: str) -> bool:
    """Whether a statement may wait for another connection. On SQLite the transaction's begin does."""
    words = sql.split()
    if words[0] in ("SAVEPOINT", "RELEASE", "ROLLBACK", "COMMIT", "PRAGMA", "SET"):
        return False
    return words[0] != "SELECT" or " FOR UPDATE" in sql or " FOR NO KEY UPDATE" in sql


def _somebody_is_blocked() -> bool:
    """SQLite does not tell, but whoever has sent a write beside an open transaction can only wait."""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock')"
        )
        return bool(cursor.fetchone()[0])


class Held:
    """A function in a transaction of its own that has done all its work and not committed.

    It ends by `commit`, which returns what the function returned, or by `roll_back`: its process died.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._commits = True
        self._reached, self._go = threading.Event(), threading.Event()
        self._racer = Racer(self._run)
        while not self._reached.wait(LOOK):
            if not self._racer.is_alive():
                self._racer.result  # noqa: B018 - raises what went wrong
                raise AssertionError("it ended without a commit")

    def _run(self) -> Any:
        with transaction.atomic():
            value = self._function()
            self._reached.set()
            assert self._go.wait(PATIENCE), "nobody let the holder go on"
            transaction.set_rollback(not self._commits)
        return value

    def commit(self) -> Any:
        self._go.set()
        return self._racer.result

    def roll_back(self) -> None:
        self._commits = False
        self.commit()


class Order(Enum):
    """How two transactions meet. In each the database sees another order of their statements."""

    FIRST_HOLDS = "the second starts while the first has written and not committed"
    SECOND_HOLDS = "the first starts while the second has written and not committed"
    FIRST_READ = "the first has read what it reads, then the second does all its work"
    SECOND_READ = "the second has read what it reads, then the first does all its work"

    @property
    def first_wins(self) -> bool:
        """Whether the first is the first to write."""
        return self in (Order.FIRST_HOLDS, Order.SECOND_READ)


def meet(order: Order, first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Any, Any]:
    """Runs both in that order; what they returned. Raises what they raised."""
    if order is Order.FIRST_HOLDS:
        return _hold(first, second)
    if order is Order.FIRST_READ:
        return _come_between(first, second)
    return tuple(reversed(meet(_SWAPPED[order], second, first)))


_SWAPPED = {Order.SECOND_HOLDS: Order.FIRST_HOLDS, Order.SECOND_READ: Order.FIRST_READ}


def _hold(holder: Callable[[], Any], other: Callable[[], Any]) -> tuple[Any, Any]:
    held = Held(holder)
    racer = Racer(other)
    racer.waits()  # or it passed by what is held
    return held.commit(), racer.result


def _come_between(reader: Callable[[], Any], other: Callable[[], Any]) -> tuple[Any, Any]:
    racer = Racer(reader, reads_first=True)
    assert racer.has_read.wait(PATIENCE)
    between = Racer(other).result
    racer.go.set()
    return racer.result, between


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
