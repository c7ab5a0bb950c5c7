"""`check_production` on the database that is in use."""

from __future__ import annotations

import psycopg2
import pytest
from django.db import connection

from schedules.production import flow as production
from schedules.production import postgresql
from schedules.rules.production import Level, psql

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
def test_the_database_in_use_is_looked_at():
    found = {each.code for each in production._database()}
    assert "database.migrations" in found
    expected = "database.isolation" if connection.vendor == "postgresql" else "database.journal"
    assert expected in found
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
