"""Words of a shell's command line, and what the shell makes of them as far as that is certain.

A word is a sequence of parts; a part that only the shell can tell (a substitution, a pattern) is
unknown, and then the word is. `shell.lexer` reads words from a text, `shell.commands` makes commands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=")
# bash expands it in arguments that look like assignments, too.
_TILDE_IN_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=(?:.*:)?~", re.DOTALL)
# What a variable's value must not hold to stay one word where it is not quoted.
_SPLITS = re.compile(r"[ \t\n*?\[]")

Variables = Mapping[str, str | None]
"""Values by name. None: it has a value that cannot be told. A name that is missing is not set."""


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Variable:
    """`$name` or `${name}`, and nothing more elaborate."""

    name: str
    quoted: bool


@dataclass(frozen=True)
class Home:
    """A `~` at the begin of the word."""


@dataclass(frozen=True)
class Unknown:
    """What only the shell can tell; `names` are the variables that it reads."""

    names: tuple[str, ...] = ()


Part = Text | Variable | Home | Unknown


@dataclass(frozen=True)
class Word:
    """`raw` is the text as written, quotes included."""

    raw: str
    parts: tuple[Part, ...]
    is_pattern: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that are read for it."""
        found: list[str] = []
        for part in self.parts:
            found += [part.name] if isinstance(part, Variable) else []
            found += part.names if isinstance(part, Unknown) else ()
        return tuple(found)

    def expanded(self, variables: Variables) -> str | None:
        """The one word that the shell makes of it, or None where that is not certain."""
        if self.is_pattern or _TILDE_IN_ASSIGNMENT.match(self.raw):
            return None
        pieces = [_expanded(part, variables) for part in self.parts]
        return None if None in pieces else "".join(piece for piece in pieces if piece is not None)

    @property
    def assignment(self) -> tuple[str, Word] | None:
        """Name and value where the word assigns; the value of `NAME+=` is unknown."""
        found = _ASSIGNMENT.match(self.raw)
        if found is None or not isinstance(self.parts[0], Text):
            return None
        raw = self.raw[found.end() :]
        first = self.parts[0].text[found.end() :]
        parts: tuple[Part, ...] = (Text(first), *self.parts[1:])
        if raw.startswith("~"):
            is_home = first == "~" or first.startswith("~/")
            parts = (Home(), Text(first[1:]), *self.parts[1:]) if is_home else (Unknown(),)
        if found[2] or ":~" in raw:
            parts = (Unknown(self.names),)
        return found[1], Word(raw, parts)


def _expanded(part: Part, variables: Variables) -> str | None:
    if isinstance(part, Text):
        return part.text
    if isinstance(part, Unknown):
        return None
    value = variables.get("HOME" if isinstance(part, Home) else part.name)
    splits = isinstance(part, Variable) and not part.quoted and (not value or _SPLITS.search(value))
    return None if splits else value


@dataclass(frozen=True)
class Operator:
    text: str


Token = Word | Operator
