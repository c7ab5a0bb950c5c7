"""Is this installation fit for production? Looks at everything once and says what to do.

Called by `manage.py check_production`. Each part is looked at by a module of this package; here it is seen to
that a part which fails, or never answers, becomes a finding and does not stop the others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from django.conf import settings
from django.core import checks
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection

from schedules.production import broker, database, fleet, runs, waiting
from schedules.production import settings as production_settings
from schedules.production.broker import Fleet
from schedules.querysets import database_now
from schedules.rules.production import MANAGE, Finding, Level, error, some, warning

BROKER_SECONDS = 20.0


def look() -> list[Finding]:
    """Every finding, in the order in which they were looked for. Takes seconds; raises nothing."""
    found = [*_guarded("settings", production_settings.look), *_guarded("django", django_checks)]
    asked = Fleet()
    said = _database()
    found += said
    if not _is_away(said):
        snapshot = fleet.Snapshot(database_now())
        asked = snapshot.fleet()
        found += _guarded("fleet", partial(fleet.look, snapshot))
        found += _guarded("runs", partial(waiting.look, snapshot))
        found += _guarded("runs", partial(runs.look, snapshot.now))
    return found + _in_time("broker", partial(broker.look, asked), seconds=BROKER_SECONDS)


def django_checks() -> Iterator[Finding]:
    """Django's own, those for deployment included, without what we have said already."""
    messages = [each for each in checks.run_checks(include_deployment_checks=True) if not each.is_silenced()]
    for each in (each for each in messages if each.level >= checks.ERROR and not _is_ours(each)):
        yield error(
            "django.check",
            f"{each.msg} ({each.id})",
            why="manage.py check says so; the processes do not start like this.",
            do=str(each.hint or "manage.py check"),
            run=f"{MANAGE} check",
        )
    advice = sorted(
        {str(each.id) for each in messages if each.level == checks.WARNING and not _is_ours(each)}
    )
    if advice and not set(settings.ALLOWED_HOSTS) <= production_settings.LOOPBACK:
        yield warning(
            "django.deploy",
            f"manage.py check --deploy has {len(advice)} warnings: {some(advice)}.",
            why="They are about the admin's web server: HTTPS, cookies, headers.",
            do="manage.py check --deploy explains each. A proxy that does the same is as good.",
            run=f"{MANAGE} check --deploy",
        )


def _is_ours(message: checks.CheckMessage) -> bool:
    """From `checks`, which the settings part repeats; errors of the configuration itself are not."""
    return str(message.id).startswith("beatkeeper.") and "." in str(message.id).partition(".")[2]


def _database() -> list[Finding]:
    try:
        close_old_connections()
        return list(database.look())
    except DatabaseError as problem:
        return [_away(problem)]
    except Exception as problem:  # such as a statement that this server does not know
        return [_failed("database", problem)]


def _away(problem: DatabaseError) -> Finding:
    return error(
        "database.away",
        f"The database does not answer: {_reason(problem)}.",
        why="Nothing is claimed or recorded meanwhile; commands that run go on.",
        do="See that it runs and lets this machine in; check DATABASE_URL. Then look again: beats, workers "
        "and runs could not be looked at.",
        run='pg_isready -d "$DATABASE_URL"',
    )


def _is_away(found: Iterable[Finding]) -> bool:
    return any(
        each.code in ("database.away", "database.migrations") and each.level == Level.ERROR for each in found
    )


def _guarded(area: str, part: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What `part` found before it failed, if it did, and that it failed."""
    found: list[Finding] = []
    try:
        found.extend(part())
    except DatabaseError as problem:
        connection.close()
        found.append(_away(problem))
    except Exception as problem:
        found.append(_failed(area, problem))
    return found


def _failed(area: str, problem: Exception) -> Finding:
    return error(
        f"{area}.failed",
        f"This part could not be looked at: {type(problem).__name__}: {problem}",
        why="Either the server is not as expected, or this command has a fault.",
        do="Repeat it with --traceback; if nothing else is wrong, report it.",
        run=f"{MANAGE} check_production --traceback",
    )


def _in_time(area: str, part: Callable[[], Iterable[Finding]], *, seconds: float) -> list[Finding]:
    """Like `_guarded`, in a thread that is left behind where it takes too long."""
    found: list[Finding] = []
    thread = threading.Thread(target=_collect, args=(part, found), name=f"check-{area}", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        found.append(_unreachable(f"it did not answer within {seconds:.0f} s"))
    return list(found)


def _collect(part: Callable[[], Iterable[Finding]], found: list[Finding]) -> None:
    try:
        found.extend(part())
    except Exception as problem:  # clients raise OSError, their own errors and kombu's
        found.append(_unreachable(_reason(problem)))


def _unreachable(reason: str) -> Finding:
    return error(
        "broker.away",
        f"The broker {broker.name()} does not answer: {reason}.",
        why="Runs wait in the database until it does; nothing is lost.",
        do="See that it runs and lets this machine in; check CELERY_BROKER_URL.",
        run="celery -A scheduler inspect ping",
    )


def _reason(problem: Exception) -> str:
    """The first line of what a client says; none of them repeats a password."""
    lines = str(problem).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else type(problem).__name__
