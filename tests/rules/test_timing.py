"""The kinds of timing: instants, bounds, storage."""

import json
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.errors import CronError, InvalidSchedule, TimingError
from schedules.rules.timing import (
    BootTiming,
    CronTiming,
    IntervalTiming,
    MomentTiming,
    NoTiming,
    WindowTiming,
    count_between,
    from_cron_text,
    from_dict,
    to_dict,
    within,
)

NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
INSTANT = timedelta(microseconds=1)
DAILY = CronTiming("0 12 * * *", "UTC")


class TestCron:
    def test_it_gives_the_instants_of_its_expression(self):
        assert DAILY.next_after(NOON) == NOON + timedelta(days=1)
        assert list(DAILY.between(NOON, NOON + timedelta(days=2))) == [
            NOON,
            NOON + timedelta(days=1),
        ]

    def test_a_wrong_expression_zone_or_dialect_is_refused_when_it_is_made(self):
        with pytest.raises(CronError):
            CronTiming("61 * * * *", "UTC")
        with pytest.raises(TimingError):
            CronTiming("0 12 * * *", "Europe/Nowhere")
        with pytest.raises(InvalidSchedule):
            CronTiming("0 12 * * *", "UTC", "quartz")

    def test_the_dialect_is_honoured(self):
        wrapping = CronTiming("0 22-2 * * *", "UTC", "celery")

        assert wrapping.next_after(NOON) == NOON + 10 * HOUR
        assert CronTiming("0 22-2 * * *", "UTC").next_after(NOON) is None

    def test_policies_for_clock_changes_are_honoured(self):
        change = datetime(2026, 3, 29, 1, tzinfo=UTC)
        skipping = CronTiming("30 2 * * *", "Europe/Berlin", gap="skip")

        assert CronTiming("30 2 * * *", "Europe/Berlin").next_after(change - HOUR) == change
        assert skipping.next_after(change - HOUR) == change + 23.5 * HOUR
        assert list(skipping.between(change - HOUR, change + HOUR)) == []
        with pytest.raises(InvalidSchedule, match='repeat policy "twice" is not known'):
            CronTiming("30 2 * * *", "UTC", repeat="twice")

    def test_the_seed_is_kept_only_where_something_is_left_to_it(self):
        fixed = CronTiming("30 2 * * *", "UTC", "extended", seed="backup")
        hashed = CronTiming("H 2 * * *", "UTC", "extended", seed="backup")

        assert fixed == CronTiming("30 2 * * *", "UTC", "extended")
        assert hashed.seed == "backup"
        assert hashed.next_after(NOON) != CronTiming("H 2 * * *", "UTC", "extended", seed="b").next_after(
            NOON
        )


class TestInterval:
    EVERY_90 = IntervalTiming(timedelta(seconds=90), NOON)

    def test_the_first_instant_is_one_interval_after_the_anchor(self):
        assert self.EVERY_90.next_after(NOON - HOUR) == NOON + timedelta(seconds=90)
        assert self.EVERY_90.next_after(NOON) == NOON + timedelta(seconds=90)

    def test_the_anchor_itself_is_the_first_instant_where_it_is_a_start_time(self):
        timing = IntervalTiming(HOUR, NOON, include_anchor=True)

        assert timing.next_after(NOON - 10 * HOUR) == NOON
        assert list(timing.between(NOON - HOUR, NOON + 2 * HOUR)) == [NOON, NOON + HOUR]

    def test_next_is_strictly_later_and_the_window_includes_its_start(self):
        second = NOON + timedelta(seconds=180)

        assert self.EVERY_90.next_after(second - INSTANT) == second
        assert self.EVERY_90.next_after(second) == NOON + timedelta(seconds=270)
        assert list(self.EVERY_90.between(second, second + INSTANT)) == [second]
        assert list(self.EVERY_90.between(second + INSTANT, NOON + timedelta(seconds=270))) == []

    def test_it_does_not_drift_over_years_and_answers_at_once(self):
        odd = IntervalTiming(timedelta(seconds=1, microseconds=7), NOON)
        much_later = NOON + timedelta(days=365 * 50)

        found = odd.next_after(much_later)

        assert found is not None
        assert (found - NOON) % odd.every == timedelta(0)
        assert much_later < found <= much_later + odd.every

    def test_an_anchor_in_a_zone_counts_real_time_over_a_clock_change(self):
        anchor = datetime(2026, 3, 28, 12, tzinfo=ZoneInfo("Europe/Berlin"))

        found = IntervalTiming(timedelta(days=1), anchor).next_after(anchor)

        assert found == datetime(2026, 3, 29, 11, tzinfo=UTC)
        assert found is not None
        assert found.tzinfo is UTC

    @pytest.mark.parametrize("seconds", [0, -5, 0.5])
    def test_less_than_a_second_is_refused(self, seconds):
        with pytest.raises(TimingError, match="use 1 second or more"):
            IntervalTiming(timedelta(seconds=seconds), NOON)

    def test_the_end_of_the_calendar_ends_it(self):
        centuries = IntervalTiming(timedelta(days=36_500 * 10), NOON)

        assert len(list(centuries.between(NOON, datetime.max.replace(tzinfo=UTC)))) == 7
        assert centuries.next_after(datetime(9500, 1, 1, tzinfo=UTC)) is None

    @given(
        st.timedeltas(timedelta(seconds=1), timedelta(days=400)),
        st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    )
    def test_next_lies_within_one_interval_and_on_the_grid(self, every, moment):
        timing = IntervalTiming(every, datetime(1999, 1, 1, tzinfo=UTC))

        found = timing.next_after(moment)

        assert found is not None
        assert moment < found <= moment + every
        assert (found - timing.anchor) % every == timedelta(0)


class TestMomentBootAndNone:
    def test_a_moment_is_due_once(self):
        timing = MomentTiming(NOON)

        assert timing.next_after(NOON - INSTANT) == NOON
        assert timing.next_after(NOON) is None
        assert list(timing.between(NOON, NOON + HOUR)) == [NOON]
        assert list(timing.between(NOON - HOUR, NOON)) == []

    @pytest.mark.parametrize("timing", [BootTiming(), NoTiming()])
    def test_boot_and_none_are_never_due_by_the_clock(self, timing):
        assert timing.next_after(NOON) is None
        assert list(timing.between(NOON, NOON + timedelta(days=9))) == []

    def test_reboot_in_cron_text_is_a_boot_timing(self):
        assert from_cron_text(" @reboot ", "UTC") == BootTiming()
        assert from_cron_text("@daily", "UTC") == CronTiming("@daily", "UTC")

    def test_naive_moments_are_refused(self):
        with pytest.raises(TimingError, match='"at" is 2026-05-05T12:00:00 without a time zone'):
            MomentTiming(NOON.replace(tzinfo=None))
        with pytest.raises(TimingError, match='"anchor" is'):
            IntervalTiming(HOUR, NOON.replace(tzinfo=None))


class TestWindow:
    TWO_DAYS = WindowTiming(DAILY, not_before=NOON, not_after=NOON + timedelta(days=2))

    def test_its_beginning_belongs_to_it_and_its_end_does_not(self):
        expected = [NOON, NOON + timedelta(days=1)]

        found = self.TWO_DAYS.between(NOON - timedelta(days=9), NOON + timedelta(days=9))

        assert list(found) == expected
        assert self.TWO_DAYS.next_after(NOON - timedelta(days=9)) == NOON
        assert self.TWO_DAYS.next_after(NOON) == NOON + timedelta(days=1)
        assert self.TWO_DAYS.next_after(NOON + timedelta(days=1)) is None

    def test_a_side_may_be_open(self):
        since, until = within(DAILY, not_before=NOON), within(DAILY, not_after=NOON)

        assert since.next_after(NOON - timedelta(days=3)) == NOON
        assert until.next_after(NOON - timedelta(days=3)) == NOON - timedelta(days=2)
        assert until.next_after(NOON - INSTANT) is None

    def test_without_bounds_there_is_no_window(self):
        assert within(DAILY) is DAILY


def test_counting_stops_at_the_limit():
    every_minute = CronTiming("* * * * *", "UTC")

    assert count_between(every_minute, NOON, NOON + HOUR, limit=1000) == 60
    assert count_between(every_minute, NOON, NOON + HOUR, limit=7) == 7


TIMINGS = [
    DAILY,
    CronTiming("0 22-2 * * *", "Europe/Berlin", "celery"),
    CronTiming("H 2 L * ?", "Europe/Berlin", "extended", gap="skip", repeat="both", seed="backup"),
    IntervalTiming(timedelta(seconds=90), NOON),
    IntervalTiming(timedelta(days=1, microseconds=3), NOON, include_anchor=True),
    MomentTiming(NOON),
    MomentTiming(NOON.astimezone(timezone(2 * HOUR))),
    BootTiming(),
    NoTiming(),
    WindowTiming(DAILY, not_before=NOON),
    WindowTiming(IntervalTiming(HOUR, NOON), NOON, NOON + HOUR),
]


class TestStorage:
    @pytest.mark.parametrize("timing", TIMINGS)
    def test_a_timing_survives_json_and_keeps_its_hash(self, timing):
        stored = json.loads(json.dumps(to_dict(timing)))

        assert from_dict(stored) == timing
        assert hash(from_dict(stored)) == hash(timing)

    def test_only_what_was_chosen_is_stored(self):
        """A definition that was stored before there were policies keeps its digest."""
        assert to_dict(DAILY) == {
            "kind": "cron",
            "expression": "0 12 * * *",
            "timezone": "UTC",
            "dialect": "cron",
        }
        assert to_dict(CronTiming("0 12 * * *", "UTC", gap="run"))["gap"] == "run"

    @pytest.mark.parametrize(
        "stored",
        [
            {},
            {"kind": "solar"},
            {"kind": "cron"},
            {"kind": "moment", "at": 5},
            {"kind": "window"},
            {"kind": "moment", "at": "soon"},
            {"kind": "window", "timing": {"kind": "window"}},
        ],
    )
    def test_what_was_not_stored_by_us_is_refused(self, stored):
        with pytest.raises(TimingError):
            from_dict(stored)
