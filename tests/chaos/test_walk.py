"""The table of the walk through the clock changes is cron's, and a difference from it is seen."""

from __future__ import annotations

from datetime import timedelta

import pytest

from benchmarks.chaos import walk
from schedules.rules.cron import fire_times

each_change = pytest.mark.parametrize("change", walk.CHANGES.values(), ids=walk.CHANGES)


@each_change
def test_what_differs_from_the_table_is_said(change):
    right = {cron: [change.at] for cron, runs in change.cron.items() if runs}
    assert walk.problems(change, right) == []
    late = right | {"* * * * *": [change.at + timedelta(minutes=1)]}
    assert len(walk.problems(change, late)) == 1
    assert "* * * * *: nothing, and not 01:00:00 UTC" in walk.problems(change, right | {"* * * * *": []})[0]
    twice = right | {cron: [change.at] for cron in change.cron}
    assert len(walk.problems(change, twice)) == len(change.cron) - len(right)


@each_change
def test_the_rules_agree_with_the_table(change):
    begin, end = change.at - walk.BEFORE, change.at + walk.AFTER
    found = {cron: list(fire_times(cron, walk.ZONE, begin, end)) for cron in change.cron}
    assert walk.problems(change, found) == []
