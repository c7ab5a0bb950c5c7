"""Runs one OS command to its end and says how it went: the worker's side of the runner.

A worker keeps one `Launcher`. It starts a small warm process (`runner.zygote`), which forks
runner processes (`runner.child`), one for each command at work; worker and runner talk over a
socket pair (`runner.messages`). What to run, and what to make of a result, is the matter of
`execute`.

Why a process beside each command: it adopts the whole tree, and ends it whatever becomes of us.
When the worker dies, even of SIGKILL, its runners end their commands; when a runner dies, the
zygote does; when the zygote dies, running commands go on under their runners and the next `run`
starts another zygote. Linux only.
"""

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType

from schedules.errors import RunnerError
from schedules.runner import conversation
from schedules.runner.conversation import Cancel, converse
from schedules.runner.messages import Command, Ending, Result, receive

# Each costs 2 MB and saves the next command a fork of the zygote: some always, more while they are used.
IDLE_RUNNERS = 4
IDLE_RUNNERS_WHEN_BUSY = 32
BUSY_SECONDS = 10.0
CLOSE_LIMIT = timedelta(seconds=5)

_NO_RUNNER = "No runner began within {}: is this machine overloaded?"
_PACKAGES = str(Path(__file__).resolve().parents[2])
# -I and -S keep the interpreter small and deaf to the worker's directory and PYTHON* variables.
_ZYGOTE = (
    "import sys; sys.path.append(sys.argv[1]);"
    "from schedules.runner.zygote import main; main(int(sys.argv[2]))"
)


@dataclass(frozen=True)
class _Zygote:
    process: subprocess.Popen[bytes]
    control: socket.socket


class Launcher:
    """Starts commands for one worker process; any number of threads may call `run` at once.

    Not to be shared across a fork: each worker process makes its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._zygote: _Zygote | None = None
        self._idle: list[tuple[socket.socket, float]] = []

    def __enter__(self) -> "Launcher":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the zygote now, so that the first command need not wait for it.

        Raises RunnerError if this machine cannot run commands.
        """
        self._refuse_after_fork()
        with self._lock:
            self._running_zygote()

    def prepare(self) -> None:
        """Have runners ready for the first commands. Raises RunnerError if this machine cannot run any."""
        for _ in range(IDLE_RUNNERS - len(self._idle)):
            self._keep(self._new_channel())

    def close(self) -> None:
        """Let the zygote end. Runs in progress go on; the zygote ends after the last of them."""
        with self._lock:
            zygote, self._zygote = self._zygote, None
            self._dismiss_idle()
        if zygote is not None:
            zygote.control.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                zygote.process.wait(CLOSE_LIMIT.total_seconds())

    def run(self, command: Command, *, cancel: Cancel | None = None) -> Result:
        """Run the command and wait for its end. Problems of any kind are told in the Result."""
        if cancel is not None and cancel.is_set():
            return Result(ending=Ending.CANCELLED, error="Cancelled before it began.")
        try:
            self._refuse_after_fork()
            channel = self._idle_channel() or self._new_channel()
        except RunnerError as error:
            return Result(ending=Ending.NOT_STARTED, error=str(error))
        again = False
        try:
            result, again = converse(channel, command, cancel or Cancel())
        finally:  # a runner whose channel is closed ends its command, or does not begin it
            if again:
                self._keep(channel)
            else:
                channel.close()
        return result

    def _refuse_after_fork(self) -> None:
        if self._owner != os.getpid():
            raise RunnerError("A Launcher cannot be used after a fork: make one in each process.")

    def _idle_channel(self) -> socket.socket | None:
        """A channel to a runner that waits for its next command, if there is one."""
        with self._lock:
            if not self._zygote_is_alive():  # who would kill what such a runner leaves behind?
                self._dismiss_idle()
            while self._idle:
                channel, _ = self._idle.pop()
                if not _is_readable(channel):
                    return channel
                channel.close()  # a runner that speaks unasked has died
        return None

    def _keep(self, channel: socket.socket) -> None:
        """The last to come is the first to go, so those not needed any more are at the beginning."""
        now = time.monotonic()
        with self._lock:
            if self._zygote is None:
                channel.close()
                return
            self._idle.append((channel, now))
            while len(self._idle) > IDLE_RUNNERS and (
                len(self._idle) > IDLE_RUNNERS_WHEN_BUSY or self._idle[0][1] < now - BUSY_SECONDS
            ):
                self._idle.pop(0)[0].close()

    def _dismiss_idle(self) -> None:
        while self._idle:
            self._idle.pop()[0].close()

    def _new_channel(self) -> socket.socket:
        """A channel to a new runner that has said it is ready; with a new zygote if need be.

        Until then no command has left our hands, so that trying again is safe. Raises RunnerError.
        """
        for _ in range(2):
            channel, zygote = self._order_runner()
            try:
                greeting = receive(channel)
            except TimeoutError:
                channel.close()
                self._discard(zygote)
                raise RunnerError(_NO_RUNNER.format(conversation.START_LIMIT)) from None
            if greeting is not None and "ready" in greeting:
                return channel
            channel.close()
            if greeting is not None:
                raise RunnerError(greeting["result"]["error"])
            self._discard(zygote)
        raise RunnerError("The process that starts runners died twice in a row: see the worker's log.")

    def _order_runner(self) -> tuple[socket.socket, _Zygote]:
        """Send one end of a channel to the zygote. If that is dying, the other end will tell."""
        ours, theirs = socket.socketpair()
        ours.settimeout(conversation.START_LIMIT.total_seconds())
        with theirs, self._lock:
            try:
                zygote = self._running_zygote()
            except RunnerError:
                ours.close()
                raise
            with contextlib.suppress(OSError):
                socket.send_fds(zygote.control, [b"r"], [theirs.fileno()])
        return ours, zygote

    def _running_zygote(self) -> _Zygote:
        if self._zygote is not None and not self._zygote_is_alive():
            self._zygote.control.close()
            self._zygote = None
        if self._zygote is None:
            self._zygote = _start_zygote()
        return self._zygote

    def _zygote_is_alive(self) -> bool:
        return self._zygote is not None and self._zygote.process.poll() is None

    def _discard(self, zygote: _Zygote) -> None:
        """Have the next command start another zygote; runs in progress do not need this one."""
        with self._lock:
            if self._zygote is zygote:
                self._zygote = None
        zygote.control.close()
        zygote.process.kill()
        zygote.process.wait()


def _start_zygote() -> _Zygote:
    if sys.platform != "linux":
        raise RunnerError("Commands run on Linux only: start the worker for commands there.")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(conversation.START_LIMIT.total_seconds())
    arguments = [sys.executable, "-I", "-S", "-c", _ZYGOTE, _PACKAGES, str(os.getpid())]
    try:
        with theirs:
            process = subprocess.Popen(
                arguments,
                stdin=theirs.fileno(),
                cwd="/",
                env=_bare_environment(),
                start_new_session=True,
            )
    except OSError as error:
        ours.close()
        raise RunnerError(f"The process that starts commands cannot be started: {error}.") from None
    return _Zygote(process, ours)


def _bare_environment() -> dict[str, str]:
    """Nothing of the worker's secrets; only what some builds of Python need to start at all."""
    return {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}


def _is_readable(channel: socket.socket) -> bool:
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    return bool(poll.poll(0))
