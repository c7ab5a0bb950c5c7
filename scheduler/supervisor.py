"""Keeps a set of child processes running: prefixed lines, restart with back-off, one clean end.

Knows nothing of Beatkeeper; `scheduler.up` says which children there are. Children that end when
this process is killed are `scheduler.child`'s work.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import TextIO

# Seconds between a crash and the next start: doubled each time, forgotten after a good while.
FIRST_PAUSE, LONGEST_PAUSE, GOOD_WHILE = 0.5, 30.0, 60.0
# Seconds from SIGTERM to SIGKILL. With what comes before and after, Ctrl-C is done within 10.
STOP_GRACE = 7.5
# Wrappers such as `timeout` pass one Ctrl-C on twice within milliseconds.
ONE_KEYSTROKE = 0.5
# A thread waits for each; they are only made when they are needed.
MOST_ROLES = 50
# A line longer than this is shown in pieces.
LINE_LIMIT = 64 * 1024
COLOURS = (36, 35, 32, 33, 34)


@dataclass(frozen=True)
class Role:
    """One child: the command, what it adds to the environment, the descriptors that it inherits."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    descriptors: Sequence[int] = ()


@dataclass
class Console:
    """Where the children's lines go: time, role, line; in colours on a terminal unless NO_COLOR is set."""

    names: Sequence[str]
    stream: TextIO = field(default_factory=lambda: sys.stdout)

    def __post_init__(self) -> None:
        self.width = max(len(name) for name in self.names)
        self._lock = threading.Lock()
        self.coloured = self.stream.isatty() and not os.environ.get("NO_COLOR")

    def line(self, name: str, text: str) -> None:
        prefix = f"{datetime.now():%H:%M:%S} {name:<{self.width}} |"  # noqa: DTZ005  # the reader's clock
        if self.coloured:
            colour = COLOURS[self.names.index(name) % len(COLOURS)] if name in self.names else 1
            prefix = f"\033[{colour}m{prefix}\033[0m"
        self.say(f"{prefix} {text}")

    def say(self, text: str) -> None:
        # A reader that has gone away (`up | head`) must not take the children down unheard.
        with self._lock, suppress(BrokenPipeError, ValueError):
            print(text, file=self.stream, flush=True)


class Supervisor:
    def __init__(self, roles: Sequence[Role], console: Console, *, stop_grace: float | None = None) -> None:
        """`stop_grace`: seconds from SIGTERM to SIGKILL; None is STOP_GRACE."""
        self.roles = roles
        self.stop_grace = STOP_GRACE if stop_grace is None else stop_grace
        self.console = console
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = asyncio.Event()
        self._stopped_at = 0.0
        self._keepers: list[asyncio.Task[None]] = []
        # Never written to. Its reading end is every child's standard input.
        self._lifeline, self._held = os.pipe()

    def pid(self, name: str) -> int | None:
        process = self.running.get(name)
        return process.pid if process else None

    async def run(self, when_started: Callable[[], Awaitable[None]]) -> None:
        """Returns after SIGINT, SIGTERM or SIGHUP, when every child is gone."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(2 * MOST_ROLES))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._signalled)
        for role in self.roles:
            self.add(role)
        watcher = asyncio.ensure_future(when_started())
        watcher.add_done_callback(self._watched)
        await self._stopping.wait()
        watcher.cancel()
        await self._end()

    def add(self, role: Role) -> None:
        """Keeps one more child running. From a coroutine of the same loop; at most MOST_ROLES in all."""
        if not self._stopping.is_set():
            self._keepers.append(asyncio.create_task(self._keep(role)))

    def _signalled(self) -> None:
        if not self._stopping.is_set():
            self.console.say("Stopping. Press Ctrl-C again to kill at once.")
            self._stopped_at = monotonic()
            self._stopping.set()
        elif monotonic() - self._stopped_at > ONE_KEYSTROKE:
            self.console.say("Killing what is left.")
            self._signal_groups(signal.SIGKILL)

    def _watched(self, watcher: asyncio.Future[None]) -> None:
        if not watcher.cancelled() and (error := watcher.exception()):
            self.console.say(f"The children are no longer watched, and go on: {error}")

    async def _keep(self, role: Role) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            started = monotonic()
            status = await self._run_once(role)
            if self._stopping.is_set():
                self.console.line(role.name, "ended")
                return
            if monotonic() - started > GOOD_WHILE:
                pause = FIRST_PAUSE
            self.console.line(role.name, f"ended ({describe(status)}); starts again in {pause:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _run_once(self, role: Role) -> int:
        process = subprocess.Popen(
            role.command,
            stdin=self._lifeline,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **role.environment},
            pass_fds=role.descriptors,
            start_new_session=True,  # Ctrl-C reaches the supervisor only
        )
        self.running[role.name] = process
        lines = threading.Thread(target=self._copy_lines, args=(role.name, process), daemon=True)
        lines.start()
        # In a thread: asyncio's own wait() goes on while a grandchild holds the output open.
        status = await asyncio.to_thread(process.wait)
        del self.running[role.name]
        # What a crashed prefork worker leaves behind would go on beside its successor.
        _signal_group(process.pid, signal.SIGKILL)
        await asyncio.to_thread(lines.join, 1)
        return status

    def _copy_lines(self, name: str, process: subprocess.Popen[bytes]) -> None:
        output = process.stdout
        assert output is not None
        for line in iter(lambda: output.readline(LINE_LIMIT), b""):
            text = line.decode(errors="replace").rstrip()
            if text:
                self.console.line(name, text)

    async def _end(self) -> None:
        for process in self.running.values():
            process.terminate()
        _, left = await asyncio.wait(self._keepers, timeout=self.stop_grace)
        if left:
            names = ", ".join(self.running)
            self.console.say(f"Still there after {self.stop_grace:g} s, killed: {names}")
            self._signal_groups(signal.SIGKILL)
            await asyncio.wait(left, timeout=2)

    def _signal_groups(self, number: signal.Signals) -> None:
        for process in [*self.running.values()]:
            _signal_group(process.pid, number)


def _signal_group(leader: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def describe(status: int) -> str:
    """An exit status as `subprocess` gives it, in words: negative where a signal ended the process."""
    if status >= 0:
        return f"exit status {status}"
    with suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"
