"""What a look at an installation found: is it fit for production? Values and judgements, no looking."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from shlex import quote


class Level(StrEnum):
    ERROR = "error"  # work is lost, late or open to others, now or at the next fault
    WARNING = "warning"  # it works, and somebody will be sorry
    OK = "ok"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`what` is a sentence; the rest is empty where `level` is OK. `code` is stable, for scripts.

    `run` is a line for a shell that mends it, or shows what to mend; WORDS LIKE THIS are to be replaced.
    """

    level: Level
    code: str
    what: str
    why: str = ""
    do: str = ""
    run: str = ""

    @property
    def area(self) -> str:
        return self.code.partition(".")[0]


def ok(code: str, what: str) -> Finding:
    return Finding(level=Level.OK, code=code, what=what)


def warning(code: str, what: str, *, why: str, do: str, run: str) -> Finding:
    return Finding(level=Level.WARNING, code=code, what=what, why=why, do=do, run=run)


def error(code: str, what: str, *, why: str, do: str, run: str) -> Finding:
    return Finding(level=Level.ERROR, code=code, what=what, why=why, do=do, run=run)


MANAGE = "python3 manage.py"


def psql(*statements: str, superuser: bool = False) -> str:
    """The line for a shell that gives these to PostgreSQL, as the installation's role or on its host."""
    program = "sudo -u postgres psql " if superuser else 'psql "$DATABASE_URL" '
    return program + " ".join(f"-c {quote(statement)}" for statement in statements)


def version_of(text: str) -> tuple[int, ...]:
    """The numbers that a version begins with: (3, 10, 8) for "3.10.8-rc1". Empty where there are none."""
    found = re.match(r"\d+(?:\.\d+)*", text.strip())
    return tuple(int(number) for number in found[0].split(".")) if found else ()


def some(names: Sequence[str], *, limit: int = 5) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit:,} more"


def span(seconds: float) -> str:
    """A length of time in its largest unit: "40 s", "3 min", "5 h", "12 days"."""
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if abs(seconds) >= 10 else f"{seconds:.1f} s"
