"""apply_schedules, export_schedules: files become the state, twice is once, the same text comes back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django_celery_beat.models import CrontabSchedule, IntervalSchedule
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schedules import catalog
from schedules.applying import flow as applying
from schedules.applying import rows as manifest_rows
from schedules.applying.flow import Fate
from schedules.errors import NotPossible
from schedules.models import RetryPolicy, Revision, Run, Schedule
from schedules.querysets import database_now
from schedules.rules import manifest
from tests.factories import due, last_minute, make_policy, make_run, make_schedule, make_task_schedule
from tests.rules.manifest_samples import POLICY, SCHEDULE

pytestmark = pytest.mark.django_db

BACKUP = """\
retry_policies:
  patient:
    max_attempts: 4
    delays: [30s, 5m]
schedules:
  backup:
    tags: [night]
    cron: 30 2 * * *
    timezone: Europe/Berlin
    command: backup --full
    environment:
      PATH: /bin
      TOKEN: hunter2
    retry_policy: patient
    timeout: 2h
"""
NAME = st.text("abé: *yes", min_size=1, max_size=6).filter(lambda name: bool(name.strip()))


@pytest.fixture
def yaml(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of schedules, the same at every call, and returns its path."""

    def write(text: str, name: str = "schedules.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def named(name: str) -> Schedule:
    return Schedule.objects.live().get(name=name)


def exported() -> str:
    rows = Schedule.objects.live().select_related(*manifest_rows.RELATED)
    found = manifest_rows.describe_all(rows, RetryPolicy.objects.all(), now=database_now())
    assert found.left_out == {}
    return manifest.write(found.policies, found.schedules)


def test_file_becomes_schedules_and_a_second_apply_does_nothing(call, yaml):
    path = yaml(BACKUP)

    first = call("apply_schedules", path)
    revisions = Revision.objects.count()
    second = call("apply_schedules", path)

    schedule = named("backup")
    assert first.status == 0, first.err
    assert "+ backup  cron: 30 2 * * *  command: backup --full" in first.out
    assert (schedule.cron, schedule.timezone, schedule.timeout, schedule.tags) == (
        "30 2 * * *", "Europe/Berlin", 7200, "night",
    )  # fmt: skip
    assert schedule.environment == [["PATH", "/bin"], ["TOKEN", "hunter2"]]
    assert schedule.retry_policy.delays == [30, 300]
    assert schedule.next_run_at is not None
    assert schedule.revision.note == f"applied from {path}"[:255]
    assert second.out == "Nothing to do: all 2 are as the files say.\n"
    assert Revision.objects.count() == revisions
    assert call("export_schedules").out == BACKUP


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAME, POLICY, max_size=1), st.dictionaries(NAME, SCHEDULE, min_size=1, max_size=3))
def test_export_applied_elsewhere_is_exported_the_same(policies, schedules):
    text = manifest.write(policies, schedules)
    with transaction.atomic():
        _use_storable(schedules)
        text = manifest.write(policies, schedules)
        applying.apply([("a", text.encode())], by="tests")
        revisions = Revision.objects.count()
        assert exported() == text

        again = applying.apply([("a", text.encode())], by="tests")

        assert again.is_empty
        assert Revision.objects.count() == revisions
        Schedule.objects.all().delete()
        RetryPolicy.objects.all().delete()
        applying.apply([("a", text.encode())], by="tests")
        assert exported() == text
        transaction.set_rollback(True)


def _use_storable(schedules: dict[str, dict[str, Any]]) -> None:
    """What no other schedule can have either: long texts, and two bounds of one kind."""
    for values in schedules.values():
        for key in ("task", "run_as", "mail_to"):
            if key in values:
                values[key] = values[key][:50]


def test_changes_are_told_like_a_diff_and_variables_by_name_alone(call, yaml):
    call("apply_schedules", yaml(BACKUP))
    path = yaml(
        BACKUP.replace("timeout: 2h", "overlap: skip")
        .replace("TOKEN: hunter2", "TOKEN: other\n      NEW: x")
        .replace("      PATH: /bin\n", "")
        .replace("30s, 5m", "1m")
    )

    plan = call("apply_schedules", path, "--dry-run")

    assert plan.out == (
        "To change (2)\n"
        "  ~ retry policy patient\n"
        '      delays: ["30s", "5m"] -> ["1m"]\n'
        "  ~ backup\n"
        "      environment: +NEW, -PATH, TOKEN\n"
        "      overlap: allow -> skip\n"
        "      timeout: 2h -> (none)\n"
        "\nNothing was applied (dry run): 0 to create, 2 to change, 0 to delete, 0 unchanged.\n"
    )
    assert named("backup").timeout == 7200
    shape = call("apply_schedules", path, "--json").json
    assert shape["changed"][1]["changes"][0] == {"key": "environment"}
    assert "hunter2" not in str(shape)
    assert (named("backup").timeout, named("backup").overlap) == (None, "skip")
    assert named("backup").revision.number == 2


def test_exit_code_tells_of_pending_changes_only_where_asked(call, yaml):
    path = yaml(BACKUP)

    assert call("apply_schedules", path, "--dry-run").status == 0
    assert call("apply_schedules", path, "--dry-run", "--exit-code").status == 3
    call("apply_schedules", path)
    assert call("apply_schedules", path, "--dry-run", "--exit-code").status == 0
    assert call("apply_schedules", path, "--exit-code").status == 2


def test_dry_run_leaves_nothing_behind(call, yaml):
    intervals = IntervalSchedule.objects.count()

    call("apply_schedules", yaml("schedules: {a: {every: 7 hours, command: x}}"), "--dry-run")

    assert (IntervalSchedule.objects.count(), Schedule.objects.count()) == (intervals, 0)


def test_one_mistake_refuses_all_and_all_mistakes_are_told(call, yaml):
    path = yaml(
        "schedules:\n"
        "  good: {command: x}\n"
        "  a:\n    cron: 61 * * * *\n    command: x\n    retry_policy: nope\n"
        "  b:\n    command: x\n    queue: nowhere\n    run_as: " + "r" * 101 + "\n"
        "  c:\n    crontab: {minute: '99', timezone: UTC}\n    task: t\n"
        f"  {'n' * 201}: {{command: x}}\n"
    )

    result = call("apply_schedules", path)

    assert (result.status, Schedule.objects.count()) == (1, 0)
    told = [line.strip().removeprefix(str(path)) for line in result.err.splitlines()]
    assert told[0] == "Nothing was applied because of 6 problems:"
    assert told[1].startswith(':4:5: "a": "cron": Cron expression "61 * * * *" is not valid')
    assert told[2] == ':6:5: "a": There is no retry policy "nope". There are none yet.'
    assert told[3].startswith(':7:3: "b": No worker knows a queue "nowhere".')
    assert told[4].startswith(':10:5: "b": "run_as": ')
    assert told[5].startswith(':12:5: "c": "crontab": ')
    assert told[6].startswith(':14:3: "nnn')


def test_file_given_by_a_terminal_trick_is_shown_escaped(call, yaml):
    result = call("apply_schedules", yaml('schedules: {"a\\e[31m\\nb": {}}'))

    assert "\x1b" not in result.err
    assert "a\\x1b[31m\\nb" in result.err


def test_renamed_schedule_keeps_its_history(call, yaml):
    make_run(make_schedule("old", cron="30 2 * * *", timezone="UTC", command="x"))
    text = "schedules:\n  new:\n    formerly: old\n    cron: 30 2 * * *\n    timezone: UTC\n    command: x\n"
    pk = named("old").pk

    plan = call("apply_schedules", yaml(text))

    assert "~ new\n      name: old -> new\n" in plan.out
    assert named("new").pk == pk
    assert Run.objects.get().schedule_id == pk
    assert call("apply_schedules", yaml(text)).out.startswith("Nothing to do")
    make_schedule("old")
    assert "There are schedules of this name and of the former one" in call("apply_schedules", yaml(text)).err


def test_what_the_files_do_not_name_is_left_alone(call, yaml):
    make_schedule("other", tags="night")

    call("apply_schedules", yaml(BACKUP))

    assert named("other").enabled


def test_prune_deletes_what_has_the_tag_and_is_not_in_the_files(call, yaml):
    make_schedule("gone", tags="night other")
    make_schedule("other", tags="nightly")

    result = call("apply_schedules", yaml(BACKUP), "--prune", "--tag", "night")

    assert "Deleted (1)\n  - gone\n" in result.out
    assert set(Schedule.objects.live().values_list("name", flat=True)) == {"backup", "other"}
    assert Schedule.objects.filter(deleted_at__isnull=False).count() == 1  # softly
    assert call("apply_schedules", yaml(BACKUP), "--prune", "--tag", "night").out.startswith("Nothing to do")


@pytest.mark.parametrize(
    ("text", "arguments", "status", "said"),
    [
        (BACKUP, ["--prune"], 2, "--prune needs --tag"),
        (BACKUP, ["--tag", "night"], 2, "--tag goes with --prune"),
        (BACKUP, ["--prune", "--tag", "other"], 1, '"backup": It lacks the tag "other"'),
        ("schedules: {}\n", ["--prune", "--tag", "night"], 1, 'would delete all tagged "night"'),
    ],
)
def test_prune_without_a_scope_is_refused(call, yaml, text, arguments, status, said):
    make_schedule("precious", tags="night")

    result = call("apply_schedules", yaml(text), *arguments)

    assert result.status == status
    assert said in result.err
    assert named("precious").enabled


def test_directory_is_one_manifest(call, yaml, tmp_path):
    yaml(BACKUP, "a.yaml")
    yaml("schedules: {other: {command: x, retry_policy: patient}}", "b.yml")
    yaml("not: read", "c.txt")

    result = call("apply_schedules", tmp_path)

    assert result.status == 0, result.err
    assert named("other").retry_policy.name == "patient"
    yaml("schedules: {backup: {command: x}}", "b.yml")
    assert f'"backup" is here twice; first in {tmp_path}/a.yaml:6:3.' in call("apply_schedules", tmp_path).err


def test_changed_policy_reaches_the_schedules_that_use_it(call, yaml):
    make_schedule("user", retry_policy=make_policy(name="patient"))

    call("apply_schedules", yaml("retry_policies: {patient: {max_attempts: 9}}"))

    assert named("user").revision.definition["retry"]["max_attempts"] == 9
    assert named("user").revision.changed_by.endswith("@command line")


def test_pause_is_left_alone_unless_the_file_speaks_of_it(call, yaml):
    call("apply_schedules", yaml(BACKUP))
    catalog.pause([named("backup").pk], by="ada", note="storage")

    assert call("apply_schedules", yaml(BACKUP)).out.startswith("Nothing to do")
    assert "paused_until: forever\n    pause_note: storage\n" in call("export_schedules").out
    call("apply_schedules", yaml(BACKUP + "    paused_until: 2999-01-01T00:00:00Z\n"))
    assert named("backup").paused_until.year == 2999


def test_one_off_that_had_its_run_is_not_armed_again(call, yaml):
    text = "schedules: {once: {command: x, one_off: true, cron: '* * * * *'}}"
    call("apply_schedules", yaml(text))
    catalog.disable([named("once").pk], by="beat")
    Schedule.objects.update(total_run_count=1)

    assert call("apply_schedules", yaml(text)).out.startswith("Nothing to do")
    call("apply_schedules", yaml(text.replace("command: x", "command: y")))
    assert named("once").enabled


def test_what_is_due_is_settled_under_the_old_revision(call, yaml):
    call("apply_schedules", yaml(BACKUP.replace("30 2 * * *", "'* * * * *'")))
    before = named("backup").revision
    due(named("backup"), last_minute())

    call("apply_schedules", yaml(BACKUP))

    assert Run.objects.get().revision == before
    assert named("backup").next_run_at > database_now()


def test_rows_of_timings_are_shared_and_never_edited(call, yaml):
    text = "schedules:\n  a: {every: 3 hours, task: t}\n  b: {every: 3 hours, task: t}\n"
    call("apply_schedules", yaml(text))

    call("apply_schedules", yaml(text.replace("b: {every: 3", "b: {every: 4")))

    assert sorted(IntervalSchedule.objects.filter(period="hours").values_list("every", flat=True)) == [3, 4]
    assert named("a").interval.every == 3


def test_timing_of_another_kind_takes_the_place_of_the_old_one(call, yaml):
    for timing in (
        "every: 3 hours",
        "cron: '@daily'",
        "at: 2999-01-01T00:00:00Z",
        "crontab: {minute: '5'}",
        "mode: live",
    ):
        text = f"schedules: {{a: {{task: t, timezone: UTC, {timing}}}}}"
        result = call("apply_schedules", yaml(text))
        assert result.status == 0, result.err
        assert call("apply_schedules", yaml(text)).out.startswith("Nothing to do")
    assert CrontabSchedule.objects.filter(minute="5").count() == 1
    assert named("a").has_own_timing
    assert not named("a").one_off


def test_edit_at_the_same_moment_is_noticed(yaml, monkeypatch):
    applying.apply([("a", BACKUP.encode())], by="tests")
    before = applying.make_plan

    def plan_and_be_late(*arguments, **options):
        plan = before(*arguments, **options)
        catalog.change([named("backup").pk], by="ada", timeout=5)
        return plan

    monkeypatch.setattr(applying, "make_plan", plan_and_be_late)
    with pytest.raises(NotPossible, match="Apply again"):
        applying.apply([("a", BACKUP.replace("2h", "3h").encode())], by="tests")


def test_integer_and_boolean_arguments_are_not_the_same(call, yaml):
    call("apply_schedules", yaml("schedules: {a: {task: t, args: [1]}}"))

    plan = applying.apply([("a", b"schedules: {a: {task: t, args: [true]}}")], by="tests", dry_run=True)

    assert [item.fate for item in plan.schedules] == [Fate.CHANGED]


def test_rows_made_by_others_are_exported(call, yaml):
    interval = IntervalSchedule.objects.create(every=10, period="seconds")
    make_task_schedule("t", task="shop.tidy", args='[1, "x"]', kwargs='{"a": null}', interval=interval)

    assert call("export_schedules").out == (
        "schedules:\n  t:\n    every: 10 seconds\n    timezone: UTC\n    task: shop.tidy\n"
        "    args:\n    - 1\n    - x\n    kwargs:\n      a: null\n"
    )


def test_schedule_that_cannot_be_used_is_left_out_and_told(call):
    make_schedule("good")
    make_schedule("bad")
    Schedule.objects.filter(name="bad").update(cron="61 * * * *")

    result = call("export_schedules")

    assert result.status == 1
    assert "bad" not in result.out
    assert "1 schedule cannot be used as they are" in result.err


def test_export_of_some_has_only_their_policies(call, yaml):
    call("apply_schedules", yaml(BACKUP))
    make_policy(name="unused")
    make_schedule("plain")

    assert "unused" in call("export_schedules").out
    assert "retry_policies" not in call("export_schedules", "plain").out
    assert call("export_schedules", "--tag", "night").out == BACKUP
    assert call("export_schedules", "backup", "--json").json["schedules"]["backup"]["timeout"] == "2h"


def test_expired_pause_is_not_exported(call):
    schedule = make_schedule("a")
    catalog.pause([schedule.pk], by="ada", until=database_now() + timedelta(hours=1))
    Schedule.objects.update(paused_until=database_now() - timedelta(hours=1))

    assert "paused" not in call("export_schedules").out
