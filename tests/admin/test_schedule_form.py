"""The form of a schedule: a cron line is typed, nothing is lost, nothing fires."""

from __future__ import annotations

import pytest
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask

from schedules import catalog
from schedules.models import Revision, Run, Schedule
from schedules.models.schedule import RESERVED_EVERY
from schedules.rules.cron import parse
from tests.admin.conftest import count_queries, form_url, said
from tests.factories import make_later, make_policy, make_run, make_schedule, make_task_schedule

pytestmark = pytest.mark.django_db


@pytest.fixture
def save(root, form_data):
    """Sends the form with these changes; returns the response after the redirect."""

    def send(pk=None, **changes):
        return root.post(form_url(pk), form_data(root, pk, **changes), follow=True)

    return send


def problems(response) -> dict[str, list[str]]:
    return dict(response.context["form"].errors)


def test_a_cron_line_and_a_command_make_a_schedule(save):
    response = save(name="backup", command="pg_dump shop", when="30 2 * * *", timezone="Europe/Berlin")

    schedule = catalog.find("backup")
    assert (schedule.cron, schedule.timezone, schedule.command) == (
        "30 2 * * *",
        "Europe/Berlin",
        "pg_dump shop",
    )
    assert schedule.next_run_at is not None
    assert schedule.revision is not None
    assert schedule.revision.changed_by == "root"
    assert "Next run in" in said(response)
    assert not Run.objects.exists()


def test_limits_are_saved_shown_and_part_of_the_history(save, root):
    schedule = make_schedule(command="true")

    save(schedule.pk, memory_limit="512", cpu_limit="60", file_size_limit="0")

    schedule.refresh_from_db()
    limits = {"memory_limit": 512, "cpu_limit": 60, "file_size_limit": 0}
    assert limits.items() <= schedule.revision.definition.items()
    page = root.get(form_url(schedule.pk)).content.decode()
    assert 'id="group-limits">Limits</h2>' in page
    assert "Seconds, of the command and all it started together." in page
    assert "limit of memory (MiB)" in page


def test_an_unchanged_save_changes_nothing(save):
    schedule = make_later(
        command="a\nb\n",
        stdin="in\r\nput",
        environment=[["A", "1 =2"]],
        timeout=60.0,
        memory_limit=512,
        file_size_limit=0,
        retry_policy=make_policy(),
    )
    before = Schedule.objects.filter(pk=schedule.pk).values().get()

    response = save(schedule.pk)

    after = Schedule.objects.filter(pk=schedule.pk).values().get()
    changed = {key for key in before if before[key] != after[key]} - {"date_changed"}
    assert changed == set()
    assert "nothing that decides a run has changed" in said(response)


def test_a_browsers_line_ends_are_no_change(save):
    schedule = make_schedule(command="a\nb")

    save(schedule.pk, command="a\r\nb")

    schedule.refresh_from_db()
    assert schedule.command == "a\nb"
    assert Revision.objects.filter(schedule=schedule).count() == 1


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ({"when": "0 61 * * *"}, "Hour 61 is outside 0-23 (hour, character 3)"),
        ({"when": "* * *"}, "It has 3 fields and needs five"),
        ({"when": "every 0 minutes"}, "not a whole number"),
        ({"when": "once at 2026-03-29 02:30", "timezone": "Europe/Berlin"}, "does not exist"),
    ],
)
def test_a_bad_timing_is_refused_next_to_its_box(save, typed, complaint):
    response = save(name="bad", command="true", **typed)

    assert complaint in " ".join(problems(response)["when"])
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("timezone", "Mars/Olympus", "Mars/Olympus"),
        ("command", "  ", "Say what to run"),
        ("environment", "A=1\nnonsense", "Line 2"),
        ("command", "a\x00b", "Null"),
        ("timeout", "-1", "greater"),
        ("memory_limit", "0", "greater than or equal to 1"),
        ("cpu_limit", "1.5", "whole number"),
        ("file_size_limit", "-1", "greater than or equal to 0"),
        ("queue", "typo", "No worker knows"),
    ],
)
def test_what_cannot_be_used_is_refused_by_field(save, field, value, complaint):
    changes = {"name": "bad", "command": "true", "when": "@daily"} | {field: value}

    response = save(**changes)

    assert not Schedule.objects.exists()
    assert complaint in " ".join(problems(response)[field])


@pytest.mark.parametrize(
    ("field", "typed", "complaint"),
    [
        ("memory_limit", "64M", "Write a whole number of MiB, without a unit, such as 512."),
        ("timeout", "15m", "Write a number of seconds, without a unit, such as 90 or 0.5."),
        ("keep_failed_days", "2w", "Write a number of days, without a unit, such as 90."),
        ("priority", "high", "Write a whole number from 0 to 255, without a unit, such as 5."),
    ],
)
def test_a_number_with_a_unit_is_refused_beside_its_box_which_keeps_it(save, field, typed, complaint):
    """A number box would not: what is no number is sent as an empty box, and that is no limit at all."""
    response = save(name="job", command="true", when="@daily", **{field: typed})

    page = response.content.decode()
    assert problems(response) == {field: [complaint]}
    assert f'<input type="text" name="{field}" value="{typed}"' in page
    assert f'<a href="#id_{field}">' in page  # the top of the page leads to it
    assert not Schedule.objects.exists()


def test_every_box_says_what_it_means(root):
    form = root.get(form_url()).context["form"]
    without = {"kind", "revision_seen"}  # two words of its own; hidden
    assert [box.name for box in form if not box.help_text and box.name not in without] == []


def test_empty_boxes_of_shell_and_folder_show_what_the_environment_says(root):
    """An imported crontab has SHELL= and HOME= there, and its jobs go by them."""
    plain = make_schedule("plain")
    other = make_schedule("other", environment=[["SHELL", "/bin/bash"], ["HOME", "/srv/jobs"]])

    def grey(schedule, box):
        return root.get(form_url(schedule.pk)).context["form"][box].field.widget.attrs["placeholder"]

    assert (grey(plain, "shell"), grey(plain, "working_directory")) == ("/bin/sh", "")
    assert (grey(other, "shell"), grey(other, "working_directory")) == ("/bin/bash", "/srv/jobs")


def test_a_routing_key_that_no_queue_takes_is_refused_with_those_that_there_are(save, settings):
    settings.BEATKEEPER = {"queues": ("commands", "tasks"), "topic_exchange": "tasks"}
    asked = {"name": "job", "kind": "task", "task": "shop.tasks.sync"}

    refused = save(**asked, routing_key="nowhere")
    assert "declared are commands, tasks" in " ".join(problems(refused)["routing_key"])
    (more,) = [group for group in refused.context["groups"] if group.key == "more"]
    assert not more.folded  # the box that is to be corrected is in sight
    assert not Schedule.objects.exists()

    save(**asked, routing_key="commands")
    assert catalog.find("job").routing_key == "commands"


@pytest.mark.parametrize(("field", "value"), [("args", "{}"), ("kwargs", "[1]"), ("kwargs", "{nope")])
def test_arguments_must_be_json(save, field, value):
    response = save(name="bad", kind="task", task="shop.tasks.sync", **{field: value})

    assert "JSON" in problems(response)[field][0]


def test_two_schedules_cannot_have_one_name(save):
    make_schedule("taken")

    response = save(name="taken", command="true")

    assert problems(response)["name"] == ["Another schedule has this name."]


def test_preview_saves_nothing_and_shows_the_next_runs(root, form_data):
    data = form_data(root, None, name="x", command="true", when="30 2 * * *", timezone="Europe/Berlin")

    response = root.post(form_url(), data | {"_preview": ""})

    preview = response.context["preview"]
    assert preview.words == "at 02:30 every day"
    assert len(preview.due) == 5
    assert all("02:30" in due.absolute for due in preview.due)
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("when", "warning"),
    [("0 0 30 2 *", "never fires"), ("0 0 13 * 5", "Both day fields"), ("once at 2001-01-01 00:00", "past")],
)
def test_the_preview_warns_of_what_may_not_be_meant(root, when, warning):
    response = root.get("/admin/schedules/schedule/preview/", {"when": when, "timezone": "UTC"})

    assert warning in response.content.decode()


def test_the_preview_escapes_what_was_typed(root):
    response = root.get("/admin/schedules/schedule/preview/", {"when": "every <script> days"})

    assert b"<script>" not in response.content
    assert b"&lt;script&gt;" in response.content


def test_a_save_over_a_newer_revision_is_refused_and_names_its_author(root, form_data):
    schedule = make_schedule(command="old")
    mine = form_data(root, schedule.pk, command="mine")
    catalog.change([schedule.pk], by="bob", command="theirs")

    refused = root.post(form_url(schedule.pk), mine)

    schedule.refresh_from_db()
    assert schedule.command == "theirs"
    assert "bob changed this schedule" in str(refused.context["form"].non_field_errors())
    assert refused.context["form"]["command"].value() == "mine"


def test_saving_again_after_the_warning_replaces_the_newer_revision(root, form_data):
    schedule = make_schedule(command="old")
    mine = form_data(root, schedule.pk, command="mine")
    catalog.change([schedule.pk], by="bob", command="theirs")
    refused = root.post(form_url(schedule.pk), mine)

    again = mine | {"revision_seen": refused.context["form"]["revision_seen"].value()}
    root.post(form_url(schedule.pk), again)

    schedule.refresh_from_db()
    assert schedule.command == "mine"


def test_an_edit_starts_nothing(save):
    schedule = make_later()

    save(schedule.pk, when="*/2 * * * *")

    assert not Run.objects.exists()


@pytest.fixture
def adopted(django_capture_on_commit_callbacks):
    """A row that somebody made with django-celery-beat alone."""

    def make(**timing):
        with django_capture_on_commit_callbacks(execute=True):
            task = PeriodicTask.objects.create(name="theirs", task="shop.tasks.sync", **timing)
        return Schedule.objects.get(pk=task.pk)

    return make


def test_a_crontab_row_is_shown_as_celery_text_and_kept(root, save, adopted):
    row = CrontabSchedule.objects.create(minute="*/7", hour="4")
    schedule = adopted(crontab=row)

    form = root.get(form_url(schedule.pk)).context["form"]
    save(schedule.pk, description="changed")

    schedule.refresh_from_db()
    assert (form["when"].value(), form["dialect"].value()) == ("*/7 4 * * *", "celery")
    assert (schedule.crontab_id, schedule.cron) == (row.pk, "")


def test_a_changed_crontab_becomes_ours_and_the_shared_row_stays(save, adopted):
    row = CrontabSchedule.objects.create(minute="*/7")
    schedule = adopted(crontab=row)

    save(schedule.pk, when="*/9 * * * *")

    schedule.refresh_from_db()
    row.refresh_from_db()
    assert (schedule.crontab_id, schedule.cron, schedule.dialect) == (None, "*/9 * * * *", "celery")
    assert schedule.interval.every == RESERVED_EVERY
    assert row.minute == "*/7"


def test_a_changed_interval_leaves_the_shared_row_alone(save, adopted):
    row = IntervalSchedule.objects.create(every=15, period="minutes")
    schedule = adopted(interval=row)

    save(schedule.pk, when="every 20 minutes")

    schedule.refresh_from_db()
    row.refresh_from_db()
    assert (schedule.interval.every, schedule.interval.period, row.every) == (20, "minutes", 15)


def test_an_interval_uses_the_row_that_is_there(save):
    row = IntervalSchedule.objects.create(every=15, period="minutes")

    save(name="x", command="true", when="every 15 minutes")

    assert catalog.find("x").interval_id == row.pk


def test_a_moment_is_one_off_until_something_else_takes_its_place(save):
    save(name="x", command="true", when="once at 2040-12-01 04:00", timezone="UTC")
    schedule = catalog.find("x")
    assert (schedule.one_off, schedule.clocked) == (True, ClockedSchedule.objects.get())

    save(schedule.pk, when="@daily")

    schedule.refresh_from_db()
    assert (schedule.one_off, schedule.clocked, schedule.cron) == (False, None, "@daily")


def test_an_empty_box_means_by_hand(save):
    save(name="x", command="true", when="")

    schedule = catalog.find("x")
    assert (schedule.has_own_timing, schedule.cron, schedule.next_run_at) == (True, "", None)


def test_a_task_schedule_keeps_its_arguments(save):
    save(name="x", kind="task", task="shop.tasks.sync", args='["a"]', kwargs='{"b": 1}', when="@daily")

    schedule = catalog.find("x")
    assert (schedule.kind, schedule.task, schedule.args, schedule.kwargs) == (
        "task",
        "shop.tasks.sync",
        '["a"]',
        '{"b": 1}',
    )


def test_the_history_says_who_changed_what(root):
    schedule = make_schedule(command="old")
    catalog.change([schedule.pk], by="bob", command="new")

    newest, oldest = root.get(form_url(schedule.pk)).context["history"]

    assert (newest.by, newest.summary) == ("bob", "command")
    assert (newest.changes[0].before, newest.changes[0].after) == ("old", "new")
    assert (oldest.by, oldest.note) == ("tests", "created")


def test_a_duplicate_begins_with_everything_but_the_name(root):
    source = make_schedule(command="true", cron="5 4 * * *", environment=[["A", "1"]])

    form = root.get(form_url(), {"copy": source.pk}).context["form"]

    assert (form["command"].value(), form["when"].value()) == ("true", "5 4 * * *")
    assert form["environment"].value() == "A=1"
    assert form["name"].value() == "job (copy)"


def test_a_hostile_name_and_command_are_text(root):
    schedule = make_schedule("<script>x</script>\u202e", command="<script>y</script>")
    make_run(schedule)

    page = root.get(form_url(schedule.pk)).content.decode()

    assert "<script>x" not in page
    assert "<script>y" not in page
    assert "⟨U+202E⟩" in page


def test_the_page_costs_the_same_whatever_the_history(root):
    schedule = make_task_schedule(task="shop.tasks.sync")
    for number in range(5):
        catalog.change([schedule.pk], by="bob", args=f"[{number}]")
    make_run(schedule)
    few = count_queries(root, form_url(schedule.pk))

    for number in range(60):
        catalog.change([schedule.pk], by="bob", args=f"[{number}]")
        make_run(schedule)

    assert count_queries(root, form_url(schedule.pk)) == few


@pytest.mark.parametrize(
    "delete", [lambda schedule: catalog.delete([schedule.pk], by="bob"), PeriodicTask.delete]
)
def test_a_form_whose_schedule_was_deleted_meanwhile_says_so(root, form_data, delete):
    schedule = make_schedule("gone")
    mine = form_data(root, schedule.pk, command="mine")
    delete(PeriodicTask.objects.get(pk=schedule.pk))

    assert "There is no schedule" in said(root.post(form_url(schedule.pk), mine, follow=True))
    assert not Schedule.objects.live().exists()


def test_a_deleted_schedule_has_no_page(root):
    schedule = make_schedule()
    catalog.delete([schedule.pk], by="bob")

    response = root.get(form_url(schedule.pk), follow=True)

    assert "There is no schedule" in said(response)


def test_dialect_and_rules_for_clock_changes_are_chosen_and_kept(save):
    save(
        name="x",
        command="true",
        when="*/10 30 2 L * ?",
        dialect="extended",
        timezone="Europe/Berlin",
        gap="skip",
        repeat="both",
    )
    schedule = catalog.find("x")

    save(schedule.pk, description="changed")

    schedule.refresh_from_db()
    assert (schedule.dialect, schedule.gap, schedule.repeat) == ("extended", "skip", "both")
    assert schedule.timing_error == ""
    assert schedule.revision.definition["timing"] == {
        "kind": "cron",
        "expression": "*/10 30 2 L * ?",
        "timezone": "Europe/Berlin",
        "dialect": "extended",
        "gap": "skip",
        "repeat": "both",
    }


def test_rules_for_clock_changes_are_taken_back(save):
    schedule = make_schedule(cron="30 2 * * *", gap="skip")

    save(schedule.pk, gap="")

    schedule.refresh_from_db()
    assert (schedule.gap, schedule.revision.number) == ("", 2)


def test_an_interval_has_no_rules_for_clock_changes(save, root, form_data):
    sent = form_data(root, name="x", command="true", when="every 2 hours", gap="skip")

    warnings = root.post(form_url(), sent | {"_preview": ""}).context["preview"].warnings
    save(name="x", command="true", when="every 2 hours", gap="skip")

    assert warnings == ["The rules for clock changes are for cron fields only: this one follows real time."]
    assert catalog.find("x").gap == ""


@pytest.mark.parametrize("when", ["0 0 12 * * ?", "0 0 12 * * ? 2027"])
def test_six_or_seven_fields_are_refused_with_the_dialect_that_knows_seconds(save, when):
    response = save(name="x", command="true", when=when)

    [problem] = problems(response)["when"]
    assert "the extended dialect takes the second" in problem
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"when": "0 22-2 * * *", "dialect": "cronie"}, "Hour range 22-2 is reversed"),
        ({"when": "0 2 L * *"}, "found &quot;L&quot;"),
        ({"when": "0 2 L * *", "dialect": "extended"}, "At 02:00 on the last day of the month"),
        ({"when": "30 2 * * *", "gap": "run"}, "skipped times run right after"),
        ({"when": "30 2 * * *", "gap": "maybe"}, "gap policy &quot;maybe&quot; is not known"),
        ({"when": "30 2 * * *", "dialect": "quartz"}, "cron dialect &quot;quartz&quot; is not known"),
    ],
)
def test_the_preview_follows_dialect_and_rules(root, asked, said):
    response = root.get("/admin/schedules/schedule/preview/", {"timezone": "UTC"} | asked)

    assert said in response.content.decode()


def test_h_stands_for_a_value_of_the_name_and_a_rename_moves_only_such_schedules(save, root):
    hashed = make_schedule("one", cron="H H * * *", dialect="extended")
    fixed = make_schedule("two", cron="30 2 * * *", dialect="extended")
    shown = root.get(
        "/admin/schedules/schedule/preview/", {"when": "H H * * *", "dialect": "extended", "name": "one"}
    )

    before = {schedule.pk: schedule.revision.definition["timing"] for schedule in (hashed, fixed)}
    save(hashed.pk, name="uno")
    save(fixed.pk, name="due")

    plan = parse("H H * * *", "extended", seed="one")
    assert f"Minute: H stands for {plan.minutes[0]} here." in shown.content.decode()
    hashed.refresh_from_db()
    fixed.refresh_from_db()
    assert before[hashed.pk]["seed"] == "one"
    assert hashed.revision.definition["timing"]["seed"] == "uno"
    assert fixed.revision.definition["timing"] == before[fixed.pk]
