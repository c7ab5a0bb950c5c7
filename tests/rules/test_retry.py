"""Waits, rules, budgets: what follows a failed attempt. Each sum stands beside its case."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schedules.rules.retry import (
    LONGEST_DELAY,
    Condition,
    Failure,
    GiveUp,
    Jitter,
    RetryAt,
    RetryPolicy,
    Rule,
    Verdict,
    after_loss,
    backoff,
    check,
    decide,
    numbers,
)
from schedules.rules.states import Outcome

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAILED = Failure(outcome=Outcome.FAILED, exit_code=75)


def decided(policy, failure=FAILED, *, attempt=1, after=timedelta(), jitter=0.0):
    return decide(policy, failure, attempt=attempt, first_started_at=START, now=START + after, jitter=jitter)


@pytest.mark.parametrize(
    ("attempt", "seconds"),
    [
        (1, 30),  # the initial interval
        (2, 60),  # 30 x 2
        (3, 120),  # 30 x 2 x 2
        (4, 200),  # 240, but at most 200
        (5000, 200),  # 2 ** 4999 overflows a float
    ],
)
def test_exponential_waits_grow_up_to_the_maximum(attempt, seconds):
    policy = RetryPolicy(initial_interval=30, backoff_coefficient=2, maximum_interval=200)
    assert backoff(attempt, policy, jitter=0).total_seconds() == seconds


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 10), (2, 300), (3, 300), (9, 300)])
def test_the_last_explicit_delay_repeats(attempt, seconds):
    assert backoff(attempt, RetryPolicy(delays=(10, 300)), jitter=0).total_seconds() == seconds


@pytest.mark.parametrize(
    ("kind", "drawn", "seconds"),
    [
        (Jitter.NONE, 0.9, 100),
        (Jitter.EQUAL, 0.0, 50),  # half of it at least
        (Jitter.EQUAL, 0.5, 75),
        (Jitter.FULL, 0.0, 0),
        (Jitter.FULL, 0.25, 25),
    ],
)
def test_jitter_shortens_the_wait(kind, drawn, seconds):
    policy = RetryPolicy(delays=(100,), jitter=kind)
    assert backoff(1, policy, jitter=drawn).total_seconds() == pytest.approx(seconds)


def test_an_endless_delay_has_a_date_all_the_same():
    assert backoff(1, RetryPolicy(delays=(1e15,)), jitter=0) == timedelta(seconds=LONGEST_DELAY)


def test_attempts_are_counted_from_one():
    with pytest.raises(ValueError, match="counted from 1"):
        backoff(0, RetryPolicy(), jitter=0)


def test_an_attempt_is_left_so_it_is_retried():
    decision = decided(RetryPolicy(max_attempts=3, delays=(30,)))
    assert decision == RetryAt(
        START + timedelta(seconds=30), timedelta(seconds=30), "policy", "Attempt 2 of 3 follows after 30 s."
    )


@pytest.mark.parametrize(("attempts", "code"), [(1, "no_retries"), (3, "attempts_used")])
def test_no_attempt_is_left(attempts, code):
    decision = decided(RetryPolicy(max_attempts=attempts), attempt=attempts)
    assert isinstance(decision, GiveUp)
    assert decision.code == code


def test_the_time_budget_counts_from_the_first_start_to_the_next_one():
    policy = RetryPolicy(max_attempts=9, delays=(60,), give_up_after=100)
    assert isinstance(decided(policy, after=timedelta(seconds=40)), RetryAt)  # 40 + 60 = 100
    late = decided(policy, after=timedelta(seconds=41))  # 41 + 60 = 101
    assert isinstance(late, GiveUp)
    assert late.code == "time_budget"


RETRY_75 = Rule(condition=Condition.EXIT_CODE, value="75", verdict=Verdict.RETRY)
GIVE_UP_ANY = Rule(condition=Condition.ANY, verdict=Verdict.GIVE_UP)


def test_the_first_rule_that_matches_decides():
    policy = RetryPolicy(max_attempts=3, rules=(RETRY_75, GIVE_UP_ANY))
    assert isinstance(decided(policy), RetryAt)
    other = decided(policy, Failure(outcome=Outcome.FAILED, exit_code=1))
    assert isinstance(other, GiveUp)
    assert other.code == "rule:any"


def test_without_a_matching_rule_the_attempt_is_retried():
    rule = Rule(condition=Condition.EXIT_CODE, value="2", verdict=Verdict.GIVE_UP)
    assert isinstance(decided(RetryPolicy(max_attempts=2, rules=(rule,))), RetryAt)


@pytest.mark.parametrize(
    ("condition", "value", "failure", "matches"),
    [
        (Condition.EXIT_CODE, "70-80", FAILED, True),
        (Condition.EXIT_CODE, "1, 2", FAILED, False),
        (Condition.SIGNAL, "9", Failure(outcome=Outcome.FAILED, signal=9), True),
        (Condition.SIGNAL, "9", FAILED, False),
        (Condition.TIMEOUT, "", Failure(outcome=Outcome.TIMED_OUT), True),
        (Condition.TIMEOUT, "", FAILED, False),
        (
            Condition.OUTPUT,
            r"disk\s+full",
            Failure(outcome=Outcome.FAILED, patterns=frozenset({r"disk\s+full"})),
            True,
        ),
        (Condition.OUTPUT, "x", FAILED, False),
        (
            Condition.EXCEPTION,
            "OSError",
            Failure(outcome=Outcome.FAILED, exceptions=("ConnectionError", "OSError")),
            True,
        ),
        (
            Condition.EXCEPTION,
            "requests.Timeout",
            Failure(outcome=Outcome.FAILED, exceptions=("requests.Timeout",)),
            True,
        ),
        (
            Condition.EXCEPTION,
            "Timeout",
            Failure(outcome=Outcome.FAILED, exceptions=("requests.Timeout",)),
            True,
        ),
        (
            Condition.EXCEPTION,
            "Time",
            Failure(outcome=Outcome.FAILED, exceptions=("requests.Timeout",)),
            False,
        ),
    ],
)
def test_conditions(condition, value, failure, matches):
    rule = Rule(condition=condition, value=value, verdict=Verdict.GIVE_UP)
    decision = decided(RetryPolicy(max_attempts=5, rules=(rule,)), failure)
    assert isinstance(decision, GiveUp) is matches


def test_cancelled_and_rejected_work_is_not_retried():
    policy = RetryPolicy(max_attempts=5)
    for failure in (
        Failure(outcome=Outcome.CANCELLED),
        Failure(outcome=Outcome.FAILED, final=True),
    ):
        assert isinstance(decided(policy, failure), GiveUp)


@pytest.mark.parametrize(
    ("text", "found"), [("75", {75}), ("1-3, 9", {1, 2, 3, 9}), (" 0 ", {0}), ("255", {255})]
)
def test_numbers(text, found):
    assert numbers(text) == found


@pytest.mark.parametrize("text", ["", "x", "3-1", "256", "-1", "1-", "1,,2"])
def test_bad_numbers_are_refused(text):
    with pytest.raises(ValueError, match="is not a"):
        numbers(text)


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        (Condition.EXIT_CODE, "300"),
        (Condition.OUTPUT, "("),
        (Condition.OUTPUT, " "),
        (Condition.EXCEPTION, ""),
    ],
)
def test_unusable_rules_are_named(condition, value):
    assert check(Rule(condition=condition, value=value, verdict=Verdict.RETRY)).startswith(condition)


@pytest.mark.parametrize(
    ("again", "losses", "kind"),
    [(False, 1, GiveUp), (True, 1, RetryAt), (True, 2, RetryAt), (True, 3, GiveUp)],
)
def test_a_lost_attempt_is_repeated_only_where_allowed_and_not_for_ever(again, losses, kind):
    decision = after_loss(again=again, losses=losses, limit=3, now=START, what="the worker vanished")
    assert isinstance(decision, kind)
    assert "the worker vanished" in decision.sentence


def test_a_policy_survives_storage():
    policy = RetryPolicy(name="x", max_attempts=4, delays=(1, 2.5), jitter=Jitter.FULL, rules=(RETRY_75,))
    assert RetryPolicy.from_dict(policy.to_dict()) == policy
