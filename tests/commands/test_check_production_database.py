"""`check_production` on the database: the one in use, and servers that answer as they are told."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import psycopg2
import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from schedules.production import database, postgresql
from schedules.production import flow as production
from schedules.rules.production import Level, psql
from tests.commands.findings import levels

pytestmark = pytest.mark.django_db

OK, WARNING, ERROR = Level.OK, Level.WARNING, Level.ERROR


class Server:
    """A cursor of a server that gives these rows to statements with these words, settings by their name."""

    def __init__(self, **rows):
        self.rows = rows
        self.asked = ()

    def execute(self, statement, given=None):
        if "current_setting(%s)" in statement:
            self.asked = [(self.rows[given[0]],)]
        else:
            self.asked = next(rows for words, rows in self.rows.items() if words in statement)

    def fetchone(self):
        return self.asked[0]

    def fetchall(self):
        return self.asked


SOUND = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
LIMITED = [(name, 5000) for name in postgresql.TIMEOUTS]


@pytest.mark.parametrize(
    ("part", "rows", "expected"),
    [
        ("version", {"server_version_num": "130011", "server_version": "13.11"}, {"database.version": ERROR}),
        (
            "version",
            {"server_version_num": "140000", "server_version": "14.0 (x)", "pg_is_in_recovery": [(True,)]},
            {"database.standby": ERROR},
        ),
        (
            "version",
            {"server_version_num": "140000", "server_version": "14.0 (x)", "pg_is_in_recovery": [(False,)]},
            {"database.version": OK},
        ),
        ("durability", SOUND, {"database.durability": OK}),
        ("durability", SOUND | {"fsync": "off"}, {"database.fsync": ERROR}),
        ("durability", SOUND | {"full_page_writes": "off"}, {"database.full_page_writes": ERROR}),
        ("durability", SOUND | {"synchronous_commit": "off"}, {"database.synchronous_commit": ERROR}),
        ("durability", SOUND | {"synchronous_commit": "local"}, {"database.durability": OK}),
        ("isolation", {"default_transaction_isolation": "read committed"}, {"database.isolation": OK}),
        ("isolation", {"default_transaction_isolation": "repeatable read"}, {"database.isolation": ERROR}),
        ("isolation", {"default_transaction_isolation": "serializable"}, {"database.isolation": ERROR}),
        ("timeouts", {"pg_settings": LIMITED}, {"database.timeouts": OK}),
        ("timeouts", {"pg_settings": [*LIMITED[1:], (LIMITED[0][0], 0)]}, {"database.timeouts": WARNING}),
        ("role", {"pg_roles": [("ada", True)]}, {"database.superuser": WARNING}),
        ("role", {"pg_roles": [("ada", False)]}, {"database.role": OK}),
        ("room", {"pg_stat_activity": [(80, 100)]}, {"database.connections": OK}),
        ("room", {"pg_stat_activity": [(81, 100)]}, {"database.connections": WARNING}),
        ("old_transactions", {"pg_prepared_xacts": [("pid 4 of a", 890.0)]}, {"database.xmin": OK}),
        ("old_transactions", {"pg_prepared_xacts": [("pid 4 of a", 910.0)]}, {"database.xmin": WARNING}),
        ("dead_rows", {"pg_stat_user_tables": []}, {"database.dead_rows": OK}),
        ("dead_rows", {"pg_stat_user_tables": [("t", 60_000, 9)]}, {"database.dead_rows": WARNING}),
    ],
)
def test_what_a_server_says_is_judged(part, rows, expected):
    assert levels(getattr(postgresql, f"_{part}")(Server(**rows))) == expected


@pytest.mark.parametrize(
    ("autovacuum", "track_counts", "expected"),
    [
        ("on", "on", {}),
        ("off", "on", {"database.autovacuum": ERROR}),
        ("on", "off", {"database.autovacuum": ERROR}),
    ],
)
def test_a_server_without_vacuum_is_an_error(autovacuum, track_counts, expected):
    server = Server(
        autovacuum=autovacuum, track_counts=track_counts, pg_prepared_xacts=[], pg_stat_user_tables=[]
    )
    found = levels(postgresql._vacuum(server))
    assert found == {"database.xmin": OK, "database.dead_rows": OK} | expected


@pytest.mark.parametrize(
    ("given", "encrypted", "port_there", "expected"),
    [
        ({"HOST": "", "PORT": ""}, False, None, {}),  # a socket
        ({"HOST": "127.0.0.1", "PORT": "5432"}, False, 5432, {}),
        ({"HOST": "db.example.org", "PORT": ""}, True, 5432, {}),
        ({"HOST": "db.example.org", "PORT": ""}, False, 5432, {"database.tls": WARNING}),
        ({"HOST": "localhost", "PORT": 6432}, False, 5432, {"database.pooler": WARNING}),
        ({"HOST": "localhost", "PORT": 7000}, False, 5432, {"database.pooler": WARNING}),
        ({"HOST": "localhost", "PORT": 6432, "CONN_MAX_AGE": 0}, False, 5432, {}),
    ],
)
def test_the_way_to_the_server_is_judged(monkeypatch, given, encrypted, port_there, expected):
    settings = {"CONN_MAX_AGE": 600} | given
    monkeypatch.setattr(postgresql, "connection", SimpleNamespace(settings_dict=settings))
    server = Server(pg_stat_ssl=[(encrypted,)], inet_server_port=[(port_there,)])
    assert levels(postgresql._path(server)) == expected


@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL only: what a session may set")
@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("synchronous_commit", "off", "database.synchronous_commit"),
        ("default_transaction_isolation", "serializable", "database.isolation"),
    ],
)
def test_a_real_server_is_asked_for_what_holds_in_the_session(name, value, code):
    assert levels(postgresql.look()).get(code) in (None, OK)
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL {name} = '{value}'")
    assert levels(postgresql.look())[code] == ERROR


@pytest.mark.parametrize(
    ("kind", "mode", "expected"),
    [
        ("ext4", "wal", {"database.journal": OK}),
        ("ext4", "delete", {"database.journal": ERROR}),
        ("nfs4", "wal", {"database.network": ERROR, "database.journal": OK}),
    ],
)
def test_a_file_is_judged_by_where_it_lies_and_how_it_is_written(monkeypatch, kind, mode, expected):
    file = SimpleNamespace(cursor=lambda: nullcontext(Server(journal_mode=[(mode,)])))
    monkeypatch.setattr(database, "connection", file)
    monkeypatch.setattr(database, "_filesystem", lambda path: kind)
    assert levels(database._sqlite()) == expected


def test_a_file_system_is_known_by_its_deepest_mount():
    assert database._filesystem(Path("/proc/self/status")) == "proc"


def test_tables_of_another_version_are_an_error():
    assert levels(database._migrations()) == {"database.migrations": OK}
    MigrationRecorder.Migration.objects.filter(app="schedules").order_by("-pk")[0].delete()
    assert levels(database._migrations()) == {"database.migrations": ERROR}


def test_a_file_that_is_not_there_is_an_error_and_is_not_made(monkeypatch, tmp_path):
    file = SimpleNamespace(vendor="sqlite", settings_dict={"NAME": tmp_path / "none.sqlite3"})
    monkeypatch.setattr(database, "connection", file)
    assert levels(database.look()) == {"database.migrations": ERROR}
    assert not list(tmp_path.iterdir())


@pytest.mark.django_db(transaction=True)
def test_the_database_in_use_is_looked_at():
    found = levels(production._database())
    expected = "database.isolation" if connection.vendor == "postgresql" else "database.journal"
    assert (found["database.migrations"], found[expected]) == (OK, OK)
    assert "database.failed" not in found


@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL only: vacuum, and roles")
@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_stays_open_is_named_with_its_process(monkeypatch):
    monkeypatch.setattr(postgresql, "OLDEST_TRANSACTION", 0)
    values = connection.get_connection_params()
    other = psycopg2.connect(
        **{key: values[key] for key in ("dbname", "user", "password", "host", "port") if key in values},
        application_name="forgotten",
    )
    try:
        other.set_session(isolation_level="REPEATABLE READ")
        other.cursor().execute("SELECT count(*) FROM schedules_run")
        # Others on the same server may have transactions, too, and older ones.
        [found] = [each for each in production._database() if "forgotten" in each.what]
    finally:
        other.close()
    assert found.code == "database.xmin"
    assert (found.level, "pg_terminate_backend" in found.run) == (Level.WARNING, True)


@pytest.mark.parametrize(
    ("who", "statement"),
    [
        ("pid 42 of ada (idle in transaction, psql)", "SELECT pg_terminate_backend(42)"),
        ("prepared it's", "ROLLBACK PREPARED 'it''s'"),
    ],
)
def test_an_old_transaction_is_ended_by_its_own_statement(who, statement):
    assert postgresql._end_of(who) == statement
    assert psql(statement).startswith('psql "$DATABASE_URL" -c ')
