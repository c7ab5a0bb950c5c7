"""The `celery` dialect: Celery's reading of fields, cron's treatment of clock changes."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery.schedules import ParseException, crontab, crontab_parser

from schedules.errors import CronError
from schedules.rules.cron import fire_times, next_fire, parse
from tests.rules.cron_samples import random_expression

COLUMNS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


def read_by_celery(expression: str) -> tuple[tuple[int, ...], ...]:
    read: Any = crontab(**dict(zip(COLUMNS, expression.split(), strict=True)))
    return tuple(tuple(sorted(getattr(read, column))) for column in COLUMNS)


def read_by_us(expression: str) -> tuple[tuple[int, ...], ...]:
    read = parse(expression, "celery")
    return read.minutes, read.hours, read.days, read.months, read.weekdays


@pytest.mark.parametrize(
    "expression",
    [
        "* * * * *",
        "*/15 22-2 * * *",  # ranges wrap
        "50-10/5 * * * *",
        "0 0 * * fri-mon",
        "0 0 * * sat-sun",
        "0 0 * january,Feb-march *",
        "0 0 * * Monday,wednesday",
        "0 0 * 11-2/2 *",
        "may * * * *",  # words count in every column
        "1-5-9 * * * *",  # what follows a range is ignored
        "*/90 * * * *",
        "08 007 * * *",
    ],
)
def test_fields_are_read_as_celery_reads_them(expression):
    assert read_by_us(expression) == read_by_celery(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "5/15 * * * *",
        "*/0 * * * *",
        "*/ * * * *",
        "60 * * * *",
        "0 24 * * *",
        "0 0 0 * *",
        "0 0 * 13 *",
        "0 0 * * 8",
        "*x * * * *",
        "5#2 * * * *",
        "1, * * * *",
        "nil * * * *",
        "-5 * * * *",
        "*/-1 * * * *",
        "1-5/ * * * *",
        "0 0 * * @",
        "1.5 * * * *",
    ],
)
def test_what_celery_refuses_is_refused(expression):
    with pytest.raises((ValueError, ParseException)):
        read_by_celery(expression)

    with pytest.raises(CronError):
        parse(expression, "celery")


def test_random_expressions_are_read_as_celery_reads_them():
    chance = random.Random(5)
    for _ in range(300):
        expression = random_expression(chance)
        weekdays = expression.split()[4]
        if "7" in weekdays or parse(expression, "celery").never_fires:
            continue

        assert read_by_us(expression) == read_by_celery(expression), expression


@pytest.mark.parametrize(
    ("weekdays", "read"),
    [
        ("7", (0,)),
        ("0-7", (0, 1, 2, 3, 4, 5, 6)),
        ("5-7", (0, 5, 6)),
        ("7-2", (0, 1, 2)),
        ("sat-7", (0, 6)),
    ],
)
def test_seven_is_sunday_although_celery_stops_on_it(weekdays, read):
    with pytest.raises(ValueError, match="Invalid end range"):
        crontab_parser(7).parse(weekdays)

    assert parse(f"0 0 * * {weekdays}", "celery").weekdays == read


def test_a_day_must_match_by_date_and_by_weekday():
    start = datetime(2026, 1, 1, tzinfo=UTC)

    instants = fire_times("0 0 1 * 1", "UTC", start, start + timedelta(days=365), "celery")

    assert [f"{instant:%m-%d}" for instant in instants] == ["06-01"]


def test_a_date_that_does_not_exist_never_fires_instead_of_stopping_beat():
    assert next_fire("0 0 31 2 *", "UTC", datetime(2026, 1, 1, tzinfo=UTC), "celery") is None


@pytest.mark.parametrize(
    ("expression", "day", "hours_utc"),
    [
        ("30 2 * * *", 29, ["01:00"]),  # Berlin's skipped hour ends at 01:00 UTC
        ("*/30 2 * * *", 29, []),
        ("0 * * * *", 29, ["00:00", "01:00", "02:00"]),
    ],
)
def test_clock_changes_follow_crons_rule(expression, day, hours_utc):
    start = datetime(2026, 3, day, tzinfo=UTC)
    end = start + timedelta(hours=3)

    instants = fire_times(expression, "Europe/Berlin", start, end, "celery")

    assert [f"{instant:%H:%M}" for instant in instants] == hours_utc


def test_macros_are_not_known():
    with pytest.raises(CronError, match="has 1 fields"):
        parse("@daily", "celery")
