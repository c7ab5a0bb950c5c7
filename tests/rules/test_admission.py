"""Every due instant gets exactly one decision, by policy. Times are minutes of one hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schedules.rules.admission import Due, Limits, Skip, Start, admit, due_instants
from schedules.rules.definition import CatchUp
from schedules.rules.states import Reason, Trigger
from schedules.rules.timing import CronTiming, MomentTiming

LIMITS = Limits(on_time=timedelta(seconds=60), starts=3, missed=1000)
EVERY_MINUTE = CronTiming("* * * * *", "UTC")


def at(minute, second=0):
    return datetime(2026, 3, 1, 12, minute, second, tzinfo=UTC)


def admitted(minutes, now, **changes):
    due = Due(tuple(at(minute) for minute in minutes), None)
    given = {"catch_up": CatchUp.LATEST, "window": None, "start_deadline": None, "busy": False}
    return admit(due, now=now, limits=LIMITS, **(given | changes))


def test_one_instant_on_time_starts():
    assert admitted([5], at(5, 1)) == [Start(at(5), Trigger.SCHEDULE)]


def test_an_instant_sixty_seconds_old_is_on_time_and_older_is_late():
    assert admitted([5], at(6)) == [Start(at(5), Trigger.SCHEDULE)]
    assert admitted([5], at(6, 1)) == [Start(at(5), Trigger.CATCH_UP)]


def test_catch_up_skip_accounts_for_the_gap_in_one_decision():
    [skip, start] = admitted([1, 2, 3, 10], at(10), catch_up=CatchUp.SKIP)
    assert (skip.reason, skip.scheduled_for, skip.until, skip.count) == (Reason.MISSED, at(1), at(3), 3)
    assert start == Start(at(10), Trigger.SCHEDULE)


def test_catch_up_latest_starts_the_newest_late_instant():
    [skip, start] = admitted([1, 2, 3], at(30))
    assert (skip.count, start) == (2, Start(at(3), Trigger.CATCH_UP))


def test_catch_up_latest_starts_nothing_late_where_one_is_on_time():
    [skip, start] = admitted([1, 2, 30], at(30))
    assert (skip.count, start) == (2, Start(at(30), Trigger.SCHEDULE))


def test_catch_up_all_is_bounded_by_number():
    decisions = admitted([1, 2, 3, 4, 5], at(30), catch_up=CatchUp.ALL)
    assert [decision.scheduled_for.minute for decision in decisions] == [1, 3, 4, 5]
    assert isinstance(decisions[0], Skip)
    assert decisions[0].count == 2


def test_catch_up_all_is_bounded_by_the_window():
    decisions = admitted([1, 20, 29], at(31), catch_up=CatchUp.ALL, window=timedelta(minutes=5))
    assert [type(decision) for decision in decisions] == [Skip, Start]
    assert decisions[0].count == 2


def test_the_start_deadline_skips_even_what_is_on_time():
    [skip] = admitted([5], at(5, 31), start_deadline=timedelta(seconds=30))
    assert (skip.reason, skip.scheduled_for) == (Reason.TOO_LATE, at(5))


def test_a_busy_schedule_skips_with_the_reason():
    [skip] = admitted([5], at(5), busy=True)
    assert skip.reason == Reason.OVERLAP
    assert "overlap policy" in skip.detail


@pytest.mark.parametrize("policy", list(CatchUp))
def test_every_instant_is_accounted_for_once(policy):
    minutes = [1, 2, 3, 4, 5, 6, 29, 30]
    decisions = admitted(minutes, at(30), catch_up=policy)
    counted = sum(decision.count if isinstance(decision, Skip) else 1 for decision in decisions)
    assert counted == len(minutes)
    assert [d.scheduled_for for d in decisions] == sorted(d.scheduled_for for d in decisions)


def test_due_instants_end_at_now_and_name_the_next():
    due = due_instants(EVERY_MINUTE, at(1), at(3), limit=100)
    assert due == Due((at(1), at(2), at(3)), at(4))


def test_due_instants_beyond_the_limit_are_left_for_the_next_call():
    due = due_instants(EVERY_MINUTE, at(1), at(30), limit=4)
    assert due == Due((at(1), at(2), at(3), at(4)), at(5))


def test_the_last_instant_of_a_timing_has_none_after_it():
    assert due_instants(MomentTiming(at(1)), at(1), at(30), limit=10) == Due((at(1),), None)


@pytest.mark.parametrize("policy", [CatchUp.LATEST, CatchUp.ALL])
def test_a_gap_in_several_calls_starts_late_runs_in_the_last_one_only(policy):
    part = Due((at(1), at(2)), at(3))  # the rest is due as well, and follows
    decisions = admit(
        part, now=at(30), catch_up=policy, window=None, start_deadline=None, busy=False, limits=LIMITS
    )
    assert [type(decision) for decision in decisions] == [Skip]
