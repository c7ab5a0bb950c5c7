"""The page that explains: by GET only, with the right to see, in a fixed number of queries."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from schedules import catalog, dispatch
from schedules.models import Run, Schedule
from tests.admin.conftest import VIEWER, count_queries, form_url
from tests.factories import due, last_minute, make_run, make_schedule

pytestmark = pytest.mark.django_db


def url(schedule: Schedule, at: str = "") -> str:
    page = reverse("admin:schedules_schedule_explain", args=[schedule.pk])
    return f"{page}?at={at}" if at else page


def run_url(run: Run) -> str:
    return reverse("admin:schedules_run_change", args=[run.pk])


@pytest.fixture
def viewer(person):
    return person(*VIEWER)


def test_it_says_what_will_happen_next(viewer):
    page = viewer.get(url(make_schedule(cron="30 2 * * *", timezone="Europe/Berlin"))).content.decode()
    assert "Will run" in page
    assert "30 2 * * *: at 02:30 every day (Europe/Berlin)" in page


def test_a_moment_can_be_asked_about(viewer):
    schedule = make_schedule(cron="30 2 * * 1-5", timezone="Europe/Berlin")
    page = viewer.get(url(schedule, "2100-11-21 02:30")).content.decode()
    assert "day of week is 1-5 (Monday to Friday) and 2100-11-21 is a Sunday" in page
    assert 'value="2100-11-21 02:30"' in page


def test_what_is_no_time_is_said_at_the_field(viewer):
    response = viewer.get(url(make_schedule(), "<script>alert(1)</script>"))
    assert response.status_code == 200
    assert b"is not a time" in response.content
    assert b"<script>alert" not in response.content
    assert b'aria-invalid="true"' in response.content


@pytest.mark.parametrize(
    "typed", ["%00", "%F0%9F%98%80", "9" * 5000, "0001-01-01", "%ff", "2026-01-01T00:00%2B99:00"]
)
def test_nothing_that_is_typed_breaks_the_page(viewer, typed):
    assert viewer.get(url(make_schedule(), typed)).status_code == 200


def test_a_hostile_name_is_escaped(viewer):
    page = viewer.get(url(make_schedule("<img src=x>\u202e"))).content.decode()
    assert "<img src=x>" not in page
    assert "\u202e" not in page


def test_pages_of_schedules_and_runs_lead_to_it(viewer):
    schedule, minute = make_schedule(), last_minute()
    due(schedule, minute)
    dispatch.dispatch_due(minute + timedelta(seconds=1))
    run = Run.objects.get()
    schedule.revisions.update(changed_at=minute - timedelta(hours=1))

    assert url(schedule) in viewer.get(form_url(schedule.pk)).content.decode()
    response = viewer.get(run_url(run))
    explained = viewer.get(response.context["explain_url"])
    assert f"run {run.pk} waits" in explained.content.decode()
    assert run_url(run) in explained.content.decode()
    assert viewer.get(run_url(make_run(schedule))).context["explain_url"] == ""


def test_a_deleted_schedule_is_explained(viewer):
    schedule = make_schedule("backup")
    catalog.delete([schedule.pk], by="bob")
    page = viewer.get(url(schedule)).content.decode()
    assert "it is deleted" in page
    assert "~deleted~" not in page


def test_it_needs_the_right_to_see_schedules_and_runs(person):
    schedule = make_schedule()
    assert person("view_schedule", name="a").get(url(schedule)).status_code == 403
    assert person("view_run", name="b").get(url(schedule)).status_code == 403
    page = person("view_schedule", name="c").get(form_url(schedule.pk)).content.decode()
    assert url(schedule) not in page


def test_it_changes_nothing(viewer):
    schedule = make_schedule()
    assert viewer.post(url(schedule)).status_code == 405
    assert viewer.get(reverse("admin:schedules_schedule_explain", args=[10**15])).status_code == 302


def test_the_number_of_queries_is_fixed(viewer):
    schedule = make_schedule()
    few = count_queries(viewer, url(schedule))
    now = last_minute()
    for minutes in range(30, 0, -1):
        due(schedule, now - timedelta(minutes=minutes))
        dispatch.dispatch_due(now - timedelta(minutes=minutes))
    at = (now - timedelta(minutes=5)).isoformat().replace("+", "%2B")
    assert count_queries(viewer, url(schedule, at)) <= few + 3
