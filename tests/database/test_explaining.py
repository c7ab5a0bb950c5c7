"""What is said of a moment: each case of the verdict, and the facts that lead to it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django_celery_beat.models import ClockedSchedule

from schedules import catalog, operate
from schedules.errors import TimingError
from schedules.explaining import flow as explaining
from schedules.explaining.explanation import Explanation
from schedules.models import Attempt, Beat, Run, Worker
from schedules.models.schedule import reserved_interval
from tests.database.driving import Driver

pytestmark = pytest.mark.django_db

BEGIN = datetime(2026, 11, 19, 20, 0, tzinfo=UTC)
"""A Thursday, 21:00 in Berlin."""

FRIDAY = "2026-11-20 02:30"
NIGHT = timedelta(hours=5, minutes=30, seconds=2)


@pytest.fixture
def driver(db, monkeypatch):
    driver = Driver(monkeypatch, BEGIN)
    driver.create("backup", cron="30 2 * * 1-5")
    return driver


@pytest.fixture
def decided(driver):
    """The run of Friday 02:30 is decided, two seconds late."""
    driver.pass_time(NIGHT)
    beat_row(driver)
    driver.beat()
    return driver


def beat_row(driver: Driver, **columns) -> Beat:
    given = {"name": "celerybeat@web1", "host": "web1", "pid": 1, "started_at": BEGIN, "seen_at": driver.now}
    return Beat.objects.create(**given | columns)


def worker_row(driver: Driver, **columns) -> Worker:
    given = {"name": "commands@web1", "host": "web1", "pid": 2, "queues": "commands,extra"}
    return Worker.objects.create(**given | {"started_at": BEGIN, "seen_at": driver.now} | columns)


def asked(driver: Driver, at: str = "") -> Explanation:
    driver.schedule.refresh_from_db()
    return explaining.explain(driver.schedule, at=at)


def fact(found: Explanation, label: str) -> str:
    said = [fact.text for fact in found.facts if fact.label == label]
    assert said, f"no {label} among {[fact.label for fact in found.facts]}"
    return "; ".join(said)


def test_it_ran(decided):
    run = Run.objects.get()
    started = decided.now + timedelta(seconds=1)
    finished = started + timedelta(minutes=11)
    ran = {"state": "succeeded", "attempt": 1, "started_at": started, "finished_at": finished}
    Run.objects.update(**ran, worker=worker_row(decided))

    found = asked(decided, FRIDAY)

    assert (found.verdict, found.run_id) == ("ran", run.pk)
    assert found.sentence == f"Ran for Fri 2026-11-20 02:30 CET: run {run.pk} succeeded."
    assert fact(found, "timing").endswith("revision 1 of Thu 2026-11-19 21:00 CET by ann")
    assert fact(found, "decided") == "by beat@test, Fri 2026-11-20 02:30:02 CET, 2 s after it was due"
    assert fact(found, "started") == "Fri 2026-11-20 02:30:03 CET, 3 s after it was due, on commands@web1"
    assert fact(found, "after") == "Mon 2026-11-23 02:30 CET, in 2 d 23 h"


def test_it_failed_and_was_retried(decided):
    run = Run.objects.get()
    for number, outcome in ((1, "failed"), (2, "failed")):
        Attempt.objects.create(
            run=run,
            number=number,
            token=uuid.uuid4(),
            planned_at=decided.now,
            started_at=decided.now,
            finished_at=decided.now,
            outcome=outcome,
            exit_code=75,
            decision_text=f"Decision {number}.",
        )
    Run.objects.update(
        state="failed", attempt=2, max_attempts=2, started_at=decided.now, finished_at=decided.now
    )

    found = asked(decided, FRIDAY)

    assert found.verdict == "failed"
    assert found.sentence.endswith(f"run {run.pk} failed after 2 attempts: exit code 75.")
    assert "exit code 75. Decision 1." in fact(found, "attempt 1")
    assert "Decision 2." in fact(found, "attempt 2")


def test_it_waits_and_no_worker_serves_its_queue(decided):
    worker_row(decided, queues="tasks")
    found = asked(decided)
    assert found.verdict == "waiting"
    assert fact(found, "workers") == (
        'no worker that is alive serves the queue "commands"; those on record serve tasks'
    )


def test_a_worker_that_vanished_serves_nothing(decided):
    worker_row(decided, seen_at=decided.now - timedelta(minutes=5))
    assert fact(asked(decided), "workers").startswith("no worker that is alive")


def test_it_waits_for_a_worker_that_is_there(decided):
    worker_row(decided)
    Run.objects.update(state="queued", queued_at=decided.now, dispatches=3)
    found = asked(decided)
    assert fact(found, "waits") == "for a worker, since Fri 2026-11-20 02:30:02 CET, sent 3 times"
    assert fact(found, "workers") == 'alive and serving the queue "commands": commands@web1'


def test_it_waits_for_its_retry(decided):
    Run.objects.update(
        attempt=1, max_attempts=3, started_at=decided.now, available_at=decided.now + timedelta(seconds=90)
    )
    found = asked(decided)
    assert found.verdict == "retrying"
    assert "1 min 30 s from now" in fact(found, "waits")


def test_nothing_sends_it_without_a_beat(decided):
    Beat.objects.update(seen_at=decided.now - timedelta(hours=2))
    assert fact(asked(decided), "beat") == "no beat is alive; celerybeat@web1 was seen last, 2 h ago"


def test_it_was_skipped_because_another_run_was_active(driver):
    driver.change(cron="*/10 * * * *", overlap="skip")
    for _ in range(2):
        driver.pass_time(timedelta(minutes=10))
        driver.beat()
    first, second = Run.objects.order_by("pk")
    Run.objects.filter(pk=first.pk).update(started_at=BEGIN + timedelta(minutes=10, seconds=3))

    found = asked(driver, "2026-11-19 21:20")

    assert (found.verdict, found.run_id) == ("skipped", second.pk)
    assert found.sentence == ("Did not run for Thu 2026-11-19 21:20 CET: the run before it was still active.")
    assert fact(found, "overlap") == (
        f"the overlap policy is to skip; run {first.pk}, due Thu 2026-11-19 21:10 CET, was active: started "
        "Thu 2026-11-19 21:10:03 CET, it is not over yet"
    )
    Run.objects.filter(pk=first.pk).delete()
    assert "not on record any more" in fact(asked(driver, "2026-11-19 21:20"), "overlap")


def test_it_was_missed_while_no_beat_ran(driver):
    beat_row(driver, stopped_at=BEGIN)
    driver.pass_time(timedelta(days=6))
    driver.beat()
    missed = Run.objects.get(reason="missed")
    late = Run.objects.get(trigger="catch_up")

    found = asked(driver, "2026-11-23 02:30")

    assert (found.verdict, found.run_id) == ("skipped", missed.pk)
    assert "no beat decided it in time" in found.sentence
    assert "stands for 3 instants" in fact(found, "missed")
    assert fact(found, "beat").startswith("none on record was running then")
    assert f"run {late.pk} was started instead" in fact(found, "catch-up")


def test_it_has_not_been_decided_because_no_beat_runs(driver):
    driver.pass_time(NIGHT + timedelta(hours=1))
    found = asked(driver)
    assert found.verdict == "undecided"
    assert found.sentence == "Was due at Fri 2026-11-20 02:30 CET, 1 h ago, and no beat has decided it yet."
    assert fact(found, "beat") == "no beat is on record: start one"


def test_its_row_is_gone(decided):
    Run.objects.all().delete()
    assert asked(decided, FRIDAY).verdict == "missing"
    decided.pass_time(timedelta(days=40))
    assert asked(decided, FRIDAY).verdict == "forgotten"


def test_it_will_run(driver):
    beat_row(driver)
    found = asked(driver)
    assert (found.verdict, found.sentence) == (
        "will_run",
        "Will run Fri 2026-11-20 02:30 CET, in 5 h 30 min.",
    )
    assert fact(found, "decided") == "at that moment, by a beat: celerybeat@web1 is alive"
    Beat.objects.all().delete()
    assert "no beat is alive" in asked(driver).sentence


@pytest.mark.parametrize("until", [None, timedelta(days=2)])
def test_it_is_paused(driver, until):
    catalog.pause([driver.schedule.pk], by="bob", until=until and driver.now + until, note="disk full")
    driver.change(command="false")
    driver.pass_time(timedelta(hours=1))
    end = "until Sat 2026-11-21 21:00 CET" if until else "until somebody resumes it"

    found = asked(driver)

    assert (found.verdict, found.sentence) == ("paused", f"Does not run: it is paused {end}.")
    assert fact(found, "paused") == "Thu 2026-11-19 21:00 CET by bob: paused: disk full"
    later = asked(driver, FRIDAY)
    assert later.sentence == f"Will not run at Fri 2026-11-20 02:30 CET: it is paused {end}."
    assert fact(later, "otherwise") == "it would be due at that moment"


def test_it_was_disabled_then_though_it_is_enabled_now(driver):
    driver.each(catalog.disable)
    driver.pass_time(timedelta(days=1))
    driver.each(catalog.enable)
    found = asked(driver, FRIDAY)
    assert (found.verdict, found.sentence) == (
        "disabled",
        "Did not run at Fri 2026-11-20 02:30 CET: it was disabled.",
    )
    assert fact(found, "disabled") == "Thu 2026-11-19 21:00 CET by bob: disabled"


def test_it_was_disabled_elsewhere_and_nobody_noticed_yet(driver):
    driver.outside(enabled=False)
    found = asked(driver)
    assert found.verdict == "disabled"
    assert "outside Beatkeeper" in found.sentence


def test_it_is_deleted(driver):
    driver.each(catalog.delete)
    driver.pass_time(timedelta(hours=1))
    found = asked(driver)
    assert (found.name, found.verdict) == ("backup", "deleted")
    assert fact(found, "deleted") == "Thu 2026-11-19 21:00 CET by bob: deleted"


def test_it_is_set_aside(driver):
    driver.outside(args="not json")
    driver.reconcile()
    driver.pass_time(timedelta(hours=1))
    found = asked(driver)
    assert found.verdict == "set_aside"
    assert "args is not a JSON list" in fact(found, "set aside")


def test_it_did_not_exist_yet(driver):
    found = asked(driver, "2026-11-18 02:30")
    assert (found.verdict, found.sentence) == (
        "not_yet_created",
        "Did not exist yet at Wed 2026-11-18 02:30 CET.",
    )
    assert fact(found, "created") == "Thu 2026-11-19 21:00 CET by ann"


def test_it_is_not_due_and_the_field_is_named(driver):
    found = asked(driver, "2026-11-21 02:30")
    assert found.sentence == (
        "Is not due at Sat 2026-11-21 02:30 CET: minute and hour match, but day of week is 1-5 (Monday to "
        "Friday) and 2026-11-21 is a Saturday."
    )
    assert (found.verdict, found.before, found.after) == (
        "not_due",
        datetime(2026, 11, 20, 1, 30, tzinfo=UTC),
        datetime(2026, 11, 23, 1, 30, tzinfo=UTC),
    )


def test_it_goes_by_the_revision_that_was_in_force(driver):
    driver.pass_time(timedelta(days=1))
    driver.change(cron="0 4 * * *", timezone="America/New_York")
    assert asked(driver, "2026-11-20T02:30+01:00").verdict != "not_due"
    driver.pass_time(timedelta(days=1))
    assert asked(driver, "2026-11-21T02:30+01:00").verdict == "not_due"
    assert "minute is 30, not 31" in asked(driver, "2026-11-20T02:31+01:00").sentence


def test_it_never_runs(driver):
    driver.change(cron="0 0 30 2 *")
    driver.pass_time(timedelta(hours=1))
    found = asked(driver)
    assert (found.verdict, found.sentence) == ("never_due", "Never runs: day 30 does not occur in February.")


@pytest.mark.parametrize(
    ("cron", "sentence"),
    [
        ("@reboot", "Runs when the host of a worker boots, not by the clock."),
        ("", "Runs by hand only, not by the clock."),
    ],
)
def test_it_runs_but_not_by_the_clock(driver, cron, sentence):
    driver.change(cron=cron)
    driver.pass_time(timedelta(hours=1))
    found = asked(driver)
    assert (found.verdict, found.sentence) == ("not_by_clock", sentence)
    assert fact(found, "last run") == "none is on record"


def test_a_run_by_hand_that_was_lost_then_is_pointed_to(driver):
    driver.pass_time(timedelta(hours=1))
    run = operate.run_now(driver.schedule, by="ann")
    driver.pass_time(timedelta(minutes=5))
    ended = {"state": "lost", "finished_at": driver.now, "detail": "Its worker vanished."}
    Run.objects.filter(pk=run.pk).update(**ended)
    driver.pass_time(timedelta(minutes=5))

    found = asked(driver, "2026-11-19T21:03Z")

    assert found.verdict == "not_due"
    assert fact(found, "by hand") == (
        f"run {run.pk}, started by hand Thu 2026-11-19 22:00 CET, by ann: lost, "
        "over Thu 2026-11-19 22:05 CET. Its worker vanished."
    )
    assert [fact.run_id for fact in found.facts if fact.label == "by hand"] == [run.pk]
    for other in ("2026-11-19T20:59Z", "2026-11-19T21:06Z"):
        assert "by hand" not in [fact.label for fact in asked(driver, other).facts]


def test_a_repeat_beside_a_due_run_is_pointed_to_and_later_ones_are_not(decided):
    Run.objects.update(state="failed", finished_at=decided.now, started_at=decided.now)
    first = Run.objects.get()
    repeat = operate.run_again(first, by="bob")
    found = asked(decided, FRIDAY)
    assert (found.run_id, fact(found, "by hand")) == (
        first.pk,
        f"run {repeat.pk}, a repeat Fri 2026-11-20 02:30:02 CET, by bob: pending",
    )

    decided.pass_time(timedelta(days=4))
    decided.beat()
    operate.run_now(decided.schedule, by="ann")
    assert fact(asked(decided, FRIDAY), "by hand").startswith(f"run {repeat.pk}, ")


def test_a_run_by_boot_is_told_like_any_other(driver):
    driver.change(cron="@reboot")
    driver.pass_time(timedelta(hours=1))
    assert operate.note_boot(host="web1", boot_id="1", booted_at=driver.now, queues=["commands"]) == 1
    run = Run.objects.get()
    found = explaining.explain(driver.schedule, instant=run.scheduled_for)
    assert (found.verdict, found.run_id) == ("waiting", run.pk)


def test_a_run_that_should_not_be_there_is_told_and_said_to_be_wrong(decided):
    Run.objects.update(scheduled_for=decided.now - timedelta(minutes=90))
    found = asked(decided, "2026-11-20 01:00")
    assert (found.verdict, found.run_id) == ("waiting", Run.objects.get().pk)
    assert "nothing was due then" in fact(found, "audit")


def test_a_moment_that_has_passed(driver):
    clocked = ClockedSchedule.objects.create(clocked_time=BEGIN + timedelta(hours=1))
    driver.change(cron="", interval=None, clocked=clocked, one_off=True)
    assert asked(driver).sentence.startswith("Will run Thu 2026-11-19 21:00 UTC, in 1 h")
    driver.pass_time(timedelta(hours=2))
    driver.beat()
    assert asked(driver, "2026-11-19T21:00Z").verdict == "waiting"
    driver.change(clocked=None, interval=reserved_interval(), cron="@daily", one_off=False, enabled=True)
    assert asked(driver).verdict in ("waiting", "will_run")


def test_a_window_that_is_over(driver):
    driver.change(expires=BEGIN + timedelta(days=1))
    assert "it ended Fri 2026-11-20 21:00 CET" in asked(driver, "2026-11-23 02:30").sentence


def test_a_shadow(driver):
    driver.change(mode="shadow")
    beat_row(driver)
    assert "nothing starts: it is a shadow" in asked(driver).sentence
    driver.pass_time(NIGHT)
    driver.beat()
    assert "the schedule is a shadow, which starts nothing" in asked(driver, FRIDAY).sentence


SPRING, AUTUMN = "2027-03-28 02:30", "2027-10-31 02:30"


def test_what_the_clock_skips_runs_at_the_end_of_the_gap(driver):
    driver.change(cron="30 2 * * *")
    found = asked(driver, SPRING)
    assert (found.verdict, found.at) == ("will_run", datetime(2027, 3, 28, 1, tzinfo=UTC))
    assert "02:30 does not exist on 2027-03-28" in fact(found, "clock")
    assert "runs once, at the end of the gap, at 03:00" in fact(found, "clock")


def test_what_follows_real_time_is_not_made_up_for(driver):
    driver.change(cron="*/30 * * * *")
    found = asked(driver, SPRING)
    assert found.sentence == (
        "Is not due at Sun 2027-03-28 02:30: its minute or hour begins with *, so it follows real time: "
        "nothing is made up for."
    )
    assert found.after == datetime(2027, 3, 28, 1, tzinfo=UTC)


def test_a_time_that_would_not_match_anyway_is_not_put_down_to_the_clock(driver):
    driver.change(cron="0 3 * * *")
    assert "minute is 0, not 30" in asked(driver, SPRING).sentence


def test_a_repeated_hour(driver):
    driver.change(cron="30 2 * * *")
    assert asked(driver, AUTUMN).verdict == "will_run"
    again = asked(driver, "2027-10-31T02:30+01:00")
    assert again.verdict == "not_due"
    assert "so it runs the first time only" in again.sentence
    driver.change(cron="*/30 * * * *")
    assert asked(driver, "2027-10-31T02:30+01:00").verdict == "will_run"


def test_what_is_no_time_is_refused(driver):
    with pytest.raises(TimingError, match="Give one such as"):
        asked(driver, "soon")


def test_a_row_that_was_never_usable_can_be_asked_about(driver):
    driver.schedule.revisions.all().delete()
    driver.schedule.timing_error = "no such zone"
    driver.schedule.save(update_fields=["timing_error"])
    found = asked(driver)
    assert found.verdict == "set_aside"
    assert fact(found, "set aside") == "no such zone"


def test_the_number_of_queries_is_fixed(decided, django_assert_max_num_queries):
    with django_assert_max_num_queries(14):
        asked(decided)
    for _ in range(5):
        decided.pass_time(timedelta(days=1))
        decided.beat()
    with django_assert_max_num_queries(14):
        asked(decided, FRIDAY)
