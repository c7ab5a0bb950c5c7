"""`manage.py up`, started for real. Few starts, because each takes seconds: one test is one story."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.installation import MARKER, Installation, wait_for

pytestmark = pytest.mark.system


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with Installation(tmp_path) as made:
        yield made


def test_first_start_ctrl_c_second_start_and_the_end_by_sigkill(installation: Installation) -> None:
    installation.start()
    installation.wait_until_ready()
    first_lines = list(installation.lines)

    # The account of the first start is printed once, and everything answers.
    password = next(line for line in first_lines if line.startswith("password: ")).split()[1]
    assert "username: admin" in first_lines
    assert len(password) >= 12
    status, page = installation.get("")
    assert status == 200
    assert 'name="password"' in page
    health = installation.health()
    assert health["status"] == "ok"
    assert {row["queues"] for row in health["workers"]} == {"commands", "tasks"}
    assert health["beats"][0]["age_seconds"] < 60
    assert stat.S_IMODE(installation.state.stat().st_mode) == 0o700
    assert stat.S_IMODE((installation.state / "secret_key").stat().st_mode) == 0o600

    # A second one on the same directory is turned away, by name.
    second = installation.run("up", "--bind", "127.0.0.1:1")
    assert second.returncode == 1
    assert f"already runs on {installation.state} (pid " in second.stdout

    # `inspect ping` reaches workers and beat.
    ping = installation.run("shell", "-c", PING)
    assert re.findall(r"answers=(\d+)", ping.stdout) == ["3"], ping.stdout

    # A child that dies comes back.
    beat = health["beats"][0]["pid"]
    os.kill(beat, signal.SIGKILL)
    wait_for(
        lambda: any("SIGKILL); starts again" in line for line in installation.lines), installation.explain
    )

    # Ctrl-C ends everything.
    status, seconds = installation.stop()
    assert status == 0, installation.explain()
    assert seconds < 30  # 2 on an idle machine
    assert installation.pids() == []

    # The second start serves quickly and prints no password.
    installation.start()
    assert installation.wait_until_served() < 40  # 2 on an idle machine
    installation.wait_until_ready()
    assert not any(line.startswith("password:") for line in installation.lines)

    # Without the supervisor nothing stays.
    installation.signal(signal.SIGKILL)
    wait_for(lambda: installation.pids() == [], lambda: str(installation.pids()))


PING = (
    "from scheduler.celery import app\n"
    "print('answers=%d' % len(app.control.inspect(timeout=30, limit=3).ping() or {}))"
)


MAKE = (
    "from schedules import catalog; from schedules.models import Schedule\n"
    "catalog.save(Schedule(name='report', command='true', queue='big jobs'), by='tests')"
)


def test_a_queue_is_served_from_when_a_schedule_names_it(tmp_path: Path) -> None:
    """In the admin or elsewhere, while everything runs."""
    with Installation(tmp_path, BEATKEEPER_QUEUES="unused,big jobs") as installation:
        installation.start()
        installation.wait_until_ready()
        assert "big jobs" not in installation.explain()

        assert installation.run("shell", "-c", MAKE).returncode == 0
        done = installation.run("run_now", "report", "--wait")

        assert done.returncode == 0, done.stdout + installation.explain()
        assert 'A schedule names the queue "big jobs": queue-2' in "\n".join(installation.lines)
        assert "queue-1" not in "\n".join(installation.lines)
        assert installation.stop()[0] == 0
        assert installation.pids() == []


def test_a_port_in_use_is_one_clear_error(installation: Installation) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", installation.port))
        other.listen()

        found = installation.run("up", "--bind", f"127.0.0.1:{installation.port}")

    assert found.returncode == 1
    assert f"Port {installation.port} is in use" in found.stdout
    assert "Traceback" not in found.stdout
    assert installation.pids() == []


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"DATABASE_URL": "mysql://x/y"}, 'DATABASE_URL begins with "mysql:"'),
        ({"DATABASE_URL": "postgres://u:hidden@127.0.0.1:1/name"}, 'The database "name" on 127.0.0.1:1'),
        ({"CELERY_BROKER_URL": "amqp://u:hidden@127.0.0.1:1//"}, "does not answer"),
        ({"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}, "does not answer"),
        ({"CELERY_BROKER_URL": "kafka://h"}, 'CELERY_BROKER_URL begins with "kafka:"'),
        ({"BEATKEEPER_DEBUG": "maybe"}, 'BEATKEEPER_DEBUG is "maybe"'),
        ({"BEATKEEPER_TIME_ZONE": "Mars/Olympus"}, 'BEATKEEPER_TIME_ZONE is "Mars/Olympus"'),
    ],
    ids=["database URL", "database away", "RabbitMQ away", "Redis away", "broker", "flag", "zone"],
)
def test_a_wrong_environment_is_one_clear_sentence(
    installation: Installation, environment: dict[str, str], sentence: str
) -> None:
    found = installation.run("up", "--bind", f"127.0.0.1:{installation.port}", **environment)

    assert found.returncode == 1
    assert sentence in found.stdout
    assert "Traceback" not in found.stdout
    assert "hidden" not in found.stdout


def test_a_state_directory_that_cannot_be_made_is_one_clear_sentence(
    installation: Installation, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")

    found = installation.run("up", "--state", str(tmp_path / "file" / "state"))

    assert found.returncode == 1
    assert "--state DIR" in found.stdout
    assert "Traceback" not in found.stdout


def test_a_command_before_the_first_start_says_what_to_do(installation: Installation) -> None:
    found = installation.run("changepassword", "admin", "--no-color")

    assert found.returncode == 1
    assert "python3 manage.py migrate" in found.stdout
    assert "Traceback" not in found.stdout


def test_other_machines_are_not_let_in_with_the_defaults(installation: Installation) -> None:
    found = installation.run("up", "--bind", f"0.0.0.0:{installation.port}", BEATKEEPER_DEBUG="1")

    assert found.returncode == 1
    assert "can be reached from other machines" in found.stdout
    for step in ("BEATKEEPER_ALLOWED_HOSTS", "changepassword admin", "unset BEATKEEPER_DEBUG"):
        assert step in found.stdout
    assert "password:" not in found.stdout


def test_the_marker_finds_processes(installation: Installation) -> None:
    """Else "no process is left" above would prove nothing."""
    process = installation._popen("shell", "-c", "import time; print('up', flush=True); time.sleep(60)")

    wait_for(lambda: process.pid in installation.pids())

    assert f"{MARKER}={installation.mark}".encode() in Path(f"/proc/{process.pid}/environ").read_bytes()
