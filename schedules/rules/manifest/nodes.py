"""YAML text to nodes that remember their place: texts, lists, mappings, and nothing else.

No value is guessed: a scalar is its text, and whoever knows what a key wants reads it
(`manifest.values`), so that neither `yes` nor `08:30` becomes something else. Refused, because a file
of schedules needs none of it: tags, anchors and aliases, a second document, and sizes that no such
file has. PyYAML reads the syntax. Called by `manifest`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

MAX_BYTES = 16 * 1024 * 1024
MAX_NODES = 500_000
MAX_DEPTH = 20

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_QUOTE_IT = 'A text that begins with one of * & ! | > % @ ` [ { " has to stand in quotes'


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Counted from 1, as editors do; line 0 is the whole file."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something wrong at a place; `text` is a sentence."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(frozen=True, slots=True)
class Scalar:
    """`is_plain`: written without quotes, so that nothing says whether it is meant as a text."""

    place: Place
    text: str
    is_plain: bool

    @property
    def is_missing(self) -> bool:
        """Nothing is written, or a word for nothing."""
        return self.is_plain and self.text in ("", "~", "null")


@dataclass(frozen=True, slots=True)
class Items:
    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entries:
    """A mapping; keys are texts, each at most once."""

    place: Place
    entries: tuple[tuple[Scalar, Node], ...]


Node = Scalar | Items | Entries


class NotReadable(Exception):
    """The rest of the file cannot be read."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def compose(content: bytes, file: str, problems: list[Problem]) -> Node | None:
    """The one document of a file; None for an empty one or one that cannot be read.

    What is wrong is added to `problems`.
    """
    try:
        return _Composer(file, problems).document(_text(content, file))
    except NotReadable as error:
        problems.append(error.problem)
        return None


def _text(content: bytes, file: str) -> str:
    if len(content) > MAX_BYTES:
        raise NotReadable(Problem(Place(file), f"The file is larger than {MAX_BYTES // 2**20} MiB."))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise NotReadable(Problem(Place(file, line, column), "The file is not UTF-8.")) from error


class _Composer:
    """Builds nodes from PyYAML's events, which come without anything having been constructed."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self._file = file
        self._problems = problems
        self._count = 0

    def document(self, text: str) -> Node | None:
        events = self._events(text)
        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._stop(event, 'There is a second document ("---"); a file has one.')
                root = self._node(next(events), events, depth=0)
        is_empty = isinstance(root, Scalar) and root.is_missing
        return None if is_empty else root

    def _events(self, text: str) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            raise NotReadable(Problem(self._place(error.problem_mark), _syntax_error(error))) from error
        except yaml.reader.ReaderError as error:
            where = text[: error.position]
            place = Place(self._file, where.count("\n") + 1, len(where) - where.rfind("\n"))
            raise NotReadable(Problem(place, "A control character cannot stand in YAML as it is.")) from error

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], *, depth: int) -> Node:
        self._check(event, depth)
        place = self._place(event.start_mark)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, place)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(event := next(events), yaml.SequenceEndEvent):
                items.append(self._node(event, events, depth=depth + 1))
            return Items(place, tuple(items))
        return Entries(place, self._entries(events, depth))

    def _entries(self, events: Iterator[yaml.Event], depth: int) -> tuple[tuple[Scalar, Node], ...]:
        found: dict[str, tuple[Scalar, Node]] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._node(event, events, depth=depth + 1)
            value = self._node(next(events), events, depth=depth + 1)
            if not isinstance(key, Scalar):
                self._problems.append(Problem(key.place, "A key has to be a text."))
            elif key.text in found:
                first = found[key.text][0].place.line
                self._problems.append(
                    Problem(key.place, f'"{key.text}" is here twice; first in line {first}.')
                )
            else:
                found[key.text] = (key, value)
        return tuple(found.values())

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> Scalar:
        try:
            event.value.encode()
        except UnicodeEncodeError:
            self._problems.append(Problem(place, "The text holds half a character (a lone surrogate)."))
            return Scalar(place, "", is_plain=False)
        if "\0" in event.value:
            self._problems.append(Problem(place, "The text holds a NUL character, which nothing can store."))
        return Scalar(place, event.value.replace("\0", ""), is_plain=not event.style)

    def _check(self, event: yaml.Event, depth: int) -> None:
        self._count += 1
        if isinstance(event, yaml.AliasEvent):
            self._stop(event, f"Aliases are not read. {_QUOTE_IT}.")
        if getattr(event, "anchor", None) is not None:
            self._stop(event, f"Anchors are not read. {_QUOTE_IT}.")
        if getattr(event, "tag", None) is not None:
            self._stop(event, f"Tags are not read. {_QUOTE_IT}.")
        if depth > MAX_DEPTH:
            self._stop(event, f"It is nested more than {MAX_DEPTH} levels deep.")
        if self._count > MAX_NODES:
            self._stop(event, f"The file has more than {MAX_NODES:,} values.")

    def _stop(self, event: yaml.Event, text: str) -> None:
        raise NotReadable(Problem(self._place(event.start_mark), text))

    def _place(self, mark: Any) -> Place:
        return Place(self._file) if mark is None else Place(self._file, mark.line + 1, mark.column + 1)


def _syntax_error(error: yaml.MarkedYAMLError) -> str:
    said = f"This is not YAML: {error.problem or error.context}."
    may_lack_quotes = "alias" in (error.context or "") or "start any token" in (error.problem or "")
    return f"{said} {_QUOTE_IT}." if may_lack_quotes else said
