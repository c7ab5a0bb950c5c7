"""What people type as the *when*, and the text that shows it again."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.errors import CronError, TimingError
from schedules.rules import timing
from schedules.rules.when import UNITS, ByHand, CronText, Every, Once, Sun, read, timing_for, write

BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("30 4 * * 1-5", CronText("30 4 * * 1-5")),
        ("  30\t4 * * 1-5 ", CronText("30\t4 * * 1-5")),
        ("@daily", CronText("@daily")),
        ("@reboot", CronText("@reboot")),
        ("every 15 minutes", Every(15, "minutes")),
        ("Every 90 Seconds", Every(90, "seconds")),
        ("every 1 hour", Every(1, "hours")),
        ("every day", Every(1, "days")),
        ("every  2   hours", Every(2, "hours")),
        ("every 2000000 microseconds", Every(2_000_000, "microseconds")),
        ("once at 2026-12-01 04:00", Once(datetime(2026, 12, 1, 3, tzinfo=UTC))),  # Berlin is UTC+1 then
        ("at 2026-07-01 4:00", Once(datetime(2026, 7, 1, 2, tzinfo=UTC))),  # and UTC+2 in summer
        ("once at 2026-12-01T04:00:30", Once(datetime(2026, 12, 1, 3, 0, 30, tzinfo=UTC))),
        ("once at 2026-12-01 04:00:00.5", Once(datetime(2026, 12, 1, 3, 0, 0, 500_000, tzinfo=UTC))),
        ("once at 2026-12-01 04:00 UTC", Once(datetime(2026, 12, 1, 4, tzinfo=UTC))),
        ("sunset at 52.52, 13.405", Sun("sunset", 52.52, 13.405)),
        ("Civil Dawn at -33.9 151", Sun("dawn_civil", -33.9, 151)),
        ("dusk_nautical at +1.00000049,-0", Sun("dusk_nautical", 1.0, 0.0)),
        ("", ByHand()),
        (" \n", ByHand()),
    ],
)
def test_what_is_typed_is_read(text, meaning):
    assert read(text, timezone=BERLIN) == meaning


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("sunset", "degrees north and east"),
        ("sunset at 91, 0", "latitude 91 is outside"),
        ("civil sunset at 1, 2", "no event of the sun"),
        ("every", "no interval"),
        ("every 15", "no interval"),
        ("every 15 parsecs", "not a unit"),
        ("every -5 minutes", "not a whole number"),
        ("every 0 minutes", "not a whole number"),
        ("every 1.5 hours", "every 90 minutes"),
        ("every ٣ hours", "not a whole number"),
        ("every 999999999999999999999 days", "not a whole number"),
        ("every 36500 days", "longest interval"),
        ("every 10 microseconds", "too short"),
        ("every 15 minutes please", "no interval"),
        ("once", "names no moment"),
        ("once at noon", "names no moment"),
        ("once at 2026-02-30 04:00", "names no moment"),
        ("once at 2026-12-01 25:00", "names no moment"),
        ("once at 0001-01-01 00:00", "names no moment"),
        ("once at 2026-03-29 02:30", "does not exist in Europe/Berlin"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_hint(text, complaint):
    with pytest.raises(TimingError, match=complaint):
        read(text, timezone=BERLIN)


def test_a_bad_cron_field_is_named_with_its_position():
    with pytest.raises(CronError) as refused:
        read("0 61 * * *", timezone="UTC")

    assert (refused.value.field, refused.value.position) == ("hour", 2)


def test_an_unknown_zone_is_refused():
    with pytest.raises(TimingError, match="Mars"):
        read("@daily", timezone="Mars/Olympus")


def test_celery_reads_its_own_dialect():
    assert read("0 22-2 * * *", timezone="UTC", dialect="celery") == CronText("0 22-2 * * *")


def test_the_first_of_two_equal_wall_clock_times_is_meant():
    # 25 October 2026: 02:30 comes at 00:30 UTC (summer time) and at 01:30 UTC.
    assert read("once at 2026-10-25 02:30", timezone=BERLIN) == Once(
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    )


def test_the_second_of_two_equal_wall_clock_times_is_written_in_utc():
    second = Once(datetime(2026, 10, 25, 1, 30, tzinfo=UTC))

    assert write(second, timezone=BERLIN) == "once at 2026-10-25 01:30 UTC"
    assert read(write(second, timezone=BERLIN), timezone=BERLIN) == second


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Every(1, "minutes"), "every minute"),
        (Every(15, "minutes"), "every 15 minutes"),
        (CronText("@reboot"), "@reboot"),
        (Once(datetime(2026, 12, 1, 3, tzinfo=UTC)), "once at 2026-12-01 04:00"),
        (ByHand(), ""),
    ],
)
def test_values_are_written_as_people_write_them(value, text):
    assert write(value, timezone=BERLIN) == text


moments = st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
zones = st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])


@given(moments, zones)
def test_a_moment_written_is_the_moment_read(moment, zone):
    assert read(write(Once(moment), timezone=zone), timezone=zone) == Once(moment)


@given(st.integers(1, 3000), st.sampled_from(UNITS[:-1]))
def test_an_interval_written_is_the_interval_read(count, unit):
    assert read(write(Every(count, unit), timezone="UTC"), timezone="UTC") == Every(count, unit)


def test_each_kind_has_its_timing():
    anchor = datetime(2026, 1, 1, tzinfo=UTC)

    def made(text):
        return timing_for(read(text, timezone=BERLIN), timezone=BERLIN, dialect="cron", anchor=anchor)

    assert made("@daily") == timing.CronTiming("@daily", BERLIN)
    assert made("@reboot") == timing.BootTiming()
    assert made("every 2 hours") == timing.IntervalTiming(timedelta(hours=2), anchor)
    assert made("once at 2026-12-01 04:00") == timing.MomentTiming(
        datetime(2026, 12, 1, 4, tzinfo=ZoneInfo(BERLIN))
    )
    assert made("") == timing.NoTiming()


def test_cron_fields_take_the_dialect_and_the_policies():
    when = read("H 2 L * ?", timezone=BERLIN, dialect="extended")

    made = timing_for(
        when,
        timezone=BERLIN,
        dialect="extended",
        anchor=datetime(2026, 1, 1, tzinfo=UTC),
        gap="skip",
        repeat="both",
        seed="backup",
    )

    assert made == timing.CronTiming("H 2 L * ?", BERLIN, "extended", "skip", "both", "backup")


def test_the_dialect_refuses_what_it_refuses():
    with pytest.raises(CronError, match='found "L"'):
        read("0 2 L * *", timezone=BERLIN)
