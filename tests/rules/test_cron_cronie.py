"""Where cronie reads a field otherwise than Debian's cron: tables after its src/entry.c."""

import random

import pytest

from schedules.errors import CronError
from schedules.rules.cron import parse
from tests.rules.cron_samples import random_expression
from tests.rules.test_cron_fields import IGNORED_TEXT


def cronie(expression: str, seed: str = "job"):
    return parse(expression, "cronie", seed=seed)


def test_well_formed_lines_mean_what_they_mean_to_debians_cron():
    chance = random.Random(11)
    for _ in range(300):
        expression = random_expression(chance)
        ours, debians = cronie(expression), parse(expression)

        for field in ("minutes", "hours", "days", "months", "weekdays", "is_wildcard", "either_day"):
            assert getattr(ours, field) == getattr(debians, field), (expression, field)


@pytest.mark.parametrize(
    ("field", "weekdays"),
    [
        ("fri-sun", (0, 5, 6)),
        ("5-0", (0, 5, 6)),
        ("sat-SUN,2", (0, 2, 6)),
        ("1-0", (0, 1, 2, 3, 4, 5, 6)),
        ("0-0", (0,)),
        ("5-7", (0, 5, 6)),
    ],
)
def test_a_range_of_weekdays_may_end_with_sunday(field, weekdays):
    assert cronie(f"0 0 * * {field}").weekdays == weekdays


@pytest.mark.parametrize(
    ("expression", "field", "position", "reason"),
    [
        ("50-10 * * * *", "minute", 0, "minute range 50-10 is reversed"),
        ("0 22-2 * * *", "hour", 2, "hour range 22-2 is reversed"),
        ("5-0 * * * *", "minute", 0, "minute range 5-0 is reversed"),
        ("0 0 * * fri-mon", "day of week", 8, "reversed"),
        ("0 0 * * fri-sun/2", "day of week", 8, "reversed"),
        ("5/15 * * * *", "minute", 1, 'could be written "5-59/15"'),
        ("*x * * * *", "minute", 1, '"x" after "*" is not understood'),
        ("1.5 * * * *", "minute", 1, '".5" after "1" is not understood'),
        ("1-5-9 * * * *", "minute", 3, '"-9" after "1-5" is not understood'),
        ("5,10x * * * *", "minute", 2, 'found "10x"'),
        ("60 * * * *", "minute", 0, "minute 60 is outside 0-59"),
        ("0-99/60 * * * *", "minute", 0, "minute 60 is outside 0-59"),
        ("*/0 * * * *", "minute", 2, "must be a number from 1"),
        ("1, * * * *", "minute", 2, "found nothing"),
        ("0 0 ? * *", "day of month", 4, 'found "?"'),
        ("0 0 * january *", "month", 6, "three-letter month"),
        ("20~10 * * * *", "minute", 0, "minute range 20~10 is reversed"),
        ("50~70 * * * *", "minute", 0, "minute 70 is outside 0-59"),
        ("~/5 * * * *", "minute", 1, "takes no step"),
        ("0~10/2 * * * *", "minute", 4, "takes no step"),
        ("0 0 0 1 1 *", "", 0, "the extended dialect takes the second"),
        ("@Daily", "", 0, "@Daily is not one of"),
    ],
)
def test_a_refusal_names_field_position_and_reason(expression, field, position, reason):
    with pytest.raises(CronError) as refusal:
        cronie(expression)

    assert (refusal.value.field, refusal.value.position) == (field, position)
    assert reason in refusal.value.reason


@pytest.mark.parametrize("expression", IGNORED_TEXT)
def test_text_that_debians_cron_skips_is_refused_or_means_something(expression):
    if "~" in expression:
        assert cronie(expression).is_seeded
        return
    with pytest.raises(CronError):
        cronie(expression)


def test_a_value_that_no_step_reaches_is_not_judged():
    assert cronie("50-99/60 * * * *").minutes == (50,)


@pytest.mark.parametrize(
    ("field", "low", "high"), [("~", 0, 59), ("10~20", 10, 20), ("50~", 50, 59), ("~5", 0, 5), ("7~7", 7, 7)]
)
def test_a_tilde_is_one_value_of_its_range_and_every_value_for_somebody(field, low, high):
    found = {cronie(f"{field} * * * *", seed=str(number)).minutes for number in range(1500)}

    assert found == {(value,) for value in range(low, high + 1)}


def test_a_tilde_is_the_same_value_at_every_reading_and_said():
    plan = cronie("5~15,35~45 ~ * * mon~wed", seed="backup")

    assert plan == cronie("5~15,35~45 ~ * * mon~wed", seed="backup")
    assert plan.is_seeded
    assert plan.choices[2] == f"hour: ~ stands for {plan.hours[0]} here"
    assert plan.choices[3] == f"day of week: mon~wed stands for {plan.weekdays[0]} here"


def test_a_tilde_is_no_star():
    assert not cronie("~ ~ * * *").is_wildcard
    assert cronie("0 0 ~ * 1").either_day
