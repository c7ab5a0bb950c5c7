"""What an apply would do, schedule by schedule: created, changed, unchanged, deleted. Reads only.

Compared are canonical values (`applying.rows`), so equal settings are equal however they were typed, and
a second apply finds nothing to do. Called by `applying`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import Q

from schedules.applying.rows import RELATED, Values, describe, describe_policy, with_zone
from schedules.cutting_over.still import open_cut_overs, why_no_shadow
from schedules.models import RetryPolicy, Schedule
from schedules.rules.definition import Mode
from schedules.rules.manifest import Entry, Manifest
from schedules.rules.manifest.keys import POLICY_KEYS, SCHEDULE_KEYS, Key
from schedules.rules.manifest.nodes import Place, Problem

_PAUSE = ("paused_until", "pause_note")


class Fate(StrEnum):
    """What an apply does with one schedule or policy."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Change:
    """One key; `before` or `after` is None where it is left out, which means its default."""

    key: str
    before: Any
    after: Any


@dataclass(kw_only=True)
class Item:
    """One schedule or policy of the plan.

    `row` is as it was read, None where there is none; `before` is what it says, `values` what it is
    to say; `entry` is None where the manifest does not have it.
    """

    name: str
    fate: Fate
    entry: Entry | None = None
    values: Values = field(default_factory=dict)
    before: Values = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    row: Any = None
    is_policy: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    policies: tuple[Item, ...]
    schedules: tuple[Item, ...]

    def of(self, fate: Fate) -> list[Item]:
        """Policies first."""
        return [item for item in (*self.policies, *self.schedules) if item.fate == fate]

    @property
    def is_empty(self) -> bool:
        """Whether everything is as the manifest says."""
        return all(item.fate == Fate.UNCHANGED for item in (*self.policies, *self.schedules))


def make_plan(read: Manifest, problems: list[Problem], *, prune: str, now: datetime) -> Plan:
    """Adds to `problems` what the manifest gets wrong about the database. Two queries, three with shadows.

    `prune` is the tag of the schedules that the manifest is to have all of, "" for none.
    """
    problems += _outside(read, prune)
    policies = {policy.name: policy for policy in RetryPolicy.objects.all()}
    problems += _unknown_policies(read, policies)
    rows = _rows(read, prune)
    chosen = {entry.name: _row_for(entry, rows, problems) for entry in read.schedules.values()}
    problems += _run_by_nobody(read, chosen)
    items = [_schedule_item(entry, chosen[entry.name], now) for entry in read.schedules.values()]
    kept = {row.pk for row in chosen.values() if row is not None}
    gone = [row for row in rows.values() if prune and row.pk not in kept and prune in row.tags.split()]
    return Plan(
        policies=tuple(_policy_item(entry, policies.get(entry.name)) for entry in read.policies.values()),
        schedules=(*items, *(Item(name=row.name, fate=Fate.DELETED, row=row) for row in gone)),
    )


def described(row: Schedule, now: datetime) -> Values:
    """What the row says; nothing where no manifest can say it, so that everything counts as a change."""
    try:
        return describe(row, now=now)
    except ValueError:
        return {}


def _outside(read: Manifest, prune: str) -> Iterator[Problem]:
    """With a tag to prune, the manifest has to be about schedules with that tag, and about some."""
    if prune and not read.schedules:
        yield Problem(
            Place("the files"), f'There are no schedules here: pruning would delete all tagged "{prune}".'
        )
    for entry in read.schedules.values() if prune else ():
        if prune not in entry.values.get("tags", ()):
            text = f'"{entry.name}": It lacks the tag "{prune}", by which the rest is pruned.'
            yield Problem(entry.at("tags"), text)


def _unknown_policies(read: Manifest, policies: Mapping[str, RetryPolicy]) -> Iterator[Problem]:
    known = policies.keys() | read.policies.keys()
    for entry in read.schedules.values():
        wanted = entry.values.get("retry_policy")
        if wanted and wanted not in known:
            there_are = f"There are: {', '.join(sorted(known))}." if known else "There are none yet."
            text = f'"{entry.name}": There is no retry policy "{wanted}". {there_are}'
            yield Problem(entry.at("retry_policy"), text)


def _run_by_nobody(read: Manifest, chosen: Mapping[str, Schedule | None]) -> Iterator[Problem]:
    """Shadows whose lines are out of their crontabs, those included that are shadows already."""
    shadows = {
        row.pk: entry
        for entry in read.schedules.values()
        if entry.values.get("mode") == Mode.SHADOW and (row := chosen[entry.name]) is not None
    }
    for pk, cut_over in (open_cut_overs(shadows) if shadows else {}).items():
        entry = shadows[pk]
        yield Problem(entry.at("mode"), f'"{entry.name}": "mode": {why_no_shadow(cut_over)}')


def _rows(read: Manifest, prune: str) -> dict[str, Schedule]:
    """Live schedules by name: those that the manifest names or named formerly, and those with the tag."""
    rows = Schedule.objects.live().select_related(*RELATED).order_by("name")
    names = {*read.schedules, *(entry.values.get("formerly", "") for entry in read.schedules.values())}
    if len(names) < _FEW:
        rows = rows.filter(Q(name__in=names) | Q(tags__contains=prune) if prune else Q(name__in=names))
    return {row.name: row for row in rows}


_FEW = 500
"""Names that a query takes; SQLite has a limit to parameters. With more, all rows are read."""


def _row_for(entry: Entry, rows: Mapping[str, Schedule], problems: list[Problem]) -> Schedule | None:
    formerly = entry.values.get("formerly")
    row, old = rows.get(entry.name), rows.get(formerly) if formerly else None
    if row is not None and old is not None and row is not old:
        text = f'"{entry.name}": There are schedules of this name and of the former one, "{formerly}".'
        problems.append(Problem(entry.at("formerly"), text))
    return row or old


def _schedule_item(entry: Entry, row: Schedule | None, now: datetime) -> Item:
    values = with_zone({key: value for key, value in entry.values.items() if key != "formerly"})
    if row is None:
        return Item(name=entry.name, fate=Fate.CREATED, entry=entry, values=values)
    before = described(row, now)
    said = _said(values, before, entry, row)
    changes = tuple(_changes(before | {"name": row.name}, said | {"name": entry.name}, SCHEDULE_KEYS))
    return Item(
        name=entry.name,
        fate=Fate.CHANGED if changes else Fate.UNCHANGED,
        entry=entry,
        values=said,
        before=before,
        changes=changes,
        row=row,
    )


def _said(values: Values, before: Values, entry: Entry, row: Schedule) -> Values:
    """With what the manifest leaves to the moment: a pause, and that a one-off schedule had its run."""
    said = dict(values)
    if "paused_until" not in entry.places:
        said |= {key: before[key] for key in _PAUSE if key in before}
    had_its_run = row.one_off and not row.enabled and row.total_run_count > 0
    as_it_ran = said | {"enabled": False}
    if had_its_run and "enabled" not in entry.places and not any(_changes(before, as_it_ran, SCHEDULE_KEYS)):
        return as_it_ran
    return said


def _policy_item(entry: Entry, policy: RetryPolicy | None) -> Item:
    if policy is None:
        return Item(name=entry.name, fate=Fate.CREATED, entry=entry, values=entry.values, is_policy=True)
    before = describe_policy(policy)
    changes = tuple(_changes(before, entry.values, POLICY_KEYS))
    return Item(
        name=entry.name,
        fate=Fate.CHANGED if changes else Fate.UNCHANGED,
        entry=entry,
        values=entry.values,
        before=before,
        changes=changes,
        row=policy,
        is_policy=True,
    )


def _changes(before: Values, after: Values, keys: Sequence[Key]) -> Iterator[Change]:
    for name in ("name", *(key.name for key in keys)):
        if not _same(before.get(name), after.get(name)):
            yield Change(name, before.get(name), after.get(name))


def _same(left: Any, right: Any) -> bool:
    """Equal in JSON: to Python, 1 and True are equal too, and the order of variables is none."""
    if isinstance(left, dict) and isinstance(right, dict) and left.keys() != right.keys():
        return False
    return json.dumps(left) == json.dumps(right)
