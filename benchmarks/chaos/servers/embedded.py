"""The embedded engine: SQLite and a directory of messages, both in the state directory. No server runs.

So nothing can be crashed or cut off. What can happen: a full disk, and a database that somebody keeps locked.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from benchmarks.chaos.scratch import Scratch

MEGABYTES = 256


class SQLite:
    """The file `beatkeeper.sqlite3`, where the product looks for it, on a disk of its own."""

    port = None
    clock = None

    def __init__(self, scratch: Scratch) -> None:
        self.disk = scratch.small("state", MEGABYTES, mode=0o700, is_worth_keeping=True)
        self.is_limited = scratch.is_limited(self.disk)
        self.path = self.disk / "beatkeeper.sqlite3"
        self._lock: sqlite3.Connection | None = None

    def start(self) -> None:
        """The first process that migrates makes it."""

    def prepare(self) -> None:
        """No role, no limits: it has none."""

    def address(self, port: int | None) -> str:
        return f"sqlite:///{self.path}"

    def lock(self) -> None:
        """Somebody begins to write and does not end it."""
        self._lock = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
        self._lock.execute("BEGIN IMMEDIATE")

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def revive(self) -> None:
        """Nothing ended."""

    def close(self) -> None:
        self.unlock()


class Files:
    """The queues of the embedded broker, below the same directory."""

    port = None

    def __init__(self, scratch: Scratch) -> None:
        self._folder: Path = scratch.root / "state" / "queue"

    def start(self) -> None:
        """There from the first message on."""

    def kill(self) -> None:
        raise NotImplementedError("files do not die; see Fault.is_possible")

    def purge(self) -> None:
        from scheduler.folder import Folder

        for queue in ("commands", "tasks"):
            Folder(self._folder).purge(queue)

    def close(self) -> None:
        """The scratch directory goes as a whole."""

    def url(self, port: int | None) -> str:
        return ""  # which means the embedded one
