"""Old runs go, in batches; the last ones of each schedule, what is not over and what is repeated stay."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery import current_app
from django.db import connection
from django.test.utils import CaptureQueriesContext

from schedules import auditing, beat, catalog, operate, retention
from schedules.models import Attempt, AttemptOutput, CronComparison, Run, Schedule, Worker
from schedules.querysets import database_now
from schedules.rules.states import State
from tests.factories import claimed, make_history, make_later, make_run, make_schedule, make_worker

pytestmark = pytest.mark.django_db

OLD = timedelta(days=60)
GOOD, BAD = State.SUCCEEDED, State.FAILED


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


def kept() -> set[Run]:
    prune()
    return set(Run.objects.all())


def keep(schedule: Schedule, **numbers: float | None) -> None:
    Schedule.objects.filter(pk=schedule.pk).update(**numbers)


def test_old_runs_go_but_the_last_of_each_schedule_stay():
    busy, rare = make_schedule("busy"), make_schedule("rare")
    old = make_history(busy, [GOOD] * 9, age=OLD)
    last = make_history(rare, [BAD] * 2, age=OLD)

    assert prune() == 7
    assert set(Run.objects.all()) == {*old[-2:], *last}
    assert Attempt.objects.count() == 4


def test_a_run_goes_with_its_attempts_and_their_output():
    runs = make_history(make_schedule(), [GOOD] * 5, age=OLD)
    for attempt in Attempt.objects.all():
        AttemptOutput.objects.create(attempt=attempt)

    assert prune() == 3
    assert set(AttemptOutput.objects.values_list("attempt__run", flat=True)) == {run.pk for run in runs[-2:]}


def test_a_step_deletes_one_batch():
    make_history(make_schedule("one"), [GOOD] * 9, age=OLD)
    make_history(make_schedule("two"), [GOOD] * 9, age=OLD)

    assert retention.Pruner().step(database_now())
    assert Run.objects.count() == 15


def test_a_batch_takes_from_several_schedules():
    for name in ("one", "two", "three"):
        make_history(make_schedule(name), [GOOD] * 3, age=OLD)

    assert retention.Pruner().step(database_now())
    assert Run.objects.count() == 6


def test_a_step_costs_the_same_for_one_schedule_and_for_twenty():
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            retention.Pruner().step(database_now())
        return len(captured)

    make_history(make_schedule("first"), [GOOD] * 3, age=OLD)
    one = queries()
    for number in range(20):
        make_history(make_schedule(f"job {number}"), [GOOD] * 3, age=OLD)

    assert queries() == one


def test_young_runs_and_unfinished_ones_stay():
    schedule = make_schedule()
    make_history(schedule, [GOOD] * 5)
    waiting = make_run(schedule, created_at=database_now() - OLD)

    assert waiting in kept()
    assert Run.objects.count() == 6


@pytest.mark.parametrize("state", [State.FAILED, State.TIMED_OUT, State.LOST])
def test_what_failed_may_be_kept_for_longer(settings, state):
    settings.BEATKEEPER |= {"retention_failed_days": 90}
    runs = make_history(make_schedule(), [GOOD, state, GOOD, state, GOOD, GOOD], age=OLD)

    assert kept() == {runs[1], runs[3], *runs[-2:]}


@pytest.mark.parametrize("state", [State.SKIPPED, State.CANCELLED, State.SENT])
def test_what_was_skipped_cancelled_or_sent_did_not_fail(settings, state):
    settings.BEATKEEPER |= {"retention_failed_days": 90}
    runs = make_history(make_schedule(), [state] * 4, age=OLD)

    assert kept() == set(runs[-2:])


def test_what_failed_goes_as_well_in_the_end(settings):
    settings.BEATKEEPER |= {"retention_failed_days": 50}
    runs = make_history(make_schedule(), [BAD, GOOD, BAD, GOOD], age=OLD)

    assert kept() == set(runs[-2:])


def test_a_schedule_may_keep_its_runs_for_longer_and_for_less_long_than_others():
    patient, hasty, usual = (make_schedule(name) for name in ("patient", "hasty", "usual"))
    keep(patient, keep_days=365)
    keep(hasty, keep_days=3)
    age = timedelta(days=10)
    stay = make_history(patient, [GOOD] * 4, age=OLD) + make_history(usual, [GOOD] * 4, age=age)
    hastily = make_history(hasty, [GOOD] * 4, age=age)

    assert kept() == {*stay, *hastily[-2:]}


def test_a_schedule_may_keep_its_failures_for_longer_than_others():
    strict = make_schedule("strict")
    keep(strict, keep_failed_days=365)
    theirs = make_history(strict, [BAD] * 4, age=OLD)
    others = make_history(make_schedule("other"), [BAD] * 4, age=OLD)

    assert kept() == {*theirs, *others[-2:]}


def test_a_schedule_may_keep_more_of_its_last_runs_or_none():
    many, none = make_schedule("many"), make_schedule("none")
    keep(many, keep_runs=3)
    keep(none, keep_runs=0)
    last = make_history(many, [GOOD] * 5, age=OLD)[-3:]
    make_history(none, [GOOD] * 5, age=OLD)

    assert kept() == set(last)


def test_the_last_day_stays_whatever_was_asked_for():
    """The row of an instant is what keeps an edit, or a clock that was set back, from running it again."""
    schedule = make_schedule()
    keep(schedule, keep_days=0, keep_runs=0)
    make_history(schedule, [GOOD] * 3, age=timedelta(days=2))
    young = make_history(schedule, [GOOD] * 3, age=timedelta(hours=20))

    assert kept() == set(young)


def test_runs_that_overlapped_and_ended_in_another_order_are_all_found():
    schedule = make_schedule()
    runs = make_history(schedule, [GOOD] * 6, age=OLD)
    Run.objects.filter(pk=runs[0].pk).update(finished_at=database_now() - timedelta(days=1))  # a long one

    assert kept() == {runs[0], *runs[-2:]}


def test_a_run_stays_while_another_is_there_that_repeats_it():
    schedule = make_schedule()
    runs = make_history(schedule, [BAD] * 6, age=OLD)
    again = operate.run_again(runs[0], by="ada")
    Run.objects.filter(pk=again.pk).update(state=GOOD, finished_at=database_now())

    assert runs[0] in kept()
    again.refresh_from_db()
    assert again.rerun_of == runs[0]

    Run.objects.filter(pk=again.pk).update(finished_at=database_now() - OLD)
    make_history(schedule, [GOOD] * 2)
    prune()
    assert runs[0] not in kept()


def test_runs_of_deleted_schedules_are_kept_as_those_of_others():
    schedule = make_later()
    runs = make_history(schedule, [GOOD] * 5, age=OLD)
    catalog.delete([schedule.pk], by="ada")

    assert kept() == set(runs[-2:])


def test_runs_whose_schedule_is_gone_go_by_age_alone():
    make_history(make_schedule(), [GOOD] * 5, age=OLD)
    Run.objects.update(schedule=None)

    assert prune() == 5


def test_a_change_of_what_is_kept_makes_no_revision_and_leaves_the_next_run_alone():
    schedule = make_later()
    before = Schedule.objects.get(pk=schedule.pk)

    before.keep_days, before.keep_failed_days, before.keep_runs = 3, 9, 0
    catalog.save(before, by="ada")

    after = Schedule.objects.get(pk=schedule.pk)
    assert (after.keep_days, after.keep_failed_days, after.keep_runs) == (3, 9, 0)
    assert after.revision_id == schedule.revision_id
    assert after.next_run_at == schedule.next_run_at


def test_an_audit_does_not_miss_what_a_schedule_keeps_for_less_long_than_others():
    schedule = make_schedule("hasty", cron="0 * * * *")
    long_ago = database_now() - timedelta(days=5)
    schedule.revisions.update(changed_at=long_ago)
    keep(schedule, keep_days=2)

    since = min(
        finding.at for _, finding in auditing.audit(start=long_ago).findings()
    )  # no run is on record at all

    assert since >= database_now() - timedelta(days=2, minutes=1)


def test_old_process_rows_go_unless_they_execute_something():
    long_ago = database_now() - OLD
    gone = make_worker("gone", seen_at=long_ago)
    executing = make_worker("executing")
    claimed(make_run(make_schedule()), executing)
    Worker.objects.filter(pk=executing.pk).update(seen_at=long_ago)

    retention.forget_processes(database_now())

    assert set(Worker.objects.all()) == {executing}
    assert gone.pk != executing.pk


def test_a_worker_stays_as_long_as_history_names_it():
    worker = make_worker("long gone", seen_at=database_now() - OLD)
    schedule = make_schedule()
    runs = make_history(schedule, [GOOD] * 3, age=OLD)
    Attempt.objects.filter(run=runs[0]).update(worker=worker)

    retention.forget_processes(database_now())
    assert Worker.objects.filter(pk=worker.pk).exists()

    prune()
    retention.forget_processes(database_now())
    assert not Worker.objects.filter(pk=worker.pk).exists()


def test_workers_are_looked_at_a_page_at_a_time(monkeypatch):
    monkeypatch.setattr(retention, "PROCESSES", 2)
    for number in range(5):
        make_worker(f"w{number}", seen_at=database_now() - OLD)

    after = retention.forget_processes(database_now())
    assert Worker.objects.count() == 3
    while after:
        after = retention.forget_processes(database_now(), after=after)
    assert not Worker.objects.exists()


def test_old_comparisons_go_but_for_the_last(monkeypatch):
    monkeypatch.setattr(retention, "COMPARISONS", 2)
    now = database_now()
    common = {"log": "syslog", "since": now, "until": now, "matched": 0, "only_cron": 0, "only_us": 0}
    rows = [CronComparison.objects.create(compared_at=now - OLD, **common) for _ in range(5)]

    retention.forget_processes(now)

    assert set(CronComparison.objects.all()) == set(rows[-2:])


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the plans are PostgreSQL's")
def test_old_runs_are_read_through_the_index_of_their_schedule_alone():
    """Another index by age is shorter to begin with, and then leads through the runs of all schedules."""
    schedule = make_schedule()
    make_history(schedule, [GOOD, BAD] * 3, age=OLD)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
    lots = retention.lots_of([schedule.pk], database_now())

    plans = [old[:1000].values("pk").explain() for lot in lots for old in lot.old(database_now())]

    assert [next(i for i in ("run_aged", "run_failures_aged") if i in plan) for plan in plans] == [
        "run_aged",
        "run_failures_aged",
    ]
    assert not any("Sort" in plan or "run_failed_at" in plan for plan in plans)


def test_a_walk_goes_slowly_but_for_what_is_left_to_delete(monkeypatch):
    """Over a million schedules it never ends; a step a second was two per cent of a core for ever."""
    engine = beat.Engine(current_app)
    monkeypatch.setattr(retention, "SCHEDULES", 1)
    for name in ("a", "b", "c"):
        make_later(name)

    def steps(seconds: float) -> bool:
        """Whether one follows when the clock has moved on."""
        engine._due_at = {what: at - seconds for what, at in engine._due_at.items()}
        if not engine._is_time_to_prune():
            return False
        engine._prune()
        return True

    assert [steps(0), steps(1), steps(0), steps(beat.PRUNE_STEP_SECONDS)] == [True, True, False, True]
    engine.pruner.has_more = True
    assert steps(0)
    assert not engine.pruner.has_more
