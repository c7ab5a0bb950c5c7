"""All that can happen to a running command, gathered in one poll: the runner's ears.

Keeps the output flowing, feeds stdin, reaps every process that ends, hears the worker and notices
its death. What follows from it is decided by `runner.child`, the only caller.
"""

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from schedules.runner.messages import Stream
from schedules.runner.output import Capture
from schedules.runner.start import Started

READ_SIZE = 64 * 1024
# poll(2) counts milliseconds in 31 bits, less than 25 days.
LONGEST_POLL_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Surroundings:
    """What a runner has all its life: its worker, its zygote and word of its children.

    `channel` leads to the worker. `worker` is a pidfd, or None where the kernel has none: a
    second way to notice its death, in case another process holds the channel open. `wakeups`
    becomes readable when a child ends. `release` takes the pid of a runner that asks `zygote`,
    its parent, for release. `groups` is where control groups can be made (`runner.cgroup`), or None.
    """

    channel: socket.socket
    worker: int | None
    wakeups: int
    release: int
    zygote: int
    groups: str | None = None


class Watch:
    """What is known of one command; `wait` brings it up to date.

    `status` is the wait status of the first process once it has ended. `is_childless` says that
    no process is left below the runner, adopted ones included. `cpu_seconds` and
    `peak_memory_bytes` are those of all processes that have ended so far.
    """

    def __init__(self, around: Surroundings) -> None:
        self.status: int | None = None
        self.is_childless = False
        self.is_cancelled = False
        self.worker_is_gone = False
        self.streams: set[int] = set()
        self.capture = Capture()
        self.cpu_seconds = 0.0
        self.peak_memory_bytes = 0
        self._around = around
        self._main: int | None = None
        self._unwritten = b""
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._listen()

    @property
    def is_disturbed(self) -> bool:
        """Whether there is a reason from outside to end the command."""
        return self.is_cancelled or self.worker_is_gone

    @property
    def has_open_pipes(self) -> bool:
        lasting = {self._around.channel.fileno(), self._around.worker, self._around.wakeups}
        return not lasting.issuperset(self._handlers)

    def follow(self, started: Started, stdin: str | None) -> None:
        """Begin to watch a command, and to write `stdin` to it."""
        self._main = started.pid
        self._on(self._around.wakeups, select.POLLIN, self._wake_up)
        self._on_stream(started.stdout, "stdout")
        self._on_stream(started.stderr, "stderr")
        if started.stdin is not None:
            self._feed(started.stdin, stdin or "")

    def wait(self, seconds: float | None, *, until: Callable[[], bool]) -> None:
        """Handle what happens until `until()` holds, at most `seconds` long; None is no limit."""
        give_up = None if seconds is None else time.monotonic() + seconds
        while not until():
            remaining = LONGEST_POLL_SECONDS if give_up is None else give_up - time.monotonic()
            if remaining <= 0:
                return
            self._handle(self._poll.poll(min(remaining, LONGEST_POLL_SECONDS) * 1000))

    def reap(self) -> None:
        """Wait for all children that have ended, adopted ones too."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self.is_childless = True
                return
            if pid == 0:
                return
            self.cpu_seconds += usage.ru_utime + usage.ru_stime
            self.peak_memory_bytes = max(self.peak_memory_bytes, usage.ru_maxrss * 1024)
            if pid == self._main:
                self.status = status

    def _handle(self, ready: list[tuple[int, int]]) -> None:
        for descriptor, _ in ready:
            if handler := self._handlers.get(descriptor):  # an earlier one may have removed it
                handler()

    def _on(self, descriptor: int, events: int, handler: Callable[[], None]) -> None:
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, events)

    def _forget(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        del self._handlers[descriptor]

    def _listen(self) -> None:
        self._on(self._around.channel.fileno(), select.POLLIN, self._hear_worker)
        if self._around.worker is not None:
            self._on(self._around.worker, select.POLLIN, self._lose_worker)
        self._handle(self._poll.poll(0))

    def _hear_worker(self) -> None:
        try:
            heard = self._around.channel.recv(64, socket.MSG_DONTWAIT)
        except OSError:
            heard = b""
        if heard:
            self.is_cancelled = True
        else:
            self._lose_worker()

    def _lose_worker(self) -> None:
        self.worker_is_gone = True
        self._forget(self._around.channel.fileno())
        if self._around.worker is not None:
            self._forget(self._around.worker)

    def _on_stream(self, descriptor: int, stream: Stream) -> None:
        self.streams.add(descriptor)
        self._on(descriptor, select.POLLIN, lambda: self._drain(descriptor, stream))

    def _drain(self, descriptor: int, stream: Stream) -> None:
        data = os.read(descriptor, READ_SIZE)
        if data:
            self.capture.feed(stream, data)
            return
        self.streams.discard(descriptor)
        self._forget(descriptor)
        os.close(descriptor)

    def _feed(self, descriptor: int, text: str) -> None:
        os.set_blocking(descriptor, False)
        self._unwritten = text.encode("utf-8", "surrogateescape")
        self._on(descriptor, select.POLLOUT, lambda: self._write_on(descriptor))

    def _write_on(self, descriptor: int) -> None:
        try:
            written = os.write(descriptor, self._unwritten[:READ_SIZE])
        except BlockingIOError:
            return
        except BrokenPipeError:  # it does not want to read: its right
            written = len(self._unwritten)
        self._unwritten = self._unwritten[written:]
        if not self._unwritten:
            self._forget(descriptor)
            os.close(descriptor)

    def _wake_up(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._around.wakeups, 4096)
        self.reap()
