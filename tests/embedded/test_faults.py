"""Faults of the surroundings are one sentence that says what to do; faults of ours keep their traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, ProgrammingError, connection

from scheduler.faults import explain


def test_a_wrong_setting_is_said_as_it_is() -> None:
    assert explain(ImproperlyConfigured("SECRET_KEY is empty. Set it.")) == "SECRET_KEY is empty. Set it."


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("database is locked", "End that process"),
        ("attempt to write a readonly database", "Make the file and its directory writable"),
        ("no such table: schedules_run", "manage.py migrate"),
        ("unable to open database file", "manage.py up"),
    ],
)
def test_each_fault_of_sqlite_has_its_advice(
    monkeypatch: pytest.MonkeyPatch, reason: str, advice: str
) -> None:
    monkeypatch.setattr(connection, "vendor", "sqlite")
    monkeypatch.setitem(connection.settings_dict, "NAME", "/state/beatkeeper.sqlite3")

    sentence = explain(OperationalError(reason))

    assert sentence is not None
    assert advice in sentence
    assert "/state/beatkeeper.sqlite3" in sentence


def test_a_database_that_is_there_and_cannot_be_opened_is_no_missing_installation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(connection, "vendor", "sqlite")
    monkeypatch.setitem(connection.settings_dict, "NAME", tmp_path)

    assert "--state DIR" in (explain(OperationalError("unable to open database file")) or "")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (
            OperationalError('connection to server at "db" failed: Connection refused\n\tIs it?'),
            "Check DATABASE_URL",
        ),
        (OperationalError('FATAL: password authentication failed for user "u"\n'), "Check DATABASE_URL"),
        (ProgrammingError('relation "schedules_run" does not exist\nLINE 1: SELECT'), "manage.py migrate"),
    ],
)
def test_each_fault_of_postgresql_has_its_advice_and_no_password(
    monkeypatch: pytest.MonkeyPatch, error: Exception, advice: str
) -> None:
    monkeypatch.setattr(connection, "vendor", "postgresql")
    for key, value in {"NAME": "prod", "HOST": "db", "PORT": 5433, "PASSWORD": "hidden"}.items():
        monkeypatch.setitem(connection.settings_dict, key, value)

    sentence = explain(error)

    assert sentence is not None
    assert advice in sentence
    assert '"prod" on db:5433' in sentence
    assert "hidden" not in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("x"), ProgrammingError("syntax error at or near"), OSError("x")]
)
def test_faults_of_ours_are_not_explained_away(error: Exception) -> None:
    assert explain(error) is None
