"""Real workers are asked whether they could run commands, over every broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from django.db import connection

from schedules.models import CommandCheck, Worker
from tests.factories import make_manual
from tests.system.cluster import PATIENCE, ROOT, Cluster, wait_for
from tests.system.test_brokers import BROKERS

pytestmark = [pytest.mark.system, pytest.mark.django_db(transaction=True)]


@pytest.fixture(params=BROKERS[connection.vendor])
def cluster(request, tmp_path):
    broker = (
        "filesystem://" if request.param == "filesystem" else request.getfixturevalue(f"{request.param}_url")
    )
    cluster = Cluster(broker, tmp_path)
    yield cluster
    cluster.close()
    print(cluster.logs())


def ask(cluster: Cluster, *arguments: str) -> tuple[dict, int]:
    """What the command prints, and its exit status."""
    command = [sys.executable, "manage.py", "check_commands", "--json", *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=cluster.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout), done.returncode


def test_workers_say_what_they_could_not_run(cluster, tmp_path):
    beat_log = cluster.directory / "0-beat.log"
    cluster.beat(), cluster.commands(), cluster.tasks()
    make_manual("fine", command="true")
    make_manual("path", command="ls", environment=[["PATH", "/nowhere"]])
    make_manual("script", command=f"cd {tmp_path} && sh ./missing.sh")
    make_manual("account", run_as="no-such-account")
    make_manual("elsewhere", queue="tasks", command="touch executed > /no/such/directory/x")

    found, status = ask(cluster)

    codes = {
        (each["schedule"], each["worker"]): [
            finding["code"] for finding in each["findings"] if finding["level"] == "error"
        ]
        for each in found["checks"]
    }
    assert codes == {
        ("fine", "commands@tests"): [],
        ("path", "commands@tests"): ["not_in_path"],
        ("script", "commands@tests"): ["missing"],
        ("account", "commands@tests"): ["account"],
        ("elsewhere", "tasks@tests"): ["output"],
    }
    assert (found["unserved"], found["unanswered"], status) == ([], [], 1)
    assert CommandCheck.objects.count() == 5
    assert "ERROR" not in beat_log.read_text()


def test_a_frozen_worker_is_named_with_its_schedules(cluster):
    # Longer than the command takes to start on a busy machine: until then the worker counts as alive.
    cluster.environment["BEATKEEPER_LEASE_SECONDS"] = "600"
    worker = cluster.commands()
    make_manual("job")
    assert ask(cluster)[1] == 0

    worker.send_signal(signal.SIGSTOP)
    found, status = ask(cluster, "--timeout", "1")

    expected = {"worker": "commands@tests", "reason": "no answer", "schedules": ["job"]}
    assert (found["unanswered"], status) == ([expected], 1)


def test_children_forked_after_a_check_work_on(cluster):
    """The parent of a prefork worker looked: it must not hand a connection to its next child."""
    cluster.tasks()
    make_manual("job", queue="tasks")
    for _ in range(3):
        assert ask(cluster)[1] == 0
    old = Worker.objects.alive().get()
    os.kill(old.pid, signal.SIGKILL)
    wait_for(lambda: Worker.objects.exclude(pk=old.pk).exists(), "another child registers")

    assert ask(cluster)[1] == 0
