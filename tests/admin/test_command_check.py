"""What workers said of commands, in the list and on the page of one schedule."""

from __future__ import annotations

import pytest
from django.urls import reverse

from schedules import catalog
from schedules.checking import flow as checking
from schedules.checking.subject import command_definition, digest_of
from schedules.errors import NotPossible
from schedules.models import CommandCheck, Schedule
from schedules.querysets import database_now
from tests.admin.conftest import VIEWER, count_queries, form_url, said
from tests.factories import make_schedule, make_task_schedule, make_worker

pytestmark = pytest.mark.django_db
URL = "/admin/schedules/schedule/"

MISSING = {"level": "error", "code": "missing", "text": "/opt/x does not exist", "advice": "put it there"}
DOUBTFUL = {"level": "warning", "code": "variable", "text": "$FOO is empty", "advice": ""}
SHARED = {"level": "note", "code": "limits", "text": "cron allows more", "advice": ""}


def checked(schedule: Schedule, *findings: dict, worker: str = "w@tests") -> CommandCheck:
    definition = command_definition(Schedule.objects.select_related("revision").get(pk=schedule.pk))
    assert definition is not None
    return CommandCheck.objects.create(
        schedule=schedule,
        worker_name=worker,
        host="tests",
        account="ada",
        digest=digest_of(definition),
        checked_at=database_now(),
        is_ok=not any(each["level"] == "error" for each in findings),
        findings=list(findings),
    )


def column(client) -> dict[str, str]:
    """The column's words by schedule."""
    changelist = client.get(URL).context["cl"]
    admin = changelist.model_admin
    return {row.name: admin.command_check(row) for row in changelist.result_list}


@pytest.fixture
def asked(monkeypatch):
    found = []
    monkeypatch.setattr(checking, "ask_without_waiting", lambda asked: found.append(asked) or 1)
    return found


def test_the_column_tells_what_is_wrong_and_what_nobody_looked_at(root):
    make_worker("w@tests")
    checked(make_schedule("good"), SHARED)
    checked(make_schedule("bad"), DOUBTFUL, MISSING)
    checked(make_schedule("doubtful"), DOUBTFUL)
    changed = make_schedule("changed")
    checked(changed, MISSING)
    catalog.change([changed.pk], by="tests", command="false")
    make_schedule("new"), make_task_schedule("task")

    shown = column(root)

    assert ">ok<" in shown["good"]
    assert ">error<" in shown["bad"]
    assert "/opt/x does not exist" in shown["bad"]
    assert ">warning<" in shown["doubtful"]
    assert ">outdated<" in shown["changed"]
    assert "not checked" in shown["new"]
    assert "bk-none" in shown["task"]


def test_the_worst_of_the_workers_that_are_there_counts(root):
    schedule = make_schedule("job")
    checked(schedule, MISSING, worker="gone@tests")
    assert ">error<" in column(root)["job"]

    checked(schedule, worker="here@tests")
    make_worker("here@tests")

    assert ">ok<" in column(root)["job"]
    make_worker("gone@tests")
    assert ">error<" in column(root)["job"]


def test_the_list_costs_the_same_however_many_checks_there_are(root):
    checked(make_schedule("first"), MISSING)
    few = count_queries(root, URL)

    for number in range(20):
        schedule = make_schedule(f"job {number}")
        checked(schedule, MISSING, DOUBTFUL), checked(schedule, worker="other@tests")

    assert count_queries(root, URL) == few


def test_the_page_shows_findings_with_when_and_by_whom(root):
    schedule = make_schedule()
    checked(schedule, DOUBTFUL, MISSING)

    page = root.get(form_url(schedule.pk)).content.decode()

    assert "/opt/x does not exist" in page
    assert "put it there" in page
    assert "w@tests" in page
    assert "This worker is not running now." in page
    assert page.index("/opt/x does not exist") < page.index("$FOO is empty")


def test_the_page_says_that_the_command_was_changed_since(root):
    schedule = make_schedule()
    checked(schedule)
    catalog.change([schedule.pk], by="tests", command="false")

    assert "The command has been changed since." in root.get(form_url(schedule.pk)).content.decode()


def test_a_task_and_a_new_schedule_have_no_such_panel(root):
    task = make_task_schedule()

    for url in (form_url(task.pk), form_url()):
        assert 'id="check"' not in root.get(url).content.decode()


def test_hostile_findings_are_text(root):
    schedule = make_schedule()
    hostile = {"level": "<q>", "code": "", "text": "<marquee>\x1b[31m\u202e", "advice": "<blink>"}
    checked(schedule, hostile, MISSING | {"text": "<marquee>"})

    for url in (URL, form_url(schedule.pk)):
        page = root.get(url).content.decode()
        assert "&lt;marquee&gt;" in page
        assert not [each for each in ("<marquee>", "<blink>", "<q>", "\x1b", "\u202e") if each in page]


def test_the_action_asks_without_waiting(root, asked):
    first, second, task = make_schedule("a"), make_schedule("b", queue="tasks"), make_task_schedule("c")
    data = {"action": "check_selected", "_selected_action": [first.pk, second.pk, task.pk]}

    response = root.post(URL, data, follow=True)

    assert asked == [{"commands": [first.pk], "tasks": [second.pk]}]
    assert "asked to look at 2 commands" in said(response)


def test_the_button_of_the_page_asks_about_one(root, asked):
    schedule = make_schedule()

    response = root.post(reverse("admin:schedules_schedule_check", args=[schedule.pk]), follow=True)

    assert asked == [{"commands": [schedule.pk]}]
    assert "asked to look at this command" in said(response)


def test_it_says_so_where_nobody_will_look(root, monkeypatch):
    schedule = make_schedule()
    address = reverse("admin:schedules_schedule_check", args=[schedule.pk])

    monkeypatch.setattr(checking, "ask_without_waiting", lambda asked: 0)
    assert "nobody will look" in said(root.post(address, follow=True))

    def refuse(asked):
        raise NotPossible("The broker does not answer.")

    monkeypatch.setattr(checking, "ask_without_waiting", refuse)
    assert "The broker does not answer." in said(root.post(address, follow=True))


def test_asking_takes_the_right_to_run(person, asked):
    schedule = make_schedule()
    address = reverse("admin:schedules_schedule_check", args=[schedule.pk])

    assert person(*VIEWER).post(address).status_code == 403
    assert person(*VIEWER, "run_schedule", name="bob").get(address).status_code == 405
    assert asked == []
