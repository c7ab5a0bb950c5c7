"""The whole path on every broker: due, sent, executed, retried, recorded; and pings are answered."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack

import pytest
from django.db import connection
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from schedules import operate, reconcile
from schedules.models import Run, Schedule
from tests import services
from tests.factories import make_policy, make_schedule, make_task_schedule
from tests.system.cluster import ROOT, Cluster, wait_for

pytestmark = [pytest.mark.system, pytest.mark.django_db(transaction=True)]

BROKERS = {"sqlite": ["filesystem"], "postgresql": ["redis", "rabbitmq"]}


GUIDE = (ROOT / "docs" / "production.md").read_text()
"""Its accounts are those of the tests: with less they would not do, with more they would not be the ones."""


def documented(pattern):
    found = re.search(pattern, GUIDE, re.MULTILINE)
    assert found, "docs/production.md has no such line"
    return found[1]


@pytest.fixture(params=BROKERS[connection.vendor])
def cluster(request, tmp_path):
    with ExitStack() as accounts:
        if request.param == "filesystem":
            broker = "filesystem://"
        elif request.param == "rabbitmq":
            names = documented(r"NAMES='(.+)'$").replace("|commands|", "|commands|reports|big|")
            broker = accounts.enter_context(
                services.rabbitmq_user(request.getfixturevalue("rabbitmq_url"), names)
            )
        else:
            rules = documented(r"^user beatkeeper on >\.\.\. (.+)$")
            broker = accounts.enter_context(services.redis_user(request.getfixturevalue("redis_url"), rules))
        cluster = Cluster(broker, tmp_path)
        try:
            yield cluster
        finally:
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
    assert failed.lateness.total_seconds() < 30  # on a machine at its limit; usually it is a fraction of one
    assert not Schedule.objects.get(name="fails").enabled
    wait_for(lambda: all_answer(cluster), "all answer a ping in time")


def all_answer(cluster):
    answers = cluster.celery("inspect", "ping", "--timeout", "5")
    return all(name in answers for name in ("commands@tests", "tasks@tests", "celerybeat@"))


ROUTES = {"BEATKEEPER_QUEUES": "reports:reports.#,big:*.big"}


def test_a_run_that_is_rung_by_routing_key_arrives_at_the_worker_that_takes_it(cluster):
    """The queue `reports` takes reports.#; nobody names it but the declaration."""
    cluster.environment |= ROUTES
    cluster.beat(), cluster.tasks(), cluster.serving("reports")
    schedule = make_task_schedule("daily", task="sample.add", args="[1, 2]")
    PeriodicTask.objects.filter(pk=schedule.pk).update(routing_key="reports.daily.eu")
    reconcile.reconcile()
    operate.run_now(Schedule.objects.get(pk=schedule.pk), by="tests")
    operate.run_now(make_task_schedule("plain", task="sample.add", args="[3, 4]"), by="tests")

    workers = {
        name: wait_for(
            lambda name=name: Run.objects.filter(name=name, state="succeeded").first(), f"{name} succeeds"
        ).worker.name
        for name in ("daily", "plain")
    }
    assert workers == {"daily": "reports@tests", "plain": "tasks@tests"}


def test_celerys_own_tools_see_and_steer_the_workers(cluster, tmp_path):
    cluster.beat(), cluster.tasks()
    with cluster.watching_events() as watched:
        said(cluster, "tasks@tests", "control", "enable_events")
        end = tmp_path / "end"
        napping = make_task_schedule("nap", task="sample.until", args=json.dumps([str(end)]))
        run = operate.run_now(napping, by="tests")
        wait_for(lambda: Run.objects.filter(pk=run.pk, state="running").exists(), "the task runs")
        assert str(run.pk) in said(cluster, "schedules.run_attempt", "inspect", "active")
        end.touch()
        wait_for(lambda: Run.objects.filter(pk=run.pk, state="succeeded").exists(), "the task ends")
        wait_for(
            lambda: "task succeeded" in watched.read_text() or "task-succeeded" in watched.read_text(),
            "an event of its end",
        )
    said(cluster, '"nap": 1', "inspect", "stats")  # by the schedule's name
    said(cluster, "pool will grow", "control", "pool_grow", "1")


def said(cluster, words, *command):
    """What the workers answer, once it holds `words`: on a busy machine they may be too late at first."""

    def answer():
        told = cluster.celery(*command, "--timeout", "5")
        return told if words in told else ""

    return wait_for(answer, f"{' '.join(command)} says {words}")


def test_the_check_finds_a_running_installation_in_order_and_names_what_is_not(cluster):
    cluster.beat(), cluster.commands()
    make_schedule("fine")
    make_task_schedule("alone", task="sample.add", args="[1, 2]")

    found = {
        each["code"]: each for each in json.loads(cluster.manage("check_production", "--json"))["findings"]
    }
    assert found["queues.unread"]["level"] == "error"
    assert '"tasks"' in found["queues.unread"]["what"]
    assert "alone" in found["queues.unread"]["what"]
    good = {
        "broker.reached",
        "broker.answers",
        "beats.alive",
        "workers.alive",
        "clocks.skew",
        "zones.computed",
    }
    assert {code: found[code]["level"] for code in good} == dict.fromkeys(good, "ok")
