"""What Debian's cron reads, ignores and refuses in the five fields: tables of cases."""

import random

import pytest
from croniter import croniter

from schedules.errors import CronError, InvalidSchedule
from schedules.rules.cron import parse
from tests.rules.cron_samples import has_range_of_one, random_expression

EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)

# Expression, minutes as read, text without effect.
IGNORED = [
    ("*x * * * *", tuple(range(60)), "x"),
    ("*5 * * * *", tuple(range(60)), "5"),
    ("0~30 * * * *", (0,), "~30"),
    ("1.5 * * * *", (1,), ".5"),
    ("5;6 * * * *", (5,), ";6"),
    ("9–17 * * * *", (9,), "–17"),  # an en dash
    ("1-5-9 * * * *", (1, 2, 3, 4, 5), "-9"),
    ("*/30/2 * * * *", (0, 30), "/2"),
    ("5\r * * * *", (5,), "\r"),
]
IGNORED_TEXT = [expression for expression, _, _ in IGNORED]

# Expression, field, 0-based position, part of the reason.
REFUSALS = [
    ("60 * * * *", "minute", 0, "minute 60 is outside 0-59"),
    ("0 24 * * *", "hour", 2, "hour 24 is outside 0-23"),
    ("0 0 0 * *", "day of month", 4, "day of month 0 is outside 1-31"),
    ("0 0 32 * *", "day of month", 4, "day of month 32 is outside 1-31"),
    ("0 0 * 0 *", "month", 6, "month 0 is outside 1-12"),
    ("0 0 * 13 *", "month", 6, "month 13 is outside 1-12"),
    ("0 0 * * 8", "day of week", 8, "day of week 8 is outside 0-7"),
    ("0 0 0-31 * *", "day of month", 4, "day of month 0 is outside 1-31"),
    ("5,61 * * * *", "minute", 2, "minute 61 is outside 0-59"),
    ("5-62/50 * * * *", "minute", 0, "minute 62 is outside 0-59"),
    ("70-50 * * * *", "minute", 0, "minute 70 is outside 0-59"),
    ("2147483653 * * * *", "minute", 0, "minute -2147483643 is outside 0-59"),
    (
        "5/15 * * * *",
        "minute",
        1,
        'a step needs "*" or a range before it: "5/15" could be written "5-59/15"',
    ),
    ("0 0 * * mon/2", "day of week", 11, "could be written"),
    ("*/0 * * * *", "minute", 2, 'the step in "*/0" must be at least 1'),
    ("1-5/0 * * * *", "minute", 4, "must be at least 1"),
    ("*/4294967296 * * * *", "minute", 2, "must be at least 1"),
    ("5-9/2147483647 * * * *", "minute", 0, "is too large"),
    ("*/ * * * *", "minute", 2, 'the step after "/" in "*/" is not a number'),
    ("*/x * * * *", "minute", 2, "is not a number"),
    ("L * * * *", "minute", 0, 'minute needs a number 0-59, found "L"'),
    ("0 0 15W * *", "day of month", 4, 'found "15W"'),
    ("0 0 ? * *", "day of month", 4, 'found "?"'),
    ("0 0 * * 5L", "day of week", 8, 'found "5L"'),
    ("R * * * *", "minute", 0, 'found "R"'),
    ("~ * * * *", "minute", 0, 'found "~"'),
    ("0 0 * january *", "month", 6, "three-letter month (jan-dec), found"),
    ("0 0 * * monday", "day of week", 8, "three-letter day (sun-sat), found"),
    ("mon * * * *", "minute", 0, 'found "mon"'),
    ("1, * * * *", "minute", 2, "found nothing"),
    (",1 * * * *", "minute", 0, 'found ","'),
    ("-5 * * * *", "minute", 0, 'found "-"'),
    ("1- * * * *", "minute", 2, "found nothing"),
    ("٣ * * * *", "minute", 0, 'found "٣"'),  # a digit, but not one of cron's
    ("0 0 0 1 1 *", "", 0, "it has 6 fields and needs five"),
    ("* * * *", "", 0, "it has 4 fields and needs five"),
    ("", "", 0, "it has 0 fields and needs five"),
    ("* * * * *\n", "", 0, "it holds a line break"),
    ("@Daily", "", 0, "@Daily is not one of @yearly, @annually"),
    ("@every 5m", "", 0, "@every 5m is not one of"),
    ("@daily x", "", 0, "is not one of"),
    ("@reboot", "", 0, "@reboot is not a time of the clock"),
]
REFUSED = [expression for expression, *_ in REFUSALS]


@pytest.mark.parametrize(
    ("field", "minutes"),
    [
        ("*", tuple(range(60))),
        ("5", (5,)),
        ("1-4", (1, 2, 3, 4)),
        ("1,3,59", (1, 3, 59)),
        ("59,1,1-2", (1, 2, 59)),
        ("*/20", (0, 20, 40)),
        ("10-40/15", (10, 25, 40)),
        ("*/90", (0,)),  # a step beyond the range: the first value
        ("15-15/24", (15,)),
        ("08", (8,)),  # leading zeros are decimal
        ("007", (7,)),
        ("00-09/3", (0, 3, 6, 9)),
        ("4294967301", (5,)),  # cron's atoi() keeps 32 bits
        ("*/2147483647", (0,)),
        ("50-10", ()),  # reversed ranges match nothing
        ("50-10/5", ()),
        ("50-10,7", (7,)),
    ],
)
def test_a_field_of_numbers_is_read_as_cron_reads_it(field, minutes):
    assert parse(f"{field} * * * *").minutes == minutes


@pytest.mark.parametrize(
    ("field", "weekdays"),
    [
        ("0", (0,)),
        ("7", (0,)),
        ("0-7", EVERY_DAY),
        ("1-7", EVERY_DAY),
        ("5-7", (0, 5, 6)),
        ("7-7", (0,)),
        ("*/2", (0, 2, 4, 6)),
        ("*/7", (0,)),
        ("1-7/3", (0, 1, 4)),
        ("sun", (0,)),
        ("MON,Wed", (1, 3)),
        ("mon-fri", (1, 2, 3, 4, 5)),
        ("mon-5", (1, 2, 3, 4, 5)),
        ("mon-sun", ()),  # sun is 0, so this is reversed
        ("sat-sun", ()),
        ("fri-mon", ()),
        ("5-1", ()),
        ("5#2", (5,)),  # every Friday, not the second
    ],
)
def test_a_weekday_field_is_read_as_cron_reads_it(field, weekdays):
    assert parse(f"0 0 * * {field}").weekdays == weekdays


@pytest.mark.parametrize(
    ("field", "months"),
    [
        ("jan", (1,)),
        ("JAN-mar,dec", (1, 2, 3, 12)),
        ("*/5", (1, 6, 11)),
        ("feb-4", (2, 3, 4)),
        ("12-1", ()),
    ],
)
def test_a_month_field_is_read_as_cron_reads_it(field, months):
    assert parse(f"0 0 1 {field} *").months == months


@pytest.mark.parametrize(("expression", "minutes", "ignored"), IGNORED)
def test_text_after_a_complete_element_is_ignored_and_noted(expression, minutes, ignored):
    read = parse(expression)

    assert read.minutes == minutes
    assert read.notes == (f'minute: cron ignores "{ignored}"',)


@pytest.mark.parametrize(("expression", "field", "position", "reason"), REFUSALS)
def test_what_cron_refuses_is_refused_with_field_position_and_reason(expression, field, position, reason):
    with pytest.raises(CronError) as refused:
        parse(expression)

    assert (refused.value.field, refused.value.position) == (field, position)
    assert reason in refused.value.reason
    assert f'"{expression}" is not valid' in str(refused.value)


def test_fields_may_list_every_value():
    lists = [range(60), range(24), range(1, 32), range(1, 13), range(7)]
    listed = parse(" ".join(",".join(map(str, values)) for values in lists))
    assert listed.times == parse("* * * * *").times


def test_an_expression_of_more_than_1000_characters_is_refused():
    with pytest.raises(CronError, match="longer than 1,000 characters"):
        parse("0," * 500 + "0 * * * *")


def test_an_unknown_dialect_is_refused_with_the_known_ones():
    with pytest.raises(
        InvalidSchedule, match='"quartz" is not known; known are: cron, cronie, celery, extended'
    ):
        parse("* * * * *", "quartz")


def test_blanks_and_tabs_separate_fields_and_may_surround_them():
    assert parse(" \t*/5\t 1  2 3\t4 ").minutes == parse("*/5 1 2 3 4").minutes


@pytest.mark.parametrize(
    ("macro", "five_fields"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
    ],
)
def test_a_macro_is_its_five_fields(macro, five_fields):
    read, spelled = parse(macro), parse(five_fields)

    assert (read.times, read.days, read.months) == (spelled.times, spelled.days, spelled.months)
    assert read.weekdays == spelled.weekdays
    assert (read.is_wildcard, read.either_day) == (spelled.is_wildcard, spelled.either_day)


@pytest.mark.parametrize(
    ("expression", "wildcard"),
    [
        ("* * * * *", True),
        ("*/15 2 * * *", True),
        ("30 * * * *", True),
        ("*,30 2 * * *", True),
        ("30 */2 * * *", True),
        ("@hourly", True),
        ("30 2 * * *", False),
        ("0-59 0-23 * * *", False),
        ("30,* 2 * * *", False),
        ("30 2,* * * *", False),
        ("@daily", False),
        ("30 2 */2 * *", False),  # the day fields play no part
    ],
)
def test_a_job_is_wildcard_if_its_minute_or_hour_begins_with_a_star(expression, wildcard):
    assert parse(expression).is_wildcard is wildcard


@pytest.mark.parametrize(
    ("days", "weekdays", "either"),
    [
        ("*", "1", False),
        ("*/2", "1", False),
        ("*,5", "1", False),
        ("5", "*", False),
        ("5", "*/2", False),
        ("5,*", "1", True),
        ("1-31", "1", True),
        ("1", "0-7", True),
        ("1", "1", True),
    ],
)
def test_days_must_match_by_date_and_weekday_only_if_one_field_begins_with_a_star(days, weekdays, either):
    assert parse(f"0 12 {days} * {weekdays}").either_day is either


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("0 22-2 * * *", "hour range 22-2 is reversed, so it matches nothing"),
        ("50-10 * * * *", "minute range 50-10 is reversed, so it matches nothing"),
        ("0 0 * * mon-sun", "day of week range mon-sun is reversed, so it matches nothing"),
        ("0 0 * 12-1 *", "month range 12-1 is reversed, so it matches nothing"),
        ("0 0 5-1 * *", "day of month range 5-1 is reversed, so it matches nothing"),
        ("0#5 22-2# 5-1 * 1", "hour range 22-2 is reversed, so it matches nothing"),
        ("0 0 31 2 *", "day 31 does not occur in February"),
        ("0 0 30,31 2 *", "days 30, 31 do not occur in February"),
        ("0 0 31 4,6 *", "day 31 does not occur in April or June"),
        ("0 0 31 2 fri-mon", "day 31 does not occur in February"),
        ("0 0 29 2 *", ""),
        ("0 0 31 2 1", ""),  # Mondays in February
        ("0 0 5-1 * 1", ""),  # Mondays
        ("0 0 1 * fri-mon", ""),  # the first of the month
    ],
)
def test_an_expression_that_never_fires_says_why(expression, why):
    assert parse(expression).why_never == why
    assert parse(expression).never_fires is bool(why)


def test_croniter_expands_well_formed_fields_to_the_same_values():
    chance = random.Random(20)
    for _ in range(300):
        expression = random_expression(chance)
        if has_range_of_one(expression) or "7" in expression.split()[4]:  # it folds 7 too early
            continue
        read = parse(expression)

        theirs, _ = croniter.expand(expression)

        ours = (read.minutes, read.hours, read.days, read.months, read.weekdays)
        for values, expanded, full in zip(ours, theirs, (60, 24, 31, 12, 7), strict=True):
            every = "*" in expanded and len(values) == full
            assert every or expanded == list(values), expression
