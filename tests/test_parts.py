"""The clock guard, and how a part of a beat repeats, fails, recovers and shows progress."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from schedules import parts
from schedules.parts import ClockGuard, Part

START = datetime(2026, 3, 1, tzinfo=UTC)


class Clocks:
    """A database clock and a monotonic clock that tests move apart."""

    def __init__(self):
        self.monotonic, self.now = 100.0, START
        self.guard = ClockGuard(30, monotonic=lambda: self.monotonic)

    def tick(self, database=1.0, monotonic=1.0):
        self.monotonic += monotonic
        self.now += timedelta(seconds=database)
        return self.guard.agrees(self.now)


@pytest.mark.parametrize("jump", [7200, -7200, 40, -40])
def test_a_jump_stops_claims_until_three_ticks_agree_again(jump):
    clocks = Clocks()
    assert clocks.tick()
    assert clocks.tick()
    assert clocks.tick(database=jump) is False
    assert [clocks.tick() for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize("drift", [29, -29, 0.5])
def test_a_small_difference_is_no_jump(drift):
    clocks = Clocks()
    clocks.tick()
    assert clocks.tick(database=1 + drift)


def test_a_second_jump_starts_the_count_anew():
    clocks = Clocks()
    clocks.tick()
    clocks.tick(database=100), clocks.tick(), clocks.tick(database=-100)
    assert [clocks.tick() for _ in range(3)] == [False, False, True]


def test_a_long_pause_of_the_process_itself_is_no_jump():
    clocks = Clocks()
    clocks.tick()
    assert clocks.tick(database=3600, monotonic=3600)


def test_a_part_goes_on_after_a_failure_and_tells_who_must_know():
    steps, troubles = [], []
    done = threading.Event()

    def step():
        steps.append(len(steps))
        if len(steps) == 1:
            raise ConnectionError("gone")
        done.set()
        return 60.0

    part = Part("test", step, on_trouble=lambda: troubles.append(1))
    part.start()
    part.wake()  # cuts the pause after the failure short
    assert done.wait(60)
    part.stop(timeout=60)
    assert (len(steps), troubles) == (2, [1])
    assert part.has_progressed
    assert part.age < 120


def test_a_connection_that_has_just_worked_is_not_asked_whether_it_does(monkeypatch):
    asked = []
    monkeypatch.setattr(parts, "close_old_connections", lambda: asked.append(1))
    monkeypatch.setattr(parts, "FRESH_SECONDS", 3600.0)  # however slow the machine is
    part = Part("test", lambda: 0.0)

    part._try(), part._try()
    assert asked == []
    part._progress -= 2 * parts.FRESH_SECONDS
    part._try()
    assert asked == [1]
    part._failures = 1
    part._try()
    assert asked == [1, 1]


def test_a_part_that_fails_shows_no_progress():
    failed = threading.Event()

    def step():
        failed.set()
        raise ConnectionError("gone")

    part = Part("test", step)
    part.start()
    assert failed.wait(60)
    part.stop(timeout=60)
    assert not part.has_progressed
