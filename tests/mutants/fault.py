"""What a mutant is: small edits of the code, each of which must match exactly once, and who must notice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SQLITE, POSTGRESQL = "sqlite", "postgresql"
BOTH = (SQLITE, POSTGRESQL)


@dataclass(frozen=True)
class Edit:
    """In the file at `path`, below the root of the project, `old` becomes `new`."""

    path: str
    old: str
    new: str

    def matches(self, root: Path) -> int:
        """How often `old` is there; an edit that does not match exactly once says nothing any more."""
        file = root / self.path
        return file.read_text().count(self.old) if file.exists() else 0

    def applied(self, root: Path) -> str:
        return (root / self.path).read_text().replace(self.old, self.new)


@dataclass(frozen=True)
class Mutant:
    """One safeguard taken away. `tests` are those of which at least one has to fail on each of `engines`.

    `without` says what is missing; where there is one engine, the other does not need the safeguard.
    """

    without: str
    edits: Sequence[Edit]
    tests: Sequence[str]
    engines: Sequence[str] = BOTH

    def apply(self, root: Path) -> None:
        for edit in self.edits:
            if edit.matches(root) != 1:
                raise LookupError(f"{edit.path}: {edit.matches(root)} times instead of once:\n{edit.old}")
            (root / edit.path).write_text(edit.applied(root))
