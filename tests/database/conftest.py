"""A minute that does not pass while a test runs: dispatch takes the time as an argument."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.backends.postgresql.operations import DatabaseOperations

from tests.factories import last_minute


@pytest.fixture
def minute(db):
    """The start of the current minute, of which enough is left for the test."""
    return last_minute()


@pytest.fixture
def now(minute):
    return minute + timedelta(seconds=1)


@pytest.fixture(scope="session", autouse=True)
def rows_are_deleted_after_a_test() -> Iterator[None]:
    """Instead of TRUNCATE, which makes new files for every table and index: 0.4 s after each test.

    Keys between tables are checked at the commit, so the order does not matter.
    """

    def delete(operations: DatabaseOperations, style: Any, tables: list[str], **_: Any) -> list[str]:
        return [f"DELETE FROM {operations.quote_name(table)}" for table in tables]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(DatabaseOperations, "sql_flush", delete)
        yield
