"""The plan of an apply for people, like a diff, and for scripts. Values of variables are never shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from schedules.applying.flow import Fate, Item, Plan
from schedules.applying.plan import Change
from schedules.management.output import printable
from schedules.rules.manifest.keys import POLICY_KEYS, SCHEDULE_KEYS, TIMINGS

LONGEST = 100
"""Characters of one value; the rest of a line would hide what changed beside it."""
MOST_SHOWN = 60

_SECRET = ("environment", "stdin")
_DEFAULTS = {key.name: key.default for key in (*POLICY_KEYS, *SCHEDULE_KEYS)}


def plan_text(plan: Plan, *, dry_run: bool, tag: str, width: int | None) -> str:
    titles = {
        Fate.CREATED: ("To create", "Created"),
        Fate.CHANGED: ("To change", "Changed"),
        Fate.DELETED: (f'To delete, tagged "{tag}" and not in the files', "Deleted"),
    }
    parts = [
        _section(title[not dry_run], plan.of(fate), width) for fate, title in titles.items() if plan.of(fate)
    ]
    return "\n\n".join([*parts, _summary(plan, dry_run=dry_run)])


def plan_shape(plan: Plan, *, dry_run: bool) -> dict[str, Any]:
    return {
        **{fate.value: [_shape(item) for item in plan.of(fate)] for fate in Fate},
        "dry_run": dry_run,
        "applied": not dry_run,
    }


def _shape(item: Item) -> dict[str, Any]:
    return {
        "kind": _kind(item),
        "name": item.name,
        **({"changes": [_change_shape(one) for one in item.changes]} if item.changes else {}),
    }


def _change_shape(change: Change) -> dict[str, Any]:
    if change.key in _SECRET:
        return {"key": change.key}
    return {"key": change.key, "before": change.before, "after": change.after}


def _section(title: str, items: list[Item], width: int | None) -> str:
    lines = [f"{title} ({len(items):,})"]
    for item in items[:MOST_SHOWN]:
        lines += _item_lines(item)
    if len(items) > MOST_SHOWN:
        lines.append(f"  ... and {len(items) - MOST_SHOWN:,} more; --json lists all")
    return "\n".join(line if width is None else line[:width] for line in lines)


def _item_lines(item: Item) -> Iterator[str]:
    mark = {Fate.CREATED: "+", Fate.DELETED: "-"}.get(item.fate, "~")
    what = "retry policy " if _kind(item) == "retry_policy" else ""
    words = _in_short(item.values) if item.fate == Fate.CREATED else ""
    yield f"  {mark} {what}{printable(item.name)}{f'  {words}' if words else ''}"
    yield from (f"      {_change_text(change)}" for change in item.changes)


def _in_short(values: Mapping[str, Any]) -> str:
    """When a new schedule runs, and what."""
    timing = next((f"{key}: {_value(values[key])}" for key in TIMINGS if key in values), "")
    work = next((f"{key}: {_value(values[key])}" for key in ("command", "task") if key in values), "")
    return "  ".join(part for part in (timing, work) if part)


def _change_text(change: Change) -> str:
    if change.key == "environment":
        return f"environment: {_variables(change.before or {}, change.after or {})}"
    if change.key in _SECRET:
        return f"{change.key}: changed"
    return (
        f"{change.key}: {_or_default(change.key, change.before)} -> {_or_default(change.key, change.after)}"
    )


def _variables(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Names alone: values may be secrets."""
    found = [f"+{name}" for name in after if name not in before]
    found += [f"-{name}" for name in before if name not in after]
    found += [name for name in after if name in before and after[name] != before[name]]
    return printable(", ".join(found)) or "order"


def _or_default(key: str, value: Any) -> str:
    if value is not None:
        return _value(value)
    default = _DEFAULTS.get(key)
    return _value(default) if default not in (None, "", [], {}) else "(none)"


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = printable(text) or '""'
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def _kind(item: Item) -> str:
    return "retry_policy" if item.is_policy else "schedule"


def _summary(plan: Plan, *, dry_run: bool) -> str:
    if plan.is_empty:
        return f"Nothing to do: all {len(plan.of(Fate.UNCHANGED)):,} are as the files say."
    words = {fate: f"to {verb}" if dry_run else fate.value for fate, verb in _VERBS.items()}
    counts = ", ".join(f"{len(plan.of(fate)):,} {words[fate]}" for fate in _VERBS)
    said = f"{counts}, {len(plan.of(Fate.UNCHANGED)):,} unchanged"
    return f"Nothing was applied (dry run): {said}." if dry_run else f"Applied: {said}."


_VERBS = {Fate.CREATED: "create", Fate.CHANGED: "change", Fate.DELETED: "delete"}
