"""This machine's file system as the account of this process sees it. Called by `checking.child`.

Answers are kept: a thousand commands look into the same directories of PATH.
"""

import os
import stat

from schedules.rules.command.files import HEAD_SIZE, Seen

# What is not there, whatever the reason; everything else is "closed", with the reason.
_MISSING = (FileNotFoundError, NotADirectoryError, ValueError)


class AccountFiles:
    """Implements `command.files.Files`."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}

    def look(self, path: str) -> Seen:
        if path not in self._seen:
            self._seen[path] = _look(path)
        return self._seen[path]

    def head(self, path: str) -> bytes:
        seen = self.look(path)
        if seen.kind != "file" or not seen.readable:
            return b""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        with open(descriptor, "rb", buffering=0) as file:
            return file.read(HEAD_SIZE) or b""

    def program_name(self, path: str) -> str:
        return os.path.basename(os.path.realpath(path))


def _look(path: str) -> Seen:
    """access(2) asks for the real user id, which is the account's."""
    try:
        mode = os.stat(path).st_mode
    except _MISSING:
        return Seen("missing")
    except OSError as error:
        return Seen("closed", reason=error.strerror or type(error).__name__)
    readable, writable, executable = (os.access(path, way) for way in (os.R_OK, os.W_OK, os.X_OK))
    if stat.S_ISDIR(mode):
        return Seen("directory", readable, writable, executable)
    return Seen("file" if stat.S_ISREG(mode) else "other", readable, writable, executable)
