"""Timings in words: a table of phrases."""

from datetime import UTC, datetime, timedelta

import pytest

from schedules.rules.timing import (
    BootTiming,
    CronTiming,
    IntervalTiming,
    MomentTiming,
    NoTiming,
    WindowTiming,
)
from schedules.rules.wording import describe

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("* * * * *", "every minute"),
        ("*/5 * * * *", "every 5 minutes"),
        ("0-59/30 * * * *", "every 30 minutes"),
        ("*/7 * * * *", "at every 7th minute from 0 to 56 of every hour"),
        ("7 * * * *", "at minute 7 of every hour"),
        ("@hourly", "at minute 0 of every hour"),
        ("0,7,10-20 * * * *", "at minutes 0, 7 and 10 to 20 of every hour"),
        ("30 2 * * *", "at 02:30 every day"),
        ("30 2,14 * * *", "at 02:30 and 14:30 every day"),
        ("15 9-17 * * *", "at minute 15 of hours 9 to 17"),
        ("0 */2 * * *", "at minute 0 of every second hour from midnight"),
        ("*/10 2 * * *", "every 10 minutes from 02:00 to 02:59"),
        ("*/5 9-17 * * 1-5", "every 5 minutes from 09:00 to 17:59 on Monday to Friday"),
        ("5 4 * * sun", "at 04:05 on Sunday"),
        ("0 0 * * 5-7", "at 00:00 on Friday to Sunday"),
        ("0 6 * * 6,0", "at 06:00 on Saturday and Sunday"),
        ("0 12 1 * *", "at 12:00 on the 1st of the month"),
        ("0 0 2,3,11,21-23 * *", "at 00:00 on the 2nd, 3rd, 11th and 21st to 23rd of the month"),
        ("0 0 2-30/2 * *", "at 00:00 on even days of the month"),
        ("@yearly", "at 00:00 on the 1st of January"),
        ("0 0 * 1,7 *", "at 00:00 every day in January and July"),
        ("0 0 * 7 1", "at 00:00 on Monday in July"),
        ("* * * 7 *", "every minute every day in July"),
        # either day field, because neither begins with a star
        ("0 12 1 * 1", "at 12:00 on the 1st of the month or on Monday"),
        ("0 12 1 6 5-7", "at 12:00 on the 1st of June or on Friday to Sunday in June"),
        ("0 12 1-31 * 1", "at 12:00 every day"),
        ("0 12 5-1 * 1", "at 12:00 on Monday"),
        # both, because one does
        ("0 12 */2 * 1", "at 12:00 on odd days of the month that are Mondays"),
        (
            "0 12 1-7 * */3",
            "at 12:00 on the 1st to 7th of the month that are Wednesdays, Saturdays or Sundays",
        ),
        ("0 12 *,5 * 1", "at 12:00 on Monday"),
        ("0 0 31 2 *", "never: day 31 does not occur in February"),
        ("0 22-2 * * *", "never: hour range 22-2 is reversed, so it matches nothing"),
    ],
)
def test_a_cron_expression_in_words(expression, words):
    assert describe(CronTiming(expression, "UTC")) == words


def test_the_words_follow_the_dialect():
    timing = CronTiming("0 12 1 * 1", "UTC", "celery")

    assert describe(timing) == "at 12:00 on the 1st of the month that are Mondays"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 12 L * *", "at 12:00 on the last day of the month"),
        ("0 12 L-3 * *", "at 12:00 on the last day but 3 of the month"),
        ("0 12 LW * *", "at 12:00 on the last working day of the month"),
        ("0 12 L-2W 1 *", "at 12:00 on the working day nearest to the last but 2 of January"),
        ("0 12 15W * ?", "at 12:00 on the working day nearest to the 15th of the month"),
        ("0 12 1,L * *", "at 12:00 on the 1st and the last day of the month"),
        ("0 12 ? * fri#2", "at 12:00 on the second Friday of the month"),
        ("0 12 ? * mon,5L", "at 12:00 on Monday and the last Friday of the month"),
        ("0 12 * 6 friL", "at 12:00 on the last Friday in June"),
        ("0 12 13 * 5#2", "at 12:00 on the 13th of the month or on the second Friday of the month"),
        ("0 12 */2 * 5#2", "at 12:00 on odd days of the month that are the second Friday"),
        ("* * * * * *", "every second"),
        ("*/10 * 9-17 * * *", "every 10 seconds from 09:00 to 17:59"),
        ("5 * * * * *", "at second 5 of every minute"),
        ("5 */5 * * * *", "at second 5, every 5 minutes"),
        ("*/10 30 9-17 * * *", "every 10 seconds, at minute 30 of hours 9 to 17"),
        ("5 30 2 * * *", "at 02:30:05 every day"),
        ("H(7-7) H(4-4) * * *", "at 04:07 every day"),
    ],
)
def test_the_extended_dialect_in_words(expression, words):
    assert describe(CronTiming(expression, "UTC", "extended")) == words


@pytest.mark.parametrize(
    ("gap", "repeat", "words"),
    [
        ("", "", ""),
        ("skip", "", "; when the clocks change, skipped times are left out"),
        ("run", "", "; when the clocks change, skipped times run right after"),
        ("", "first", "; when the clocks change, repeated times run once"),
        ("skip", "both", "; when the clocks change, skipped times are left out and repeated times run twice"),
    ],
)
def test_policies_for_clock_changes_in_words(gap, repeat, words):
    timing = CronTiming("30 2 * * *", "Europe/Berlin", gap=gap, repeat=repeat)

    assert describe(timing) == "at 02:30 every day" + words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "every second"),
        (90, "every 90 seconds"),
        (60, "every minute"),
        (300, "every 5 minutes"),
        (7200, "every 2 hours"),
        (86_400, "every day"),
        (1.5, "every 1.5 seconds"),
    ],
)
def test_an_interval_in_words(seconds, words):
    assert describe(IntervalTiming(timedelta(seconds=seconds), NEW_YEAR)) == words


@pytest.mark.parametrize(
    ("timing", "words"),
    [
        (MomentTiming(NEW_YEAR), "once at 2026-01-01 00:00 UTC"),
        (MomentTiming(NEW_YEAR + timedelta(seconds=5)), "once at 2026-01-01 00:00:05 UTC"),
        (BootTiming(), "when the worker's host boots"),
        (NoTiming(), "by hand only"),
        (
            WindowTiming(CronTiming("@daily", "UTC"), NEW_YEAR, NEW_YEAR + timedelta(days=31)),
            "at 00:00 every day, from 2026-01-01 00:00 UTC, until 2026-02-01 00:00 UTC",
        ),
    ],
)
def test_other_timings_in_words(timing, words):
    assert describe(timing) == words
