"""The database's clock in the host's time, steps included."""

from __future__ import annotations

from datetime import UTC, datetime

from benchmarks.chaos.evidence import Clocks


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)


def test_an_instant_is_as_old_as_the_clock_says():
    assert Clocks([(100.0, 1000.0)]).host_time_of(moment(1150)) == 150


def test_an_instant_before_the_first_look_lies_before_it():
    assert Clocks([(100.0, 1000.0)]).host_time_of(moment(1050)) == 50


def test_instants_that_a_step_forward_passed_are_as_old_as_the_step():
    clocks = Clocks([(100.0, 1000.0), (200.0, 8200.0)])
    assert clocks.host_time_of(moment(1150)) == 150
    assert clocks.host_time_of(moment(1300)) == 200
    assert clocks.host_time_of(moment(8400)) == 200
    assert clocks.host_time_of(moment(8450)) == 250


def test_an_instant_that_a_step_back_repeats_is_as_old_as_its_first_showing():
    clocks = Clocks([(100.0, 1000.0), (200.0, 955.0)])
    assert clocks.host_time_of(moment(1190)) == 190
    assert clocks.host_time_of(moment(1210)) == 255


def test_the_latest_time_shown_is_that_before_a_step_back():
    clocks = Clocks([(100.0, 1000.0), (200.0, 955.0)])
    assert clocks.latest(moment(1160)) == moment(1200)
    assert clocks.latest(moment(1250)) == moment(1250)


def test_the_times_before_a_step_back_come_twice():
    clocks = Clocks([(100.0, 1000.0), (200.0, 955.0)])
    assert [clocks.was_shown_twice(moment(stamp)) for stamp in (1154, 1156, 1199, 1201)] == [
        *(False, True, True, False)
    ]
    assert not Clocks([(100.0, 1000.0), (200.0, 8200.0)]).was_shown_twice(moment(1300))


def test_only_as_much_comes_twice_as_the_clock_showed_before_it_was_set_right():
    clocks = Clocks([(7300.0, 1000.0), (7400.0, -6200.0), (7430.0, 1000.0)])
    assert [clocks.was_shown_twice(moment(stamp)) for stamp in (1190, 1210, 1240, 8390, 8410, 8440)] == [
        *(False, True, False, False, False, False)
    ]
    assert clocks.host_time_of(moment(8410)) == 7430
    assert clocks.host_time_of(moment(8435)) == 7435
