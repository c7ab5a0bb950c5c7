"""What the parts of `check_production` find, by code, and the rows that they look at."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from schedules.models import Beat
from schedules.production import fleet as production_fleet
from schedules.production import runs as production_runs
from schedules.production import settings as production_settings
from schedules.querysets import database_now
from schedules.rules.production import Finding, Level

ROOT = Path(__file__).parent.parent.parent
FACTS = {"tzdata": "2026f", "python": "3.12.1", "celery": "5.7.0", "beatkeeper": "0.1.0", "skew": 0.1}


def make_beat(name="celerybeat@a", **columns):
    now = database_now()
    given = {"host": "a", "pid": 1, "started_at": now, "seen_at": now, "parts": {}, "facts": FACTS} | columns
    return Beat.objects.create(name=name, **given)


def by_code(found: Iterable[Finding]) -> dict[str, Finding]:
    return {each.code: each for each in found}


def levels(found: Iterable[Finding]) -> dict[str, Level]:
    return {each.code: each.level for each in found}


def error_in(found: dict[str, Finding], code: str) -> Finding:
    assert found[code].level == Level.ERROR
    return found[code]


def warning_in(found: dict[str, Finding], code: str) -> Finding:
    assert found[code].level == Level.WARNING
    return found[code]


def fleet() -> dict[str, Finding]:
    return by_code(production_fleet.look(production_fleet.Snapshot(database_now())))


def runs() -> dict[str, Finding]:
    return by_code(production_runs.look(database_now()))


def static() -> dict[str, Finding]:
    return by_code(production_settings.look())
