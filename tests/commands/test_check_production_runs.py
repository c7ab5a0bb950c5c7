"""`check_production` on runs: those that do not move on, results not recorded, history not pruned."""

from __future__ import annotations

import os
import shutil
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest

from schedules.models import Run, Schedule
from schedules.querysets import database_now
from schedules.rules.production import Level
from schedules.worker import spool
from tests.commands.findings import error_in, runs, warning_in
from tests.factories import make_run, make_schedule

pytestmark = pytest.mark.django_db


def test_messages_that_nobody_answers_are_a_warning():
    run = make_run(make_schedule(), state="queued", dispatches=2, queued_at=database_now())
    assert runs()["runs.doorbells"].level == Level.OK
    Run.objects.filter(pk=run.pk).update(dispatches=3)
    assert '1 in "commands"' in warning_in(runs(), "runs.doorbells").what


def test_runs_that_are_not_sent_are_an_error():
    make_run(make_schedule("stuck"), available_at=database_now() - timedelta(minutes=9))
    assert "stuck" in error_in(runs(), "runs.unsent").what


def test_results_that_wait_on_this_host_are_a_warning(settings, tmp_path):
    settings.BEATKEEPER = {"spool_directory": str(tmp_path)}
    assert runs()["runs.spool"].level == Level.OK
    waiting = tmp_path / f"run-12-attempt-1{spool.SUFFIX}"
    waiting.touch()
    hour_ago = time.time() - 3600
    os.utime(waiting, (hour_ago, hour_ago))
    assert runs()["runs.spool"].level == Level.WARNING
    (tmp_path / f"run-13{spool.SET_ASIDE}").touch()
    assert f"run-13{spool.SET_ASIDE}" in warning_in(runs(), "runs.spool_bad").what


def test_schedules_that_are_set_aside_are_named():
    schedule = make_schedule("broken")
    Schedule.objects.filter(pk=schedule.pk).update(timing_error="no such zone")
    assert "broken" in warning_in(runs(), "schedules.set_aside").what


def test_history_beyond_the_retention_is_a_warning(settings):
    settings.BEATKEEPER = {"retention_days": 1, "retention_runs": 1}
    schedule = make_schedule()
    old = database_now() - timedelta(days=9)
    make_run(schedule, state="succeeded", finished_at=old)
    assert runs()["runs.retention"].level == Level.OK  # the last one stays, however old
    make_run(schedule, state="succeeded", finished_at=old)
    assert runs()["runs.retention"].level == Level.WARNING


@pytest.mark.parametrize(("free", "is_short"), [(499 << 20, True), (500 << 20, False)])
def test_a_disk_that_is_nearly_full_is_an_error(settings, tmp_path, monkeypatch, free, is_short):
    settings.STATE_DIR = tmp_path
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    found = runs()
    assert ("disk.space" in found) == is_short
    if is_short:
        assert str(tmp_path) in error_in(found, "disk.space").what
