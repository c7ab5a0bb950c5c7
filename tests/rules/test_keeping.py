"""How long runs are kept, as numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schedules.rules.keeping import Keep

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "failed_days", "kept", "kept_failed"),
    [
        (30, None, 30, 30),
        (30, 90, 30, 90),
        (30, 7, 30, 30),  # what failed is never kept for less long than the rest
        (2.5, None, 2.5, 2.5),
        (0, None, 1, 1),  # an instant may still be tried twice, and an audit looks back a day
        (0, 0, 1, 1),
        (1e9, None, 36_500, 36_500),
    ],
)
def test_ages_have_bounds_and_failures_are_kept_for_longer_or_as_long(days, failed_days, kept, kept_failed):
    keep = Keep.of(days=days, failed_days=failed_days, runs=100)

    assert keep.before(NOW) == NOW - timedelta(days=kept)
    assert keep.failed_before(NOW) == NOW - timedelta(days=kept_failed)
