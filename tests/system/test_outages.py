"""The broker or the database is away for an "hour" of seconds: nothing is lost, policies decide."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection
from django.db.models import Max, QuerySet
from django_celery_beat.models import IntervalSchedule

from schedules import auditing, dispatch
from schedules.models import Run
from schedules.querysets import database_now
from tests.factories import make_manual, make_run, make_schedule
from tests.system import own_rabbitmq, own_redis, own_server
from tests.system.cluster import Cluster, wait_for

pytestmark = pytest.mark.system

OUTAGE = timedelta(seconds=12)
"""For which a server is away: longer than the lease of a worker, and than several tries at it."""

SECOND = timedelta(seconds=1)
THREADS = 4
"""Of the worker."""
DEADLINE = 5 * SECOND
LATE = 2
"""Seconds: an instant this old is late. A minute where nobody is in a hurry."""


@pytest.fixture
def broker(tmp_path):
    """RabbitMQ beside PostgreSQL, Redis beside SQLite, or the one that is there."""
    wanted = connection.vendor == "postgresql"
    found = [is_rabbitmq for is_rabbitmq in (wanted, not wanted) if _program(is_rabbitmq)]
    if not found:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("neither redis-server nor rabbitmq-server is there")
    with own_rabbitmq.server() if found[0] else own_redis.server(tmp_path) as server:
        yield server


def _program(is_rabbitmq: bool) -> str | None:
    return own_rabbitmq.program() if is_rabbitmq else own_redis.program()


@pytest.fixture
def database(request, transactional_db):
    """A server of our own, which everything in the test takes for the database."""
    with own_server.server() as server, own_server.default_database(server.url):
        yield server


@pytest.fixture
def processes(tmp_path):
    """What starts a beat and a worker for commands on a broker, and these two once they are started."""
    clusters: list[Cluster] = []
    started: list[subprocess.Popen[bytes]] = []

    def start(broker_url: str) -> None:
        cluster = Cluster(broker_url, tmp_path)
        clusters.append(cluster)
        cluster.environment["BEATKEEPER_ON_TIME_SECONDS"] = str(LATE)
        started.extend([cluster.beat(), cluster.commands(slots=THREADS)])

    yield start, started
    for cluster in clusters:
        cluster.close()
        print(cluster.logs())


def each_second(name: str, **columns) -> None:
    second, _ = IntervalSchedule.objects.get_or_create(every=1, period="seconds")
    make_schedule(name, cron="", interval=second, **columns)


def once_during_the_outage(name: str, **columns) -> None:
    """Due a few seconds from now, and then not for minutes."""
    rarely, _ = IntervalSchedule.objects.get_or_create(every=5, period="minutes")
    anchor = database_now() + 4 * SECOND - timedelta(minutes=5)
    make_schedule(name, cron="", interval=rarely, anchor_at=anchor, **columns)


def wait_until_over(runs: QuerySet[Run]) -> None:
    wait_for(lambda: not runs.filter(state__in=("pending", "queued", "running")).exists(), "all are over")


def pass_time(length: timedelta) -> None:
    end = time.monotonic() + length.total_seconds()
    wait_for(lambda: time.monotonic() > end, "time passes")


def findings() -> list[object]:
    while dispatch.dispatch_due(database_now()):
        pass  # what fell due after the last beat
    return [finding for _, finding in auditing.audit().findings()]


@pytest.mark.django_db(transaction=True)
def test_runs_wait_while_the_broker_is_away_and_start_oldest_first_when_it_is_back(broker, processes):
    start, started = processes
    start(broker.url)
    for number in range(15):
        each_second(f"patient {number}")
    each_second("hasty", expire_seconds=DEADLINE // SECOND)
    wait_for(lambda: Run.objects.filter(state="succeeded").count() > 30, "all is well")

    broker.stop()
    gone_at = database_now()
    pass_time(OUTAGE)
    away = Run.objects.filter(created_at__gt=gone_at + SECOND, created_at__lt=database_now())
    assert away.count() > 15 * (OUTAGE / SECOND - 4), "beat goes on deciding"
    assert not away.filter(started_at__isnull=False).exists()
    pks = list(away.values_list("pk", flat=True))
    back_at = database_now()
    broker.start()

    waited = Run.objects.filter(pk__in=pks)
    wait_until_over(waited)
    assert not waited.exclude(name="hasty").exclude(state="succeeded").exists()
    too_late = waited.filter(name="hasty", scheduled_for__lt=back_at - DEADLINE)
    assert too_late.count() >= 3
    assert set(too_late.values_list("state", "reason")) == {("skipped", "too_late")}
    assert len(overtaken(waited.filter(state="succeeded").order_by("started_at"))) <= THREADS
    assert Run.objects.aggregate(most=Max("attempt"))["most"] == 1
    assert [process.poll() for process in started] == [None, None]
    assert findings() == []


def overtaken(runs: QuerySet[Run]) -> list[str]:
    """Those that were due well before one that started earlier.

    Threads start side by side, and each may have one that waits for the database: SQLite's lock is not fair.
    """
    found, latest = [], datetime.min.replace(tzinfo=UTC)
    for run in runs:
        if latest - run.scheduled_for > 2 * SECOND:
            found.append(f"{run.name} of {run.scheduled_for}, at {run.started_at}, message {run.dispatches}")
        latest = max(latest, run.scheduled_for)
    return found


def test_the_catch_up_policy_decides_what_an_outage_of_the_database_missed(database, processes, redis_url):
    start, started = processes
    start(redis_url)
    each_second("all", catch_up="all")
    wait_for(lambda: Run.objects.filter(state="succeeded").count() > 3, "all is well")
    long = make_run(make_manual("long", command="sleep 5; echo done"))
    wait_for(lambda: Run.objects.filter(pk=long.pk, state="running").exists(), "a long command runs")

    for policy in ("skip", "latest"):
        once_during_the_outage(policy, catch_up=policy)

    gone_at = database_now()
    database.crash()
    pass_time(OUTAGE)
    database.start()

    wait_for(connects, "the database answers us again")
    back_at = database_now()
    on_time = Run.objects.filter(trigger="schedule", scheduled_for__gt=back_at, state="succeeded")
    wait_for(lambda: on_time.filter(name="all").count() > 2, "beat and worker go on")
    first_decision = Run.objects.filter(name="all", created_at__gt=back_at).earliest("created_at").created_at
    caught_up = Run.objects.filter(created_at=first_decision, trigger="catch_up")
    wait_until_over(caught_up)
    assert caught_up.filter(name="all", state="succeeded").count() >= (back_at - gone_at) / SECOND - LATE - 2
    [late] = Run.objects.filter(name="latest")
    assert (late.trigger, late.state) == ("catch_up", "succeeded")
    [left_out] = Run.objects.filter(name="skip")
    assert (left_out.state, left_out.reason) == ("skipped", "missed")
    # Its worker tries again to record it after 1, 2, 4, 8 and then 15 seconds.
    wait_for(lambda: not Run.objects.filter(pk=long.pk, state="running").exists(), "its result is recorded")
    ended = Run.objects.get(pk=long.pk)
    assert (ended.state, ended.attempt, ended.attempts.get().output.text) == ("succeeded", 1, "done\n")
    assert [process.poll() for process in started] == [None, None]
    assert findings() == []


def connects() -> bool:
    try:
        return bool(database_now())
    except OperationalError:
        connection.close()
        return False
