"""The first page, and the pages of workers, beats and retry policies."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from schedules import conf
from schedules.admin.process import state_pill
from schedules.models import Beat, RetryPolicy, Worker
from schedules.querysets import database_now
from schedules.rules.states import Outcome, State
from tests.admin.conftest import count_queries, plans
from tests.admin.test_runs import attempt
from tests.factories import claimed, make_history, make_policy, make_run, make_schedule, make_worker

pytestmark = pytest.mark.django_db
HOLD_FEW = {"run_active", "run_failed_at", "run_retrying", "run_running"}
"""Indexes that do not grow with what succeeded."""


def make_beat(**columns) -> Beat:
    now = database_now()
    given = {"name": "beat@tests", "host": "tests", "pid": 1, "started_at": now, "seen_at": now} | columns
    return Beat.objects.create(**given)


def page(client: Client, url: str = "/admin/") -> str:
    return client.get(url).content.decode()


def test_the_first_page_says_what_runs_waits_failed_and_comes_next(root):
    schedule = make_schedule("sync", retry_policy=make_policy(delays=[3600]))
    attempt(make_run(schedule), exit_code=75)
    attempt(make_run(make_schedule("broken", cron="")), exit_code=1)
    claimed(make_run(schedule))
    make_beat()

    overview = page(root)

    for said in (
        "<b>1</b> running now",
        "<b>1</b> waiting to retry",
        "<b>1</b> failed in the last 24 h",
        "beat@tests",
        "worker@tests",
    ):
        assert said in overview
    assert "No beat is running" not in overview


def test_a_schedule_that_fails_all_the_time_hides_no_other(root):
    attempt(make_run(make_schedule("seldom", cron="")), exit_code=1)
    often = make_schedule("often", cron="")
    for _ in range(9):
        attempt(make_run(often), exit_code=1)

    overview = page(root)

    assert "<b>10</b> failed in the last 24 h" in overview
    assert len(re.findall("often</", overview)) == len(re.findall("seldom</", overview)) == 1
    assert "9 times in the last 24 h" in overview


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL plans by the size of the tables")
@pytest.mark.parametrize("url", ["/admin/", "/admin/schedules/worker/"])
def test_no_query_of_a_page_goes_through_the_whole_history(root, url):
    """It was 10 s for a million runs: SQLite used no index where a condition was not literally that of it."""
    claimed(make_run(make_schedule()))
    make_beat()

    found = [plan for plan in plans(root, url) if "schedules_run" in plan]

    assert found
    for plan in found:
        assert re.search(r"SCAN schedules_run(?! USING (COVERING )?INDEX)", plan) is None
        assert set(re.findall(r"INDEX (run_\w+)", plan)) <= HOLD_FEW


def test_the_first_page_warns_where_nothing_can_run(root):
    make_beat(seen_at=database_now() - timedelta(minutes=5))

    assert "No beat is running" in page(root)
    assert "No worker is running" in page(root)


def test_the_first_page_costs_the_same_for_few_and_for_many(root):
    make_history(make_schedule("job"), [State.FAILED])
    make_beat()
    few = count_queries(root, "/admin/")

    for number in range(20):
        make_history(make_schedule(f"job {number}"), [State.FAILED, State.SUCCEEDED])
        make_worker(f"worker{number}@tests")

    assert count_queries(root, "/admin/") == few


@pytest.mark.parametrize("kind", ["worker", "beat"])
def test_the_pages_of_processes_cost_the_same_for_few_and_for_many(root, kind):
    url = f"/admin/schedules/{kind}/"
    make = make_worker if kind == "worker" else make_beat
    make(name="first")
    few = count_queries(root, url)

    for number in range(30):
        make(name=f"p{number}", queues="<script>") if kind == "worker" else make(name=f"p{number}")

    assert count_queries(root, url) == few
    assert "<script>" not in page(root, url).replace("<script src=", "")


def test_silent_stuck_and_stopped_processes_are_told_apart(root):
    now = database_now()
    long_ago = now - timedelta(minutes=5)
    make_beat(name="stuck", parts={"publish": long_ago.isoformat(), "dispatch": now.isoformat(), "odd": "x"})
    make_beat(name="silent", seen_at=long_ago)
    make_beat(name="stopped", stopped_at=now)

    beats = page(root, "/admin/schedules/beat/")

    for word in ("stuck", "silent", "stopped"):
        assert f">{word}</span>" in beats
    assert '<b class="bk-late">5 min ago</b>' in beats


def test_a_process_whose_heartbeat_is_overdue_is_not_shown_as_there(root):
    heartbeat = timedelta(seconds=conf.current().heartbeat_seconds)
    make_worker(seen_at=database_now() - 2 * heartbeat)
    make_beat()

    for url in ("/admin/", "/admin/schedules/worker/"):
        shown = page(root, url)
        assert ">last heard of " in shown
        assert "No worker is running" not in shown


@pytest.mark.parametrize(
    ("age", "shown"),
    [
        (0, "there"),
        (14, "there"),
        (16, "last heard of 16 s ago"),
        (60, "last heard of 60 s ago"),
        (61, "silent"),
    ],
)
def test_a_heartbeat_is_overdue_after_one_and_a_half_and_the_lease_decides(age, shown):
    now = database_now()
    worker = make_worker(seen_at=now - timedelta(seconds=age))
    assert f">{shown}</span>" in state_pill(worker, now)


def test_a_worker_that_was_taken_for_dead_is_shown_as_silent(root):
    """Beat has ended its runs; that it is missing is news all the same."""
    dead = make_worker("dead@b", seen_at=database_now() - timedelta(minutes=5))
    Worker.objects.stop_if_silent(dead)
    make_worker("stopped@b", stopped_at=dead.started_at, seen_at=database_now())

    shown = page(root)

    assert "dead@b" in shown
    assert ">silent</span>" in shown
    assert "stopped@b" not in shown
    assert "dead@b" in page(root, "/admin/schedules/worker/?is=silent")
    assert "dead@b" not in page(root, "/admin/schedules/worker/?is=stopped")


@pytest.mark.parametrize(
    ("page_name", "next_step"),
    [
        ("schedule", "manage.py import_crontab FILE --dry-run"),
        ("run", "Run now"),
        ("retrypolicy", "manage.py loaddata retry_policies"),
        ("croncomparison", "manage.py compare_cron"),
        ("worker", "manage.py up"),
        ("beat", "manage.py up"),
    ],
)
def test_an_empty_list_says_what_to_do_next(root, page_name, next_step):
    assert next_step in page(root, f"/admin/schedules/{page_name}/")


def test_a_fresh_installation_says_how_schedules_come_to_be(root):
    overview = page(root)
    assert "manage.py import_crontab FILE" in overview
    assert reverse("admin:schedules_schedule_add") in overview


def test_a_list_that_a_filter_left_empty_offers_all_of_it(root):
    make_schedule("job")
    for asked in ("q=other", "is=paused"):
        shown = page(root, f"/admin/schedules/schedule/?{asked}")
        assert "None here fits what was asked for." in shown
        assert "import_crontab" not in shown


def test_a_worker_says_how_many_runs_it_executes(root):
    worker = make_worker()
    claimed(make_run(make_schedule()), worker)

    assert "1 run</a>" in page(root, "/admin/schedules/worker/")


@pytest.mark.parametrize("kind", ["worker", "beat"])
def test_processes_cannot_be_edited(root, kind):
    row = make_worker() if kind == "worker" else make_beat()

    assert root.get(f"/admin/schedules/{kind}/add/").status_code == 403
    assert root.post(reverse(f"admin:schedules_{kind}_delete", args=[row.pk])).status_code == 403


POLICY = {
    "name": "patient",
    "max_attempts": "4",
    "delays": "30s, 5m",
    "initial_interval": "30",
    "backoff_coefficient": "2",
    "maximum_interval": "3600",
    "jitter": "none",
    "rules": "exit code 75: retry\r\nany: give up",
}


def test_a_policy_is_typed_as_text_and_stored_as_values(root):
    root.post("/admin/schedules/retrypolicy/add/", POLICY)

    policy = RetryPolicy.objects.get()
    assert policy.delays == [30, 300]
    assert policy.rules == [
        {"condition": "exit_code", "value": "75", "verdict": "retry"},
        {"condition": "any", "value": "", "verdict": "give_up"},
    ]


def test_a_policy_shows_its_waits_and_who_uses_it(root):
    policy = make_policy(max_attempts=4, delays=[30, 300])
    make_schedule(retry_policy=policy)

    shown = page(root, reverse("admin:schedules_retrypolicy_change", args=[policy.pk]))

    assert "attempt 2 after 30 s, attempt 3 after 5 min, attempt 4 after 5 min" in shown
    assert "1 schedule" in shown
    assert 'value="30s, 5m"' in shown


def test_bad_rules_and_waits_are_refused_by_field(root):
    response = root.post(
        "/admin/schedules/retrypolicy/add/", POLICY | {"delays": "soon", "rules": "moon: retry"}
    )

    errors = response.context["adminform"].form.errors
    assert set(errors) == {"delays", "rules"}
    assert not RetryPolicy.objects.exists()


@pytest.mark.parametrize(
    ("field", "typed"), [("give_up_after", "1h"), ("maximum_interval", "10m"), ("max_attempts", "three")]
)
def test_a_number_with_a_unit_is_no_empty_box(root, field, typed):
    """A number box would be sent as an empty one, and no time budget is a budget without end."""
    response = root.post("/admin/schedules/retrypolicy/add/", POLICY | {field: typed})

    assert list(response.context["adminform"].form.errors) == [field]
    assert f'type="text" name="{field}" value="{typed}"' in response.content.decode()
    assert "without a unit, such as" in response.content.decode()


def test_a_changed_policy_is_a_revision_of_its_schedules_by_who_changed_it(root):
    policy = make_policy()
    schedule = make_schedule(retry_policy=policy)

    root.post(reverse("admin:schedules_retrypolicy_change", args=[policy.pk]), POLICY)

    schedule.refresh_from_db()
    assert schedule.revision is not None
    assert schedule.revision.number == 2
    assert (schedule.revision.changed_by, schedule.revision.note) == ("root", "retry policy patient")
    assert schedule.revision.definition["retry"]["max_attempts"] == 4


def test_a_policy_in_use_is_not_deleted(root):
    policy = make_policy()
    make_schedule(retry_policy=policy)

    root.post(reverse("admin:schedules_retrypolicy_delete", args=[policy.pk]), {"post": "yes"})

    assert RetryPolicy.objects.filter(pk=policy.pk).exists()


def test_pages_load_nothing_from_elsewhere(root):
    schedule = make_schedule()
    run = attempt(make_run(schedule), Outcome.SUCCEEDED)
    urls = (
        "/admin/",
        "/admin/schedules/schedule/",
        f"/admin/schedules/schedule/{schedule.pk}/change/",
        "/admin/schedules/run/",
        f"/admin/schedules/run/{run.pk}/change/",
    )

    for url in urls:
        html = page(root, url).replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in html
        assert "https://" not in html
