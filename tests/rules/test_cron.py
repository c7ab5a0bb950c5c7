"""Instants of cron expressions: tables of what the daemon does, then properties."""

from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedules.errors import CronError, InvalidSchedule, TimingError
from schedules.rules import cron
from schedules.rules.cron import clock, fire_times, next_fire
from tests.rules.cron_samples import random_expression

BERLIN = "Europe/Berlin"
SPRING, AUTUMN = "2026-03-29", "2026-10-25"  # the days on which Berlin's clocks change


def fires(expression: str, zone: str, day: str, *, until: int = 1) -> list[str]:
    """Local times, with their offset, of the instants of a local day (or of some days)."""
    tz = ZoneInfo(zone)
    start = datetime.fromisoformat(day).replace(tzinfo=tz)
    instants = fire_times(expression, zone, start, start + timedelta(days=until))
    return [f"{moment.astimezone(tz):%H:%M%z}" for moment in instants]


def dates(expression: str, start: str, count: int, zone: str = "UTC") -> list[str]:
    first = datetime.fromisoformat(start).replace(tzinfo=UTC)
    instants = fire_times(expression, zone, first, first + timedelta(days=366 * 12))
    return [f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d}" for moment in islice(instants, count)]


class TestDays:
    """2026-06-01 is a Monday."""

    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            # both must match: Mondays with an odd date
            ("0 12 */2 * 1", ["2026-06-01", "2026-06-15", "2026-06-29", "2026-07-13"]),
            # either matches: the 1st or Mondays
            ("0 12 1 * 1", ["2026-06-01", "2026-06-08", "2026-06-15", "2026-06-22"]),
            # the date field does not begin with a star, and holds every date: daily
            ("0 12 5,* * 1", ["2026-06-01", "2026-06-02", "2026-06-03", "2026-06-04"]),
            # odd dates or Mondays
            ("0 12 1-31/2 * 1", ["2026-06-01", "2026-06-03", "2026-06-05", "2026-06-07"]),
            ("0 12 *,5 * 1", ["2026-06-01", "2026-06-08", "2026-06-15", "2026-06-22"]),
            ("0 12 * * 7", ["2026-06-07", "2026-06-14", "2026-06-21", "2026-06-28"]),
            ("0 12 * * 0-7", ["2026-06-01", "2026-06-02", "2026-06-03", "2026-06-04"]),
            ("0 12 * * 5#2", ["2026-06-05", "2026-06-12", "2026-06-19", "2026-06-26"]),
            ("0 12 31 * *", ["2026-07-31", "2026-08-31", "2026-10-31", "2026-12-31"]),
            ("0 12 29 2 *", ["2028-02-29", "2032-02-29", "2036-02-29"]),
            ("0 12 5-1 * 1", ["2026-06-01", "2026-06-08", "2026-06-15", "2026-06-22"]),
            ("@yearly", ["2027-01-01", "2028-01-01", "2029-01-01", "2030-01-01"]),
            ("@monthly", ["2026-06-01", "2026-07-01", "2026-08-01", "2026-09-01"]),
            ("@weekly", ["2026-06-07", "2026-06-14", "2026-06-21", "2026-06-28"]),
        ],
    )
    def test_days_are_chosen_as_cron_chooses_them(self, expression, expected):
        assert dates(expression, "2026-06-01", len(expected)) == expected

    @pytest.mark.parametrize("expression", ["0 0 31 2 *", "0 22-2 * * *", "0 0 * * mon-sun"])
    def test_some_expressions_never_fire(self, expression):
        assert dates(expression, "2026-01-01", 1) == []
        assert next_fire(expression, "UTC", datetime(2026, 1, 1, tzinfo=UTC)) is None


class TestSkippedHour:
    """Berlin, 2026-03-29: 01:59 is followed by 03:00."""

    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            ("30 2 * * *", ["03:00+0200"]),  # made up for at the end of the gap, not at 03:30
            ("0 2 * * *", ["03:00+0200"]),
            ("0 3 * * *", ["03:00+0200"]),
            ("0 2-3 * * *", ["03:00+0200"]),  # cron starts it twice at 03:00
            ("0-59 2 * * *", ["03:00+0200"]),  # cron spreads these over the next minutes
            ("30 2 * * 0", ["03:00+0200"]),  # the skipped minute keeps its Sunday
            ("30 2 * * 1", []),
            ("30,* 2 * * *", ["03:00+0200"]),  # does not begin with a star
            ("30 1 * * *", ["01:30+0100"]),
            ("30 3 * * *", ["03:30+0200"]),
            ("*/15 2 * * *", []),  # wildcard: lost
            ("*,30 2 * * *", []),
            ("30 */2 * * *", ["04:30+0200"]),
            ("30 2,* * * *", ["01:30+0100", "03:00+0200", "03:30+0200", "04:30+0200"]),
            ("30 0-23 * * *", ["01:30+0100", "03:00+0200", "03:30+0200", "04:30+0200"]),
            ("0 * * * *", ["01:00+0100", "03:00+0200", "04:00+0200"]),
            ("@hourly", ["01:00+0100", "03:00+0200", "04:00+0200"]),
            ("@daily", []),
        ],
    )
    def test_fixed_jobs_run_at_its_end_and_wildcard_jobs_go_on(self, expression, expected):
        found = fires(expression, BERLIN, SPRING)

        assert [time for time in found if "01:00" <= time < "05:00"] == expected


class TestRepeatedHour:
    """Berlin, 2026-10-25: 02:59 is followed by 02:00."""

    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            ("30 2 * * *", ["02:30+0200"]),
            ("0 2 * * *", ["02:00+0200"]),
            ("0 3 * * *", ["03:00+0100"]),
            ("0 2-3 * * *", ["02:00+0200", "03:00+0100"]),
            ("*/30 2 * * *", ["02:00+0200", "02:30+0200", "02:00+0100", "02:30+0100"]),
            ("0 1-3/1 * * *", ["01:00+0200", "02:00+0200", "03:00+0100"]),
            ("30 2,* 25 10 *", ["00:30+0200", "01:30+0200", "02:30+0200", "03:30+0100"]),
            ("30 * * * *", ["00:30+0200", "01:30+0200", "02:30+0200", "02:30+0100"]),
        ],
    )
    def test_fixed_jobs_run_in_the_first_pass_and_wildcard_jobs_in_both(self, expression, expected):
        assert fires(expression, BERLIN, AUTUMN)[: len(expected)] == expected

    def test_a_job_of_every_minute_follows_real_time(self):
        start = datetime(2026, 10, 24, 22, tzinfo=UTC)

        instants = list(fire_times("* * * * *", BERLIN, start, start + timedelta(hours=25)))

        assert instants == [start + timedelta(minutes=n) for n in range(25 * 60)]


class TestOtherZones:
    @pytest.mark.parametrize(
        ("zone", "day", "expression", "expected"),
        [
            ("America/New_York", "2026-03-08", "30 2 * * *", ["03:00-0400"]),
            ("America/New_York", "2026-11-01", "30 1 * * *", ["01:30-0400"]),
            (
                "America/New_York",
                "2026-11-01",
                "*/30 1 * * *",
                ["01:00-0400", "01:30-0400", "01:00-0500", "01:30-0500"],
            ),
            # 30 minutes: 01:59 is followed by 02:30, and in April by 01:30
            ("Australia/Lord_Howe", "2026-10-04", "15 2 * * *", ["02:30+1100"]),
            ("Australia/Lord_Howe", "2026-10-04", "*/15 2 * * *", ["02:30+1100", "02:45+1100"]),
            ("Australia/Lord_Howe", "2026-04-05", "45 1 * * *", ["01:45+1100"]),
            ("Australia/Lord_Howe", "2026-04-05", "15 1 * * *", ["01:15+1100"]),
            # midnight itself is skipped, and repeated
            ("America/Havana", "2026-03-08", "0 0 * * *", ["01:00-0400"]),
            ("America/Havana", "2026-03-08", "30 0 * * 0", ["01:00-0400"]),
            ("America/Havana", "2025-11-02", "0 0 * * *", ["00:00-0400"]),
            ("America/Havana", "2025-11-02", "0 */12 * * *", ["00:00-0400", "00:00-0500", "12:00-0500"]),
            ("Asia/Kolkata", "2026-03-29", "30 2 * * *", ["02:30+0530"]),
            ("UTC", "2026-03-29", "30 2 * * *", ["02:30+0000"]),
        ],
    )
    def test_the_rule_holds_for_jumps_of_any_length_up_to_three_hours(self, zone, day, expression, expected):
        assert fires(expression, zone, day) == expected

    @pytest.mark.parametrize("expression", ["0 12 30 12 *", "*/5 * 30 12 *"])
    def test_jobs_of_a_day_that_a_zone_skips_are_lost(self, expression):
        start = datetime(2011, 12, 29, tzinfo=UTC)

        instants = list(fire_times(expression, "Pacific/Apia", start, start + timedelta(days=4)))

        assert instants == []

    def test_the_day_after_a_skipped_day_is_an_ordinary_one(self):
        start = datetime(2011, 12, 30, 10, tzinfo=UTC)

        instants = list(fire_times("0 0,12 * * *", "Pacific/Apia", start, start + timedelta(1)))

        assert instants == [start, start + timedelta(hours=12)]


class JumpAtNoon(tzinfo):
    """UTC until noon of 2026-01-01, then ahead by some minutes. No real zone jumps so little."""

    NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def __init__(self, minutes: int) -> None:
        self._ahead = timedelta(minutes=minutes)

    def fromutc(self, moment: datetime) -> datetime:
        return moment + (self._ahead if moment.replace(tzinfo=UTC) >= self.NOON else timedelta(0))

    def utcoffset(self, moment: datetime | None) -> timedelta:
        assert moment is not None
        after = moment.replace(tzinfo=UTC) >= self.NOON + self._ahead
        return self._ahead if after else timedelta(0)

    def dst(self, moment: datetime | None) -> None:
        return None

    def tzname(self, moment: datetime | None) -> str:
        return "Jump"


class TestSmallJumps:
    @pytest.mark.parametrize(
        ("minutes", "expression", "expected"),
        [
            # up to five minutes late: every minute is run, for wildcard jobs too
            (4, "*/2 * * * *", ["11:54", "11:56", "11:58", "12:00", "12:02"]),
            (4, "1 * * * *", ["12:00"]),
            (4, "1-3 12 * * *", ["12:00"]),
            # six minutes late: only jobs of fixed time are made up for
            (5, "1 * * * *", []),
            (5, "1 12 * * *", ["12:00"]),
            (5, "*/5 * * * *", ["11:55", "12:00"]),
        ],
    )
    def test_a_jump_of_a_few_minutes_is_only_lateness(self, monkeypatch, minutes, expression, expected):
        zone = JumpAtNoon(minutes)
        for module in (cron, clock):
            monkeypatch.setattr(module, "zone", lambda name: zone)
        start = JumpAtNoon.NOON - timedelta(minutes=6)
        end = JumpAtNoon.NOON + timedelta(minutes=3)

        instants = fire_times(expression, f"Test/Jump-{minutes}", start, end)

        assert [f"{instant:%H:%M}" for instant in instants] == expected


class TestWindow:
    MIDNIGHT = datetime(2026, 5, 5, tzinfo=UTC)

    def test_the_start_belongs_to_the_window_and_the_end_does_not(self):
        end = self.MIDNIGHT + timedelta(minutes=2)

        instants = list(fire_times("* * * * *", "UTC", self.MIDNIGHT, end))

        assert instants == [self.MIDNIGHT, self.MIDNIGHT + timedelta(minutes=1)]

    def test_next_fire_is_strictly_later(self):
        moment = self.MIDNIGHT
        for after in (moment, moment + timedelta(seconds=59, microseconds=999_999)):
            assert next_fire("* * * * *", "UTC", after) == moment + timedelta(minutes=1)

    def test_a_moment_within_a_minute_does_not_belong_to_that_minute(self):
        start = self.MIDNIGHT + timedelta(microseconds=1)

        instants = fire_times("* * * * *", "UTC", start, start + timedelta(minutes=1))

        assert list(instants) == [self.MIDNIGHT + timedelta(minutes=1)]

    def test_an_empty_or_reversed_window_holds_nothing(self):
        earlier = self.MIDNIGHT - timedelta(days=1)
        assert not list(fire_times("* * * * *", "UTC", self.MIDNIGHT, self.MIDNIGHT))
        assert not list(fire_times("* * * * *", "UTC", self.MIDNIGHT, earlier))

    def test_instants_are_utc_whatever_zone_the_window_is_given_in(self):
        start = self.MIDNIGHT.astimezone(ZoneInfo("Asia/Kolkata"))

        found = next_fire("0 12 * * *", BERLIN, start)

        assert found == datetime(2026, 5, 5, 10, tzinfo=UTC)
        assert found is not None
        assert found.tzinfo is UTC

    def test_29_february_on_a_sunday_is_found_across_2100(self):
        after = datetime(2088, 3, 1, tzinfo=UTC)

        found = next_fire("0 0 29 2 */7", "UTC", after)

        assert found == datetime(2128, 2, 29, tzinfo=UTC)

    def test_the_last_years_of_the_calendar_end_the_search(self):
        assert next_fire("0 0 1 1 *", "UTC", datetime(9999, 6, 1, tzinfo=UTC)) is None


class TestRefusals:
    MOMENT = datetime(2026, 1, 1, tzinfo=UTC)

    def test_an_unknown_zone_is_refused_at_the_call_with_a_suggestion(self):
        with pytest.raises(TimingError, match='"Europe/Berln" is not known; did you mean Europe/'):
            fire_times("* * * * *", "Europe/Berln", self.MOMENT, self.MOMENT)

    @pytest.mark.parametrize("zone", ["", "../etc/passwd", "Europe", "\0", "x" * 300])
    def test_a_zone_that_is_no_zone_is_refused(self, zone):
        with pytest.raises(TimingError, match="is not known"):
            next_fire("0 0 31 2 *", zone, self.MOMENT)

    def test_naive_moments_are_refused(self):
        naive = self.MOMENT.replace(tzinfo=None)
        with pytest.raises(InvalidSchedule, match='"after" is 2026-01-01T00:00:00 without a time'):
            next_fire("* * * * *", "UTC", naive)
        with pytest.raises(InvalidSchedule, match='"end" is'):
            fire_times("* * * * *", "UTC", self.MOMENT, naive)

    def test_a_wrong_expression_is_refused_at_the_call(self):
        with pytest.raises(CronError):
            fire_times("61 * * * *", "UTC", self.MOMENT, self.MOMENT)


ZONES = st.sampled_from(
    [
        "UTC",
        BERLIN,
        "America/New_York",
        "Australia/Lord_Howe",
        "America/Havana",
        "Africa/Casablanca",
        "Antarctica/Troll",
        "Asia/Kolkata",
    ]
)
EXPRESSIONS = st.randoms(use_true_random=False).map(random_expression)
MOMENTS = st.datetimes(datetime(1995, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


class TestProperties:
    @settings(max_examples=50, deadline=None)
    @given(EXPRESSIONS, ZONES, MOMENTS)
    def test_instants_increase_strictly_and_lie_in_the_window(self, expression, zone, start):
        end = start + timedelta(days=40)

        instants = list(fire_times(expression, zone, start, end))

        assert all(start <= instant < end for instant in instants)
        assert all(earlier < later for earlier, later in pairwise(instants))

    @settings(max_examples=50, deadline=None)
    @given(EXPRESSIONS, ZONES, MOMENTS)
    def test_following_next_fire_gives_the_same_instants(self, expression, zone, start):
        instants = list(islice(fire_times(expression, zone, start, start + timedelta(400)), 30))

        followed, after = [], start - timedelta(microseconds=1)
        for _ in instants:
            after = next_fire(expression, zone, after)
            followed.append(after)

        assert followed == instants

    @settings(max_examples=50, deadline=None)
    @given(EXPRESSIONS, ZONES, MOMENTS, st.floats(0, 1))
    def test_a_window_cut_in_two_gives_the_same_instants(self, expression, zone, start, share):
        end = start + timedelta(days=50)
        cut = start + share * (end - start)

        whole = list(fire_times(expression, zone, start, end))
        first = list(fire_times(expression, zone, start, cut))

        assert first + list(fire_times(expression, zone, cut, end)) == whole
