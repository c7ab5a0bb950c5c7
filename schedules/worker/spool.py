"""Results that could not be recorded yet, one file each, so that they outlive the worker that had them.

Written by `execute` when the database is away at the end of an attempt, removed when the result is
recorded; what a worker left behind is read by `delivering`. A file holds what the command printed, so it
is its owner's alone. Nothing here talks to the database.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

from schedules import conf, events
from schedules.rules.states import Outcome
from schedules.worker.work import Ended

FORMAT = 1

LARGEST = 16 * 1024 * 1024
"""Bytes of a file that is read: several times the output that a worker keeps, whatever the escapes."""

SUFFIX, SET_ASIDE, UNFINISHED = ".json", ".bad", ".new"

STALE_SECONDS = 3600
"""An unfinished file of this age belongs to a worker that died while it wrote."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """How an attempt ended. `token` is its fence; `ended_at` the host's clock, seconds since the epoch."""

    run_id: int
    attempt_id: int
    token: uuid.UUID
    ended_at: float
    ended: Ended


class Kept:
    """One file, locked by this process: whoever holds the lock is the one who delivers.

    The kernel drops the lock when the process ends, however it ends.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def remove(self) -> None:
        """The result is on record."""
        self.path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Left for another worker, or for this one started again."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that was forked meanwhile shares the lock
            os.close(descriptor)

    def set_aside(self, error: Exception) -> None:
        """Nobody will try it again; it stays for people to read."""
        aside = self.path.with_name(self.path.name + SET_ASIDE)
        self.path.rename(aside)
        self.release()
        events.spool_set_aside(aside, error)

    def read(self) -> Result:
        """Raises ValueError, LookupError or TypeError where the file is not a whole result."""
        if os.fstat(self._descriptor).st_size > LARGEST:
            raise ValueError(f"it is larger than {LARGEST} bytes")
        with open(self._descriptor, "rb", closefd=False) as file:
            return _decoded(json.loads(file.read()))


class Keeping:
    """A result that is being recorded, and its file from the first failure on."""

    def __init__(self, result: Result) -> None:
        self._result = result
        self._kept: Kept | None = None

    def __enter__(self) -> Keeping:
        return self

    def __exit__(self, *_: object) -> None:
        if self._kept is not None:
            self._kept.release()

    @property
    def is_kept(self) -> bool:
        return self._kept is not None

    def keep(self) -> bool:
        """Whether there is a file since just now. Where none could be written, the next call tries again."""
        if self._kept is None:
            self._kept = keep(self._result)
            return self.is_kept
        return False

    def remove(self) -> None:
        """The result is on record."""
        if self._kept is not None:
            self._kept.remove()


def directory() -> Path | None:
    """Where results are kept; None where an adopting project has named no place."""
    name = conf.current().spool_directory
    return Path(name) if name else None


def keep(result: Result) -> Kept | None:
    """The result in a file, on disk when this returns. None: there is no spool, or it takes nothing.

    The second is said in the log, and is no reason to stop: the worker still has the result in memory.
    """
    place = directory()
    if place is None:
        return None
    try:
        return _write(place, result)
    except OSError as error:
        events.spool_failed(result.run_id, error)
        return None


def left_behind(*, limit: int) -> Iterator[Kept]:
    """Files that no living worker holds, at most `limit`, each locked until it is released."""
    place = directory()
    if place is None:
        return
    found = filter(None, (_lock(place / name) for name in _names(place)))
    yield from islice(found, limit)


def tidy() -> None:
    """Removes what a worker left unfinished when it died while it wrote."""
    place = directory()
    if place is None or not place.is_dir():
        return
    for path in place.glob(f"*{UNFINISHED}"):
        try:
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                path.unlink()
        except OSError:  # another worker was quicker
            continue


def _write(place: Path, result: Result) -> Kept:
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = place / f"run-{result.run_id}-attempt-{result.attempt_id}{SUFFIX}"
    unfinished = path.with_name(f"{path.name}.{os.getpid()}{UNFINISHED}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    kept = Kept(path, os.open(unfinished, flags, 0o600))
    try:
        fcntl.flock(kept._descriptor, fcntl.LOCK_EX)
        with open(kept._descriptor, "wb", closefd=False) as file:
            file.write(json.dumps(_encoded(result)).encode())
        os.fsync(kept._descriptor)
        unfinished.rename(path)  # whole and locked from the first moment that it can be seen
        _sync(place)
    except BaseException:
        kept.release()
        unfinished.unlink(missing_ok=True)
        raise
    return kept


def _sync(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _names(place: Path) -> list[str]:
    try:
        with os.scandir(place) as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith(SUFFIX))
    except OSError:  # not there: nothing was ever kept
        return []


def _lock(path: Path) -> Kept | None:
    """None where its worker lives and still tries, or somebody has just delivered it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(descriptor)
        if found.st_nlink and stat.S_ISREG(found.st_mode):
            return Kept(path, descriptor)
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


def _encoded(result: Result) -> dict[str, Any]:
    return {"format": FORMAT} | asdict(result) | {"token": str(result.token)}


def _decoded(given: Any) -> Result:
    if not isinstance(given, dict) or given.get("format") != FORMAT:
        raise ValueError(f"it is not a result of format {FORMAT}")
    return Result(
        run_id=int(given["run_id"]),
        attempt_id=int(given["attempt_id"]),
        token=uuid.UUID(given["token"]),
        ended_at=float(given["ended_at"]),
        ended=_ended(given["ended"]),
    )


def _ended(given: dict[str, Any]) -> Ended:
    """What a later version added is left out: it is no reason to lose the rest."""
    known = {field.name: given[field.name] for field in fields(Ended) if field.name in given}
    pieces = {
        part: tuple((stream, text) for stream, text in known.get(part, ())) for part in ("head", "tail")
    }
    lists = {name: tuple(known.get(name, ())) for name in ("exceptions", "notes")}
    return Ended(**(known | pieces | lists | {"outcome": Outcome(given["outcome"])}))
