"""A real `manage.py up` for system tests: a state directory and a port of its own, an empty home.

Every process of it carries an unusual environment variable, by which the tests find what is left.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from scheduler.bootstrap import ROOT
from tests.services import free_port

MARKER = "BEATKEEPER_TEST_INSTALLATION"
READY = "Beatkeeper is ready: "
PATIENCE = 60.0
"""Seconds that a start may take on a busy machine; on an idle one it is 4."""


class Installation:
    """`start`, look, `stop`; as a context manager it kills what is left at the end."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory, self.port, self.mark = directory, free_port(), uuid4().hex
        self.environment = environment
        self.state = directory / "state"
        self.home = directory / "home"
        self.home.mkdir(exist_ok=True)
        self.lines: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self.started_at = 0.0

    def __enter__(self) -> Installation:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self.pids():
            _kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self, *options: str) -> None:
        """Starts `up`; `wait_until_ready` says when it is. Lines of earlier starts are forgotten."""
        self.started_at = time.monotonic()
        lines: list[str] = []
        self.lines = lines
        self.process = process = self._popen(
            "up", "--bind", f"127.0.0.1:{self.port}", "--state", str(self.state), *options
        )
        threading.Thread(target=_collect, args=(process, lines), daemon=True).start()

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Another command of the same installation, to its end."""
        process = self._popen(*arguments, BEATKEEPER_STATE=str(self.state), **environment)
        output, _ = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(arguments, process.returncode, output)

    def _popen(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                MARKER: self.mark,
                **self.environment,
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.home,
        )

    def wait_until_ready(self) -> float:
        """Seconds since `start`. Raises AssertionError with the output where it never comes."""
        wait_for(lambda: any(line.startswith(READY) for line in self.lines), self.explain)
        return time.monotonic() - self.started_at

    def wait_until_served(self) -> float:
        """Seconds from `start` to the first answered login page."""
        wait_for(lambda: self.get("admin/login/")[0] == 200, self.explain)
        return time.monotonic() - self.started_at

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; 0 where nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("healthz")[1])
        return found

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> tuple[int, float]:
        """Ctrl-C. Returns the exit status and how many seconds it took."""
        begun = time.monotonic()
        self.signal(signal.SIGINT)
        assert self.process is not None
        status = self.process.wait(timeout=PATIENCE)
        return status, time.monotonic() - begun

    def pids(self) -> list[int]:
        """Every living process that carries the mark, jobs and grandchildren included."""
        wanted = f"{MARKER}={self.mark}".encode()
        return [int(path.name) for path in Path("/proc").iterdir() if _carries(path, wanted)]

    def explain(self) -> str:
        return "\n".join(self.lines[-60:])


def _collect(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdout is not None
    lines.extend(line.rstrip("\n") for line in process.stdout)


def _carries(path: Path, wanted: bytes) -> bool:
    if not path.name.isdigit():
        return False
    try:
        return wanted in (path / "environ").read_bytes().split(b"\0")
    except OSError:  # gone meanwhile, or a zombie
        return False


def _kill(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_for(condition: Any, explain: Any = lambda: "", *, seconds: float = PATIENCE) -> None:
    """Looks ten times a second. Raises AssertionError with `explain()` when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.1)
