"""A manifest becomes the state of the database: all of it in one transaction, or nothing.

As in `catalog`, what is due is settled under the old revision first, and nothing fires because of an
edit; only that many rows are changed at once, each to something else. Files are read in
`rules.manifest`, the plan is made in `applying.plan`. Called by the command `apply_schedules`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django_celery_beat.models import PeriodicTask

from schedules import catalog, events, occurrences, revisions
from schedules.applying.plan import Fate, Item, Plan, described, make_plan
from schedules.applying.rows import (
    COLUMNS,
    KEY_OF_COLUMN,
    SharedTimings,
    Values,
    describe_policy,
    put,
    put_policy,
)
from schedules.errors import BeatkeeperError, CronError, ManifestRefused, NotPossible
from schedules.models import RetryPolicy, Schedule
from schedules.querysets import database_now
from schedules.rules import manifest
from schedules.rules.manifest.keys import TIMINGS
from schedules.rules.manifest.nodes import Problem
from schedules.sql import bulk

__all__ = ["Fate", "Item", "Plan", "apply"]

_NOT_CHECKED = (
    *("periodictask_ptr", "interval", "crontab", "clocked", "solar", "retry_policy", "revision"),
    *("anchor_at", "source_key"),
)
_MEANWHILE = "Nothing was applied: {} at the same moment. Apply again."

Policies = Mapping[str, RetryPolicy]


def apply(files: Sequence[tuple[str, bytes]], *, by: str, prune: str = "", dry_run: bool = False) -> Plan:
    """Carries out what the files say, or only plans it; `files` are names and contents.

    `prune` is a tag: its schedules that the files do not have are deleted, softly. Raises
    ManifestRefused for what is wrong with the files, NotPossible where somebody edited meanwhile.
    """
    read, problems = manifest.read(files)
    note = f"applied from {', '.join(name for name, _ in files)}"[:255]
    try:
        with transaction.atomic():
            timings = SharedTimings()
            plan = make_plan(read, problems, prune=prune, now=database_now())
            problems += _complaints(plan, timings)
            if problems:
                raise ManifestRefused(*map(str, sorted(problems)))
            if dry_run:
                transaction.set_rollback(True)  # the checks made rows of timings
            else:
                _write(plan, timings, by=by, note=note)
    except IntegrityError as error:
        if "name" not in str(error):  # nothing else is unique that a manifest chooses
            raise
        raise NotPossible(_MEANWHILE.format("somebody created what has the same names")) from error
    return plan


def _complaints(plan: Plan, timings: SharedTimings) -> Iterator[Problem]:
    """What only the tables and the engine know: lengths of columns, expressions, zones, queues."""
    policies = {policy.name: policy for policy in RetryPolicy.objects.all()}
    for item in plan.policies:
        policy = policies.setdefault(item.name, RetryPolicy(name=item.name))
        put_policy(policy, item.values)
        yield from _refusals(item, partial(policy.full_clean, validate_unique=False))
    for item in plan.schedules:
        if item.fate in (Fate.CREATED, Fate.CHANGED):
            row = copy.copy(item.row) if item.row is not None else Schedule()
            row.name = item.name
            values = _without_unknown_policy(item.values, policies)
            for check in (
                partial(put, row, values, policies, timings),
                partial(catalog.check, row),
                partial(row.clean_fields, exclude=_NOT_CHECKED),
            ):
                yield from _refusals(item, check)


def _without_unknown_policy(values: Values, policies: Policies) -> Values:
    """The plan has complained of it already; the rest is to be checked all the same."""
    if values.get("retry_policy", "") in {"", *policies}:
        return values
    return {key: value for key, value in values.items() if key != "retry_policy"}


def _refusals(item: Item, check: Callable[[], object]) -> Iterator[Problem]:
    assert item.entry is not None
    try:
        check()
    except ValidationError as error:
        for column, texts in _by_column(error).items():
            key = KEY_OF_COLUMN.get(column, column)
            yield from (Problem(item.entry.at(key), f'"{item.name}": "{key}": {text}') for text in texts)
    except BeatkeeperError as error:
        text = str(error) if str(error).endswith((".", "?")) else f"{error}."
        yield Problem(item.entry.at(_key_of(error, item)), f'"{item.name}": {text}')


def _by_column(error: ValidationError) -> dict[str, list[str]]:
    return error.message_dict if hasattr(error, "error_dict") else {"name": error.messages}


def _key_of(error: BeatkeeperError, item: Item) -> str:
    """The key at which a refusal is shown: where the timing stands, where it is the timing's."""
    given = [key for key in TIMINGS if key in item.values]
    return given[0] if given and isinstance(error, CronError) else ""


def _write(plan: Plan, timings: SharedTimings, *, by: str, note: str) -> None:
    changed = {item.row.pk: item for item in plan.schedules if item.fate == Fate.CHANGED}
    stale = [item.row for item in plan.policies if item.fate == Fate.CHANGED]
    users = set(Schedule.objects.live().filter(retry_policy__in=stale).values_list("pk", flat=True))
    rows, now = _locked({*changed, *users}, plan, by=by)
    policies = _write_policies(plan)
    for row in rows:
        if row.pk in changed:
            row.name = changed[row.pk].name
            put(row, changed[row.pk].values, policies, timings)
    _update([row for row in rows if row.pk in changed])
    for row in revisions.apply(Schedule.objects.lock([row.pk for row in rows]), by=by, note=note, now=now):
        events.schedule_changed(row, by=by)
    created = [_new(item, policies, timings) for item in plan.schedules if item.fate == Fate.CREATED]
    catalog.create_many(created, by=by, note=note)
    catalog.delete([item.row.pk for item in plan.schedules if item.fate == Fate.DELETED], by=by)


def _update(rows: Sequence[Schedule]) -> None:
    """Both tables, a fixed number of statements; what beat keeps in them stays."""
    for model in (PeriodicTask, Schedule):
        own = [field.attname for field in model._meta.local_concrete_fields if field.name in COLUMNS]
        given = [{"pk": row.pk} | {name: getattr(row, name) for name in own} for row in rows]
        bulk.update(model, given, using=Schedule.objects.db)


def _locked(pks: set[int], plan: Plan, *, by: str) -> tuple[list[Schedule], datetime]:
    """The rows, with what is due settled, provided that they are still what the plan was made for."""
    rows, now = occurrences.lock_settled(pks, by=by)
    names = {item.row.pk: item for item in plan.schedules if item.fate == Fate.CHANGED}
    for row in rows:
        item = names.get(row.pk)
        if item and (row.is_deleted, row.name, described(row, now)) != (False, item.row.name, item.before):
            raise NotPossible(_MEANWHILE.format(f'somebody, or a run that became due, changed "{row.name}"'))
    return rows, now


def _write_policies(plan: Plan) -> dict[str, RetryPolicy]:
    policies = {policy.name: policy for policy in RetryPolicy.objects.select_for_update().order_by("pk")}
    for item in plan.policies:
        if item.fate == Fate.UNCHANGED:
            continue
        policy = policies.setdefault(item.name, RetryPolicy(name=item.name))
        if policy.pk and describe_policy(policy) != item.before:
            raise NotPossible(_MEANWHILE.format(f'somebody changed the retry policy "{item.name}"'))
        put_policy(policy, item.values)
        policy.save()
    return policies


def _new(item: Item, policies: Policies, timings: SharedTimings) -> Schedule:
    row = Schedule(name=item.name)
    put(row, item.values, policies, timings)
    return row
