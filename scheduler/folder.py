"""The directory of the embedded broker: queues, exchanges and messages as files.

    messages/QUEUE/NAME.msg   one file a message, oldest name first
    exchanges/NAME.json       rows of routing key, pattern, queue
    claimed/                  taken by a reader that is about to read it
    new/                      being written
    bad/                      set aside: what could not be read, the last 100

A file appears whole or not at all (written under `new/`, then renamed) and is taken by exactly one reader
(renamed to `claimed/`). Used by `filesystem`, the transport over it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

logger = logging.getLogger(__name__)

# Answers to `inspect` go to a queue of the asking process, which never deletes it.
REPLY_SECONDS = 3600
BAD_KEPT = 100
# Nobody takes this long to write or to read one message.
LEFTOVER_SECONDS = 60
SUFFIX = ".msg"

_serial = count()


class Binding(NamedTuple):
    routing_key: str
    pattern: str
    queue: str


class Folder:
    """The directory and its five parts. Raises OSError where the directory itself cannot be used."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.messages, self.exchanges = self.path / "messages", self.path / "exchanges"
        self.claimed, self.new, self.bad = self.path / "claimed", self.path / "new", self.path / "bad"

    def make(self) -> None:
        for part in (self.path, self.messages, self.exchanges, self.claimed, self.new, self.bad):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)

    def queue(self, name: str) -> Path:
        return self.messages / file_name(name)

    def add(self, queue: str, content: bytes) -> None:
        name = f"{time.time_ns():020d}.{os.getpid()}.{next(_serial)}{SUFFIX}"
        written = self._write(name, content)
        target = self.queue(queue)
        try:
            written.rename(target / name)
        except FileNotFoundError:  # the first message, or somebody has emptied the directory
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
            written.rename(target / name)

    def waiting(self, queue: str) -> list[str]:
        """Names of the messages, oldest first."""
        try:
            names = os.listdir(self.queue(queue))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in names if name.endswith(SUFFIX))

    def take(self, queue: str, name: str) -> Path | None:
        """The message as a file of our own, or None where another reader was quicker."""
        mine = self.claimed / f"{os.getpid()}.{next(_serial)}.{name}"
        source = self.queue(queue) / name
        try:
            source.rename(mine)
        except FileNotFoundError:
            if not source.exists():
                return None
            self.make()  # somebody has emptied the directory under us
            source.rename(mine)
        return mine

    def set_aside(self, taken: Path, why: Exception) -> None:
        logger.error("Message %s cannot be read (%s: %s). Kept in bad/.", taken.name, type(why).__name__, why)
        with suppress(OSError):
            taken.rename(self.bad / taken.name)
            for old in sorted(self.bad.iterdir(), key=lambda file: file.stat().st_mtime)[:-BAD_KEPT]:
                old.unlink()

    def bindings(self, exchange: str) -> list[Binding]:
        try:
            rows = json.loads(self._exchange(exchange).read_bytes())
            return [Binding(*row) for row in rows]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError) as error:
            logger.error("The table of exchange %s cannot be read (%s); it starts anew.", exchange, error)
            return []

    @contextmanager
    def changing(self, exchange: str) -> Iterator[list[Binding]]:
        """The exchange's rows, to be changed in place. One writer at a time; readers see old or new."""
        with (self.exchanges / ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            rows = self.bindings(exchange)
            before = list(rows)
            yield rows
            if rows != before:
                content = json.dumps(rows).encode()
                self._write(f"exchange.{os.getpid()}.{next(_serial)}", content).replace(
                    self._exchange(exchange)
                )

    def remove_queue(self, queue: str) -> int:
        """Deletes what waits, and the queue's directory. Returns how many messages that were."""
        removed = self.purge(queue)
        with suppress(OSError):
            self.queue(queue).rmdir()
        return removed

    def purge(self, queue: str) -> int:
        removed = 0
        for name in self.waiting(queue):
            with suppress(OSError):
                (self.queue(queue) / name).unlink()
                removed += 1
        return removed

    def is_abandoned(self, queue: str) -> bool:
        """An answer queue whose asking process has not declared it for an hour."""
        if ".reply." not in queue:
            return False
        try:
            return time.time() - self.queue(queue).stat().st_mtime > REPLY_SECONDS
        except FileNotFoundError:
            return True

    def _write(self, name: str, content: bytes) -> Path:
        path = self.new / name
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileNotFoundError:
            self.make()
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        return path

    def _exchange(self, name: str) -> Path:
        return self.exchanges / f"{file_name(name)}.json"


def file_name(name: str) -> str:
    """A queue's or exchange's name as one component of a path; different names stay different."""
    safe = quote(name, safe="@_-.+=,")
    return "%2E" + safe[1:] if safe.startswith(".") else safe or "%"


def tidy(path: str | os.PathLike[str]) -> None:
    """Removes what dead processes left: broadcasts nobody reads, answers, half-written and claimed files.

    Harmless while others use the directory. Doorbells stay.
    """
    folder = Folder(path)
    folder.make()
    for leftover in (*folder.new.iterdir(), *folder.claimed.iterdir()):
        with suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > LEFTOVER_SECONDS:
                leftover.unlink()
    for directory in folder.messages.iterdir():
        queue = unquote(directory.name)
        if queue.endswith(".pidbox") or queue.startswith("celeryev."):
            folder.remove_queue(queue)
