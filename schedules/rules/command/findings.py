"""What a look at a command found: each finding with its level, a code, a sentence, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    ERROR = "error"  # the command cannot do its work here
    WARNING = "warning"  # it may do less than was meant, or only sometimes
    NOTE = "note"  # good to know; nothing to do


OK = "ok"
SEVERITY = {Level.ERROR.value: 0, Level.WARNING.value: 1, Level.NOTE.value: 2, OK: 3}


@dataclass(frozen=True)
class Finding:
    """`text` says what is wrong and `advice` what to do, both without a full stop; `advice` may be ""."""

    level: Level
    code: str
    text: str
    advice: str = ""

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def error(code: str, text: str, advice: str = "") -> Finding:
    return Finding(Level.ERROR, code, text, advice)


def warning(code: str, text: str, advice: str = "") -> Finding:
    return Finding(Level.WARNING, code, text, advice)


def note(code: str, text: str, advice: str = "") -> Finding:
    return Finding(Level.NOTE, code, text, advice)


def result(findings: Iterable[dict[str, Any]]) -> str:
    """ "error", "warning" or "ok": a note leaves a command in order."""
    levels = {finding.get("level") for finding in findings}
    return next((level for level in (Level.ERROR.value, Level.WARNING.value) if level in levels), OK)
