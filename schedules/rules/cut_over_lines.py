"""Lines taken out of a crontab at a cut-over: as one comment each, in place, so that going back is exact.

    # cut over to Beatkeeper (12-3fa9c1d2): 30 2 * * * /usr/local/bin/backup --full

The mark in brackets is the number of the cut-over and a digest of the line. What follows the colon
and one blank is the line, byte for byte. No line is added or moved, so every other line keeps its
number. Called by `cutting_over.flow`, and by the importer, which reads such a line as what it was.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

_MARKED = re.compile(rb"# cut over to Beatkeeper \((\d{1,18}-[0-9a-f]{8})\): (.*)", re.DOTALL)
_LINES = re.compile(rb"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class Taken:
    """A line that was taken out. `text` is what cron had, without its end; `number` counts from 1."""

    number: int
    mark: str
    text: bytes

    @property
    def is_intact(self) -> bool:
        """False where somebody edited the text behind the mark."""
        return self.mark.partition("-")[2] == _digest(self.text)


def mark_of(cut_over: int, text: bytes) -> str:
    """`text` is the line without its end."""
    return f"{cut_over}-{_digest(text)}"


def lines_of(content: bytes) -> list[bytes]:
    """The lines without their ends, as cron divides a file."""
    return [line.removesuffix(b"\n") for line in _LINES.findall(content)]


def taken(content: bytes) -> list[Taken]:
    """Every line of a crontab that was taken out."""
    found = ((number, _MARKED.fullmatch(line)) for number, line in enumerate(lines_of(content), 1))
    return [Taken(number, it[1].decode("ascii"), it[2]) for number, it in found if it]


def take_out(content: bytes, marks: Mapping[int, str]) -> bytes:
    """The content with the lines of these numbers taken out under these marks."""

    def line(number: int, raw: bytes) -> bytes:
        if number not in marks:
            return raw
        return b"# cut over to Beatkeeper (" + marks[number].encode("ascii") + b"): " + raw

    return b"".join(line(number, raw) for number, raw in enumerate(_LINES.findall(content), 1))


def put_back(content: bytes, marks: Collection[str] | None = None) -> bytes:
    """The content with the lines of these marks as cron had them; None: all that are intact."""

    def line(raw: bytes) -> bytes:
        found = _MARKED.fullmatch(raw.removesuffix(b"\n"))
        if found is None:
            return raw
        one = Taken(0, found[1].decode("ascii"), found[2])
        wanted = one.is_intact if marks is None else one.mark in marks
        return one.text + raw[len(raw.removesuffix(b"\n")) :] if wanted else raw

    return b"".join(map(line, _LINES.findall(content)))


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:8]
