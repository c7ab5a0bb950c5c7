"""The bytes of one file or pipe, and what the file system says of it: bounded, never a hang. No database.

Which files are read, and what they are taken for, is decided in `importing.sources`, the only caller.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import time

from schedules.rules.crontab.places import Facts
from schedules.rules.crontab.refusals import MAX_BYTES

PIPE_SECONDS = 60.0
"""How long a pipe may be silent. `<(ssh host crontab -l)` takes seconds, a forgotten one forever."""

_PIECE = 1024 * 1024


class Unreadable(OSError):
    """The file is not read, for a reason of ours; `strerror` has it."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EINVAL, reason)


def read_standard_input() -> bytes:
    """Waits as long as it takes: whoever typed the command can end it."""
    if sys.stdin is None:
        raise OSError(errno.EBADF, "it is closed")
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def read_content(path: str) -> bytes:
    """Reads a regular file or a pipe, at most one byte beyond the limit of size.

    Raises OSError, with the reason in `strerror`, for all else.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            return _read_file(descriptor)
        if stat.S_ISFIFO(status.st_mode):
            return _read_pipe(descriptor)
        raise Unreadable(_kind_of(status.st_mode))
    finally:
        os.close(descriptor)


def facts_of(path: str, *, account: int | None = None) -> Facts:
    """What the file system says, without opening anything. Raises OSError where it says nothing.

    `account` is the user id that a spool file belongs to.
    """
    status, link = os.stat(path), os.lstat(path)
    return Facts(
        owner=status.st_uid,
        mode=stat.S_IMODE(status.st_mode),
        links=status.st_nlink,
        is_regular=stat.S_ISREG(status.st_mode),
        link_owner=link.st_uid if stat.S_ISLNK(link.st_mode) else None,
        account=account,
    )


def is_pipe(path: str) -> bool:
    """True for what has no lasting name, such as the shell's <(crontab -l)."""
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _kind_of(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "it is a directory"
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return "it is a device, not a crontab"
    return "it is neither a file nor a pipe"


def _read_file(descriptor: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        return file.read(MAX_BYTES + 1)


def _read_pipe(descriptor: int) -> bytes:
    """Until its writers have closed it. A pipe that nobody has opened for writing is silent too."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    pieces: list[bytes] = []
    size = 0
    deadline = time.monotonic() + PIPE_SECONDS
    while size <= MAX_BYTES:
        if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise Unreadable(f"nothing came through the pipe for {PIPE_SECONDS:g} seconds")
        piece = _available(descriptor)
        if piece == b"":
            break
        if piece:
            pieces.append(piece)
            size += len(piece)
            deadline = time.monotonic() + PIPE_SECONDS
    return b"".join(pieces)[: MAX_BYTES + 1]


def _available(descriptor: int) -> bytes | None:
    """What is there now; b"" at the end, None where another reader was faster."""
    try:
        return os.read(descriptor, _PIECE)
    except BlockingIOError:
        return None
