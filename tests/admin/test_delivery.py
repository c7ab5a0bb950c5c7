"""Tasks of another codebase and events of the sun, on the pages and in the commands."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.urls import reverse
from django_celery_beat.models import SolarSchedule

from schedules import catalog
from schedules.explaining import flow as explaining
from schedules.messages import sending
from schedules.models import Run, Schedule
from schedules.querysets import Heard, Sent
from schedules.rules.states import Outcome, State
from tests.admin.conftest import form_url
from tests.database.test_sending import make_message_schedule
from tests.factories import last_minute, make_policy, make_run, make_schedule

pytestmark = pytest.mark.django_db


@pytest.fixture
def save(root, form_data):
    def send(pk=None, **changes):
        return root.post(form_url(pk), form_data(root, pk, **changes), follow=True)

    return send


def make_sent(**columns) -> Run:
    run = make_run(make_message_schedule(**columns), state="queued")
    Run.objects.sent([Sent(run.pk, sending.task_id(run), 'the queue "shop"')])
    run.refresh_from_db()
    return run


def run_page(root, run: Run) -> str:
    page: str = root.get(reverse("admin:schedules_run_change", args=[run.pk])).content.decode()
    return page


def test_the_form_makes_a_schedule_that_is_sent_to_another_codebase(save):
    save(name="theirs", kind="task", task="shop.report", delivery="message", queue="shop", when="@daily")

    schedule = catalog.find("theirs")
    assert (schedule.delivery, schedule.queue) == ("message", "shop")
    assert schedule.revision.definition["delivery"] == "message"


def test_the_form_says_beside_each_policy_why_it_does_not_fit(save):
    policy = make_policy()
    response = save(
        name="theirs",
        kind="task",
        task="shop.report",
        delivery="message",
        queue="shop",
        retry_policy=policy.pk,
        overlap="skip",
        timeout="60",
    )

    assert set(response.context["form"].errors) == {"retry_policy", "overlap", "timeout"}
    assert not Schedule.objects.exists()


def test_who_may_not_edit_commands_cannot_send_tasks_to_any_queue(person, form_data):
    client = person("view_schedule", "add_schedule", "change_schedule", "change_timing", "pause_schedule")
    data = form_data(client, name="theirs", task="shop.report", queue="shop", when="@daily")

    client.post(form_url(), data | {"kind": "task", "delivery": "message"}, follow=True)

    assert not Schedule.objects.filter(delivery="message").exists()


def test_the_page_of_a_sent_run_says_where_it_went_and_that_no_more_is_known(root):
    run = make_sent()

    page = run_page(root, run)

    assert (
        f'Sent to the queue "shop" as Celery task {run.attempts.get().token}'.replace('"', "&quot;") in page
    )
    assert "celery worker -E" in page
    assert 'class="bk-pill bk-sent"' in page


def test_the_page_of_a_run_that_was_heard_of_says_how_it_ended(root):
    run = make_sent()
    failed = Heard(
        State.FAILED, Outcome.FAILED, "shop@elsewhere", error_class="KeyError", error="<no> customer"
    )
    Run.objects.hear_end(run.pk, run.attempts.get().token, failed)

    page = run_page(root, run)

    assert "Failed: KeyError: &lt;no&gt; customer." in page
    assert "shop@elsewhere" in page


def test_the_worker_of_another_codebase_is_named_as_soon_as_it_is_heard_of(root):
    run = make_sent()
    Run.objects.hear_begin(run.pk, run.attempts.get().token, worker="shop@elsewhere")

    named = '<dt>Worker</dt><dd><bdi class="bk-name">shop@elsewhere</bdi></dd>'
    assert run_page(root, run).count(named) == 2  # of the run, and of its attempt
    assert 'title="shop@elsewhere"' in root.get("/admin/schedules/run/").content.decode()


def test_a_sent_run_is_no_failure_and_can_be_filtered(root):
    make_sent()
    runs, schedules = "/admin/schedules/run/", "/admin/schedules/schedule/"

    assert "bk-sent" in root.get(f"{runs}?state=sent").content.decode()
    assert "bk-sent" not in root.get(f"{runs}?state=bad").content.decode()
    assert "theirs" in root.get(f"{schedules}?last=sent").content.decode()
    assert "theirs" not in root.get(f"{schedules}?last=bad").content.decode()


def test_a_run_that_cannot_be_sent_says_why(root):
    run = make_run(make_message_schedule())
    Run.objects.explain_waiting(run.pk, detail="Not sent, and tried again later: no queue.")
    assert "Not sent, and tried again later: no queue." in run_page(root, run)


def test_explain_says_that_it_was_sent():
    run = make_sent(cron="* * * * *")
    Run.objects.update(trigger="schedule", scheduled_for=last_minute())
    run.refresh_from_db()

    told = explaining.explain(catalog.find("theirs"), instant=run.scheduled_for)

    assert told.verdict == "sent"
    assert told.sentence.startswith("Was sent for ")


def test_an_event_of_the_sun_is_typed_shown_and_kept(save, root):
    save(name="lights", command="on", when="Sunset at 52.52 13.405")

    schedule = catalog.find("lights")
    assert SolarSchedule.objects.get() == schedule.solar
    assert schedule.next_run_at is not None
    page = root.get(form_url(schedule.pk)).content.decode()
    assert 'value="sunset at 52.52, 13.405"' in page
    assert "at sunset, 52.52° N 13.405° E" in root.get("/admin/schedules/schedule/").content.decode()
    save(schedule.pk, description="changed")
    assert SolarSchedule.objects.count() == 1
    save(schedule.pk, when="0 5 * * *")
    assert catalog.find("lights").solar is None


def test_a_typing_error_in_an_event_lists_the_events(save):
    response = save(name="lights", command="on", when="sunset in Berlin")
    assert "civil dawn" in response.context["form"].errors["when"][0]


def test_a_manifest_says_both_and_an_export_gives_them_back(tmp_path, capsys):
    file = tmp_path / "schedules.yaml"
    text = """\
schedules:
  lights:
    solar: civil dusk at 52.52, 13.405
    command: lights on
  theirs:
    cron: 0 6 * * *
    timezone: Europe/Berlin
    task: shop.report
    delivery: message
    queue: shop
"""
    file.write_text(text)
    call_command("apply_schedules", str(file))
    assert catalog.find("lights").solar.event == "dusk_civil"
    assert catalog.find("theirs").delivery == "message"
    capsys.readouterr()

    call_command("export_schedules")

    assert capsys.readouterr().out == text


def test_next_runs_lists_events_of_the_sun(capsys):
    make_schedule(
        "lights", cron="", solar=SolarSchedule.objects.create(event="sunset", latitude=1, longitude=2)
    )
    call_command("next_runs", "lights", "--count", "2")
    assert "at sunset, 1° N 2° E" in capsys.readouterr().out
