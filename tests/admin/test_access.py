"""Rights are separate: to see, to see output, to run, to pause, to change when, to change what, to cancel."""

from __future__ import annotations

import pytest
from django.urls import reverse

from schedules.models import Run, Schedule
from schedules.rules.states import Outcome, State
from tests.admin.conftest import VIEWER, form_url
from tests.admin.test_runs import attempt, page_url
from tests.factories import make_later, make_run, make_schedule, make_task_schedule

pytestmark = pytest.mark.django_db
EDITOR = (*VIEWER, "add_schedule", "change_schedule")
SECRET = "the secret output"


def test_who_may_only_look_sees_pages_and_changes_nothing(person, form_data):
    viewer = person(*VIEWER)
    schedule = make_schedule()

    assert viewer.get("/admin/schedules/schedule/").status_code == 200
    page = viewer.get(form_url(schedule.pk))
    assert b'name="_preview"' not in page.content
    assert viewer.post(form_url(schedule.pk), {"name": "mine"}).status_code == 403
    assert viewer.get(form_url()).status_code == 403


@pytest.mark.parametrize(
    ("verb", "permission"),
    [("run", "run_schedule"), ("pause", "pause_schedule"), ("resume", "pause_schedule")],
)
def test_each_button_of_a_schedule_needs_its_right(person, verb, permission):
    url = reverse(f"admin:schedules_schedule_{verb}", args=[make_schedule().pk])

    assert person(*VIEWER, name="without").post(url).status_code == 403
    assert person(*VIEWER, permission, name="with").post(url).status_code == 302


@pytest.mark.parametrize(
    ("verb", "permission"), [("again", "run_schedule"), ("cancel", "cancel_run"), ("retry", "cancel_run")]
)
def test_each_button_of_a_run_needs_its_right(person, verb, permission):
    url = reverse(f"admin:schedules_run_{verb}", args=[make_run(make_schedule()).pk])

    assert person(*VIEWER, name="without").post(url).status_code == 403
    assert person(*VIEWER, permission, name="with").post(url).status_code == 302


def test_rights_to_act_are_worth_nothing_without_sight(person):
    url = reverse("admin:schedules_schedule_run", args=[make_schedule().pk])

    assert person("run_schedule").post(url).status_code == 403


def test_without_the_right_a_command_cannot_be_changed(person, form_data):
    editor = person(*EDITOR, "change_timing")
    schedule = make_later(command="true", stdin="in", environment=[["A", "1"]], run_as="bob", shell="/bin/sh")
    before = Schedule.objects.filter(pk=schedule.pk).values().get()
    forged = {
        "command": "rm -rf /",
        "stdin": "x",
        "environment": "LD_PRELOAD=x",
        "run_as": "root",
        "shell": "/bin/evil",
        "working_directory": "/",
        "kind": "task",
    }

    editor.post(form_url(schedule.pk), form_data(editor, schedule.pk, description="mine") | forged)

    after = Schedule.objects.filter(pk=schedule.pk).values().get()
    assert {key for key in before if before[key] != after[key]} == {"description", "date_changed"}


def test_without_the_right_a_command_cannot_be_added_nor_a_task_become_one(person, form_data):
    editor = person(*EDITOR, "change_timing")
    task = make_task_schedule(task="shop.tasks.sync")
    forged = {"kind": "command", "command": "rm -rf /"}

    editor.post(form_url(), form_data(editor, None, name="new", when="@daily") | forged)
    editor.post(form_url(task.pk), form_data(editor, task.pk) | forged)

    assert not Schedule.objects.filter(kind="command").exists()
    assert not Schedule.objects.exclude(command="").exists()


def test_a_duplicate_leaves_out_what_its_author_may_not_set(person, form_data):
    editor = person(*EDITOR)
    source = make_schedule(command="secret-tool", environment=[["A", "1"]], run_as="bob", tags="db")

    data = form_data(editor, None, name="copy", task="shop.tasks.sync", kind="command", tags="db")
    editor.post(f"{form_url()}?copy={source.pk}", data)

    copy = Schedule.objects.get(name="copy")
    assert (copy.kind, copy.command, copy.environment, copy.run_as) == ("task", "", [], "")
    assert (copy.cron, copy.next_run_at, copy.tags) == ("", None, "db")


def test_without_the_right_a_command_is_not_moved_to_another_worker(person, form_data):
    editor = person(*EDITOR)
    command, task = make_schedule("command"), make_task_schedule(task="shop.tasks.sync")

    for schedule in (command, task):
        editor.post(form_url(schedule.pk), form_data(editor, schedule.pk) | {"queue": "tasks"})

    command.refresh_from_db()
    task.refresh_from_db()
    assert (command.queue, task.queue) == (None, "tasks")


def test_with_the_right_a_command_can_be_changed(person, form_data):
    editor = person(*EDITOR, "change_command")
    schedule = make_schedule(command="true")

    editor.post(form_url(schedule.pk), form_data(editor, schedule.pk, command="false"))

    schedule.refresh_from_db()
    assert schedule.command == "false"
    assert schedule.revision is not None
    assert schedule.revision.changed_by == "ann"


def test_without_the_right_the_timing_stays(person, form_data):
    editor = person(*EDITOR, "change_command")
    schedule = make_schedule(cron="5 4 * * *")

    forged = {"when": "* * * * *", "timezone": "Asia/Tokyo", "one_off": "on"}
    editor.post(form_url(schedule.pk), form_data(editor, schedule.pk) | forged)

    schedule.refresh_from_db()
    assert (schedule.cron, schedule.timezone, schedule.one_off) == ("5 4 * * *", "UTC", False)


def test_without_the_right_nothing_is_disabled_in_passing(person, form_data):
    editor = person(*EDITOR)
    schedule = make_schedule()

    editor.post(form_url(schedule.pk), form_data(editor, schedule.pk, description="x"))

    schedule.refresh_from_db()
    assert (schedule.enabled, schedule.description) == (True, "x")


def test_without_the_right_no_output_is_seen(person):
    run = attempt(
        make_run(make_schedule()),
        exit_code=1,
        head=(("stdout", SECRET),),
        bytes_seen=9,
        traceback=SECRET,
        result=SECRET,
    )
    download = reverse("admin:schedules_run_output", args=[run.pk, 1])
    without, with_right = person(*VIEWER, name="without"), person(*VIEWER, "view_output", name="with")

    assert SECRET not in without.get(page_url(run)).content.decode()
    assert without.get(download).status_code == 403
    assert SECRET in with_right.get(page_url(run)).content.decode()
    assert with_right.get(download).content.decode() == SECRET


def test_actions_are_offered_by_right(person):
    run = attempt(make_run(make_schedule()), Outcome.SUCCEEDED)
    data = {"action": "again_selected", "_selected_action": [run.pk]}

    person(*VIEWER, "cancel_run").post("/admin/schedules/run/", data)

    assert Run.objects.count() == 1


def test_strangers_are_sent_to_the_login(client):
    run = make_run(make_schedule())

    for url in (form_url(), page_url(run), "/admin/schedules/schedule/preview/"):
        assert client.get(url).url.startswith("/admin/login/")
    assert client.post(reverse("admin:schedules_run_cancel", args=[run.pk])).url.startswith("/admin/login/")
    run.refresh_from_db()
    assert run.state == State.PENDING


def test_somebody_without_any_right_sees_no_overview(person):
    make_schedule("confidential")

    assert b"confidential" not in person().get("/admin/").content
