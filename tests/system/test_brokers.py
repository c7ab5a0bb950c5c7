"""The whole path on every broker: due, sent, executed, retried, recorded; and pings are answered."""

from __future__ import annotations

import pytest
from django.db import connection
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from schedules.models import Run, Schedule
from tests.factories import make_policy, make_schedule
from tests.system.cluster import Cluster, wait_for

pytestmark = [pytest.mark.system, pytest.mark.django_db(transaction=True)]

BROKERS = {"sqlite": ["filesystem"], "postgresql": ["redis", "rabbitmq"]}


@pytest.fixture(params=BROKERS[connection.vendor])
def cluster(request, tmp_path):
    broker = (
        "filesystem://" if request.param == "filesystem" else request.getfixturevalue(f"{request.param}_url")
    )
    cluster = Cluster(broker, tmp_path)
    yield cluster
    cluster.close()
    print(cluster.logs())


def test_the_path_from_due_to_recorded(cluster):
    cluster.beat(), cluster.commands(), cluster.tasks()
    every_second = IntervalSchedule.objects.create(every=1, period="seconds")
    make_schedule(
        "fails",
        cron="",
        interval=every_second,
        one_off=True,
        command="echo no; exit 75",
        retry_policy=make_policy(),
    )
    PeriodicTask.objects.create(name="theirs", task="sample.add", args="[1, 2]", interval=every_second)

    failed = wait_for(lambda: Run.objects.filter(name="fails", state="failed").first(), "three attempts fail")
    theirs = wait_for(
        lambda: Run.objects.filter(name="theirs", state="succeeded").first(), "the task succeeds"
    )

    outputs = [attempt.output.text for attempt in failed.attempts.order_by("number")]
    assert (failed.trigger, outputs) == ("schedule", ["no\n"] * 3)
    assert theirs.attempts.get().result == "3"
    assert failed.lateness.total_seconds() < 5
    assert not Schedule.objects.get(name="fails").enabled
    answers = cluster.celery("inspect", "ping", "--timeout", "5")
    assert all(name in answers for name in ("commands@tests", "tasks@tests", "celerybeat@"))
