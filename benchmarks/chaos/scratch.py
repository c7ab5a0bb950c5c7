"""The directory, the clock and the processes of one run: what every other module needs of the machine.

Host time here is CLOCK_BOOTTIME, which jobs read as cheaply as shell scripts can, from /proc/uptime,
and which no step of the wall clock moves.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "BEATKEEPER_CHAOS_MARK"
"""In the environment of every process that the run starts, and so of those that they start in turn."""


def host_time() -> float:
    """Seconds since boot, as jobs write them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Scratch:
    """A directory that other accounts may pass through, with small file systems mounted in it as root."""

    def __init__(self, keep: bool = False) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="beatkeeper-chaos-"))
        self.root.chmod(0o711)
        self.mark = self.root.name
        self._keep = keep
        self._mounts: list[Path] = []
        self._worth_keeping: list[Path] = []

    def directory(self, name: str, mode: int = 0o755) -> Path:
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        return path

    def small(self, name: str, megabytes: int, mode: int = 0o755, *, is_worth_keeping: bool = False) -> Path:
        """A directory that can be filled up without harm to others; only root gets a real limit.

        What it holds goes with it, unless it is worth keeping, and the run is kept.
        """
        path = self.directory(name, mode)
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode={mode:o}", "tmpfs", str(path)]
        if os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0:
            self._mounts.append(path)
            self._worth_keeping += [path] if is_worth_keeping and self._keep else []
        return path

    def is_limited(self, path: Path) -> bool:
        return path in self._mounts

    def close(self) -> None:
        for path in self._mounts:
            copy = path.with_name(f"{path.name}.kept")
            if path in self._worth_keeping:
                shutil.copytree(path, copy)
            subprocess.run(["umount", "-l", str(path)], capture_output=True, check=False)
            if copy.exists():
                shutil.copytree(copy, path, dirs_exist_ok=True)
                shutil.rmtree(copy)
        if not self._keep:
            shutil.rmtree(self.root, ignore_errors=True)

    def marked(self) -> list[int]:
        """Living processes of the product that this run started."""
        mark = f"{MARK}={self.mark}".encode()
        return [pid for pid in pids() if mark in read(f"/proc/{pid}/environ") and is_alive(pid)]

    def job_processes(self, directory: Path) -> list[int]:
        """Living processes that work in `directory`: those of jobs, their background ones included."""
        return [pid for pid in pids() if _works_in(pid, directory) and is_alive(pid)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pids() -> Iterator[int]:
    return (int(entry) for entry in os.listdir("/proc") if entry.isdecimal())


def read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def is_alive(pid: int) -> bool:
    """There, and no zombie."""
    status = read(f"/proc/{pid}/stat").rpartition(b") ")[2]
    return bool(status) and not status.startswith((b"Z", b"X"))


def children_of(pid: int) -> list[int]:
    text = b" ".join(read(f"/proc/{pid}/task/{task}/children") for task in _tasks(pid))
    return [int(word) for word in text.split()]


def send(pid: int, number: signal.Signals) -> bool:
    """False: it is gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def end(process: subprocess.Popen[bytes], number: signal.Signals, patience: float) -> bool:
    """Signals and waits. False: it had to be killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


def _tasks(pid: int) -> list[str]:
    with suppress(OSError):
        return os.listdir(f"/proc/{pid}/task")
    return []


def _works_in(pid: int, directory: Path) -> bool:
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")) == directory
    except OSError:
        return False
