"""Waits and rules of retry policies, as people type them."""

import pytest

from schedules.admin.retry_text import read_delays, read_rules, write_delays, write_rules


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s, 5m, 1h", [30, 300, 3600]),
        ("30, 5 min", [30, 300]),
        ("1.5m", [90]),
        ("0.5", [0.5]),
        ("2d", [172_800]),
        ("", []),
    ],
)
def test_waits_are_read_in_their_units(text, seconds):
    assert read_delays(text) == seconds


@pytest.mark.parametrize("text", ["soon", "-5", "5 parsecs", "1e9", "inf", "400d"])
def test_what_is_no_length_is_refused(text):
    with pytest.raises(ValueError, match=r"no length|longer than a year"):
        read_delays(text)


@pytest.mark.parametrize("seconds", [[30, 300, 3600], [0], [0.5, 90], [86_400], []])
def test_waits_written_are_the_waits_read(seconds):
    assert read_delays(write_delays(seconds)) == seconds


RULES = [
    ("exit code 75: retry", "exit_code", "75", "retry"),
    ("exit code 1-10, 64: give up", "exit_code", "1-10, 64", "give_up"),
    ("signal 9: retry", "signal", "9", "retry"),
    ("timeout: give up", "timeout", "", "give_up"),
    ("exception ConnectionError: retry", "exception", "ConnectionError", "retry"),
    ("output /disk: full/: give up", "output", "disk: full", "give_up"),
    ("any: give up", "any", "", "give_up"),
]


@pytest.mark.parametrize(("line", "condition", "value", "verdict"), RULES)
def test_a_rule_is_a_line(line, condition, value, verdict):
    rule = {"condition": condition, "value": value, "verdict": verdict}

    assert read_rules(line) == [rule]
    assert write_rules([rule]) == line


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("exit code 75", "end it with"),
        ("exit code 75: perhaps", "end it with"),
        ("moon phase: retry", "begin it with"),
        ("exit code x: retry", "not a number"),
        ("exit code 300: retry", "0-255"),
        ("output /(/: retry", "output rule"),
        ("exception: retry", "say which one"),
        ("timeout 5: retry", "takes no value"),
    ],
)
def test_a_line_that_says_nothing_usable_is_refused_by_its_number(line, complaint):
    with pytest.raises(ValueError, match=f"Line 2: .*{complaint}"):
        read_rules(f"any: retry\n{line}")
