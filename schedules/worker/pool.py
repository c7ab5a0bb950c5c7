"""A few database connections for the many threads of a worker. Used by `execute` through `process`.

A thread needs the database for milliseconds before and after its command. A connection for each would
take as many as there are commands, and opening one for each use costs more than the use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

FRESH_SECONDS = 1.0
"""A connection that worked this short a while ago is neither asked whether it still does, nor too old.

Django's own rules are made for one use per page: a round trip before each, or, with CONN_MAX_AGE 0, a
new connection.
"""

_Used = tuple[BaseDatabaseWrapper, float]
"""A connection, and when it was given back, by `time.monotonic()`."""


class Pool:
    """At most `size` connections. Inside `connected()` the thread's connection is one of them."""

    def __init__(self, size: int) -> None:
        self._size, self._made, self._waiting = size, 0, 0
        self._idle: list[_Used] = []
        self._handed_on: SimpleQueue[_Used] = SimpleQueue()
        self._lock = threading.Lock()

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Waits for a free connection; one that is stale is opened anew. Not to be nested but by `warm`."""
        ours, used_at = self._take()
        theirs = connections[DEFAULT_DB_ALIAS]
        connections[DEFAULT_DB_ALIAS] = ours
        try:
            if ours.errors_occurred or time.monotonic() - used_at > FRESH_SECONDS:
                ours.close_if_unusable_or_obsolete()
            yield
        finally:
            connections[DEFAULT_DB_ALIAS] = theirs
            self._give_back((ours, time.monotonic()))

    def warm(self, count: int) -> None:
        """Opens `count` of the connections ahead of their use: opening one takes longer than a claim.

        Raises what the database raises. Those that are in use are warm.
        """
        with ExitStack() as taken:
            for _ in range(count):
                with self._lock:
                    if not self._idle and self._made >= self._size:
                        return
                taken.enter_context(self.connected())
                connections[DEFAULT_DB_ALIAS].ensure_connection()

    def _take(self) -> _Used:
        """The one that was used last, so that few stay open; the queue wakes one thread, not a crowd."""
        with self._lock:
            found = self._idle.pop() if self._idle else None
            is_to_make = found is None and self._made < self._size
            self._made += is_to_make
            self._waiting += found is None and not is_to_make
        if is_to_make:
            made = connections.create_connection(DEFAULT_DB_ALIAS)
            made.inc_thread_sharing()  # one thread at a time: the list hands it over
            return made, time.monotonic()
        return found or self._handed_on.get()

    def _give_back(self, used: _Used) -> None:
        with self._lock:
            if not self._waiting:
                self._idle.append(used)
                return
            self._waiting -= 1
        self._handed_on.put(used)

    def close(self) -> None:
        """Those that are not in use."""
        with self._lock:
            self._made -= len(self._idle)
            while self._idle:
                self._idle.pop()[0].close()
