"""The keys of a manifest: what each takes, its default, and which of them go together.

Their order is the order in which they are written. How a value is read is in `manifest.values`, which
column it stands for in `applying.rows`. Called by `manifest`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from schedules.errors import InvalidSchedule, TimingError
from schedules.rules import delivery, retry, timing
from schedules.rules.cron.clock import Gap, Repeat, zone
from schedules.rules.cron.expression import Dialect
from schedules.rules.definition import Background, CatchUp, Delivery, Kind, Mode, OnWorkerLost, Overlap
from schedules.rules.manifest.nodes import Entries, Items, Node, Place, Problem, Scalar
from schedules.rules.manifest.values import (
    NONE,
    Reader,
    Unfit,
    choice,
    crontab_row,
    days,
    factor,
    flag,
    interval,
    json_list,
    json_object,
    length,
    length_or_none,
    lengths,
    moment,
    moment_or_forever,
    sun,
    text,
    variables,
    whole,
    whole_length,
    words,
)


@dataclass(frozen=True, slots=True)
class Key:
    """`default` is what leaving the key out means; it is never written."""

    name: str
    read: Reader
    default: Any = ""


def _rules(node: Node) -> list[dict[str, str]]:
    """Of a retry policy, in order."""
    if not isinstance(node, Items):
        raise Unfit(node.place, "It has to be a list of rules.")
    return [_rule(item) for item in node.items]


def _rule(node: Node) -> dict[str, str]:
    if not isinstance(node, Entries):
        raise Unfit(node.place, 'A rule is {condition: exit_code, value: "75", verdict: retry}.')
    found: dict[str, str] = {}
    for key, value in node.entries:
        if key.text not in _RULE:
            raise Unfit(key.place, unknown(key.text, _RULE))
        found[key.text] = _RULE[key.text](value)
    if not {"condition", "verdict"} <= found.keys():
        raise Unfit(node.place, "A rule needs a condition and a verdict.")
    rule = retry.Rule(
        condition=retry.Condition(found["condition"]),
        value=found.get("value", ""),
        verdict=retry.Verdict(found["verdict"]),
    )
    if complaint := retry.check(rule):
        raise Unfit(node.place, f"{complaint}.")
    return {name: found[name] for name in _RULE if found.get(name)}


_RULE: Mapping[str, Reader] = {
    "condition": choice(*retry.Condition),
    "value": text,
    "verdict": choice(*retry.Verdict),
}

_LARGEST = 2**31 - 1
"""What a database's integer holds."""

SCHEDULE_KEYS = (
    Key("formerly", text),
    Key("description", text),
    Key("tags", words, []),
    Key("enabled", flag, True),
    Key("mode", choice(*Mode), Mode.LIVE.value),
    Key("cron", text),
    Key("dialect", choice(*Dialect), Dialect.CRON.value),
    Key("every", interval),
    Key("at", moment),
    Key("solar", sun),
    Key("crontab", crontab_row, None),
    Key("timezone", text),
    Key("gap", choice(*Gap)),
    Key("repeat", choice(*Repeat)),
    Key("starts_at", moment),
    Key("ends_at", moment),
    Key("one_off", flag, False),
    Key("command", text, None),
    Key("stdin", text, None),
    Key("environment", variables, {}),
    Key("working_directory", text),
    Key("run_as", text),
    Key("shell", text),
    Key("background", choice(*Background), Background.KILL.value),
    Key("task", text),
    Key("args", json_list, []),
    Key("kwargs", json_object, {}),
    Key("headers", json_object, {}),
    Key("delivery", choice(*Delivery), Delivery.RUN.value),
    Key("queue", text),
    Key("exchange", text),
    Key("routing_key", text),
    Key("priority", whole(0, 255), None),
    Key("retry_policy", text),
    Key("overlap", choice(*Overlap), Overlap.ALLOW.value),
    Key("catch_up", choice(*CatchUp), CatchUp.LATEST.value),
    Key("catch_up_window", length),
    Key("start_deadline", whole_length),
    Key("timeout", length),
    Key("kill_grace", length, "10s"),
    Key("memory_limit", whole(1, _LARGEST, unit="MiB"), None),
    Key("cpu_limit", whole(1, _LARGEST, unit="seconds"), None),
    Key("file_size_limit", whole(0, _LARGEST, unit="MiB"), None),
    Key("on_worker_lost", choice(*OnWorkerLost), OnWorkerLost.LOST.value),
    Key("paused_until", moment_or_forever),
    Key("pause_note", text),
    Key("keep_days", days, None),
    Key("keep_failed_days", days, None),
    Key("keep_runs", whole(0, 1_000_000), None),
    Key("mail_to", text),
    Key("mail_from", text),
)
POLICY_KEYS = (
    Key("description", text),
    Key("max_attempts", whole(1, 1000), 3),
    Key("delays", lengths, []),
    Key("initial_interval", length, "30s"),
    Key("backoff_coefficient", factor, 2),
    Key("maximum_interval", length_or_none, "1h"),
    Key("jitter", choice(*retry.Jitter), retry.Jitter.NONE.value),
    Key("give_up_after", length_or_none, NONE),
    Key("rules", _rules, []),
)

_MOST_NAMED = 12
"""Keys that a message lists."""
TIMINGS = ("cron", "every", "at", "solar", "crontab")
"""At most one of them; none means by hand."""
CRON_ONLY = ("dialect", "gap", "repeat")
LIMITS = ("memory_limit", "cpu_limit", "file_size_limit")
COMMAND_ONLY = ("stdin", "environment", "working_directory", "run_as", "shell", "background", *LIMITS)
TASK_ONLY = ("args", "kwargs", "headers", "delivery")


def read_keys(
    node: Entries, keys: Collection[Key], problems: list[Problem]
) -> tuple[dict[str, Any], dict[str, Place]]:
    """Canonical values without defaults, in the order of `keys`, and the place of each key given."""
    known = {key.name: key for key in keys}
    values: dict[str, Any] = {}
    places: dict[str, Place] = {}
    for name, value in node.entries:
        if name.text not in known:
            problems.append(Problem(name.place, unknown(name.text, known)))
            continue
        places[name.text] = name.place
        key = known[name.text]
        if key.default is None and isinstance(value, Scalar) and value.is_missing:
            problems.append(Problem(value.place, f'"{name.text}" has no value. Leave the key out.'))
            continue
        try:
            values[name.text] = key.read(value)
        except Unfit as error:
            problems.append(Problem(error.place, f'"{name.text}": {error.text}'))
    return without_defaults(values, keys), places


def without_defaults(values: Mapping[str, Any], keys: Collection[Key]) -> dict[str, Any]:
    """In the order of `keys`."""
    return {key.name: values[key.name] for key in keys if values.get(key.name, key.default) != key.default}


def unfit_together(values: Mapping[str, Any], places: Mapping[str, Place], place: Place) -> Iterator[Problem]:
    """Keys of one schedule that exclude or need each other."""
    given = [name for name in TIMINGS if name in places]
    for name in given[1:]:
        yield Problem(places[name], f'"{name}" and "{given[0]}" both say when it runs. Keep one of them.')
    for name in CRON_ONLY:
        if name in places and "cron" not in places:
            yield Problem(places[name], f'"{name}" belongs to "cron", which is not there.')
    has_command, has_task = "command" in places, "task" in places
    if has_command and has_task:
        yield Problem(places["task"], '"command" and "task" both say what it runs. Keep one of them.')
    elif not has_command and not has_task:
        yield Problem(place, 'Nothing says what it runs. Give a "command" or a "task".')
    wrong = TASK_ONLY if has_command else COMMAND_ONLY if has_task else ()
    for name in wrong:
        if name in places:
            yield Problem(places[name], f'"{name}" is for {"tasks" if has_command else "commands"} only.')
    if values.get("delivery") == Delivery.MESSAGE and has_task:
        yield from _misfits(values, places)
    if "one_off" in places and "at" in places:
        yield Problem(places["one_off"], 'A moment ("at") is one-off anyway. Leave "one_off" out.')
    if "ends_at" in places and "start_deadline" in places:
        yield Problem(places["start_deadline"], 'django-celery-beat cannot store it together with "ends_at".')
    if "pause_note" in places and "paused_until" not in places:
        yield Problem(places["pause_note"], '"pause_note" belongs to "paused_until", which is not there.')


def _misfits(values: Mapping[str, Any], places: Mapping[str, Place]) -> Iterator[Problem]:
    found = delivery.misfits(
        kind=Kind.TASK,
        retries="retry_policy" in values,
        overlap=values.get("overlap", Overlap.ALLOW),
        timeout="timeout" in values,
        on_worker_lost=values.get("on_worker_lost", OnWorkerLost.LOST),
        exchange=values.get("exchange", ""),
        routing_key=values.get("routing_key", ""),
    )
    for name, complaint in found:
        yield Problem(places[name], f'"{name}" does not fit "delivery: message". {complaint}')


def drop_unusable_timing(values: dict[str, Any], places: Mapping[str, Place], name: str) -> Iterator[Problem]:
    """What the engine refuses, which is then no longer in `values`. `name` is the schedule's."""
    try:
        zone(values.get("timezone", "UTC"))
    except TimingError as error:
        yield Problem(places["timezone"], f'"timezone": {_sentence(error)}')
        del values["timezone"]
    if "cron" not in values:
        return
    given = {key: values.get(key, "") for key in ("gap", "repeat")}
    dialect = values.get("dialect", Dialect.CRON.value)
    try:
        timing.from_cron_text(values["cron"], values.get("timezone", "UTC"), dialect, seed=name, **given)
    except InvalidSchedule as error:
        yield Problem(places["cron"], f'"cron": {_sentence(error)}')
        del values["cron"]


def unknown(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1)
    if near:
        hint = f'Did you mean "{near[0]}"?'
    elif len(known) > _MOST_NAMED:
        hint = "docs/cli.md lists them."
    else:
        hint = f"Known are: {', '.join(known)}."
    return f'The key "{name}" is not known. {hint}'


def _sentence(error: Exception) -> str:
    text = str(error)
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?")) else f"{text}."
