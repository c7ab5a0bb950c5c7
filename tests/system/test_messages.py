"""Tasks of another codebase, executed by its own stock worker: sent, and followed where it tells of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from schedules.models import Run
from tests.factories import make_run, make_task_schedule
from tests.system.cluster import PATIENCE, ROOT, Cluster, wait_for

pytestmark = [pytest.mark.system, pytest.mark.django_db(transaction=True)]


class Shop:
    """The other codebase's worker."""

    def __init__(self, broker: str, directory: Path) -> None:
        self.broker, self.directory = broker, directory
        self.note = directory / "note"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        left_out = ("DJANGO_SETTINGS_MODULE", "DATABASE_URL", "CELERY_BROKER_URL")
        environment = {name: value for name, value in os.environ.items() if name not in left_out}
        command = [sys.executable, "-m", "celery", "-A", "tests.system.other_codebase", "worker"]
        log = self.directory / f"shop-{len(self._processes)}.log"
        process = subprocess.Popen(
            [*command, "-n", "shop@elsewhere", "-c", "1", "-P", "solo", "-l", "INFO", *options],
            cwd=ROOT,
            env=environment | {"SHOP_BROKER_URL": self.broker},
            stdout=log.open("wb"),
            stderr=subprocess.STDOUT,
        )
        self._processes.append(process)
        wait_for(lambda: b" ready." in log.read_bytes(), "the other codebase's worker is ready")
        return process

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(PATIENCE)


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request):
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def shop(broker, tmp_path):
    shop = Shop(broker, tmp_path)
    yield shop
    shop.close()


@pytest.fixture
def cluster(broker, tmp_path, shop):
    cluster = Cluster(broker, tmp_path)
    yield cluster
    cluster.close()
    print(cluster.logs())


def make_message(name: str, task: str, *args, **columns) -> Run:
    given = {"queue": "shop", "delivery": "message", "args": json.dumps(args)} | columns
    return make_run(make_task_schedule(name, task=task, **given))


def wait_for_state(run: Run, state: str) -> Run:
    wait_for(lambda: Run.objects.filter(pk=run.pk, state=state).exists(), f"{run.name} becomes {state}")
    return Run.objects.get(pk=run.pk)


def test_a_worker_that_sends_events_tells_how_its_tasks_end(cluster, shop):
    worker = shop.start("-E")
    good = make_message("good", "shop.note", str(shop.note), "hello", 0.5)
    bad = make_message("bad", "shop.fail")
    unknown = make_message("unknown", "shop.no_such_task")
    cluster.beat(), cluster.beat()

    good, bad = wait_for_state(good, "succeeded"), wait_for_state(bad, "failed")
    unknown = wait_for_state(unknown, "failed")

    done = good.attempts.get()
    assert shop.note.read_text() == f"hello {done.token} good\n"
    assert (done.outcome, done.worker_name, done.result) == ("succeeded", "shop@elsewhere", "5")
    assert 0.4 < done.duration.total_seconds() < 30
    failed = bad.attempts.get()
    assert (failed.outcome, failed.error_class) == ("failed", "KeyError")
    assert "no such customer" in failed.error
    assert "no such customer" in bad.detail
    assert "Traceback" in failed.traceback
    assert unknown.attempts.get().error_class == "NotRegistered"
    assert worker.poll() is None


def test_without_events_a_run_stays_sent(cluster, shop):
    shop.start()
    cluster.beat()
    run = make_message("quiet", "shop.note", str(shop.note), "hello")

    sent = wait_for_state(run, "sent")
    wait_for(shop.note.exists, "the other codebase executes the task")

    assert shop.note.read_text() == f"hello {sent.attempts.get().token} quiet\n"
    assert sent.attempts.get().outcome == "sent"
    assert Run.objects.get(pk=run.pk).state == "sent"


@pytest.mark.parametrize("broker", ["rabbitmq"], indirect=True)
def test_on_rabbitmq_a_message_that_no_queue_takes_waits_until_there_is_one(cluster, shop):
    cluster.beat()
    run = make_message("early", "shop.note", str(shop.note), "hello", queue="new")
    wait_for(lambda: "took no message" in Run.objects.get(pk=run.pk).detail, "the broker gives it back")
    assert Run.objects.get(pk=run.pk).state in ("pending", "queued")

    shop.start("-E", "-Q", "new")

    wait_for_state(run, "succeeded")
    assert len(shop.note.read_text().splitlines()) == 1


@pytest.mark.parametrize("broker", ["rabbitmq"], indirect=True)
def test_on_rabbitmq_an_exchange_that_is_not_there_stops_no_other_message(cluster, shop):
    shop.start("-E")
    nowhere = make_message("nowhere", "shop.fail", queue=None, exchange="no-such", routing_key="a.b")
    good = make_message("good", "shop.note", str(shop.note), "hello")
    cluster.beat()

    wait_for_state(good, "succeeded")

    wait_for(lambda: "no exchange" in Run.objects.get(pk=nowhere.pk).detail, "the reason is on the run")
    assert Run.objects.get(pk=nowhere.pk).state in ("pending", "queued")
