"""What dispatch and publish need of definitions, known ahead: timing, policies, route; never the command.

A definition holds its schedule's name and command, so each is different; without them thousands are
equal and share one `Terms`. So a burst of 50,000 reads, keeps and works out little. Called by
`occurrences` and `publish`, from several threads at once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from schedules.models import Revision, Schedule
from schedules.rules import timing
from schedules.rules.definition import Definition, Delivery, Kind
from schedules.rules.timing import Timing
from schedules.sql import due

WITHOUT = (
    *("name", "command", "stdin", "environment", "working_directory", "run_as", "shell"),
    *("args", "kwargs"),
)
"""Keys of a definition that neither deciding nor ringing needs."""


@dataclass(frozen=True, eq=False)
class Terms:
    """Equal where it is the same object. `definition` lacks what is in `WITHOUT`."""

    definition: Definition
    timing: Timing

    @cached_property
    def is_message(self) -> bool:
        """Sent to the workers of another codebase, instead of a doorbell to ours."""
        return self.definition.kind == Kind.TASK and self.definition.delivery == Delivery.MESSAGE

    @cached_property
    def is_plain_task(self) -> bool:
        """Its doorbell has no way and no headers of its own."""
        it = self.definition
        own = it.exchange or it.routing_key or it.headers not in ("", "{}")
        return it.kind == Kind.TASK and not own


class Known(NamedTuple):
    """One definition: its name, and what it has in common with others."""

    name: str
    terms: Terms


Found = Known | Exception
"""An exception says why a revision cannot be read."""

_known: dict[str, Found] = {}
"""By digest: equal digests are equal definitions, so an entry is never stale."""
KNOWN_LIMIT = 100_000
"""Entries; about 300 bytes each."""

_read_before: set[int] = set()
"""Revisions that are known: what need not be learnt ahead again every minute."""
STEP = 500
"""Definitions that are learnt ahead at a time: some 20 ms."""

_terms: dict[str, Terms] = {}
"""By the text that they were read from."""
TERMS_LIMIT = 10_000


def learn(wanted: Mapping[str, int]) -> dict[str, Found]:
    """What the revisions, primary keys by digest, say; those that are gone are missing.

    One query for those not yet known. Other threads may forget what is known meanwhile.
    """
    found = {digest: known for digest in wanted if (known := _known.get(digest)) is not None}
    if len(found) < len(wanted):
        unknown = [pk for digest, pk in wanted.items() if digest not in found]
        fresh = _read(unknown)
        _remember(fresh, unknown)
        found |= fresh
    return found


class Ahead:
    """Learns what will be due next while there is time, so that a full hour's burst reads no definition."""

    def __init__(self) -> None:
        self._due_at: datetime | None = None
        self._left: list[int] = []

    def step(self, due_at: datetime) -> bool:
        """A part of what is due at `due_at`, short enough to miss nothing; False where nothing is left."""
        if due_at != self._due_at:
            due = Schedule.objects.due_at(due_at, KNOWN_LIMIT)
            self._due_at, self._left = due_at, [pk for pk in due if pk not in _read_before]
        part, self._left = self._left[:STEP], self._left[STEP:]
        if part:
            _remember(_read(part), part)
        return bool(self._left)


def _remember(fresh: Mapping[str, Found], pks: Collection[int]) -> None:
    if len(_known) + len(fresh) > KNOWN_LIMIT:
        _known.clear()
        _read_before.clear()
    _known.update(fresh)
    _read_before.update(pks)


def _read(pks: list[int]) -> dict[str, Found]:
    rows = due.definitions(pks, using=Revision.objects.db, without=WITHOUT)
    return {digest: _judge(name, text) for digest, name, text in rows}


def _judge(name: str, text: str) -> Found:
    try:
        return Known(name, _terms.get(text) or _read_terms(text))
    except Exception as error:  # a zone that is gone, a revision of a later version
        return error


def _read_terms(text: str) -> Terms:
    definition = Definition.from_dict({"name": "", **json.loads(text)})
    terms = Terms(definition, timing.from_dict(definition.timing))
    if len(_terms) >= TERMS_LIMIT:
        _terms.clear()
    _terms[text] = terms
    return terms
