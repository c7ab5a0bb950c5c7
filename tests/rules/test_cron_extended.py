"""The extended dialect: seconds, days that only a calendar can name, H, ranges over the end."""

import calendar
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.errors import CronError
from schedules.rules.cron import fire_times, next_fire, parse
from schedules.rules.cron.seed import chosen

MONTHS = st.tuples(st.integers(1990, 2100), st.integers(1, 12))


def extended(expression: str, seed: str = "job"):
    return parse(expression, "extended", seed=seed)


def dates(fields: str, first: str = "2026-01-01", count: int = 4) -> list[str]:
    start = datetime.fromisoformat(first).replace(tzinfo=UTC)
    instants = fire_times(f"0 12 {fields}", "UTC", start, start + timedelta(days=4000), "extended")
    return [f"{instant:%Y-%m-%d}" for _, instant in zip(range(count), instants, strict=False)]


def days_of(fields: str, year: int, month: int) -> list[int]:
    """The matching days of one month."""
    begin = datetime(year, month, 1, tzinfo=UTC)
    length = calendar.monthrange(year, month)[1]
    instants = fire_times(f"0 12 {fields}", "UTC", begin, begin + timedelta(days=length), "extended")
    return [instant.day for instant in instants]


class TestDays:
    """2026-01-01 is a Thursday."""

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ("L * *", ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]),
            ("L-3 * *", ["2026-01-28", "2026-02-25", "2026-03-28", "2026-04-27"]),
            ("L 2 *", ["2026-02-28", "2027-02-28", "2028-02-29", "2029-02-28"]),
            ("L-30 * *", ["2026-01-01", "2026-03-01", "2026-05-01", "2026-07-01"]),
            # 31 January 2026 is a Saturday, 28 February too, 31 May a Sunday
            ("LW * *", ["2026-01-30", "2026-02-27", "2026-03-31", "2026-04-30"]),
            ("15W * *", ["2026-01-15", "2026-02-16", "2026-03-16", "2026-04-15"]),
            # 1 February and 1 March are Sundays, 1 August is a Saturday
            ("1W 2-8 *", ["2026-02-02", "2026-03-02", "2026-04-01", "2026-05-01"]),
            ("1W 8 *", ["2026-08-03", "2027-08-02", "2028-08-01", "2029-08-01"]),
            ("31W * *", ["2026-01-30", "2026-03-31", "2026-05-29", "2026-07-31"]),
            ("l-3w * *", ["2026-01-28", "2026-02-25", "2026-03-27", "2026-04-27"]),
            ("1,L * *", ["2026-01-01", "2026-01-31", "2026-02-01", "2026-02-28"]),
            ("? * fri#2", ["2026-01-09", "2026-02-13", "2026-03-13", "2026-04-10"]),
            ("* * 5#5", ["2026-01-30", "2026-05-29", "2026-07-31", "2026-10-30"]),
            ("? * friL", ["2026-01-30", "2026-02-27", "2026-03-27", "2026-04-24"]),
            ("? * 7L", ["2026-01-25", "2026-02-22", "2026-03-29", "2026-04-26"]),
            ("* * mon,fri#2", ["2026-01-05", "2026-01-09", "2026-01-12", "2026-01-19"]),
            # neither begins with a star: either of them
            ("13 * fri#2", ["2026-01-09", "2026-01-13", "2026-02-13", "2026-03-13"]),
            # one does: both
            ("*/2 * fri#2", ["2026-01-09", "2026-02-13", "2026-03-13", "2026-09-11"]),
            ("29 2 mon", ["2026-02-02", "2026-02-09", "2026-02-16", "2026-02-23"]),
            ("* * fri-mon", ["2026-01-02", "2026-01-03", "2026-01-04", "2026-01-05"]),
            ("30-2 * ?", ["2026-01-01", "2026-01-02", "2026-01-30", "2026-01-31"]),
            ("* nov-jan ?", ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"]),
        ],
    )
    def test_days_of_the_calendar(self, fields, expected):
        assert dates(fields) == expected

    @given(MONTHS, st.integers(0, 6), st.integers(1, 5))
    def test_the_nth_and_the_last_weekday(self, month, weekday, number):
        length = calendar.monthrange(*month)[1]
        all_of_them = [day for day in range(1, length + 1) if date(*month, day).isoweekday() % 7 == weekday]

        assert days_of(f"? * {weekday}#{number}", *month) == all_of_them[number - 1 : number]
        assert days_of(f"? * {weekday}L", *month) == all_of_them[-1:]

    @given(MONTHS, st.integers(1, 31))
    def test_the_nearest_working_day_is_in_the_month_and_none_is_nearer(self, month, day):
        length = calendar.monthrange(*month)[1]
        working = [d for d in range(1, length + 1) if date(*month, d).isoweekday() <= 5]

        found = days_of(f"{day}W * ?", *month)

        assert found == ([min(working, key=lambda d: abs(d - day))] if day <= length else [])

    @pytest.mark.parametrize(
        ("expression", "why"),
        [
            ("0 0 31 2 *", "day 31 does not occur in February"),
            ("0 0 30W 2 ?", "no day matches"),
            ("0 0 L-29 2 ?", "no day matches"),
        ],
    )
    def test_some_expressions_never_fire(self, expression, why):
        assert extended(expression).why_never == why
        assert next_fire(expression, "UTC", datetime(2026, 1, 1, tzinfo=UTC), "extended") is None

    def test_the_rarest_date_is_found(self):
        found = next_fire("0 0 29 2 ?", "UTC", datetime(2096, 3, 1, tzinfo=UTC), "extended")
        fifth_monday = next_fire("0 0 ? 2 1#5", "UTC", datetime(2072, 3, 1, tzinfo=UTC), "extended")

        assert f"{found:%Y-%m-%d}" == "2104-02-29"
        assert f"{fifth_monday:%Y-%m-%d}" == "2112-02-29"


class TestClock:
    @pytest.mark.parametrize(
        ("field", "minutes"),
        [
            ("5/15", (5, 20, 35, 50)),
            ("50-10/5", (0, 5, 10, 50, 55)),
            ("58-1", (0, 1, 58, 59)),
            ("*/60", (0,)),
            ("59/2,3", (3, 59)),
        ],
    )
    def test_steps_and_ranges_over_the_end(self, field, minutes):
        assert extended(f"{field} * * * *").minutes == minutes

    def test_six_fields_begin_with_the_second(self):
        start = datetime(2026, 6, 1, tzinfo=UTC)

        found = list(fire_times("*/20 30 2 * * *", "UTC", start, start + timedelta(days=1), "extended"))

        assert [f"{instant:%H:%M:%S}" for instant in found] == ["02:30:00", "02:30:20", "02:30:40"]

    def test_every_second_of_a_time_is_there_wherever_zones_are_cut(self):
        """Zones are looked at in stretches of 2**25 s, which begin within a minute."""
        start = datetime.fromtimestamp(53 * 2**25 - 3000, UTC)

        found = list(
            fire_times("* * * * * *", "Europe/Berlin", start, start + timedelta(hours=2), "extended")
        )

        assert found == [start + timedelta(seconds=second) for second in range(7200)]

    def test_a_step_is_found_from_any_second(self):
        moment = datetime(2026, 6, 1, 2, 30, 19, 999_999, tzinfo=UTC)

        found = next_fire("*/20 30 2 * * *", "UTC", moment, "extended")

        assert found == datetime(2026, 6, 1, 2, 30, 20, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("expression", "is_wildcard"),
        [("0 30 2 * * *", False), ("* 30 2 * * *", True), ("0 * 2 * * *", True), ("0/5 1/5 H * * ?", False)],
    )
    def test_a_star_for_second_minute_or_hour_follows_real_time(self, expression, is_wildcard):
        assert extended(expression).is_wildcard is is_wildcard

    def test_macros_are_crons(self):
        assert extended("@daily").times == (0,)


class TestHash:
    def test_the_value_is_kept_for_ever(self):
        """These numbers may never change: schedules that exist would move."""
        assert chosen("nightly", "minute", 60) == chosen("nightly", "minute", 60)
        assert [chosen("nightly", "minute", 60), chosen("nightly", "hour", 24)] == PINNED
        assert (extended("H H * * *", "nightly").minutes, extended("H H * * *", "nightly").hours) == (
            (PINNED[0],),
            (PINNED[1],),
        )

    @pytest.mark.parametrize(
        ("field", "values"),
        [
            ("H * * * *", range(60)),
            ("H(10-19) * * * *", range(10, 20)),
            ("0 0 H * *", range(1, 29)),
            ("0 0 * H *", range(1, 13)),
            ("0 0 * * H", range(7)),
            ("H 0 0 * * *", range(60)),
        ],
    )
    def test_h_is_one_value_of_the_field_and_each_for_somebody(self, field, values):
        found = set()
        for number in range(1500):
            plan = extended(field, str(number))
            columns = (plan.seconds, plan.minutes, plan.days, plan.months, plan.weekdays)
            [column] = [column for column, word in zip(columns, COLUMNS[field], strict=True) if word]
            found |= set(column)
            assert len(column) == 1

        assert found == set(values)

    def test_h_with_a_step_begins_within_the_step(self):
        for number in range(200):
            minutes = extended("H/15 * * * *", str(number)).minutes

            assert minutes == tuple(range(minutes[0], 60, 15))
            assert minutes[0] < 15

    def test_h_with_a_range_and_a_step_stays_in_the_range(self):
        for number in range(200):
            assert set(extended("H(0-29)/10 * * * *", str(number)).minutes) <= set(range(30))

    def test_what_h_stands_for_is_said(self):
        plan = extended("H/15 H * * *", "nightly")

        assert plan.is_seeded
        assert plan.choices == (
            f"minute: H/15 stands for {','.join(map(str, plan.minutes))} here",
            f"hour: H stands for {plan.hours[0]} here",
        )
        assert not extended("0 0 * * thu").is_seeded


PINNED = [38, 11]
COLUMNS = {
    "H * * * *": (0, 1, 0, 0, 0),
    "H(10-19) * * * *": (0, 1, 0, 0, 0),
    "0 0 H * *": (0, 0, 1, 0, 0),
    "0 0 * H *": (0, 0, 0, 1, 0),
    "0 0 * * H": (0, 0, 0, 0, 1),
    "H 0 0 * * *": (1, 0, 0, 0, 0),
}


@pytest.mark.parametrize(
    ("expression", "field", "position", "reason"),
    [
        ("* * * * * * *", "", 0, "years are not written here"),
        ("* * * *", "", 0, "it has 4 fields and needs five"),
        ("60 * * * * *", "second", 0, "second 60 is outside 0-59"),
        ("? * * * *", "minute", 0, '"?" stands alone in a day field only'),
        ("0 0 ?/2 * *", "day of month", 4, '"?" stands alone'),
        ("*/90 * * * *", "minute", 0, 'write "every 90 minutes"'),
        ("0 0 */40 * *", "day of month", 4, "the step 40 is larger than the 31 values"),
        ("*/0 * * * *", "minute", 0, "must be a number from 1"),
        ("0 0 * * L", "day of week", 8, "friL is the last Friday"),
        ("0 0 L-31 * *", "day of month", 4, "no month has a day 31 days before its last one"),
        ("0 0 1,32W * *", "day of month", 6, "day of month 32 is outside 1-31"),
        ("0 0 * * 5#6", "day of week", 8, 'a number 1-5 is needed, found "6"'),
        ("0 0 * * 5#", "day of week", 8, 'found ""'),
        ("0 0 * * 8L", "day of week", 8, 'found "8L"'),
        ("0 0 * * monday", "day of week", 8, "three-letter day"),
        ("0 0 15W * 5W", "day of week", 10, 'found "5W"'),
        ("L * * * *", "minute", 0, 'found "L"'),
        ("H(50-70) * * * *", "minute", 0, "minute 70 is outside 0-59"),
        ("H(20-10) * * * *", "minute", 0, "is reversed"),
        ("H(0-9)/11 * * * *", "minute", 0, "the step 11 is larger than the 10 values"),
        ("5x * * * *", "minute", 0, 'found "5x"'),
        ("1, * * * *", "minute", 2, "found nothing"),
        ("٣ * * * *", "minute", 0, 'found "٣"'),
        ("@every 5m", "", 0, "@every 5m is not one of"),
    ],
)
def test_a_refusal_names_field_position_and_reason(expression, field, position, reason):
    with pytest.raises(CronError) as refusal:
        extended(expression)

    assert (refusal.value.field, refusal.value.position) == (field, position)
    assert reason in refusal.value.reason
