"""A few database connections for the many threads of a worker. Used by `execute` through `process`.

A thread needs the database for milliseconds before and after its command. A connection for each would
take as many as there are commands, and opening one for each use costs more than the use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

FRESH_SECONDS = 1.0
"""A connection that worked this short a while ago is neither asked whether it still does, nor too old.

Django's own rules are made for one use per page: a round trip before each, or, with CONN_MAX_AGE 0, a
new connection.
"""


class Pool:
    """At most `size` connections. Inside `connected()` the thread's connection is one of them."""

    def __init__(self, size: int) -> None:
        self._slots = threading.BoundedSemaphore(size)
        self._idle: list[tuple[BaseDatabaseWrapper, float]] = []
        self._lock = threading.Lock()

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Waits for a free connection; one that is stale is opened anew. Not to be nested."""
        with self._slots:
            ours = self._take()
            theirs = connections[DEFAULT_DB_ALIAS]
            connections[DEFAULT_DB_ALIAS] = ours
            try:
                yield
            finally:
                connections[DEFAULT_DB_ALIAS] = theirs
                with self._lock:
                    self._idle.append((ours, time.monotonic()))

    def _take(self) -> BaseDatabaseWrapper:
        with self._lock:
            if self._idle:
                found, used_at = self._idle.pop()
                if found.errors_occurred or time.monotonic() - used_at > FRESH_SECONDS:
                    found.close_if_unusable_or_obsolete()
                return found
        made = connections.create_connection(DEFAULT_DB_ALIAS)
        made.inc_thread_sharing()  # one thread at a time: the list hands it over
        return made

    def close(self) -> None:
        """Those that are not in use."""
        with self._lock:
            while self._idle:
                self._idle.pop()[0].close()
