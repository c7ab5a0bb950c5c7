"""`check_production` on runs: those that do not move on, results not recorded, history not pruned."""

from __future__ import annotations

import os
import time
from datetime import timedelta

import pytest

from schedules.models import Schedule
from schedules.querysets import database_now
from schedules.rules.production import Level
from schedules.worker import spool
from tests.commands.findings import runs
from tests.factories import make_run, make_schedule

pytestmark = pytest.mark.django_db


def test_messages_that_nobody_answers_are_a_warning():
    make_run(make_schedule(), state="queued", dispatches=3, queued_at=database_now())
    assert '1 in "commands"' in runs()["runs.doorbells"].what


def test_runs_that_are_not_sent_are_an_error():
    make_run(make_schedule("stuck"), available_at=database_now() - timedelta(minutes=9))
    assert "stuck" in runs()["runs.unsent"].what


def test_results_that_wait_on_this_host_are_a_warning(settings, tmp_path):
    settings.BEATKEEPER = {"spool_directory": str(tmp_path)}
    assert runs()["runs.spool"].level == Level.OK
    waiting = tmp_path / f"run-12-attempt-1{spool.SUFFIX}"
    waiting.touch()
    hour_ago = time.time() - 3600
    os.utime(waiting, (hour_ago, hour_ago))
    assert runs()["runs.spool"].level == Level.WARNING
    (tmp_path / f"run-13{spool.SET_ASIDE}").touch()
    assert f"run-13{spool.SET_ASIDE}" in runs()["runs.spool_bad"].what


def test_schedules_that_are_set_aside_are_named():
    schedule = make_schedule("broken")
    Schedule.objects.filter(pk=schedule.pk).update(timing_error="no such zone")
    assert "broken" in runs()["schedules.set_aside"].what


def test_history_beyond_the_retention_is_a_warning(settings):
    settings.BEATKEEPER = {"retention_days": 1, "retention_runs": 1}
    schedule = make_schedule()
    old = database_now() - timedelta(days=9)
    make_run(schedule, state="succeeded", finished_at=old)
    assert runs()["runs.retention"].level == Level.OK  # the last one stays, however old
    make_run(schedule, state="succeeded", finished_at=old)
    assert runs()["runs.retention"].level == Level.WARNING
