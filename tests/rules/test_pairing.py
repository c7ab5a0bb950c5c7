"""Starts of cron and due instants: which belong together."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.rules.pairing import pair

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TOLERANCE = timedelta(seconds=55)


def at(*seconds: float) -> list[datetime]:
    return [NOON + timedelta(seconds=second) for second in seconds]


@pytest.mark.parametrize(
    ("starts", "instants", "pairs"),
    [
        ([1, 61, 121], [0, 60, 120], [(0, 0), (1, 1), (2, 2)]),
        ([1, 121], [0, 60, 120], [(0, 0), (1, 2)]),  # cron left one out
        ([1, 61, 121], [0, 120], [(0, 0), (2, 1)]),  # we left one out
        ([40, 61], [0, 60], [(0, 0), (1, 1)]),  # cron was late, and is not taken for the next minute
        ([-1], [0], [(0, 0)]),  # the log's clock is a little behind
        ([-3], [0], []),
        ([56], [0], []),  # beyond the tolerance
        ([1, 1], [0, 0], [(0, 1), (1, 0)]),  # two lines with one command, due together
        ([1, 2], [0], [(0, 0)]),  # started twice
        ([], [0], []),
        ([1], [], []),
    ],
)
def test_pairs(starts, instants, pairs):
    assert list(pair(at(*starts), at(*instants), tolerance=TOLERANCE).pairs) == pairs


def test_a_wide_tolerance_pairs_what_cron_spread_over_minutes():
    found = pair(at(1, 61, 121), at(0, 0, 0), tolerance=timedelta(minutes=10))
    assert (found.lone_starts, found.lone_instants) == ((), ())


def test_a_missing_start_does_not_shift_the_others_under_a_wide_tolerance():
    found = pair(at(1, 121, 181), at(0, 60, 120, 180), tolerance=timedelta(minutes=10))
    assert found.lone_instants == (1,)


seconds = st.lists(st.integers(0, 2000), max_size=25).map(sorted)


@given(starts=seconds, instants=seconds, tolerance=st.integers(1, 600))
def test_everything_is_paired_once_or_left_over(starts, instants, tolerance):
    found = pair(at(*starts), at(*instants), tolerance=timedelta(seconds=tolerance))

    assert sorted([a for a, _ in found.pairs] + list(found.lone_starts)) == list(range(len(starts)))
    assert sorted([b for _, b in found.pairs] + list(found.lone_instants)) == list(range(len(instants)))
    assert all(-2 <= starts[a] - instants[b] <= tolerance for a, b in found.pairs)


@given(minutes=st.sets(st.integers(0, 300)), late=st.integers(0, 50))
def test_equal_sides_leave_nothing_over(minutes, late):
    due = sorted(minute * 60 for minute in minutes)
    found = pair(at(*(second + late for second in due)), at(*due), tolerance=TOLERANCE)
    assert found.pairs == tuple((number, number) for number in range(len(due)))
