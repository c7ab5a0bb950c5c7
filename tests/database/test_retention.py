"""Old runs go, in batches; the last ones of each schedule and what is not over stay."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schedules import retention
from schedules.models import Attempt, Run, Worker
from schedules.querysets import database_now
from schedules.rules.states import State
from tests.factories import claimed, make_history, make_run, make_schedule, make_worker

pytestmark = pytest.mark.django_db

OLD = timedelta(days=60)


@pytest.fixture(autouse=True)
def limits(settings):
    settings.BEATKEEPER = {"retention_days": 30, "retention_runs": 2, "retention_batch": 3}


def prune() -> int:
    """The whole walk; how many runs went."""
    before = Run.objects.count()
    pruner = retention.Pruner()
    while pruner.step(database_now()):
        pass
    return before - Run.objects.count()


def test_old_runs_go_but_the_last_of_each_schedule_stay():
    busy, rare = make_schedule("busy"), make_schedule("rare")
    old = make_history(busy, [State.SUCCEEDED] * 9, age=OLD)
    kept = make_history(rare, [State.FAILED] * 2, age=OLD)

    assert prune() == 7
    assert set(Run.objects.all()) == {*old[-2:], *kept}
    assert Attempt.objects.count() == 4


def test_a_step_deletes_one_batch_of_a_schedule():
    make_history(make_schedule(), [State.SUCCEEDED] * 9, age=OLD)
    assert retention.Pruner().step(database_now())
    assert Run.objects.count() == 6


def test_young_runs_and_unfinished_ones_stay():
    schedule = make_schedule()
    make_history(schedule, [State.SUCCEEDED] * 5)
    waiting = make_run(schedule, created_at=database_now() - OLD)
    assert prune() == 0
    assert Run.objects.filter(pk=waiting.pk).exists()


def test_runs_of_deleted_schedules_go_by_age_alone():
    schedule = make_schedule()
    make_history(schedule, [State.SUCCEEDED] * 5, age=OLD)
    Run.objects.update(schedule=None)
    assert prune() == 5


def test_old_process_rows_go_unless_they_execute_something():
    long_ago = database_now() - OLD
    gone = make_worker("gone", seen_at=long_ago)
    executing = make_worker("executing")
    claimed(make_run(make_schedule()), executing)
    Worker.objects.filter(pk=executing.pk).update(seen_at=long_ago)

    retention.forget_processes(database_now())

    assert set(Worker.objects.all()) == {executing}
    assert gone.pk != executing.pk
