"""The load: what is asked for is there, in both engines, and the past that comes before it stays whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection

from benchmarks.chaos import history, load
from schedules.models import Attempt, Run, Schedule
from schedules.querysets import database_now

PLACES = load.Places(Path("/job.sh"), Path("/truth"), Path("/work"))


@pytest.mark.django_db
def test_every_job_has_its_row_and_a_burst_is_due_at_one_instant():
    wanted = load.jobs(0.05, burst=7)
    made = load.create(wanted, PLACES, lease=8, quiet=30)

    assert len(made) == len(wanted) == Schedule.objects.count()
    assert {job.mix for job in made} == {*load.MIXES, "burst"}
    instants = {job.once for job in made if job.mix == "burst"}
    due = Schedule.objects.filter(tags="burst").values_list("next_run_at", flat=True).distinct()
    assert set(due) == instants
    assert len(instants) == 1
    greedy = Schedule.objects.filter(tags="greedy").values_list("memory_limit", flat=True).distinct()
    assert list(greedy) == [load.GREEDY_MEGABYTES]


def test_a_longer_period_is_a_lower_rate_of_as_many_schedules():
    """And what must not overlap takes longer than the period still: 41 half seconds."""
    slow = load.jobs(1, period=20)
    assert len(slow) == len(load.jobs(1)) == 364
    assert {job.every for job in slow} == {None, timedelta(seconds=20)}
    overlap = next(job for job in slow if job.exclusive and job.kind == "command")
    assert load.columns(overlap, PLACES, number=0, lease=8)["command"].endswith("long 41")


def test_a_burst_comes_after_the_quiet_time_at_a_full_minute():
    now = datetime(2026, 3, 1, 23, 59, 10, tzinfo=UTC)
    assert load.burst_at(now, 30) == datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
    assert load.burst_at(now, 60) == datetime(2026, 3, 2, 0, 1, tzinfo=UTC)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL writes the past")
@pytest.mark.django_db(transaction=True)
def test_the_past_is_over_belongs_to_schedules_and_is_missed_when_it_goes():
    last = history.write(2000)

    assert Run.objects.filter(pk__lte=last).count() == Run.objects.count() == 2000
    assert Run.objects.active().count() == 0
    assert set(Run.objects.values_list("schedule__name", flat=True)) == {
        f"archive-{number:03}" for number in range(history.SCHEDULES)
    }
    assert Run.objects.order_by("scheduled_for").last().scheduled_for < database_now()
    assert not Attempt.objects.exclude(outcome="succeeded").exists()
    assert history.losses(2000) == []
    Run.objects.filter(pk=last).delete()
    assert history.losses(2000) == ["of 2,000 old runs there are 1,999, and 1,999 of their attempts"]
