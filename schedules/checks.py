"""Start-up checks: settings that would only fail later, at night. Each says what to do."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.checks import register as register_check

from schedules import conf
from schedules.production import settings as production_settings
from schedules.rules.production import Level

WAYS = ("shell", "allow-list", "off")


def check_settings(**_: Any) -> list[CheckMessage]:
    try:
        values = conf.current()
    except TypeError as error:
        return [Error(str(error), id="beatkeeper.E001", hint="See schedules/conf.py for the keys.")]
    return [
        *_check_commands(values),
        *_check_lease(values),
        *_check_transactions(),
    ]


def _check_commands(values: conf.Conf) -> list[CheckMessage]:
    if values.commands not in WAYS:
        hint = f"Use one of: {', '.join(WAYS)}."
        return [Error(f'BEATKEEPER_COMMANDS is "{values.commands}".', id="beatkeeper.E002", hint=hint)]
    if values.commands == "allow-list" and not values.allowed_commands_file:
        hint = "Name a file with one command a line in BEATKEEPER_ALLOWED_COMMANDS_FILE."
        return [Error("The allow-list of commands has no file.", id="beatkeeper.E003", hint=hint)]
    return []


def _check_lease(values: conf.Conf) -> list[CheckMessage]:
    if values.lease_seconds >= 2 * values.heartbeat_seconds > 0:
        return []
    return [
        Error(
            f"A lease of {values.lease_seconds} s is too short for a heartbeat of "
            f"{values.heartbeat_seconds} s.",
            id="beatkeeper.E004",
            hint="Live workers would be called lost. Make the lease at least twice the heartbeat.",
        )
    ]


def _check_transactions() -> list[CheckMessage]:
    database = settings.DATABASES["default"]
    if not database["ENGINE"].endswith("sqlite3"):
        return []
    if database.get("OPTIONS", {}).get("transaction_mode") == "IMMEDIATE":
        return []
    return [
        Error(
            "SQLite transactions are not IMMEDIATE.",
            id="beatkeeper.E005",
            hint='Set OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 20} in DATABASES.',
        )
    ]


def check_deployment(**_: Any) -> list[CheckMessage]:
    """What `check_production` says of the settings, as Django words it: `manage.py check --deploy`."""
    findings = [each for each in production_settings.look() if each.level != Level.OK]
    return [
        (Error if each.level == Level.ERROR else Warning)(
            f"{each.what} {each.why}", hint=each.do, id=f"beatkeeper.{each.code}"
        )
        for each in findings
    ]


def register() -> None:
    register_check(check_settings)
    register_check(check_deployment, deploy=True)
