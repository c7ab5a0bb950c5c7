"""The files of a manifest: named ones, those of a directory, standard input. Called by `apply_schedules`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from schedules.errors import ManifestRefused
from schedules.rules.manifest.nodes import MAX_BYTES

SUFFIXES = (".yaml", ".yml")


def read_files(paths: Sequence[str]) -> list[tuple[str, bytes]]:
    """Names and contents, in the order given; a directory's files sorted by name, without its folders.

    Raises ManifestRefused for what cannot be read, and for a directory without such files.
    """
    return [(name, _content(name)) for path in dict.fromkeys(paths) for name in _names(path)]


def _names(path: str) -> Iterator[str]:
    if not os.path.isdir(path):
        yield path
        return
    found = sorted(
        str(file)
        for file in Path(path).iterdir()
        if file.suffix in SUFFIXES and not file.name.startswith(".")
    )
    if not found:
        raise ManifestRefused(f"{path}: The directory holds no {' or '.join(SUFFIXES)} files.")
    yield from found


def _content(name: str) -> bytes:
    """One byte beyond the limit at most, by which the reader recognises rubbish."""
    try:
        if name == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        with open(name, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ManifestRefused(f"{name}: It cannot be read: {error.strerror}.") from error
