"""A manifest: schedules and retry policies as a YAML file that people keep under version control.

    retry_policies:
      patient: {max_attempts: 4, delays: [30s, 5m, 1h]}
    schedules:
      backup:
        cron: 30 2 * * *
        timezone: Europe/Berlin
        command: /usr/local/bin/backup --full
        retry_policy: patient

`read` collects every problem with its place; `write` gives the one text for a content: defaults left
out, keys in a fixed order, names sorted. What is in the database is compared in `applying`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from schedules.rules.manifest.keys import (
    POLICY_KEYS,
    SCHEDULE_KEYS,
    Key,
    drop_unusable_timing,
    read_keys,
    unfit_together,
    unknown,
)
from schedules.rules.manifest.nodes import Entries, Node, Place, Problem, compose
from schedules.rules.manifest.values import is_ambiguous

POLICIES, SCHEDULES = "retry_policies", "schedules"
LONGEST_LINE = 1_000_000
"""Characters from which a text would be folded: none is, so that a change is a change of one line."""

_DUMPER: type[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_IN_ONE_LINE = ("tags", "delays")


@dataclass(frozen=True, slots=True)
class Entry:
    """One schedule or policy; `places` are those of the keys given, defaults included.

    What is wrong is not in `values`.
    """

    name: str
    place: Place
    values: dict[str, Any]
    places: dict[str, Place] = field(default_factory=dict)

    def at(self, key: str) -> Place:
        return self.places.get(key, self.place)


@dataclass(frozen=True, slots=True)
class Manifest:
    """By name; the values are canonical and without defaults, so equal settings are equal."""

    policies: dict[str, Entry] = field(default_factory=dict)
    schedules: dict[str, Entry] = field(default_factory=dict)


def read(files: Sequence[tuple[str, bytes]]) -> tuple[Manifest, list[Problem]]:
    """One manifest from the names and contents of its files, and everything that is wrong with them."""
    manifest = Manifest()
    problems: list[Problem] = []
    for name, content in files:
        node = compose(content, name, problems)
        if node is not None:
            _read_file(node, manifest, problems)
    return manifest, sorted(problems)


def write(policies: Mapping[str, Mapping[str, Any]], schedules: Mapping[str, Mapping[str, Any]]) -> str:
    """The text for canonical values by name. `read` gives back equal values."""
    content = {
        **({POLICIES: _sorted(policies)} if policies else {}),
        SCHEDULES: _sorted(schedules),
    }
    text: str = yaml.dump(
        content,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=LONGEST_LINE,
        default_flow_style=False,
    )
    return text


def _read_file(node: Node, manifest: Manifest, problems: list[Problem]) -> None:
    if not isinstance(node, Entries):
        problems.append(Problem(node.place, f'The file has to begin with "{SCHEDULES}:" or "{POLICIES}:".'))
        return
    for key, value in node.entries:
        if key.text == SCHEDULES:
            _read_entries(value, SCHEDULE_KEYS, manifest.schedules, problems)
        elif key.text == POLICIES:
            _read_entries(value, POLICY_KEYS, manifest.policies, problems)
        else:
            problems.append(Problem(key.place, unknown(key.text, (POLICIES, SCHEDULES))))


def _read_entries(node: Node, keys: Sequence[Key], found: dict[str, Entry], problems: list[Problem]) -> None:
    if not isinstance(node, Entries):
        if not getattr(node, "is_missing", False):
            problems.append(Problem(node.place, "It has to be a mapping of names to what they stand for."))
        return
    for name, value in node.entries:
        if name.text in found:
            first = found[name.text].place
            problems.append(Problem(name.place, f'"{name.text}" is here twice; first in {first}.'))
            continue
        found[name.text] = _entry(name.text, name.place, value, keys, problems)


def _entry(name: str, place: Place, node: Node, keys: Sequence[Key], problems: list[Problem]) -> Entry:
    """Problems inside name the entry, because a line number alone says little in a diff."""
    own: list[Problem] = []
    values: dict[str, Any] = {}
    places: dict[str, Place] = {}
    if not name.strip():
        own.append(Problem(place, "A name is wanted, not blanks."))
    if isinstance(node, Entries):
        values, places = read_keys(node, keys, own)
        if keys is SCHEDULE_KEYS:
            own += unfit_together(values, places, place)
            own += drop_unusable_timing(values, places, name)
    elif not getattr(node, "is_missing", False) or keys is SCHEDULE_KEYS:
        own.append(Problem(node.place, "It has to be a mapping of keys to values."))
    problems += [Problem(problem.place, f'"{name}": {problem.text}') for problem in own]
    return Entry(name, place, values, places)


def _sorted(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            key: _InOneLine(value) if key in _IN_ONE_LINE else value for key, value in entries[name].items()
        }
        for name in sorted(entries)
    }


class _InOneLine(list[Any]):
    """A list that is written as [a, b]."""


class _Dumper(_DUMPER):
    """Writes texts so that neither this reader nor any other takes them for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_text(dumper: Any, text: str) -> yaml.ScalarNode:
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", text, style=_style(text))
    return node


def _style(text: str) -> str | None:
    lines = text.split("\n")
    is_block = len(lines) > 1 and not text[0].isspace() and not any(line.endswith(" ") for line in lines)
    if is_block and all(line.isprintable() for line in lines):
        return "|"
    if len(lines) > 1 or not text.isprintable() or is_ambiguous(text):
        return '"'
    return None


_Dumper.add_representer(str, _write_text)
_Dumper.add_representer(
    _InOneLine,
    lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True),
)
