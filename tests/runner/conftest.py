"""A launcher per test, and ways to find the processes of a command. No database."""

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from schedules.runner.conversation import Cancel
from schedules.runner.launcher import Launcher
from schedules.runner.messages import Command, Result


class Marked:
    """Runs commands whose processes carry a mark in their environment, and finds them by it."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher = launcher
        self.mark = f"mark-{uuid.uuid4()}"

    def command(self, text: str, **options) -> Command:
        command = Command(text=text, **options)
        return replace(command, extra_environment=(("MARK", self.mark),))

    def run(self, text: str, cancel: Cancel | None = None, **options) -> Result:
        return self.launcher.run(self.command(text, **options), cancel=cancel)

    def alive(self) -> list[int]:
        return pids_with(self.mark)


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    with Launcher() as launcher:
        yield launcher


@pytest.fixture
def marked(launcher: Launcher) -> Marked:
    return Marked(launcher)


def pids_with(mark: str) -> list[int]:
    """Living processes with `mark` in their environment."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if mark.encode() in read(f"/proc/{pid}/environ")]


def read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:  # the process has ended
        return b""


def wait_until(condition: Callable[[], object], *, within: timedelta, what: str) -> None:
    give_up = time.monotonic() + within.total_seconds()
    while not condition():
        assert time.monotonic() < give_up, f"not within {within}: {what}"
        time.sleep(0.01)


def children_of(parent: int) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _parent_of(pid) == parent]


def zygote_of(worker: int) -> int:
    """The zygote of a process that has one; its name appears an instant after its start."""
    wait_until(lambda: _zygotes_of(worker), within=timedelta(seconds=60), what="a zygote")
    [zygote] = _zygotes_of(worker)
    return zygote


def state_of(pid: int) -> str:
    """The letter in /proc/PID/stat, "" where the process is gone."""
    return read(f"/proc/{pid}/stat").rpartition(b")")[2][1:2].decode()


def session_of(pid: int) -> int | None:
    stat = read(f"/proc/{pid}/stat")
    return int(stat.rpartition(b")")[2].split()[3]) if stat else None


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _zygotes_of(worker: int) -> list[int]:
    return [pid for pid in children_of(worker) if b"runner.zygote" in read(f"/proc/{pid}/cmdline")]


def _parent_of(pid: int) -> int | None:
    stat = read(f"/proc/{pid}/stat")
    return int(stat.rpartition(b")")[2].split()[1]) if stat else None
