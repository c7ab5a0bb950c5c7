"""The engine against what Debian's own daemon did when it was asked (see `daemon.recorded`)."""

import pytest

from schedules.errors import CronError
from schedules.rules.cron import fire_times, parse
from tests.rules.daemon import cases, recorded
from tests.rules.daemon.windows import CALENDARS, CHANGES, window

RECORDED = recorded.load()


@pytest.mark.parametrize("name", [*CHANGES, *CALENDARS])
def test_every_line_starts_in_the_recorded_minutes(name):
    of, differing = window(name), {}
    for line, packed in RECORDED[name].items():
        expected = recorded.instants(name, line, recorded.unpacked(of, packed))
        ours = list(fire_times(line, of.zone, of.start, of.end))
        if ours != expected:
            differing[line] = (ours, expected)

    assert differing == {}


def test_the_same_lines_are_refused():
    assert {line: judged(line) for line in RECORDED["refused"]} == RECORDED["refused"]


@pytest.mark.parametrize("name", [*CHANGES, *CALENDARS])
def test_the_record_is_of_the_lines_that_are_asked_about(name):
    assert list(RECORDED[name]) == cases.lines(name)


def test_the_record_is_of_the_lines_that_may_be_refused():
    assert list(RECORDED["refused"]) == list(dict.fromkeys(cases.doubtful_lines()))


def test_the_record_tells_something():
    """A record of silence would agree with an engine that never fires."""
    silent = [name for name in (*CHANGES, *CALENDARS) if sum(map(bool, RECORDED[name].values())) < 15]

    assert silent == []
    assert 200 < list(RECORDED["refused"].values()).count("refused") < 500


def judged(line: str) -> str:
    try:
        parse(line)
    except CronError:
        return "refused"
    return "accepted"
