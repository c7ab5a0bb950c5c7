"""The daemon's side of the equivalence report, against the model and as a reader of lines."""

import ast
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.errors import CronError, TimingError
from schedules.rules import daemon
from schedules.rules.cron import parse
from schedules.rules.daemon import Window
from tests.rules.cron_samples import random_expression
from tests.rules.daemon import model, recorded
from tests.rules.daemon.windows import CALENDARS, CHANGES, HOURS_NEAR_A_CHANGE, window
from tests.rules.test_cron_fields import REFUSED

RECORDED = recorded.load()


def instants(line: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    within = Window(start, (end - start) // timedelta(minutes=1))
    found = daemon.starts(daemon.read(line), zone, within)
    return [within.instant(bit) for bit in daemon.minutes_of(found)]


@pytest.mark.parametrize("name", [*CHANGES, *CALENDARS])
def test_every_line_starts_in_the_minutes_recorded_of_the_real_daemon(name):
    of, differing = window(name), {}
    for line, packed in RECORDED[name].items():
        expected = recorded.instants(name, line, recorded.unpacked(of, packed))
        ours = instants(line, of.zone, of.start, of.end)
        if ours != expected:
            differing[line] = (ours, expected)

    assert differing == {}


def test_the_lines_are_refused_that_the_real_daemon_refused():
    assert {line: judged(line) for line in RECORDED["refused"]} == RECORDED["refused"]


@pytest.mark.parametrize("name", CHANGES)
def test_random_lines_start_as_in_the_model(name):
    of, chance = window(name), random.Random(f"daemon {name}")
    for _ in range(10):
        line = random_expression(chance, hours=HOURS_NEAR_A_CHANGE)

        assert instants(line, of.zone, of.start, of.end) == model.firings(line, of.zone, of.start, of.end), (
            line
        )


BERLIN_GAP = ("Europe/Berlin", datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 3, 29, 3, tzinfo=UTC))
BERLIN_REPEAT = ("Europe/Berlin", datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 10, 25, 3, tzinfo=UTC))


@pytest.mark.parametrize(
    ("line", "where", "hours_and_minutes"),
    [
        ("30 2 * * * x", BERLIN_GAP, ["01:00"]),
        ("*/15 2 * * * x", BERLIN_GAP, []),
        ("0 2-3 * * * x", BERLIN_GAP, ["01:00"]),
        ("30 0-23 * * * x", BERLIN_GAP, ["00:30", "01:00", "01:30", "02:30"]),
        ("30 * * * * x", BERLIN_GAP, ["00:30", "01:30", "02:30"]),
        ("@hourly x", BERLIN_GAP, ["00:00", "01:00", "02:00"]),
        ("30 2 * * * x", BERLIN_REPEAT, ["00:30"]),
        ("*/30 2 * * * x", BERLIN_REPEAT, ["00:00", "00:30", "01:00", "01:30"]),
        ("0,30 2 * * * x", BERLIN_REPEAT, ["00:00", "00:30"]),
    ],
)
def test_what_a_clock_change_does(line, where, hours_and_minutes):
    """Berlin's wall clock is an hour ahead of UTC before the gap and two hours before the repeat."""
    assert [f"{moment:%H:%M}" for moment in instants(line, *where)] == hours_and_minutes


@pytest.mark.parametrize(
    ("line", "days"),
    [
        ("0 12 */2 * 1 x", [5, 19]),  # Mondays of an odd date
        ("0 12 1 * 1 x", [1, 5, 12, 19, 26]),  # the first, and every Monday
        ("0 12 1-2 * * x", [1, 2]),
        ("0 12 5,* * 1 x", list(range(1, 32))),
        ("0 12 * * mon-sun x", []),
        ("0 12 * * 7 x", [4, 11, 18, 25]),
        ("0 12 5#2 * * x", [5]),
        ("@weekly x", [4, 11, 18, 25]),
        ("@monthly x", [1]),
        ("@reboot x", []),
    ],
)
def test_days_of_january_2026(line, days):
    found = instants(line, "UTC", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))

    assert [moment.day for moment in found] == days


@pytest.mark.parametrize("line", [line for line in REFUSED if len(line.split()) == 5 and "\n" not in line])
def test_what_the_engine_refuses_is_refused_here(line):
    with pytest.raises(CronError):
        daemon.read(line)


@given(st.lists(st.text("0123456789*,-/~#xm", min_size=1, max_size=6), min_size=5, max_size=5))
def test_the_two_readers_refuse_the_same_and_read_the_same(fields):
    line = " ".join(fields)
    try:
        engine = parse(line)
    except CronError:
        with pytest.raises(CronError):
            daemon.read(line)
        return

    entry = daemon.read(line)

    assert _values(entry.minute) == list(engine.minutes)
    assert _values(entry.hour) == list(engine.hours)
    assert _values(entry.day) == list(engine.days)
    assert _values(entry.month) == list(engine.months)
    assert sorted({value % 7 for value in _values(entry.weekday)}) == list(engine.weekdays)
    assert (entry.is_wildcard, entry.both_days) == (engine.is_wildcard, not engine.either_day)


def judged(line: str) -> str:
    try:
        daemon.read(line)
    except CronError:
        return "refused"
    return "accepted"


def _values(bits: int) -> list[int]:
    return list(daemon.minutes_of(bits))


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("*/5 8-18 1,15 jan-mar mon-fri", True),
        ("@daily", True),
        ("5-1 * * * *", False),
        ("5#2 * * * *", False),
        ("0~30 * * * *", False),
        ("* * * * sat-sun", False),
    ],
)
def test_lines_that_other_crons_read_differently_are_not_plain(line, plain):
    assert daemon.read(line).is_plain is plain


def test_a_window_begins_in_the_midst_of_a_repeated_hour():
    """The fixed minutes of that hour were dealt with before, though not in the window."""
    start, end = datetime(2026, 10, 25, 1, 10, tzinfo=UTC), datetime(2026, 10, 25, 2, 5, tzinfo=UTC)

    assert instants("20 2 * * *", "Europe/Berlin", start, end) == []
    assert instants("20 * * * *", "Europe/Berlin", start, end) == [start + timedelta(minutes=10)]


def test_an_unknown_zone_is_refused():
    with pytest.raises(TimingError, match="Europe/Nowhere"):
        daemon.starts(daemon.read("* * * * *"), "Europe/Nowhere", Window.of_years(datetime.now(UTC), 1))


def test_years_are_those_of_the_calendar():
    window = Window.of_years(datetime(2028, 2, 29, 12, 30, 15, tzinfo=UTC), 1)

    assert window.start == datetime(2028, 2, 29, 12, 30, tzinfo=UTC)
    assert window.end == datetime(2029, 3, 1, 12, 30, tzinfo=UTC)


def test_nothing_is_shared_with_the_engine():
    """What is compared must not be computed by the same code."""
    folder = Path(daemon.__file__).parent
    paths = sorted(folder.glob("*.py"))
    assert len(paths) > 1
    for path in paths:
        nodes = ast.walk(ast.parse(path.read_text()))
        named = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        ours = {name for name in named if name.startswith("schedules")}
        assert ours <= {"schedules.errors", "schedules.rules.daemon.clock", "schedules.rules.daemon.line"}
