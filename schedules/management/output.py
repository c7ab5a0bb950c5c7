"""What commands print: tables for people, JSON for scripts, and text that no terminal obeys.

Times in JSON are ISO 8601 in UTC with "Z"; in tables they are local to a zone that the caller names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
_GAP = "  "


def printable(text: str, *, keep: str = "") -> str:
    """`text` without anything that a terminal would obey: control characters, overrides of direction.

    They become `\\x1b` and the like; those in `keep`, such as line ends, stay.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else _escaped(character)
        for character in text
    )


def output_text(text: str) -> str:
    """The output of a command for a terminal: lines stay, colours go, the rest is escaped."""
    return printable(_COLOURS.sub("", text), keep="\n\t")


def as_json(value: Any) -> str:
    """ASCII only, so that neither a terminal nor a locale can spoil it."""
    return json.dumps(value, indent=2, ensure_ascii=True)


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC, such as 2026-01-31T02:30:00Z; fractions of a second only where there are any."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def local(moment: datetime | None, zone: str = "") -> str:
    """Wall-clock time in `zone` (default: the installation's) to the second; "-" for None."""
    if moment is None:
        return "-"
    return f"{moment.astimezone(ZoneInfo(zone or settings.TIME_ZONE)):%Y-%m-%d %H:%M:%S}"


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, width: int | None = None) -> str:
    """Aligned columns, escaped. With `width`, lines are cut to it: the last column pays.

    Columns that are empty in every row are left out.
    """
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    used = [index for index in range(len(head)) if any(row[index] not in ("", "-") for row in cells)]
    lines = [[line[index] for index in used] for line in [list(head), *cells]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_cut(_aligned(line, widths), width) for line in lines)


def counted(number: int, noun: str) -> str:
    """ "1 line", "2,000 lines"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _cut(line: str, width: int | None) -> str:
    return line if width is None or len(line) <= width else line[: max(width - 1, 0)] + "…"
