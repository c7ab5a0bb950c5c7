"""Real beats and workers on the test database, for the tests that stop, kill and restart them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connection

from schedules.models import Beat, Worker

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 60
"""Seconds after which something that has to happen counts as never happening."""

LEASE = 8
"""Seconds: short, so that a lost worker is noticed within a test, and longer than a busy machine halts it."""


class Cluster:
    """Processes of one installation. All carry a mark in their environment by which they are found again."""

    def __init__(self, broker: str, directory: Path) -> None:
        self.mark = f"BEATKEEPER_TEST_MARK={uuid.uuid4()}"
        self.directory = directory
        name, _, value = self.mark.partition("=")
        self.environment = os.environ | {
            name: value,
            "DATABASE_URL": database_url(),
            "CELERY_BROKER_URL": broker,
            "BEATKEEPER_STATE": str(directory / "state"),
            "BEATKEEPER_LEASE_SECONDS": str(LEASE),
            "BEATKEEPER_HEARTBEAT_SECONDS": "0.5",
            "BEATKEEPER_REDISPATCH_SECONDS": "3,3,5",
            "BEATKEEPER_TASK_MODULES": "tests.system.sample_tasks",
            "DJANGO_SETTINGS_MODULE": "scheduler.settings",
            "SECRET_KEY": "only-for-tests",
        }
        self._started: list[subprocess.Popen[bytes]] = []

    def beat(self, module: str = "celery") -> subprocess.Popen[bytes]:
        known = Beat.objects.count()
        process = self._start(module, "beat", "--pidfile=")
        if module == "celery":
            wait_for(lambda: Beat.objects.count() > known, "beat registers")
        return process

    def commands(self, name: str = "commands", *, slots: int = 4) -> subprocess.Popen[bytes]:
        return self._worker(name, "-Q", "commands", "-P", "threads", "-c", str(slots))

    def tasks(self, name: str = "tasks", *, pool: str = "prefork") -> subprocess.Popen[bytes]:
        return self._worker(name, "-Q", "tasks", "-P", pool, "-c", "1")

    def serving(self, queue: str) -> subprocess.Popen[bytes]:
        """A worker for tasks in a queue of its own, named after it."""
        return self._worker(queue, "-Q", queue, "-c", "1")

    def _worker(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        process = self._start(
            "celery", "worker", "-n", f"{name}@tests", "--without-gossip", "--without-mingle", *arguments
        )
        wait_for(lambda: Worker.objects.alive().filter(name=f"{name}@tests").exists(), f"{name} registers")
        return process

    def celery(self, *arguments: str) -> str:
        """A Celery command that ends by itself; its output."""
        done = self._done("-m", "celery", "-A", "scheduler", *arguments)
        return done.stdout + done.stderr

    def manage(self, *arguments: str) -> str:
        """A command of manage.py; what it prints on standard output."""
        return self._done("manage.py", *arguments).stdout

    def _done(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    @contextmanager
    def watching_events(self) -> Iterator[Path]:
        """The file that `celery events --dump` writes to, while it listens."""
        before = len(self._started)
        process = self._start("celery", "events", "--dump")
        path = self.directory / f"{before}-events.log"
        wait_for(lambda: "starting" in path.read_text(), "it listens")
        yield path
        process.terminate()
        process.wait(PATIENCE)

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self.directory / f"{len(self._started)}-{arguments[0]}.log").open("wb")
        command = [sys.executable, "-m", module, "-A", "scheduler", *arguments]
        process = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self._started:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)

    def processes(self) -> list[int]:
        """What carries the mark and is alive: our processes and their children."""
        return [pid for pid in _pids() if self.mark.encode() in _read(f"/proc/{pid}/environ")]

    def logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')}"
            for path in sorted(self.directory.glob("*.log"))
        )


def database_url() -> str:
    """The test database, as a process of its own has to be told."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    password = f":{values['PASSWORD']}" if values["PASSWORD"] else ""
    port = f":{values['PORT']}" if values["PORT"] else ""
    return f"postgres://{values['USER']}{password}@{values['HOST']}{port}/{values['NAME']}"


def running(text: str) -> list[int]:
    """Processes whose command line holds `text`, our own test process left out."""
    return [pid for pid in _pids() if pid != os.getpid() and text.encode() in _read(f"/proc/{pid}/cmdline")]


def wait_for(condition: Callable[[], Any], what: str, *, patience: float = PATIENCE) -> Any:
    """The first true value of `condition`; fails after `patience` seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"it never happened within {patience} s: {what}")


def _pids() -> Iterator[int]:
    return (int(entry) for entry in os.listdir("/proc") if entry.isdecimal())


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
