"""Topic patterns: AMQP's, on every broker."""

from __future__ import annotations

import re

import pytest

from schedules.rules import topics


@pytest.mark.parametrize(
    ("pattern", "taken", "left"),
    [
        ("reports.daily", ["reports.daily"], ["reports", "reports.daily.eu", "xreports.daily"]),
        ("reports.*", ["reports.daily"], ["reports", "reports.daily.eu"]),
        ("reports.#", ["reports", "reports.daily", "reports.daily.eu"], ["report", "reportsx", "a.reports"]),
        ("#", ["a", "a.b", "a.b.c"], []),
        ("*.urgent", ["reports.urgent"], ["urgent", "a.b.urgent"]),
        ("#.urgent", ["urgent", "a.urgent", "a.b.urgent"], ["urgent.a"]),
        ("a.#.z", ["a.z", "a.b.z", "a.b.c.z"], ["a", "z", "az", "a.zz"]),
        ("a.*.#", ["a.b", "a.b.c"], ["a"]),
        ("a+b.(c)", ["a+b.(c)"], ["aab.c"]),
    ],
)
def test_a_pattern_takes_the_keys_that_amqp_says(pattern, taken, left):
    assert [key for key in taken + left if topics.takes(pattern, key)] == taken
    assert [key for key in taken + left if re.match(topics.expression(pattern), key)] == taken


@pytest.mark.parametrize("pattern", ["", "a..b", ".a", "a.", "re#", "*x.y", "a" * 256])
def test_what_no_broker_takes_is_named(pattern):
    assert topics.problem(pattern)


@pytest.mark.parametrize("pattern", ["#", "*", "a.b-c_d", "*.x.#"])
def test_a_good_pattern_has_no_problem(pattern):
    assert topics.problem(pattern) == ""
