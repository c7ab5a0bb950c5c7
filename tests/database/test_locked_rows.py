"""What a lock returns after it had to wait: the row as it now is, with everything that it now points to.

PostgreSQL looks again at a row that changed under a waiting lock, but not at the rows joined to it: a
revision, an interval or a policy that is new since the statement began would seem not to be there.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django_celery_beat.models import IntervalSchedule

from schedules import catalog, dispatch, operate
from schedules.models import RetryPolicy, Schedule
from schedules.querysets import database_now
from tests.database.racing import Held, Racer
from tests.factories import due, last_minute, make_later, make_schedule

pytestmark = pytest.mark.django_db(transaction=True)


def edit(pk: int) -> None:
    """Another timing, another policy, and so another revision."""
    row = Schedule.objects.get(pk=pk)
    row.cron = ""
    row.interval = IntervalSchedule.objects.create(every=7, period="minutes")
    row.retry_policy = RetryPolicy.objects.create(name="fresh")
    catalog.save(row, by="first")


def locked(pk: int) -> Schedule:
    with transaction.atomic():
        return Schedule.objects.lock([pk])[0]


def test_a_lock_that_waited_for_an_edit_returns_what_the_edit_wrote():
    schedule = make_schedule()
    held = Held(lambda: edit(schedule.pk))
    waiting = Racer(lambda: locked(schedule.pk))
    waiting.waits()
    held.commit()

    row = waiting.result

    assert (row.revision.number, row.interval.every, row.retry_policy.name) == (2, 7, "fresh")


def test_a_pause_that_waited_for_an_edit_is_no_error():
    schedule = make_schedule()
    held = Held(lambda: edit(schedule.pk))
    waiting = Racer(lambda: catalog.pause([schedule.pk], by="second"))
    waiting.waits()
    held.commit()

    assert [row.pk for row in waiting.result] == [schedule.pk]
    assert Schedule.objects.get().timing_error == ""


def test_a_manual_run_that_waited_for_an_edit_runs_what_the_edit_wrote():
    schedule = make_schedule()
    held = Held(lambda: edit(schedule.pk))
    waiting = Racer(lambda: operate.run_now(Schedule.objects.get(pk=schedule.pk), by="second"))
    waiting.waits()
    held.commit()

    assert waiting.result.revision.number == 2


def test_what_is_due_is_settled_by_an_editor_who_waited_for_another():
    """The first changed nothing about the instant: it is due by the revision that the second finds."""
    schedule = make_later()

    def describe() -> None:
        row = Schedule.objects.get(pk=schedule.pk)
        row.command = "echo changed"
        catalog.save(row, by="first")
        due(row, last_minute())  # as if it had fallen due meanwhile

    held = Held(describe)
    waiting = Racer(lambda: catalog.disable([schedule.pk], by="second"))
    waiting.waits()
    held.commit()
    waiting.result  # noqa: B018 - raises what went wrong

    assert Schedule.objects.get().timing_error == ""
    assert schedule.runs.get().revision.number == 2


def test_a_beat_that_claims_while_an_edit_commits_comes_back_for_it():
    """The edit commits after the claim has begun to look and before it takes the row: nobody waits."""
    if connection.vendor != "postgresql":
        return  # one writer: nothing commits inside another's transaction
    schedule = make_schedule()
    due(schedule, last_minute())
    soon = database_now() + timedelta(seconds=5)

    def edit_meanwhile() -> None:
        with transaction.atomic():
            edit(schedule.pk)
            due(schedule, database_now())  # it falls due just then, after the edit has settled the others

    def look_then_take(execute: Any, sql: str, params: Any, *rest: Any) -> Any:
        if "SKIP LOCKED" not in sql:
            return execute(sql, params, *rest)
        execute(f"DECLARE looking CURSOR FOR {sql}", params, *rest)
        Racer(edit_meanwhile).result  # noqa: B018 - waits for its end
        return execute("FETCH ALL FROM looking", None, *rest)

    with connection.execute_wrapper(look_then_take):
        dispatch.dispatch_due(soon)
    assert Schedule.objects.get().timing_error == ""

    dispatch.dispatch_due(soon)

    assert schedule.runs.order_by("-pk").first().revision.number == 2
