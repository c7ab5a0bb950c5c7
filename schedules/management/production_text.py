"""What `check_production` prints: what is wrong first, with why and what to do, then what is in order."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from schedules.management.output import counted, printable
from schedules.rules.production import Finding, Level

HEADS = {Level.ERROR: "Errors", Level.WARNING: "Warnings", Level.OK: "In order"}
WIDTH = 110


def text(found: Sequence[Finding], *, width: int | None) -> str:
    """Lines are broken, not cut: what to do has to be readable; but not a command, which is copied whole.

    In a pipe all are as long as they are.
    """
    parts = [_section(level, [each for each in found if each.level == level], width) for level in HEADS]
    return "\n\n".join([part for part in parts if part] + [verdict(found)])


def verdict(found: Sequence[Finding]) -> str:
    errors, warnings, good = (sum(each.level == level for each in found) for level in HEADS)
    return f"{counted(errors, 'error')}, {counted(warnings, 'warning')}, {good} in order."


def _section(level: Level, found: Sequence[Finding], width: int | None) -> str:
    if not found:
        return ""
    lines = [line for each in found for line in _lines(each, width)]
    return "\n".join([f"{HEADS[level]} ({len(found)})", *lines])


def _lines(finding: Finding, width: int | None) -> Iterator[str]:
    column = f"  {finding.area:<10} "
    yield from _wrapped(column, printable(finding.what), width)
    if finding.why:
        yield from _wrapped(" " * len(column) + "why: ", printable(finding.why), width)
    if finding.do:
        yield from _wrapped(" " * len(column) + "do:  ", printable(finding.do), width)
    if finding.run:
        yield " " * len(column) + "run: " + printable(finding.run)


def _wrapped(first: str, sentence: str, width: int | None) -> list[str]:
    if width is None:
        return [first + sentence]
    room = max(min(width, WIDTH), len(first) + 30)
    return textwrap.wrap(
        sentence,
        room,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


def shape(found: Sequence[Finding]) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "good": not any(each.level == Level.ERROR for each in found),
        "counts": {level.value: sum(each.level == level for each in found) for level in Level},
        "findings": [
            {
                "level": each.level.value,
                "code": each.code,
                "what": each.what,
                "why": each.why or None,
                "do": each.do or None,
                "run": each.run or None,
            }
            for each in found
        ],
    }
