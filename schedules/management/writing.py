"""Where an export goes: a file that appears whole or not at all, or standard output byte for byte."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from schedules.management.output import printable
from schedules.management.script import REFUSED, Error, ScriptCommand

PRIVATE = 0o600
"""Of a new file: what is exported may hold secrets."""


def write_output(command: ScriptCommand, content: bytes, path: str) -> None:
    """Writes to the file `path`, or to standard output for "-". Raises Error where that fails."""
    if path == "-":
        _print(command, content)
        return
    try:
        _replace(Path(path), content)
    except OSError as error:
        raise Error(f"{printable(path)} cannot be written: {error.strerror}.", returncode=REFUSED) from error


def _print(command: ScriptCommand, content: bytes) -> None:
    stream = getattr(command.stdout, "buffer", None)
    if stream is not None and not command.stdout.isatty():
        stream.write(content)
        stream.flush()
        return
    text = content.decode("utf-8", "surrogateescape" if stream is None else "backslashreplace")
    command.stdout.write(printable(text, keep="\n\t") if command.stdout.isatty() else text, ending="")


def _replace(path: Path, content: bytes) -> None:
    """Under a temporary name first. An existing file keeps its mode and, behind a link, its place."""
    place = Path(os.path.realpath(path))
    if place.exists() and not place.is_file():  # a pipe, /dev/null
        place.write_bytes(content)
        return
    mode = place.stat().st_mode & 0o7777 if place.exists() else PRIVATE
    handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, place)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
