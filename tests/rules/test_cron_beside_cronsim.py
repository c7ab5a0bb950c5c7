"""The engine beside cronsim on a large sample; where cronsim is not cron, the class is named."""

import random
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim, CronSimError

from schedules.errors import CronError
from schedules.rules.cron import fire_times, next_fire, parse
from tests.rules.cron_samples import has_range_of_one, random_expression

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "America/Havana", "Asia/Kolkata")


def cronsims(expression: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """The instants that cronsim gives for [start, end), once each."""
    before = (start - timedelta(seconds=1)).astimezone(ZoneInfo(zone))
    instants = (moment.astimezone(UTC) for moment in CronSim(expression, before))
    return sorted(set(takewhile(lambda moment: moment < end, instants)))


def midnight_is_skipped(zone: str, moment: datetime) -> bool:
    """True if the local day of the moment has no 00:00, as in Havana in spring."""
    midnight = moment.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0)
    return midnight.astimezone(UTC).astimezone(ZoneInfo(zone)).hour != 0


@pytest.mark.parametrize("zone", ZONES)
def test_random_jobs_have_the_same_instants(zone):
    chance = random.Random(zone)
    for _ in range(100):
        expression = random_expression(chance)
        if has_range_of_one(expression) or parse(expression).never_fires:
            continue
        start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=chance.randrange(4 * 525_600))
        length = timedelta(days=2 if len(parse(expression).times) > 24 else 60)

        ours = list(fire_times(expression, zone, start, start + length))

        assert ours == cronsims(expression, zone, start, start + length), (expression, start)


@pytest.mark.parametrize("zone", ZONES)
def test_random_jobs_have_the_same_instants_over_changes_of_the_clock(zone):
    chance = random.Random(f"{zone} changes")
    changes = [datetime(2026, 3, 8), datetime(2026, 3, 29), datetime(2026, 10, 25)]  # noqa: DTZ001
    for _ in range(80):
        expression = random_expression(chance, hours=(0, 1, 2, 3))
        if has_range_of_one(expression) or parse(expression).never_fires:
            continue
        start = chance.choice([*changes, datetime(2026, 11, 1)]).replace(tzinfo=UTC)  # noqa: DTZ001
        end = start + timedelta(days=1)
        if midnight_is_skipped(zone, end) and parse(expression).is_wildcard:
            continue

        ours = list(fire_times(expression, zone, start, end))

        assert ours == cronsims(expression, zone, start, end), (expression, start)


class TestWhereCronsimIsNotCron:
    START = datetime(2026, 1, 1, tzinfo=UTC)
    DAY = timedelta(days=1)

    def test_a_range_of_one_value_with_a_step_is_that_value(self):
        ours = parse("15-15/24 * * * *").minutes

        assert ours == (15,)
        assert len(cronsims("15-15/24 0 * * *", "UTC", self.START, self.START + self.DAY)) == 2

    @pytest.mark.parametrize("expression", ["0 22-2 * * *", "0 0 * * mon-sun", "0 0 31 2 *"])
    def test_what_can_never_fire_is_valid(self, expression):
        with pytest.raises(CronSimError):
            CronSim(expression, self.START)

        assert next_fire(expression, "UTC", self.START) is None

    @pytest.mark.parametrize("expression", ["5#2 * * * *", "0~30 * * * *", "1.5 * * * *", "@daily"])
    def test_skipped_text_and_macros_are_valid(self, expression):
        with pytest.raises(CronSimError):
            CronSim(expression, self.START)

        assert next_fire(expression, "UTC", self.START) is not None

    @pytest.mark.parametrize("expression", ["5/15 * * * *", "0 0 L * *", "0 0 * * 5L", "0 0 0 1 1 *"])
    def test_steps_after_a_value_last_days_and_seconds_are_refused(self, expression):
        CronSim(expression, self.START)

        with pytest.raises(CronError):
            parse(expression)

    def test_a_wildcard_job_of_a_skipped_midnight_is_lost(self):
        before = datetime(2026, 3, 8, 4, tzinfo=UTC)  # Havana: 00:00 becomes 01:00 at 05:00 UTC
        after = before + timedelta(hours=2)

        ours = list(fire_times("* 0 8 3 *", "America/Havana", before, after))

        assert ours == []
        assert cronsims("* 0 8 3 *", "America/Havana", before, after) != ours

    def test_a_wildcard_job_runs_from_the_full_hour_after_a_jump_of_half_an_hour(self):
        three = datetime(2026, 10, 3, 16, tzinfo=UTC)  # Lord Howe: 02:00 became 02:30
        start, end = three - timedelta(hours=3), three + timedelta(minutes=30)

        ours = list(fire_times("*/10 3 * * *", "Australia/Lord_Howe", start, end))

        assert ours == [three + timedelta(minutes=n) for n in (0, 10, 20)]
        assert cronsims("*/10 3 * * *", "Australia/Lord_Howe", start, end) != ours
