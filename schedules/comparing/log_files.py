"""Logs as they lie on this machine, as lines of bytes: files, gzipped ones, a pipe, the journal.

A line is never longer than what `rules.cron_log` looks at, so neither a binary file nor one without
line ends fills the memory. Called by `comparing`.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from schedules.errors import NotPossible
from schedules.rules.cron_log import LONGEST_LINE

JOURNAL = "the journal"
_IDENTIFIERS = ("CRON", "CROND", "cron", "crond")


@dataclass(frozen=True, kw_only=True)
class LogFile:
    """`written_at` is the last change of the file; now, where it has none."""

    name: str
    written_at: datetime
    lines: Iterator[bytes]


@contextmanager
def opened(path: str, *, now: datetime) -> Iterator[LogFile]:
    """A file, a gzipped one (by its name), or "-". Raises NotPossible where it cannot be read to its end."""
    try:
        if path == "-":
            yield LogFile(name="standard input", written_at=now, lines=_lines(sys.stdin.buffer))
            return
        written_at = datetime.fromtimestamp(os.stat(path).st_mtime, UTC)
        with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:
            yield LogFile(name=path, written_at=written_at, lines=_lines(file))  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise NotPossible(f"The log {path} cannot be read: {why}.") from error


@contextmanager
def journal(*, since: datetime | None, until: datetime | None, now: datetime) -> Iterator[LogFile]:
    """cron's lines in systemd's journal, oldest first."""
    command = ["journalctl", "--no-pager", "--all", "--output=short-iso-precise"]
    command += [f"--identifier={name}" for name in _IDENTIFIERS]
    for option, moment in (("since", since), ("until", until)):
        if moment is not None:
            command.append(f"--{option}=@{int(moment.timestamp())}")
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise NotPossible(f"journalctl cannot be run: {error.strerror}. Give a file: --log FILE") from error
    assert process.stdout is not None
    try:
        yield LogFile(name=JOURNAL, written_at=now, lines=_lines(process.stdout))  # type: ignore[arg-type]
    finally:
        process.stdout.close()
        status = process.wait()
    if status > 0:
        raise NotPossible(f"journalctl failed with status {status}. May this account read the journal?")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines, each cut to what is looked at."""
    while line := file.readline(LONGEST_LINE):
        yield line
        while not line.endswith(b"\n") and line:
            line = file.readline(LONGEST_LINE)
