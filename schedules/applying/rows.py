"""Between rows and the canonical values of a manifest: schedules and retry policies, both ways.

What a person owns is there; what Beatkeeper keeps for itself is not: next run, counts, where a schedule
was imported from, a pause that is over. Called by `applying` and the command `export_schedules`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule

from schedules import revisions
from schedules.errors import BeatkeeperError
from schedules.models import RetryPolicy, Schedule
from schedules.models.schedule import COMMAND_TASK, FOREVER, reserved_interval
from schedules.rules import when
from schedules.rules.definition import Kind
from schedules.rules.manifest import values as manifest_values
from schedules.rules.manifest.keys import LIMITS, POLICY_KEYS, SCHEDULE_KEYS, Key, without_defaults
from schedules.rules.manifest.values import NONE, plain_number, read_length, write_length, write_moment

RELATED = ("interval", "crontab", "clocked", "solar", "retry_policy", "revision")

_TEXTS = (
    *("description", "mode", "delivery", "timezone", "overlap"),
    *("catch_up", "on_worker_lost", "mail_to", "mail_from"),
)
_MAYBE_NULL = ("queue", "exchange", "routing_key")
_NUMBERS = ("keep_days", "keep_failed_days", "keep_runs")
_COMMAND_TEXTS = ("working_directory", "run_as", "shell", "background")
_CRON_TEXTS = ("dialect", "gap", "repeat")
_JSON = ("args", "kwargs", "headers")
_LENGTHS = {
    "catch_up_window": "catch_up_window",
    "start_deadline": "expire_seconds",
    "timeout": "timeout",
    "kill_grace": "kill_grace",
}
_MOMENTS = {"starts_at": "start_time", "ends_at": "expires"}
_CRONTAB = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
_POLICY_LENGTHS = ("initial_interval", "maximum_interval", "give_up_after")

COLUMNS = frozenset(
    (
        *_TEXTS,
        *_MAYBE_NULL,
        *_NUMBERS,
        *_COMMAND_TEXTS,
        *LIMITS,
        *_CRON_TEXTS,
        *_JSON,
        *_LENGTHS.values(),
        *_MOMENTS.values(),
        *(
            "name",
            "enabled",
            "one_off",
            "priority",
            "kind",
            "cron",
            "task",
            "command",
            "stdin",
            "environment",
        ),
        *("tags", "retry_policy", "paused_until", "pause_note", "interval", "crontab", "clocked", "solar"),
    )
)
"""The fields, of both tables, that `put` sets; the name is the caller's."""

KEY_OF_COLUMN = {
    **{column: key for key, column in (_LENGTHS | _MOMENTS).items()},
    **dict.fromkeys(_CRONTAB, "crontab"),
    "period": "every",
    "clocked_time": "at",
    **dict.fromkeys(("event", "latitude", "longitude"), "solar"),
}
"""Where the words differ, the columns of shared timing rows included."""

Values = dict[str, Any]


@dataclass(frozen=True)
class Described:
    """Canonical values by name; `left_out` says why a schedule cannot be described."""

    policies: dict[str, Values] = field(default_factory=dict)
    schedules: dict[str, Values] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def describe_all(rows: Iterable[Schedule], policies: Iterable[RetryPolicy], *, now: datetime) -> Described:
    """Schedules whose definition cannot be used are left out: a manifest holds only what can be applied."""
    found = Described({policy.name: describe_policy(policy) for policy in policies})
    for row in rows:
        try:
            revisions.definition_of(row)
            found.schedules[row.name] = describe(row, now=now)
        except (BeatkeeperError, ValueError) as error:
            found.left_out[row.name] = str(error)
    return found


def describe(row: Schedule, *, now: datetime) -> Values:
    """Raises ValueError where the row holds what no manifest can: NaN, or JSON that is none."""
    values: Values = {name: getattr(row, name) or "" for name in (*_TEXTS, *_MAYBE_NULL)}
    values |= {"enabled": row.enabled, "one_off": row.one_off, "tags": list(dict.fromkeys(row.tags.split()))}
    values |= {key: _length(getattr(row, column)) for key, column in _LENGTHS.items()}
    values |= {key: _moment(getattr(row, column)) for key, column in _MOMENTS.items()}
    values |= {"priority": row.priority, "retry_policy": row.retry_policy.name if row.retry_policy else ""}
    values |= {name: _number(getattr(row, name)) for name in _NUMBERS}
    values |= _timing(row) | _work(row)
    if row.paused_until is not None and row.is_paused(now):
        forever = row.paused_until == FOREVER
        values["paused_until"] = manifest_values.FOREVER if forever else write_moment(row.paused_until)
        values["pause_note"] = row.pause_note
    return without_defaults(values, SCHEDULE_KEYS)


def describe_policy(policy: RetryPolicy) -> Values:
    values: Values = {key.name: getattr(policy, key.name) for key in POLICY_KEYS}
    values["delays"] = [write_length(delay) for delay in policy.delays]
    values["backoff_coefficient"] = plain_number(policy.backoff_coefficient)
    values |= {name: NONE if values[name] is None else write_length(values[name]) for name in _POLICY_LENGTHS}
    values["rules"] = [
        {name: str(rule[name]) for name in ("condition", "value", "verdict") if rule.get(name)}
        for rule in policy.rules
    ]
    return without_defaults(values, POLICY_KEYS)


class SharedTimings:
    """Rows of intervals, crontabs and moments, which schedules share: one is found or made, none is edited.

    For one transaction: each row is looked up once.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Any] = {}

    def reserved(self) -> IntervalSchedule:
        """What stands for a timing of our own."""
        key = (reserved_interval,)
        if key not in self._known:
            self._known[key] = reserved_interval()
        row: IntervalSchedule = self._known[key]
        return row

    def find(self, model: Any, **columns: Any) -> Any:
        """Raises ValidationError for what django-celery-beat does not store."""
        key = (model, *sorted(columns.items()))
        if key not in self._known:
            fresh = model(**columns)
            fresh.clean_fields()
            found = model.objects.filter(**columns).order_by("pk").first()
            if found is None:
                fresh.save()
            self._known[key] = found or fresh
        return self._known[key]


def put(
    row: Schedule, values: Mapping[str, Any], policies: Mapping[str, RetryPolicy], timings: SharedTimings
) -> None:
    """Sets every column that the canonical values decide.

    A pause is left alone unless the values speak of one.
    """
    of = _complete(values, SCHEDULE_KEYS)
    for name in (*_TEXTS, *_NUMBERS, "enabled", "one_off", "priority"):
        setattr(row, name, of[name])
    for name in _MAYBE_NULL:
        setattr(row, name, of[name] or None)
    for key, column in _LENGTHS.items():
        setattr(row, column, read_length(of[key]) if of[key] else None)
    for key, column in _MOMENTS.items():
        setattr(row, column, datetime.fromisoformat(of[key]) if of[key] else None)
    row.tags = " ".join(of["tags"])
    row.retry_policy = policies[of["retry_policy"]] if of["retry_policy"] else None
    if of["paused_until"]:
        forever = of["paused_until"] == manifest_values.FOREVER
        row.paused_until = FOREVER if forever else datetime.fromisoformat(of["paused_until"])
        row.pause_note = of["pause_note"]
    _put_work(row, of)
    _put_timing(row, of, timings)


def put_policy(policy: RetryPolicy, values: Mapping[str, Any]) -> None:
    of = _complete(values, POLICY_KEYS)
    for name in ("description", "max_attempts", "backoff_coefficient", "jitter"):
        setattr(policy, name, of[name])
    policy.delays = [plain_number(read_length(delay)) for delay in of["delays"]]
    for name in _POLICY_LENGTHS:
        setattr(policy, name, None if of[name] == NONE else read_length(of[name]))
    policy.rules = [{"value": "", **rule} for rule in of["rules"]]


def with_zone(values: Mapping[str, Any]) -> Values:
    """The installation's zone where a timing needs one and none is named."""
    filled = dict(values)
    if "cron" in values and "timezone" not in values:
        filled["timezone"] = settings.TIME_ZONE
    if "crontab" in values:
        filled["crontab"] = {
            **values["crontab"],
            "timezone": values["crontab"].get("timezone", settings.TIME_ZONE),
        }
    return without_defaults(filled, SCHEDULE_KEYS)


def _complete(values: Mapping[str, Any], keys: Iterable[Key]) -> Values:
    return {key.name: values.get(key.name, key.default) for key in keys}


def _timing(row: Schedule) -> Values:
    if row.has_own_timing:
        return {name: getattr(row, name) for name in ("cron", *_CRON_TEXTS)} if row.cron else {}
    if row.crontab is not None:
        fields = {name: getattr(row.crontab, name) for name in _CRONTAB}
        given = {name: text for name, text in fields.items() if text != "*"}
        return {"crontab": given | {"timezone": str(row.crontab.timezone)}}
    if row.interval is not None:
        every = when.write(when.Every(row.interval.every, row.interval.period), timezone="UTC")
        return {"every": every.removeprefix("every ")}
    if row.clocked is not None:
        return {"at": write_moment(row.clocked.clocked_time), "one_off": False}  # goes without saying
    if row.solar is not None:
        place = float(row.solar.latitude), float(row.solar.longitude)
        return {"solar": when.write(when.Sun(row.solar.event, *place), timezone="UTC")}
    raise ValueError("It has no timing: none of interval, crontab, clocked and solar is set.")


def _work(row: Schedule) -> Values:
    if row.kind == Kind.TASK:
        return {"task": row.task} | {name: _json(getattr(row, name)) for name in _JSON if getattr(row, name)}
    work = {name: getattr(row, name) for name in ("command", "stdin", *_COMMAND_TEXTS, *LIMITS)}
    return work | {"environment": dict(row.environment)}


def _json(text: str) -> Any:
    value = json.loads(text)
    json.dumps(value, allow_nan=False)
    return value


def _length(seconds: float | None) -> str:
    return "" if seconds is None else write_length(seconds)


def _number(number: float | None) -> float | None:
    return None if number is None else plain_number(number)


def _moment(at: datetime | None) -> str:
    return "" if at is None else write_moment(at)


def _put_work(row: Schedule, of: Mapping[str, Any]) -> None:
    row.kind = (Kind.TASK if of["task"] else Kind.COMMAND).value
    row.task, row.command, row.stdin = of["task"] or COMMAND_TASK, of["command"] or "", of["stdin"]
    row.environment = [[name, value] for name, value in of["environment"].items()]
    for name in (*_COMMAND_TEXTS, *LIMITS):
        setattr(row, name, of[name])
    for name in _JSON:
        setattr(row, name, json.dumps(of[name], ensure_ascii=False))


def _put_timing(row: Schedule, of: Mapping[str, Any], timings: SharedTimings) -> None:
    for name in ("cron", *_CRON_TEXTS):
        setattr(row, name, of[name])
    row.interval = row.crontab = row.clocked = row.solar = None
    if of["every"]:
        every = when.read(f"every {of['every']}", timezone="UTC")
        assert isinstance(every, when.Every)
        row.interval = timings.find(IntervalSchedule, every=every.count, period=every.unit)
    elif of["at"]:
        row.one_off = True  # by its nature
        row.clocked = timings.find(ClockedSchedule, clocked_time=datetime.fromisoformat(of["at"]))
    elif of["solar"]:
        sun = when.read(of["solar"], timezone="UTC")
        assert isinstance(sun, when.Sun)
        place = {name: Decimal(f"{getattr(sun, name):.6f}") for name in ("latitude", "longitude")}
        row.solar = timings.find(SolarSchedule, event=sun.event, **place)
    elif of["crontab"] is not None:
        fields = {name: of["crontab"].get(name, "*") for name in _CRONTAB}
        row.crontab = timings.find(CrontabSchedule, timezone=of["crontab"]["timezone"], **fields)
    else:
        row.interval = timings.reserved()
