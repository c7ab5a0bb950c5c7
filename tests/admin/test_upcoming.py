"""The page of what runs next: its instants are those of the timings, in a fixed number of queries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from schedules import catalog
from schedules.admin import upcoming
from schedules.models import Run, Schedule
from schedules.querysets import database_now
from tests.admin.conftest import VIEWER, count_queries
from tests.factories import due, make_policy, make_run, make_schedule

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 21, 15, 1, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
URL = "/admin/schedules/schedule/upcoming/"


def at(hour: int, minute: int) -> datetime:
    return NOW.replace(hour=hour, minute=minute, second=0)


def make_due(name: str, cron: str, first: datetime, **columns) -> Schedule:
    schedule = make_schedule(name, cron=cron, **columns)
    due(schedule, first)
    return schedule


def outlook(span: timedelta = HOUR) -> upcoming.Outlook:
    return upcoming.outlook(now=NOW, until=NOW + span, retries=True)


def instants(found: upcoming.Outlook) -> dict[str, tuple[datetime, ...]]:
    return {line.schedule.name: line.instants for line in found.lines}


def test_every_instant_of_the_time_is_there_soonest_schedule_first():
    make_due("hourly", "0 * * * *", at(16, 0))
    make_due("often", "*/20 * * * *", at(15, 20))
    make_due("night", "0 3 * * *", at(3, 0) + timedelta(days=1))

    found = outlook()

    assert list(instants(found)) == ["often", "hourly"]
    assert instants(found)["often"] == (at(15, 20), at(15, 40), at(16, 0))
    assert instants(found)["hourly"] == (at(16, 0),)
    assert list(instants(outlook(24 * HOUR))) == ["often", "hourly", "night"]


def test_what_is_disabled_or_deleted_is_not_due():
    rows = [make_due(name, "* * * * *", at(15, 2)) for name in ("off", "gone")]
    catalog.disable([rows[0].pk], by="tests")
    catalog.delete([rows[1].pk], by="tests")

    assert not outlook().lines


def test_what_is_overdue_counts_once_besides_what_is_still_to_come():
    make_due("late", "0 * * * *", at(13, 0))
    found = outlook()
    assert instants(found)["late"] == (at(13, 0), at(16, 0))
    assert upcoming.bars(found, timedelta(minutes=5))[0].count == 1


def test_a_one_off_runs_once():
    make_due("always", "* * * * *", at(15, 2))
    make_due("first only", "* * * * *", at(15, 2), one_off=True)
    assert instants(outlook())["first only"] == (at(15, 2),)


def test_one_schedule_that_is_due_all_the_time_leaves_room_for_others(monkeypatch):
    monkeypatch.setattr(upcoming, "MOST_TIMES", 20)
    make_due("seconds", "* * * * * *", NOW, dialect="extended")
    make_due("minutes", "*/5 * * * *", at(15, 5))

    found = {line.schedule.name: (len(line.instants), line.is_whole) for line in outlook().lines}
    assert found == {"seconds": (21, False), "minutes": (12, True)}


def test_a_timing_that_cannot_be_used_keeps_nothing_from_being_shown():
    broken = make_due("broken", "* * * * *", at(15, 2))
    Schedule.objects.filter(pk=broken.pk).update(timezone="Mars/Olympus")
    make_due("hourly", "0 * * * *", at(16, 0))

    assert list(instants(outlook())) == ["broken", "hourly"]


def test_a_bar_counts_the_runs_that_start_in_its_time_without_those_of_shadows():
    make_due("minutely", "* * * * *", at(15, 2))
    make_due("hourly", "0 * * * *", at(16, 0))
    make_due("shadow", "* * * * *", at(15, 2), mode="shadow")

    bars = upcoming.bars(outlook(), timedelta(minutes=5))

    assert [bar.count for bar in bars] == [3, *[5] * 11, 3]
    assert bars[0].says == "15:00 to 15:05, 3 runs"
    assert (bars[1].height, bars[12].height) == (100, 60)


def test_what_is_too_much_to_work_out_is_said_to_be_more(root, monkeypatch):
    monkeypatch.setattr(upcoming, "MOST_INSTANTS", 10)
    monkeypatch.setattr(upcoming, "SHOWN_SCHEDULES", 2)
    soon = database_now() + timedelta(minutes=1)
    for name in ("a", "b", "c"):
        make_due(name, "* * * * *", soon)

    page = root.get(f"{URL}?hours=24").content.decode()

    assert "11 times or more" in page
    assert "At least 22 runs of 2 schedules" in page
    assert "More schedules are due than the 2 that are shown." in page


def test_equal_timings_are_worked_out_once(monkeypatch):
    monkeypatch.setattr(upcoming, "MOST_INSTANTS", 100)
    for number in range(5):
        make_due(f"job {number}", "* * * * *", at(15, 2))

    assert [len(line.instants) for line in outlook().lines] == [60] * 5


def test_the_page_says_what_how_often_and_when(person):
    schedule = make_due("<b>backup</b>", "* * * * *", database_now() + timedelta(minutes=30))
    page = person(*VIEWER).get(URL).content.decode()

    assert "What runs next" in page
    assert "&lt;b&gt;backup&lt;/b&gt;" in page
    assert "<b>backup" not in page
    assert "every minute" in page
    assert reverse("admin:schedules_schedule_explain", args=[schedule.pk]) in page


def test_runs_that_wait_for_their_retry_are_shown_to_who_may_see_runs(person):
    run = make_run(make_schedule("sync", cron="", retry_policy=make_policy()))
    Run.objects.filter(pk=run.pk).update(attempt=1, available_at=database_now() + timedelta(minutes=10))

    said = "Runs that are tried again"
    assert said in person(*VIEWER, name="a").get(URL).content.decode()
    assert said not in person("view_schedule", name="b").get(URL).content.decode()
    assert person("view_run", name="c").get(URL).status_code == 403


@pytest.mark.parametrize("hours", ["", "7", "-1", "%00", "1e9", "24&hours=24"])
def test_nothing_in_the_address_breaks_the_page(root, hours):
    assert root.get(f"{URL}?hours={hours}").status_code == 200


def test_it_changes_nothing_and_says_so_where_nothing_is_due(root):
    assert root.post(URL).status_code == 405
    assert "Nothing is due by the clock in this time." in root.get(URL).content.decode()


def test_it_costs_the_same_for_few_and_for_many(root):
    soon = database_now() + timedelta(minutes=5)
    make_due("first", "* * * * *", soon)
    few = count_queries(root, URL)
    for number in range(20):
        make_due(f"job {number}", f"{number} * * * *", soon)
    assert count_queries(root, URL) == few
