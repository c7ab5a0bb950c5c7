"""The list of schedules: what failed, what is late, what is next, without a click."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Q
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_celery_beat.models import PeriodicTask

from schedules import catalog
from schedules.admin import queries
from schedules.models import Run, Schedule
from schedules.querysets import database_now
from schedules.rules.states import State
from schedules.sql import indexed
from tests.admin.conftest import count_queries, form_url, said
from tests.factories import due, make_history, make_manual, make_run, make_schedule

pytestmark = pytest.mark.django_db
URL = "/admin/schedules/schedule/"


def rows(response) -> list[Schedule]:
    return list(response.context["cl"].result_list)


def act(client, action, *schedules, **more):
    data = {"action": action, "_selected_action": [schedule.pk for schedule in schedules]} | more
    return client.post(URL, data, follow=True)


def test_each_row_has_its_last_runs_oldest_first(root):
    first, second = make_schedule("first"), make_schedule("second")
    runs = make_history(first, [State.FAILED, *[State.SUCCEEDED] * 24])
    other = make_history(second, [State.SKIPPED])

    shown = {row.name: row.last_runs for row in rows(root.get(URL))}

    assert [run.pk for run in shown["first"]] == [run.pk for run in runs[-20:]]
    assert [run.pk for run in shown["second"]] == [other[0].pk]


def test_the_strip_tells_outcomes_by_colour_and_in_words(root):
    schedule = make_schedule()
    make_history(schedule, [State.SUCCEEDED, State.FAILED])
    Run.objects.filter(state=State.SUCCEEDED).update(attempt=2)

    page = root.get(URL).content.decode()

    assert 'class="bk-bar bk-mended"' in page
    assert 'class="bk-bar bk-bad"' in page
    assert "succeeded after 2 attempts" in page


def test_the_page_costs_the_same_for_five_and_for_fifty_schedules(root):
    for number in range(5):
        make_history(make_schedule(f"job {number}"), [State.SUCCEEDED, State.FAILED])
    few = count_queries(root, URL)

    for number in range(5, 50):
        make_history(make_schedule(f"job {number}", tags="a"), [State.SUCCEEDED, State.FAILED])

    assert len(rows(root.get(URL))) == 50
    assert count_queries(root, URL) == few


def test_each_state_has_its_word_and_its_filter(root):
    now = database_now()
    made = {
        name: make_schedule(name, timezone="UTC", cron="0 0 1 1 *")
        for name in ("enabled", "overdue", "paused", "disabled", "not usable")
    }
    due(made["overdue"], now - timedelta(minutes=5))
    catalog.pause([made["paused"].pk], by="bob", note="mail server")
    catalog.disable([made["disabled"].pk], by="bob")
    Schedule.objects.filter(pk=made["not usable"].pk).update(timing_error="No such zone.")

    page = root.get(URL).content.decode()

    assert "until somebody resumes it: mail server" in page
    assert "No such zone." in page
    for name in made:
        expected = {"enabled", "overdue"} if name == "enabled" else {name}
        assert {row.name for row in rows(root.get(URL, {"is": name}))} == expected


def test_filters_by_last_outcome_kind_tag_and_queue(root):
    failed = make_schedule("failed", tags="db nightly", queue="tasks")
    make_history(failed, [State.SUCCEEDED, State.FAILED])
    make_history(make_schedule("good", tags="database", source="/etc/crontab"), [State.SUCCEEDED])

    def names(**query):
        return [row.name for row in rows(root.get(URL, query))]

    assert names(last="bad") == ["failed"]
    assert names(last="good") == ["good"]
    assert names(last="none") == []
    assert names(tag="tag:db") == ["failed"]
    assert names(tag="source:/etc/crontab") == ["good"]
    assert names(queue="tasks") == ["failed"]
    assert names(queue="-") == ["good"]
    assert names(runs="command") == ["failed", "good"]
    assert names(q="database") == ["good"]


def test_the_last_run_failed_of_schedules_that_failed_or_wait_for_their_retry(root):
    failed, mended, waiting = (make_manual(name) for name in ("failed", "mended", "waiting"))
    make_history(failed, [State.FAILED, State.SUCCEEDED, State.FAILED])
    make_history(mended, [State.FAILED, State.SUCCEEDED])
    make_run(waiting, state=State.PENDING, attempt=1, available_at=database_now() + timedelta(days=1))
    make_run(failed)  # it has not ended yet
    make_history(make_manual("good"), [State.SUCCEEDED])

    assert queries.last_failed() == [failed.pk, waiting.pk]
    for number in range(40):  # now those with a failure are few
        make_manual(f"other {number}")
    assert queries.last_failed() == [failed.pk, waiting.pk]


def test_only_schedules_with_a_failure_on_record_are_probed_for_their_last_run(monkeypatch):
    bad = make_manual("bad")
    make_history(bad, [State.FAILED, State.SUCCEEDED])
    gone = make_history(make_manual("gone"), [State.FAILED])
    Run.objects.filter(pk=gone[0].pk).update(schedule=None)
    for number in range(10):
        make_history(make_manual(f"good {number}"), [State.SUCCEEDED])
    probed = []
    monkeypatch.setattr(queries, "with_last_state", lambda wanted, among: probed.append(among) or [])

    queries.last_failed()

    assert probed == [Q(pk__in={bad.pk})]


def test_schedules_with_failures_are_found_by_one_step_each_along_their_index():
    for number in range(3):
        make_history(make_manual(f"job {number}"), [State.FAILED, State.SUCCEEDED])
    with CaptureQueriesContext(connection) as captured:
        assert len(indexed.troubled_schedules(using="default", limit=3) or ()) == 3
        assert indexed.troubled_schedules(using="default", limit=2) is None
    if connection.vendor == "postgresql":
        return  # it plans by the size of the tables
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {captured[0]['sql']}")
        plan = "\n".join(str(row[-1]) for row in cursor.fetchall())

    assert "run_failures_aged" in plan
    assert "run_retrying" in plan
    assert "TEMP B-TREE" not in plan


def test_sorting_by_next_run_puts_what_is_never_due_last(root):
    make_schedule("by hand", cron="")
    make_schedule("yearly", cron="@yearly")
    make_schedule("minutely", cron="* * * * *")

    shown = [row.name for row in rows(root.get(URL, {"o": "4"}))]

    assert shown == ["minutely", "yearly", "by hand"]


def test_run_now_starts_runs_and_names_the_refused(root):
    good = make_schedule("good")
    broken = Schedule.objects.get(pk=make_schedule("broken").pk)
    Schedule.objects.filter(pk=broken.pk).update(revision=None, timing_error="No such zone.")

    response = act(root, "run_selected", good, broken)

    assert [run.schedule_id for run in Run.objects.all()] == [good.pk]
    assert "1 schedule started" in said(response)
    assert 'Schedule "broken" cannot run: No such zone.' in said(response)


def test_pausing_reports_what_was_paused_already(root):
    first, second = make_schedule("first"), make_schedule("second")
    catalog.pause([second.pk], by="bob")

    response = act(root, "pause_selected", first, second)

    assert "1 schedule paused." in said(response)
    assert "1 schedule not changed: paused already." in said(response)


@pytest.mark.parametrize(
    ("action", "columns"),
    [
        ("resume_selected", {"enabled": True, "paused_until": None}),
        ("enable_selected", {"enabled": True}),
        ("disable_selected", {"enabled": False}),
    ],
)
def test_actions_change_the_chosen_schedules_alone(root, action, columns):
    chosen, other = make_schedule("chosen"), make_schedule("other")
    if action != "disable_selected":
        catalog.disable([chosen.pk, other.pk], by="bob")
    before = Schedule.objects.filter(pk=other.pk).values().get()

    act(root, action, chosen)

    assert Schedule.objects.filter(pk=chosen.pk, **columns).exists()
    assert Schedule.objects.filter(pk=other.pk).values().get() == before


def test_deleting_asks_first_keeps_the_history_and_hides_the_row(root):
    schedule = make_schedule("gone")
    run = make_run(schedule)

    asked = act(root, "delete_selected", schedule)
    assert Schedule.objects.live().exists()
    done = act(root, "delete_selected", schedule, confirmed="1")

    assert b"The history of runs stays" in asked.content
    assert "1 schedule deleted" in said(done)
    assert rows(done) == []
    run.refresh_from_db()
    assert run.state == State.CANCELLED
    assert PeriodicTask.objects.filter(pk=schedule.pk, enabled=False).exists()


def test_the_single_delete_page_is_soft_too(root):
    schedule = make_schedule("gone")

    response = root.post(reverse("admin:schedules_schedule_delete", args=[schedule.pk]), follow=True)

    schedule.refresh_from_db()
    assert schedule.is_deleted
    assert "1 schedule deleted" in said(response)


@pytest.mark.parametrize("verb", ["run", "pause", "resume"])
def test_a_button_of_a_row_acts_by_post_and_comes_back(root, verb):
    schedule = make_schedule()
    url = reverse(f"admin:schedules_schedule_{verb}", args=[schedule.pk])

    assert root.get(url).status_code == 405
    response = root.post(url, {"next": f"{URL}?q=job"})

    assert response.url == f"{URL}?q=job"


def test_a_button_does_not_lead_to_other_sites(root):
    schedule = make_schedule()

    response = root.post(
        reverse("admin:schedules_schedule_pause", args=[schedule.pk]), {"next": "https://evil.example/"}
    )

    assert response.url == reverse("admin:schedules_schedule_change", args=[schedule.pk])


def test_state_changes_need_the_csrf_token(root):
    root.handler.enforce_csrf_checks = True
    schedule = make_schedule()

    response = root.post(reverse("admin:schedules_schedule_run", args=[schedule.pk]))

    assert response.status_code == 403
    assert not Run.objects.exists()


def test_hostile_names_commands_and_tags_are_text(root):
    make_schedule("<script>n</script>\u202e", command="<script>c</script>\x1b[2J", tags="<script>t</script>")

    page = root.get(URL).content.decode()

    assert "<script>n" not in page
    assert "<script>c" not in page
    assert "<script>t" not in page
    assert "\u202e" not in page
    assert "\x1b" not in page


def test_django_celery_beats_own_pages_are_gone(root):
    page = root.get("/admin/").content.decode()

    assert "django_celery_beat" not in page
    assert root.get("/admin/django_celery_beat/periodictask/").status_code == 404


def test_a_run_that_waits_for_its_retry_is_the_last_outcome(root):
    schedule = make_schedule()
    make_history(schedule, [State.SUCCEEDED])
    make_run(schedule, attempt=1, available_at=database_now() + timedelta(minutes=40))

    page = root.get("/admin/schedules/schedule/").content.decode()
    assert "next attempt in 39 min" in page
    assert "next attempt in 39 min" in root.get(form_url(schedule.pk)).content.decode()

    def listed(last: str) -> list[Schedule]:
        return list(root.get("/admin/schedules/schedule/", {"last": last}).context["cl"].result_list)

    assert listed("bad") == [schedule]
    assert listed("good") == []


def test_a_run_that_has_not_begun_leaves_the_last_outcome_as_it_was(root):
    schedule = make_schedule()
    make_history(schedule, [State.FAILED])
    make_run(schedule)

    found = root.get("/admin/schedules/schedule/", {"last": "bad"}).context["cl"].result_list

    assert list(found) == [schedule]


def test_the_page_says_whom_cron_mailed(root):
    schedule = make_schedule(mail_to="ops@example.org,<script>")

    page = root.get(form_url(schedule.pk)).content.decode()

    assert "ops@example.org,&lt;script&gt;" in page


def test_browsers_find_an_icon(root):
    icon = root.get("/favicon.ico")

    assert icon.headers["Location"] == "/static/schedules/icon.svg"
    assert 'rel="icon"' in root.get("/admin/schedules/schedule/").content.decode()
