"""`check_production` on processes: beats, workers, their queues, accounts, clocks and versions."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schedules import catalog, zone_data
from schedules.models import Beat, Schedule, Worker, ZoneData
from schedules.querysets import database_now
from schedules.rules.production import Level
from tests.commands.findings import FACTS, error_in, fleet, warning_in
from tests.factories import make_schedule, make_task_schedule, make_worker

pytestmark = pytest.mark.django_db


def test_a_fleet_that_is_well_has_nothing_but_good_to_it(good_fleet):
    make_schedule("fine"), make_task_schedule("too", task="a.b")
    assert {each.level for each in fleet().values()} == {Level.OK}


def test_no_beat_and_no_worker_are_errors():
    found = fleet()
    assert (found["beats.none"].level, found["workers.none"].level) == (Level.ERROR, Level.ERROR)


def test_a_beat_whose_part_is_stuck_is_an_error(good_fleet):
    long_ago = (database_now() - timedelta(minutes=5)).isoformat()
    Beat.objects.update(parts={"dispatch": database_now().isoformat(), "publish": long_ago})
    assert "publish, 5 min" in error_in(fleet(), "beats.stuck").what


def test_a_schedule_that_is_overdue_beside_a_live_beat_is_an_error(good_fleet):
    schedule = make_schedule("late")
    Schedule.objects.filter(pk=schedule.pk).update(next_run_at=database_now() - timedelta(minutes=9))
    assert "late" in error_in(fleet(), "beats.overdue").what


def test_a_queue_that_no_worker_reads_is_an_error_and_names_its_schedules(settings, good_fleet):
    settings.BEATKEEPER = {"queues": ()}
    for number in range(7):
        make_schedule(f"report-{number}", queue="tasks" if number else "commands")
    good_fleet.queues = "commands"
    good_fleet.save()
    found = fleet()["queues.unread"]
    assert (found.level, '"tasks"' in found.what) == (Level.ERROR, True)
    assert "6 schedules: report-1, report-2, report-3, report-4, report-5 and 1 more" in found.what
    assert "-Q tasks" in found.run


@pytest.mark.parametrize(
    "columns", [{"enabled": False}, {"mode": "shadow"}, {"delivery": "message", "queue": "theirs"}]
)
def test_a_schedule_that_needs_no_worker_of_ours_is_no_complaint(good_fleet, columns):
    make_task_schedule(task="a.b", **columns)
    good_fleet.queues = "commands"
    good_fleet.save()
    assert "queues.unread" not in fleet()


def test_every_queue_that_is_served_is_in_order(good_fleet):
    make_task_schedule(task="a.b", queue="tasks")
    assert fleet()["queues.read"].level == Level.OK


@pytest.mark.parametrize(("commands", "is_refused"), [("off", True), ("shell", False)])
def test_commands_where_none_may_run_are_a_warning(settings, good_fleet, commands, is_refused):
    settings.BEATKEEPER = {"commands": commands}
    make_schedule("nightly")
    found = fleet()
    assert ("queues.commands_off" in found) == is_refused
    if is_refused:
        assert "nightly" in warning_in(found, "queues.commands_off").what


def test_a_message_that_no_queue_takes_is_an_error(good_fleet):
    schedule = make_task_schedule("lost", task="a.b")
    revision = schedule.revision
    revision.definition |= {"exchange": "nowhere", "routing_key": "x"}
    revision.save()
    found = error_in(fleet(), "queues.unroutable")
    assert ("lost" in found.what, "declared are" in found.what) == (True, True)


def test_a_root_worker_is_a_warning_unless_schedules_name_accounts(good_fleet):
    good_fleet.account = "root"
    good_fleet.save()
    assert fleet()["accounts.root"].level == Level.WARNING
    schedule = make_schedule()
    Schedule.objects.filter(pk=schedule.pk).update(run_as="ada")
    assert fleet()["accounts.root"].level == Level.OK


@pytest.mark.parametrize(
    ("skew", "level", "words"),
    [
        (0.4, Level.OK, "within 0.4 s"),
        (-7, Level.WARNING, "7.0 s behind"),
        (3600, Level.ERROR, "60 min ahead of"),
    ],
)
def test_a_clock_that_differs_is_named_with_its_host(good_fleet, skew, level, words):
    good_fleet.facts = FACTS | {"skew": skew}
    good_fleet.host = "b.example.org"
    good_fleet.save()
    found = fleet()["clocks.skew"]
    assert (found.level, words in found.what) == (level, True)


def test_processes_of_several_versions_are_a_warning(good_fleet):
    make_worker("other@b", queues="tasks", facts=FACTS | {"beatkeeper": "0.0.9"})
    assert "other@b (0.0.9)" in warning_in(fleet(), "versions.mixed").what


def test_a_host_with_older_time_zones_is_a_warning(good_fleet):
    make_worker("other@b", host="b", queues="tasks", facts=FACTS | {"tzdata": "2020a"})
    assert "b reads time zones of 2020a" in warning_in(fleet(), "zones.old").what


def test_instants_worked_out_with_older_time_zones_are_a_warning(good_fleet):
    ZoneData.objects.create(version="2020a", computed_at=database_now())
    assert fleet()["zones.computed"].level == Level.WARNING


def test_a_machine_with_older_time_zones_than_the_package_is_a_warning(good_fleet, monkeypatch):
    monkeypatch.setattr(zone_data, "PACKAGE", "2999a")
    assert "PYTHONTZPATH=" in warning_in(fleet(), "zones.machine").do


def test_a_process_that_vanished_is_named_until_one_of_its_name_is_back(good_fleet):
    gone = make_worker("gone@b", seen_at=database_now() - timedelta(minutes=9))
    assert "gone@b (9 min)" in warning_in(fleet(), "workers.silent").what
    # Beat took it for dead, and ended its runs: it is missing all the same.
    Worker.objects.stop_if_silent(gone)
    assert "gone@b (9 min)" in warning_in(fleet(), "workers.silent").what
    make_worker(gone.name, queues="tasks")
    assert "workers.silent" not in fleet()


def test_a_beat_that_vanished_beside_another_is_named_with_its_own_cure(good_fleet):
    gone = Beat.objects.get()
    Beat.objects.create(
        name="celerybeat@elsewhere",
        host="elsewhere",
        pid=1,
        started_at=gone.started_at,
        seen_at=database_now(),
    )
    Beat.objects.filter(pk=gone.pk).update(seen_at=database_now() - timedelta(minutes=9))
    said = warning_in(fleet(), "beats.silent")
    assert f"{gone.name} (9 min)" in said.what
    assert said.run == "systemctl restart beatkeeper-beat"


def test_a_deleted_schedule_is_not_looked_at(good_fleet):
    schedule = make_task_schedule(task="a.b", name="gone")
    good_fleet.queues = "commands"
    good_fleet.save()
    catalog.delete([schedule.pk], by="tests")
    assert "queues.unread" not in fleet()
