"""The audit says clean of whatever the real code wrote, and finds every single thing that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django_celery_beat.models import ClockedSchedule, PeriodicTask
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from schedules import auditing, catalog, dispatch
from schedules.models import Revision, Run, Schedule
from schedules.models.schedule import reserved_interval
from schedules.querysets import ScheduleQuerySet, database_now
from tests.database.driving import Driver
from tests.database.racing import PATIENCE, Pause, Racer
from tests.factories import due, make_later, make_run, make_schedule
from tests.system.cluster import wait_for

pytestmark = pytest.mark.django_db

BEGIN = datetime(2026, 10, 24, 20, 3, 7, tzinfo=UTC)
"""The evening before clocks go back in Berlin."""

CRONS = ("*/20 * * * *", "7 * * * *", "30 2 * * *", "*/5 1-4 * * *", "*/2 * * * *", "")
WAITS = st.sampled_from((1, 53, 1193, 3593, 9000, 17_993, 30_000, 90_000)).map(lambda n: timedelta(seconds=n))
EDITS = st.one_of(
    st.tuples(st.just("cron"), st.sampled_from(CRONS)),
    st.tuples(st.just("pause"), st.none() | WAITS),
    st.tuples(st.just("verb"), st.sampled_from(("resume", "resume", "resume", "enable", "disable"))),
    st.tuples(st.just("timezone"), st.sampled_from(("UTC", "America/New_York", "Australia/Lord_Howe"))),
    st.tuples(st.just("mode"), st.sampled_from(("live", "shadow"))),
    st.tuples(st.just("catch_up"), st.sampled_from(("skip", "latest", "all"))),
    st.tuples(st.just("expires"), st.none() | WAITS),
    st.tuples(st.just("one_off"), st.just(True)),
    st.tuples(st.just("outside"), st.booleans()),
    st.tuples(st.just("broken"), st.booleans()),
    st.tuples(st.just("moment"), st.sampled_from((-9000, 0, 40, 9000)).map(lambda n: timedelta(seconds=n))),
)
STEPS = st.tuples(WAITS, st.sampled_from(("beat, then edit", "edit", "beat")), EDITS)


@pytest.fixture
def driver(db, monkeypatch, settings):
    # So few that a night without a beat takes several steps to account for.
    settings.BEATKEEPER = {**settings.BEATKEEPER, "missed_limit": 7, "catch_up_limit": 3}
    return Driver(monkeypatch, BEGIN)


@contextmanager
def forgotten() -> Iterator[None]:
    """What the block writes is rolled back."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def step(driver: Driver, wait: timedelta, does: str, edit: tuple[str, object]) -> None:
    driver.pass_time(wait)
    if "beat" in does:
        driver.beat()
    if "edit" in does:
        apply(driver, edit)


def apply(driver: Driver, edit: tuple[str, object]) -> None:
    match edit:
        case "cron", cron:
            driver.change(cron=cron, interval=reserved_interval(), clocked=None, one_off=False)
        case "moment", timedelta() as distance:
            clocked = ClockedSchedule.objects.create(clocked_time=driver.now + distance)
            driver.change(cron="", interval=None, clocked=clocked, one_off=True)
        case "pause", (timedelta() | None) as length:
            driver.pause(length)
        case "verb", str() as verb:
            driver.each(getattr(catalog, verb))
        case "expires", length:
            driver.change(expires=length and driver.now + length)
        case "outside", enabled:
            driver.outside(enabled=enabled)
            driver.reconcile()
        case "broken", is_broken:
            driver.outside(args="not json" if is_broken else "[]")
            driver.reconcile()
        case column, value:
            driver.change(**{column: value})


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(
    steps=st.lists(STEPS, min_size=2, max_size=10),
    catch_up=st.sampled_from(("skip", "latest", "all")),
    is_deleted=st.booleans(),
)
def test_whatever_happens_each_due_instant_has_exactly_one_row(driver, steps, catch_up, is_deleted):
    with forgotten():
        driver.now = BEGIN
        driver.create(catch_up=catch_up)
        for each in steps:
            step(driver, *each)
        if is_deleted:
            driver.each(catalog.delete)
        driver.beat()

        done = driver.audit()

    assert [finding for _, finding in done.findings()] == []


def test_an_edit_after_a_long_downtime_loses_nothing(driver):
    driver.create()
    driver.pass_time(timedelta(hours=9))
    driver.pause(None)

    assert driver.audit().wrong == {}
    assert driver.audit().due == 27


@pytest.fixture
def day(driver):
    """A day of a schedule every 20 minutes, with a night in which no beat ran."""
    driver.create(catch_up="skip")
    driver.pass_time(timedelta(minutes=16, seconds=55))
    for minutes in (*[20] * 6, 120, *[20] * 6):
        driver.beat()
        driver.pass_time(timedelta(minutes=minutes))
    driver.beat()
    assert driver.audit().is_clean
    return driver


def wrong(driver: Driver) -> list[tuple[str, datetime]]:
    return [(str(finding.wrong), finding.at) for _, finding in driver.audit().findings()]


@pytest.mark.parametrize("which", [0, 3, -1])
def test_a_run_that_was_deleted_is_missing(day, which):
    run = list(Run.objects.filter(missed_until=None).order_by("scheduled_for"))[which]
    run.delete()
    assert wrong(day) == [("missing", run.scheduled_for)]


def test_a_range_that_was_deleted_is_missing_with_all_it_stood_for(day):
    gone = Run.objects.filter(missed_until__isnull=False).order_by("scheduled_for").first()
    gone.delete()
    (found,) = [finding for _, finding in day.audit().findings()]
    assert (found.wrong, found.at, found.until) == ("missing", gone.scheduled_for, gone.missed_until)
    assert found.count == gone.missed_count


def test_a_run_that_stands_beside_a_range_is_doubled(day):
    range_of_missed = Run.objects.filter(missed_count__gt=2).first()
    run = Run.objects.filter(missed_until=None).first()
    inside = range_of_missed.scheduled_for + timedelta(minutes=20)
    run.pk, run.scheduled_for = None, inside
    run.save(force_insert=True)
    assert wrong(day) == [("doubled", inside)]


def test_a_run_at_another_time_is_extra_where_it_stands_and_missing_where_it_belongs(day):
    run = Run.objects.filter(missed_until=None).order_by("scheduled_for")[2]
    Run.objects.filter(pk=run.pk).update(scheduled_for=run.scheduled_for + timedelta(minutes=1))
    assert sorted(wrong(day)) == [
        ("extra", run.scheduled_for + timedelta(minutes=1)),
        ("missing", run.scheduled_for),
    ]


def test_a_wrong_count_is_found(day):
    Run.objects.filter(missed_count__gt=2).update(missed_count=2)
    assert {kind for kind, _ in wrong(day)} == {"wrong_count"}


def test_a_next_run_that_somebody_moved_is_found_before_anything_is_missed(day):
    Schedule.objects.update(next_run_at=day.now + timedelta(days=365))
    assert [kind for kind, _ in wrong(day)] == ["wrong_next"]


def test_runs_by_hand_are_none_of_its_business(day):
    make_run(day.schedule)
    assert day.audit().is_clean


def test_what_became_of_the_instants_is_counted(day):
    became = day.audit().became
    assert became == {auditing.NOT_STARTED: 14, auditing.SKIPPED + "missed": 5}


def test_what_retention_may_have_deleted_is_not_judged(day):
    day.pass_time(timedelta(days=29, hours=23))
    Run.objects.all().delete()
    done = auditing.audit(start=BEGIN, end=day.now)
    assert done.start == day.now - timedelta(days=30)
    assert any("retention" in remark for remark in done.remarks)


def test_the_future_is_not_judged(day):
    done = auditing.audit(end=day.now + timedelta(days=1))
    assert (done.end, done.is_clean) == (day.now, True)
    assert any("not happened yet" in remark for remark in done.remarks)


def test_a_deleted_schedule_is_judged_by_the_name_that_it_had(day):
    day.each(catalog.delete)
    (judged,) = day.audit().schedules
    assert (judged.name, judged.is_deleted, judged.verdict.is_clean) == ("job", True, True)


def test_runs_of_schedules_that_others_deleted_are_said_to_be_left_out(day):
    PeriodicTask.objects.all().delete()
    assert any("not judged" in remark for remark in auditing.audit().remarks)


def test_setting_a_row_aside_and_repairing_it_are_in_the_history(driver):
    driver.create()
    driver.outside(args="not json")
    driver.reconcile()
    aside = Schedule.objects.get().revision
    driver.pass_time(timedelta(hours=2))
    driver.outside(args="[]")
    driver.reconcile()
    repaired = Schedule.objects.get().revision

    assert aside.note.startswith("set aside: args is not a JSON list")
    assert (aside.definition["enabled"], repaired.definition["enabled"]) == (False, True)
    assert (aside.changed_by, repaired.number) == ("outside Beatkeeper", aside.number + 1)
    assert driver.audit().is_clean


@pytest.mark.django_db(transaction=True)
def test_an_edit_reads_the_clock_when_it_has_the_lock(monkeypatch, now, minute):
    """What the beat that held it decided meanwhile then lies before the edit, and not after it."""
    if connection.vendor == "sqlite":
        pytest.skip("the transaction itself is the lock")
    schedule = make_schedule()
    due(schedule, minute)
    pause = Pause(ScheduleQuerySet.lock_due)
    monkeypatch.setattr(ScheduleQuerySet, "lock_due", pause)
    beat = Racer(lambda: dispatch.dispatch_due(now))
    assert pause.reached.wait(PATIENCE)
    editor = Racer(lambda: catalog.disable([schedule.pk], by="me"))
    wait_for(somebody_waits_for_a_lock, "the editor waits")
    released_at = database_now()
    pause.go.set()

    assert (beat.result, len(editor.result)) == (1, 1)
    assert Revision.objects.get(number=2).changed_at >= released_at


def somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_an_audit_sees_one_state_and_holds_up_nobody(monkeypatch):
    schedule = make_later()
    real = auditing.histories_of

    def meanwhile(pks):
        found = real(pks)
        assert Racer(lambda: catalog.disable([schedule.pk], by="me")).result
        return found

    monkeypatch.setattr(auditing, "histories_of", meanwhile)

    assert auditing.audit().is_clean
    assert not Schedule.objects.get().enabled


def test_the_number_of_queries_does_not_grow_with_the_schedules(django_assert_max_num_queries):
    counts = []
    for size in (2, 20):
        for number in range(size):
            make_schedule(f"{size}-{number}")
        with django_assert_max_num_queries(9) as captured:
            auditing.audit()
        counts.append(len(captured))
    assert counts[0] == counts[1]
