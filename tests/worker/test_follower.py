"""A beat begins to follow, on real brokers, before the first message to another codebase goes out."""

from __future__ import annotations

import math

import pytest
from celery import current_app

from schedules import beat, following
from schedules.messages import sending
from schedules.models import Run
from schedules.querysets import Sent
from tests.database.test_sending import make_message_schedule
from tests.factories import make_run
from tests.system.cluster import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["redis", "rabbitmq"])
def engine(request, monkeypatch):
    """A beat of which only the part that follows is at work; there is nothing to follow yet."""
    monkeypatch.setitem(current_app.conf, "broker_url", request.getfixturevalue(f"{request.param}_url"))
    monkeypatch.setitem(current_app.conf, "broker_transport", None)
    monkeypatch.setitem(current_app.conf, "broker_transport_options", {})
    monkeypatch.setattr(following, "PATIENT_SECONDS", 60)
    engine = beat.Engine(current_app)
    engine.follow.start()
    wait_for(lambda: engine.follow.has_progressed, "it has found nothing to follow")
    engine.follower._looker._look_at = math.inf  # the next look is far away
    yield engine
    engine.follow.stop(timeout=30)
    engine.follower.close()


def test_what_is_said_right_after_the_first_message_is_heard(engine):
    """No look for new schedules comes between: its next one is seconds away."""
    run = make_run(make_message_schedule(), state="queued", dispatches=1)
    identity = sending.task_id(run)
    Run.objects.sent([Sent(run.pk, identity, "the queue")])

    engine._listen()
    with current_app.connection_for_write() as link, current_app.events.Dispatcher(link) as shop:
        shop.send("task-succeeded", uuid=str(identity), runtime=1.0, result="1")

    wait_for(lambda: Run.objects.filter(state="succeeded").exists(), "the end was heard", patience=30)
