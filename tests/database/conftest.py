"""A minute that does not pass while a test runs: dispatch takes the time as an argument."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schedules.querysets import database_now


@pytest.fixture
def minute(db):
    """The start of the current minute, when the test began."""
    return database_now().replace(second=0, microsecond=0)


@pytest.fixture
def now(minute):
    return minute + timedelta(seconds=1)
