"""The product under test: beats and workers from this tree, started again whenever one of them dies.

Each role has its own way to the database and to the broker, through proxies of its own. What may be
hit (a worker's children, zygotes and runners) is found by parentage, never by name alone.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.chaos.scratch import MARK, Scratch, children_of, end, is_alive, read

ROOT = Path(__file__).parent.parent.parent
STOPS_WITHIN = 45
"""Seconds that a worker may take to stop after SIGTERM: its drain, and the grace of its commands."""

BEAT = ("beat", "--pidfile=")
LEAN = ("--without-gossip", "--without-mingle")


@dataclass
class Member:
    """One beat or worker, whichever process stands for it just now."""

    name: str
    role: str  # "beats" or "workers"
    arguments: tuple[str, ...]
    pool: str = ""
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    is_held: bool = False
    """Not to be started again: somebody restarts it in order."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.process.poll() is None else None


def beat(name: str) -> Member:
    return Member(name, "beats", (*BEAT, "-n", f"{name}@chaos"))


def threads(name: str, concurrency: int) -> Member:
    arguments = ("worker", "-n", f"{name}@chaos", "-Q", "commands", "-P", "threads", "-c", str(concurrency))
    return Member(name, "workers", (*arguments, *LEAN), "threads")


def prefork(name: str, concurrency: int) -> Member:
    arguments = ("worker", "-n", f"{name}@chaos", "-Q", "tasks", "-P", "prefork", "-c", str(concurrency))
    return Member(name, "workers", (*arguments, *LEAN), "prefork")


class Cluster:
    def __init__(
        self,
        scratch: Scratch,
        logs: Path,
        members: list[Member],
        environments: dict[str, dict[str, str]],
        *,
        seed: int,
    ) -> None:
        """`environments` by role: the addresses of its database and broker, and the compressed times."""
        self.members = members
        self.complaints: list[str] = []
        """What the processes did that they must not do, such as not to stop when told to."""
        self.peaks: Counter[str] = Counter()
        """The most memory that a process was seen to have, in MiB, by what it is."""
        self._scratch, self._random = scratch, random.Random(seed)
        self._environments = {
            role: os.environ | given | {MARK: scratch.mark} for role, given in environments.items()
        }
        self._logs = logs
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._keep_alive, name="cluster", daemon=True)

    @property
    def beats(self) -> list[Member]:
        return [member for member in self.members if member.role == "beats"]

    @property
    def workers(self) -> list[Member]:
        return [member for member in self.members if member.role == "workers"]

    @property
    def starts(self) -> int:
        return sum(member.starts for member in self.members)

    def start(self) -> None:
        for member in self.members:
            self._start(member)
        self._watch.start()

    def restart(self, member: Member) -> None:
        """As a deployment does it: told to stop, waited for, started again."""
        with member.lock:
            member.is_held = True
        self._stop(member)
        self._start(member)
        with member.lock:
            member.is_held = False

    def stop(self) -> None:
        """Workers before beats, so that what they give back is on record."""
        self._stopping.set()
        if self._watch.is_alive():
            self._watch.join(timeout=30)
        for group in (self.workers, self.beats):
            stoppers = [threading.Thread(target=self._stop, args=(member,)) for member in group]
            for stopper in stoppers:
                stopper.start()
            for stopper in stoppers:
                stopper.join()

    def kill_leftovers(self) -> list[str]:
        """What is alive although its whole installation was stopped; each as its command line."""
        left = self._scratch.marked()
        found = [f"{pid}: {read(f'/proc/{pid}/cmdline').replace(bytes(1), b' ').decode()}" for pid in left]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        return found

    def children(self, member: Member) -> list[int]:
        """The processes of a prefork worker that execute tasks."""
        return [pid for pid in _children(member) if not _is_zygote(pid)]

    def zygotes(self) -> list[int]:
        """The processes that fork runners, of all threads workers."""
        workers = [member for member in self.workers if member.pool == "threads"]
        return [pid for member in workers for pid in _children(member) if _is_zygote(pid)]

    def runners(self) -> list[int]:
        """The processes that watch over one command each."""
        return [pid for zygote in self.zygotes() for pid in children_of(zygote) if _is_zygote(pid)]

    def executing(self, member: Member) -> frozenset[int]:
        """The processes whose rows are in the table of workers."""
        if member.pid is None:
            return frozenset()
        return frozenset(self.children(member)) if member.pool == "prefork" else frozenset({member.pid})

    def _start(self, member: Member) -> None:
        with member.lock:
            member.starts += 1
            log = self._logs / f"{member.name}.log"
            command = [sys.executable, "-m", "celery", "-A", "scheduler", *member.arguments]
            with log.open("ab") as file:
                member.process = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=self._environments[member.role],
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )

    def _stop(self, member: Member) -> None:
        process: Any = member.process
        if process is None:
            return
        began = time.monotonic()
        if not end(process, signal.SIGTERM, STOPS_WITHIN):
            self.complaints.append(
                f"{member.name} (pid {process.pid}) did not stop within {STOPS_WITHIN} s of SIGTERM"
            )
        elif process.returncode not in (0, -signal.SIGKILL, -signal.SIGTERM):
            took = time.monotonic() - began
            self.complaints.append(
                f"{member.name} (pid {process.pid}) stopped with {process.returncode} after {took:.0f} s"
            )

    def _weigh(self) -> None:
        for member in self.members:
            what = member.role.rstrip("s") if not member.pool else f"{member.pool} worker"
            for pid in filter(None, [member.pid, *_children(member)]):
                whose = "zygote" if _is_zygote(pid) else what
                self.peaks[whose] = max(self.peaks[whose], _peak(pid))

    def _keep_alive(self) -> None:
        """Whatever died is started again after half a second to three, as a supervisor does."""
        due: dict[str, float] = {}
        for turn in count():
            if self._stopping.wait(0.1):
                return
            if turn % 20 == 0:
                self._weigh()
            for member in self.members:
                if member.is_held or member.pid is not None:
                    due.pop(member.name, None)
                elif member.name not in due:
                    due[member.name] = time.monotonic() + self._random.uniform(0.5, 3)
                elif time.monotonic() >= due[member.name]:
                    self._start(member)


def _peak(pid: int) -> int:
    """MiB, since the process began."""
    found = re.search(rb"^VmHWM:\s+(\d+) kB", read(f"/proc/{pid}/status"), re.MULTILINE)
    return int(found[1]) >> 10 if found else 0


def _children(member: Member) -> list[int]:
    return [] if member.pid is None else [pid for pid in children_of(member.pid) if is_alive(pid)]


def _is_zygote(pid: int) -> bool:
    """A zygote or a runner: a runner is its fork, and has its command line."""
    return b"runner.zygote" in read(f"/proc/{pid}/cmdline")
