"""What PostgreSQL says of its fitness: version, durability, timeouts, roles, room, vacuum. Reads only.

Called by `database`. Every statement is short; the session gives up after a few seconds by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.db import connection

from schedules.production.settings import GUIDE, LOOPBACK
from schedules.rules.production import Finding, error, ok, psql, span, warning

OLDEST_POSTGRESQL = 140_000
PATIENCE_MILLISECONDS = 5000
RELOAD = "SELECT pg_reload_conf()"
OLDEST_TRANSACTION = 15 * 60
DEAD_TUPLES = 50_000
TABLES = ("schedules_schedule", "schedules_run", "schedules_attempt", "django_celery_beat_periodictask")


class Timeout(NamedTuple):
    value: str
    """Recommended."""
    why: str


TIMEOUTS = {
    "statement_timeout": Timeout("60s", "a statement that hangs keeps its locks"),
    "lock_timeout": Timeout("10s", "a process waits without end for a lock that somebody forgot"),
    "idle_in_transaction_session_timeout": Timeout("5min", "a client that went silent stops vacuum"),
}


def look() -> Iterator[Finding]:
    with connection.cursor() as cursor, _patience(cursor):
        yield from _version(cursor)
        yield from _durability(cursor)
        yield from _isolation(cursor)
        yield from _timeouts(cursor)
        yield from _role(cursor)
        yield from _path(cursor)
        yield from _room(cursor)
        yield from _vacuum(cursor)


@contextmanager
def _patience(cursor: Any) -> Iterator[None]:
    """A server that is overloaded is no reason to wait; what the role says is put back afterwards."""
    cursor.execute("SHOW statement_timeout")
    before = cursor.fetchone()[0]
    cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(PATIENCE_MILLISECONDS)])
    try:
        yield
    finally:
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [before])


def _version(cursor: Any) -> Iterator[Finding]:
    number, text = int(_show(cursor, "server_version_num")), _show(cursor, "server_version").split()[0]
    if number < OLDEST_POSTGRESQL:
        yield error(
            "database.version",
            f"PostgreSQL is {text}.",
            why="Django 5.2 supports 14 and later, and refuses to connect to older ones.",
            do="Upgrade the server.",
            run="apt-get install postgresql  (then pg_upgradecluster OLD main)",
        )
    elif _value(cursor, "SELECT pg_is_in_recovery()"):
        yield error(
            "database.standby",
            "The server is a standby: it can be read and not written.",
            why="Beat and workers write all the time.",
            do="Point DATABASE_URL at the primary.",
            run="export DATABASE_URL='postgres://beatkeeper:PASSWORD@PRIMARY:5432/beatkeeper'",
        )
    else:
        yield ok("database.version", f"PostgreSQL {text}.")


def _durability(cursor: Any) -> Iterator[Finding]:
    off = [
        name for name in ("fsync", "full_page_writes", "synchronous_commit") if _show(cursor, name) == "off"
    ]
    for name in off:
        yield error(
            f"database.{name}",
            f"{name} is off.",
            why="After a power failure commits are missing: runs that took place would run again.",
            do=f"Set {name} = on (ALTER SYSTEM, or ALTER ROLE for synchronous_commit alone).",
            run=psql(f"ALTER SYSTEM SET {name} = on", RELOAD, superuser=True),
        )
    if not off:
        yield ok("database.durability", "Commits survive a power failure (fsync, synchronous_commit).")


def _isolation(cursor: Any) -> Iterator[Finding]:
    found = _show(cursor, "default_transaction_isolation")
    if found == "read committed":
        yield ok("database.isolation", "Transactions are READ COMMITTED.")
    else:
        yield error(
            "database.isolation",
            f"Transactions are {found.upper()}.",
            why="Claims wait for a row and then look at it again; at this level they fail instead.",
            do="Set it for the role, then restart.",
            run=psql("ALTER ROLE CURRENT_USER SET default_transaction_isolation = 'read committed'"),
        )


def _timeouts(cursor: Any) -> Iterator[Finding]:
    cursor.execute("SELECT name, reset_val::bigint FROM pg_settings WHERE name = ANY(%s)", [list(TIMEOUTS)])
    values: dict[str, int] = dict(cursor.fetchall())
    missing = [name for name in TIMEOUTS if not values.get(name)]
    if missing:
        steps = [f"ALTER ROLE CURRENT_USER SET {name} = '{TIMEOUTS[name].value}'" for name in missing]
        yield warning(
            "database.timeouts",
            f"Not limited for this role: {', '.join(missing)}.",
            why="Without them " + ", ".join(TIMEOUTS[name].why for name in missing) + ".",
            do=f"Set them for the role, then restart: {GUIDE}#postgresql",
            run=psql(*steps),
        )
    else:
        said = ", ".join(f"{name} {values[name] / 1000:g} s" for name in TIMEOUTS)
        yield ok("database.timeouts", f"The role's timeouts: {said}.")


def _role(cursor: Any) -> Iterator[Finding]:
    cursor.execute("SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user")
    name, is_superuser = cursor.fetchone()
    if is_superuser:
        yield warning(
            "database.superuser",
            f'The role "{name}" is a superuser.',
            why="Whoever gets its password reads the server's files and runs programs there.",
            do=f"Make a role and a database of its own: {GUIDE}#postgresql",
            run="createuser --pwprompt beatkeeper && createdb --owner beatkeeper beatkeeper",
        )
    else:
        yield ok("database.role", f'The role "{name}" is no superuser.')


def _path(cursor: Any) -> Iterator[Finding]:
    """Between here and there: encryption, and poolers."""
    host, port = connection.settings_dict["HOST"], str(connection.settings_dict["PORT"] or "5432")
    is_remote = bool(host) and host not in LOOPBACK and not host.startswith("/")
    if is_remote and not _value(cursor, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"):
        yield warning(
            "database.tls",
            f"Queries, and what commands print, travel to {host} unencrypted.",
            why="Whoever reads the network reads the output of every job.",
            do="Add ?sslmode=verify-full to DATABASE_URL, or use a private network that nobody else reads.",
            run='export DATABASE_URL="$DATABASE_URL?sslmode=verify-full"',
        )
    there = _value(cursor, "SELECT inet_server_port()")
    pooled = port == "6432" or (there is not None and str(there) != port)
    if pooled and connection.settings_dict["CONN_MAX_AGE"] != 0:
        yield warning(
            "database.pooler",
            f"Something stands before the server (port {port} here, {there} there), perhaps pgbouncer.",
            why="A pooler in session mode keeps a server connection for each idle one of ours.",
            do="Use pool_mode = transaction and set BEATKEEPER_CONN_MAX_AGE=0; the timeouts belong to the "
            f"role, because a pooler forgets those of a session: {GUIDE}#pgbouncer",
            run="export BEATKEEPER_CONN_MAX_AGE=0",
        )


def _room(cursor: Any) -> Iterator[Finding]:
    cursor.execute(
        "SELECT count(*), current_setting('max_connections')::int - "
        "current_setting('superuser_reserved_connections')::int FROM pg_stat_activity "
        "WHERE backend_type = 'client backend'"
    )
    used, room = cursor.fetchone()
    if used > 0.8 * room:
        yield warning(
            "database.connections",
            f"{used} of {room} connections are in use.",
            why="Where none is free, beat and workers cannot claim and cannot record.",
            do=f"Raise max_connections, or put pgbouncer before it: {GUIDE}#pgbouncer",
            run=psql("ALTER SYSTEM SET max_connections = 200", superuser=True)
            + "  (then restart the server)",
        )
    else:
        yield ok("database.connections", f"{used} of {room} connections are in use.")


def _vacuum(cursor: Any) -> Iterator[Finding]:
    if "off" in (_show(cursor, "autovacuum"), _show(cursor, "track_counts")):
        yield error(
            "database.autovacuum",
            "autovacuum is off.",
            why="Every claim leaves dead rows behind: claims become slower day by day.",
            do="Set autovacuum = on and track_counts = on.",
            run=psql(
                *(f"ALTER SYSTEM SET {name} = on" for name in ("autovacuum", "track_counts")),
                RELOAD,
                superuser=True,
            ),
        )
    yield from _old_transactions(cursor)
    yield from _dead_rows(cursor)


def _old_transactions(cursor: Any) -> Iterator[Finding]:
    """Somebody's forgotten session, a long dump, a prepared transaction: all pin dead rows."""
    cursor.execute(
        "SELECT 'pid ' || pid || ' of ' || usename || ' (' || state || coalesce(', ' ||"
        " nullif(application_name, ''), '') || ')',"
        " extract(epoch FROM clock_timestamp() - xact_start)::float "
        "FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND xact_start IS NOT NULL "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend' "
        "UNION ALL SELECT 'prepared ' || gid, extract(epoch FROM clock_timestamp() - prepared)::float "
        "FROM pg_prepared_xacts WHERE database = current_database() ORDER BY 2 DESC LIMIT 3"
    )
    old = [(who, seconds) for who, seconds in cursor.fetchall() if seconds > OLDEST_TRANSACTION]
    for who, seconds in old:
        yield warning(
            "database.xmin",
            f"A transaction has been open for {span(seconds)}: {who}.",
            why="No dead row that is younger can be removed meanwhile, and claims become slower.",
            do="Let a dump end; else end it. Its own client then has an error, and its work is undone.",
            run=psql(_end_of(who)),
        )
    if not old:
        yield ok("database.xmin", f"No transaction that we may see is older than {span(OLDEST_TRANSACTION)}.")


def _end_of(who: str) -> str:
    """The statement that ends what `_old_transactions` describes."""
    if who.startswith("prepared "):
        name = who.removeprefix("prepared ").replace("'", "''")
        return f"ROLLBACK PREPARED '{name}'"
    return f"SELECT pg_terminate_backend({int(who.split()[1])})"


def _dead_rows(cursor: Any) -> Iterator[Finding]:
    cursor.execute(
        "SELECT relname, n_dead_tup, n_live_tup FROM pg_stat_user_tables "
        "WHERE relname = ANY(%s) AND n_dead_tup > %s AND n_dead_tup > n_live_tup / 2",
        [list(TABLES), DEAD_TUPLES],
    )
    rows = cursor.fetchall()
    for name, dead, live in rows:
        yield warning(
            "database.dead_rows",
            f"The table {name} has {dead:,} dead rows beside {live:,} live ones.",
            why="Vacuum does not keep up, so claims read more and more of what is gone.",
            do=f"VACUUM ANALYZE {name}; then let autovacuum come sooner: {GUIDE}#postgresql",
            run=psql(f"VACUUM ANALYZE {name}"),
        )
    if not rows:
        yield ok("database.dead_rows", "Vacuum keeps up with the busy tables.")


def _show(cursor: Any, name: str) -> str:
    return str(_value(cursor, "SELECT current_setting(%s)", [name]))


def _value(cursor: Any, statement: str, given: list[Any] | None = None) -> Any:
    cursor.execute(statement, given)
    return cursor.fetchone()[0]
