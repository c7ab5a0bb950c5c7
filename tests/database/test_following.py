"""What Celery's events say of tasks that were sent elsewhere: each moves its run once, whoever hears it."""

from __future__ import annotations

import math
import uuid
from datetime import timedelta

import pytest
from celery import current_app
from django.db import OperationalError

from schedules import beat, following, publish
from schedules.following import Follower, Looker
from schedules.messages import sending
from schedules.models import Attempt, Run, Schedule
from schedules.querysets import Heard, Sent, database_now
from schedules.rules.states import Outcome, State
from tests.database.test_sending import make_message_schedule
from tests.factories import make_run, make_schedule
from tests.system.cluster import wait_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def follower():
    return Follower(current_app)


def make_queued() -> tuple[Run, str]:
    """A run whose message is on its way, and the id of its task."""
    run = make_run(make_message_schedule(f"theirs {uuid.uuid4()}"), state="queued", dispatches=1)
    return run, str(sending.task_id(run))


def record_sent(run: Run) -> None:
    assert Run.objects.sent([Sent(run.pk, sending.task_id(run), "the queue")]) == {run.pk}


def hear(follower: Follower, kind: str, identity: str, **said) -> None:
    follower._take_in({"type": kind, "uuid": identity, "hostname": "shop@elsewhere", **said})
    follower._work_off()


def test_success_is_recorded_with_its_worker_and_how_long_it_took(follower):
    run, identity = make_queued()
    record_sent(run)
    Attempt.objects.update(started_at=run.created_at - timedelta(minutes=5))

    hear(follower, "task-started", identity)
    assert Attempt.objects.get().worker_name == "shop@elsewhere"
    hear(follower, "task-succeeded", identity, runtime=2.5, result="[1]")

    run.refresh_from_db()
    attempt = run.attempts.get()
    assert (run.state, run.detail, attempt.outcome, attempt.result) == ("succeeded", "", "succeeded", "[1]")
    assert attempt.duration == run.duration == timedelta(seconds=2.5)
    assert attempt.notes.startswith("Sent to the queue as ")


def test_failure_is_recorded_with_its_error(follower):
    run, identity = make_queued()
    record_sent(run)

    hear(
        follower, "task-failed", identity, exception="ValueError('no\x00 \ud800')", traceback="Traceback ..."
    )

    run.refresh_from_db()
    attempt = run.attempts.get()
    assert (run.state, attempt.outcome, attempt.error_class) == ("failed", "failed", "ValueError")
    assert attempt.error == run.detail == "no\ufffd ?"
    assert attempt.traceback == "Traceback ..."


@pytest.mark.parametrize(
    ("kind", "said", "error_class", "error"),
    [
        ("task-revoked", {"expired": True}, "Expired", "dropped it"),
        ("task-revoked", {"terminated": True, "signum": "9"}, "Revoked", "signal 9"),
        ("task-unknown", {"name": "shop.gone"}, "NotRegistered", "shop.gone"),
        ("task-rejected", {"requeue": False}, "Rejected", "rejected"),
        ("task-failed", {"exception": "odd"}, "", "odd"),
    ],
)
def test_every_other_end_is_a_failure_with_its_reason(follower, kind, said, error_class, error):
    run, identity = make_queued()
    record_sent(run)

    hear(follower, kind, identity, **said)

    attempt = Run.objects.get(state="failed").attempts.get()
    assert attempt.error_class == error_class
    assert error in attempt.error


def test_a_message_that_goes_back_to_its_queue_has_not_ended(follower):
    run, identity = make_queued()
    record_sent(run)
    hear(follower, "task-rejected", identity, requeue=True)
    assert Run.objects.get().state == "sent"


def test_a_worker_that_is_quicker_than_the_record_is_heard_all_the_same(follower):
    run, identity = make_queued()
    hear(follower, "task-succeeded", identity, runtime=0.01, result="1")
    assert Run.objects.get().state == "queued"

    record_sent(run)
    follower._work_off()

    assert Run.objects.get().state == "succeeded"


def test_what_was_heard_is_kept_while_the_database_is_away(follower, monkeypatch):
    run, identity = make_queued()
    record_sent(run)
    with monkeypatch.context() as away:
        away.setattr(
            type(Run.objects.all()), "hear_end", lambda *_, **__: (_ for _ in ()).throw(OperationalError())
        )
        with pytest.raises(OperationalError):
            hear(follower, "task-succeeded", identity, runtime=1)

    follower.close()
    follower._work_off()

    assert Run.objects.get().state == "succeeded"


@pytest.mark.parametrize("runtime", [float("nan"), float("inf"), 1e300, -1, "long", None, True])
def test_a_runtime_that_cannot_be_is_not_believed(follower, runtime):
    run, identity = make_queued()
    record_sent(run)
    hear(follower, "task-succeeded", identity, runtime=runtime, result={"not": "text"})
    assert Run.objects.get().state == "succeeded"


def test_an_event_that_nobody_understands_stops_no_other(follower, monkeypatch):
    run, identity = make_queued()
    record_sent(run)
    with monkeypatch.context() as broken:
        broken.setattr(following, "heard_in", lambda *_, **__: 1 / 0)
        hear(follower, "task-succeeded", identity)

    hear(follower, "task-succeeded", identity)

    assert Run.objects.get().state == "succeeded"


def test_of_two_beats_that_hear_the_same_one_wins():
    run, identity = make_queued()
    record_sent(run)
    heard = Heard(State.SUCCEEDED, Outcome.SUCCEEDED, "shop@elsewhere")
    token = uuid.UUID(identity)

    assert Run.objects.hear_end(run.pk, token, heard)
    assert not Run.objects.hear_end(run.pk, token, Heard(State.FAILED, Outcome.FAILED, "shop@elsewhere"))

    assert Run.objects.get().state == "succeeded"


def test_the_id_of_another_installation_moves_nothing(follower):
    run, identity = make_queued()
    record_sent(run)
    theirs = uuid.UUID(int=uuid.UUID(identity).int ^ 1)

    hear(follower, "task-succeeded", str(theirs), runtime=1)
    hear(follower, "task-succeeded", str(uuid.uuid4()), runtime=1)

    assert Run.objects.get().state == "sent"
    assert list(follower._early) == [str(theirs)]


def test_nothing_is_asked_of_the_broker_while_no_schedule_delivers_by_message(follower, monkeypatch):
    make_schedule()
    monkeypatch.setattr(current_app, "connection_for_read", None)
    assert follower.step() == following.LOOK_SECONDS


def test_a_new_schedule_that_delivers_by_message_is_noticed_within_seconds():
    now = 1000.0
    looker = Looker(clock=lambda: now)
    make_schedule()
    assert not looker.is_wanted()

    make_message_schedule()
    now += following.LOOK_SECONDS + 1
    assert looker.is_wanted()

    Schedule.objects.update(delivery="run")
    now += following.LOOK_AGAIN_SECONDS
    assert not looker.is_wanted()


@pytest.fixture
def listening(monkeypatch):
    """A follower whose broker is not needed, in a part of its own as in a beat; and whether it listens."""
    engine = beat.Engine(current_app)
    monkeypatch.setattr(following, "PATIENT_SECONDS", 60)

    class Heard:
        supports_heartbeats = False

        def drain_events(self, timeout):
            raise TimeoutError

        def release(self):
            pass

    def connect():
        engine.follower._connection, engine.follower._consumer = Heard(), object()
        return True

    monkeypatch.setattr(engine.follower, "_connect", connect)
    engine.follow.start()
    yield engine
    engine.follow.stop(timeout=30)


@pytest.mark.django_db(transaction=True)
def test_the_first_message_goes_out_once_somebody_listens_for_its_end(listening, monkeypatch):
    """A worker elsewhere may be done before; what it then said was lost, and the run stayed `sent`."""
    wait_for(lambda: listening.follow.has_progressed, "the follower has found nothing to follow")
    assert listening.follower._consumer is None
    listening.follower._looker._look_at = math.inf  # the next look is far away
    make_run(make_message_schedule())
    found = []

    def send(producer, messages, now):
        found.append(listening.follower._consumer is not None)
        return []

    monkeypatch.setattr(publish.sending, "send", send)
    publish.publish_due(database_now(), listen=listening._listen)

    assert found == [True]


def test_only_a_message_to_another_codebase_waits_for_a_listener(monkeypatch):
    make_run(make_schedule())
    waited = []
    publish.publish_due(database_now(), listen=lambda: waited.append(1))
    assert waited == []


def test_beat_publishes_with_its_follower(monkeypatch):
    asked = []
    engine = beat.Engine(current_app)
    monkeypatch.setattr(beat.publish, "connect", lambda: None)
    monkeypatch.setattr(engine.follower, "listen", lambda **given: asked.append(given["wake"]))
    for name in ("publish_opened", "publish_due"):
        monkeypatch.setattr(beat.publish, name, lambda *_, listen, **__: listen() or 1)
    monkeypatch.setattr(type(engine.outbox), "__len__", lambda self: 1)
    make_run(make_schedule())

    engine._publish()

    assert asked == [engine.follow.wake] * 2


def test_no_message_waits_for_a_follower_that_could_not_listen(follower):
    """On this broker, memory, no events arrive; elsewhere the account may not read them."""
    make_message_schedule()
    assert follower.step() == following.LOOK_SECONDS
    follower.listen(wake=lambda: pytest.fail("it was asked"))


def test_trouble_while_there_was_nothing_to_follow_is_no_reason_to_be_unheard_later(follower):
    follower.give_up()  # a step that failed: the database was away
    assert follower.step() == following.LOOK_SECONDS
    asked = []
    follower.listen(wake=lambda: [asked.append(1), follower.give_up()])
    assert asked == [1]


def test_who_waits_is_told_where_listening_fails(follower, monkeypatch):
    answers = []

    def fail():
        answers.extend(follower._asked)
        raise ConnectionError("away")

    monkeypatch.setattr(follower, "_connect", fail)

    def step():
        with pytest.raises(ConnectionError):
            follower.step()
        follower.give_up()

    follower.listen(wake=step)
    assert [answer.is_set() for answer in answers] == [True]
