"""An upgrade of SQLite that is interrupted anywhere is made good by the next one, and no row is lost.

Whatever engine the other tests run on: the database is a file of this test's own.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import connection
from django.db.backends.sqlite3.schema import DatabaseSchemaEditor
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from scheduler import installation
from tests.system.own_server import default_database

BEFORE = ("schedules", "0009_process_facts")
"""What follows builds and drops indexes outside of a transaction."""

ROWS = 50
STRIDE = 3
"""Of the statements, which take turns (DROP, CREATE), each third: both kinds are among them."""


class Killed(BaseException):
    """The process died: nothing catches it."""


@contextmanager
def database(path: Path):
    with default_database(f"sqlite:///{path}"):
        installation.make_database_file()
        yield


def upgrade(targets: list[tuple[str, str]] | None = None) -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(targets or executor.loader.graph.leaf_nodes())


def content() -> tuple[list[str], list[str], list[tuple[object, ...]]]:
    """The statements that made the tables, the migrations on record, and the runs."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY sql")
        made = [row[0] for row in cursor.fetchall()]
        cursor.execute("SELECT app || name FROM django_migrations ORDER BY 1")
        recorded = [row[0] for row in cursor.fetchall()]
        cursor.execute("SELECT id, name, state FROM schedules_run ORDER BY id")
        return made, recorded, cursor.fetchall()


@pytest.fixture(scope="module")
def old(django_db_blocker, tmp_path_factory) -> Path:
    """The file of an installation before the upgrade, with a history."""
    path: Path = tmp_path_factory.mktemp("old") / "old.sqlite3"
    with django_db_blocker.unblock(), database(path):
        leaves = MigrationExecutor(connection).loader.graph.leaf_nodes()
        upgrade([BEFORE, *(leaf for leaf in leaves if leaf[0] != "schedules")])
        state = MigrationExecutor(connection).loader.project_state(BEFORE)
        runs = state.apps.get_model("schedules", "Run").objects
        now = datetime(2026, 3, 1, tzinfo=UTC)
        for number in range(ROWS):
            times = dict.fromkeys(("scheduled_for", "available_at", "created_at", "finished_at"), now)
            runs.create(name=f"run {number}", state="succeeded", trigger="manual", **times)
    return path


@pytest.fixture
def statements(monkeypatch):
    """Counts those of the upgrade, and dies before the one whose number `die_before` says."""

    class Statements:
        count = 0
        die_before: int | None = None

    counted, execute = Statements(), DatabaseSchemaEditor.execute

    def observed(self, *arguments, **options):
        counted.count += 1
        if counted.count == counted.die_before:
            raise Killed
        return execute(self, *arguments, **options)

    monkeypatch.setattr(DatabaseSchemaEditor, "execute", observed)
    return counted


def test_an_upgrade_that_dies_between_its_statements_is_made_good(
    django_db_blocker, old, statements, tmp_path
):
    with django_db_blocker.unblock():
        with database(shutil.copy(old, tmp_path / "whole.sqlite3")):
            upgrade()
            expected = content()
        total, different = statements.count, []
        for number in range(1, total + 1, STRIDE):
            with database(shutil.copy(old, tmp_path / "interrupted.sqlite3")):
                statements.count, statements.die_before = 0, number
                with pytest.raises(Killed):
                    upgrade()
            with database(tmp_path / "interrupted.sqlite3"):  # by another process
                statements.die_before = None
                upgrade()
                if content() != expected:
                    different.append(number)

    assert len(expected[2]) == ROWS
    assert total > 15
    assert different == []


def test_an_upgrade_that_dies_before_it_is_on_record_is_made_good(
    django_db_blocker, old, monkeypatch, tmp_path
):
    """Everything is done, and the next process does not know."""

    def die(*_):
        raise Killed

    with django_db_blocker.unblock():
        with database(shutil.copy(old, tmp_path / "interrupted.sqlite3")), monkeypatch.context() as dying:
            dying.setattr(MigrationRecorder, "record_applied", die)
            with pytest.raises(Killed):
                upgrade()
        with database(tmp_path / "interrupted.sqlite3"):
            upgrade()
            made, recorded, rows = content()

    assert len(rows) == ROWS
    assert any("run_ended_as" in statement for statement in made)
    assert not any('"run_by_state"' in statement for statement in made)
    assert "schedules0013_missed_range_index" in recorded
