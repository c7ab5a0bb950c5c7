"""One command's talk with its runner, from the worker's side: handed over, cancelled, answered, or lost."""

import contextlib
import os
import signal
import socket
import threading
from datetime import timedelta
from typing import Any

from schedules.runner.messages import Command, Ending, Result, receive, send

# Longer than the runner itself waits for a start (`start.START_LIMIT_SECONDS`).
START_LIMIT = timedelta(seconds=30)
# What a runner may need beyond timeout and grace: to kill, to drain, on a busy machine.
ANSWER_ALLOWANCE = timedelta(seconds=60)
# A socket's timeout is counted in milliseconds in 31 bits, less than 25 days.
LONGEST_PATIENCE = timedelta(days=24)

_SILENT = "it said nothing for {}, and it is not known whether the command began"


class Cancel:
    """A request to end one run, made from any thread, at any time, any number of times.

    Before the run begins it prevents it; after the run has ended it does nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requested = False
        self._channel: socket.socket | None = None

    def set(self) -> None:
        with self._lock:
            self._requested = True
            self._tell()

    def is_set(self) -> bool:
        return self._requested

    def attach(self, channel: socket.socket) -> None:
        with self._lock:
            self._channel = channel
            if self._requested:
                self._tell()

    def detach(self) -> bool:
        """Let go of the channel; returns whether the runner may have been told to cancel."""
        with self._lock:
            self._channel = None
            return self._requested

    def _tell(self) -> None:
        if self._channel is not None:
            with contextlib.suppress(OSError):  # the run is over, or was told before
                self._channel.send(b"c", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


def converse(channel: socket.socket, command: Command, cancel: Cancel) -> tuple[Result, bool]:
    """Send the command and await its result; also returns whether the runner takes another."""
    try:
        answer = _ask(channel, command, cancel)
    except _LostError as lost:
        return Result(ending=Ending.RUNNER_LOST, error=f"The runner was lost: {lost}."), False
    finally:
        told = cancel.detach()
    # A request to cancel may still be on its way: it must not hit the runner's next command.
    return Result.from_message(answer["result"]), answer["again"] and not told


class _LostError(Exception):
    """The runner is gone, or says nothing although it must; the text says when."""


def _ask(channel: socket.socket, command: Command, cancel: Cancel) -> dict[str, Any]:
    """The runner's last word. Raises _LostError."""
    channel.settimeout(START_LIMIT.total_seconds())
    try:
        send(channel, command.to_message())
    except ConnectionError:
        raise _LostError("it ended before the command was handed over") from None
    cancel.attach(channel)
    answer, pid = _receive(channel, _SILENT.format(START_LIMIT)), None
    if answer is not None and "started" in answer:  # where it did not end at once
        pid = answer["started"]
        channel.settimeout(_patience(command))
        answer = _receive(channel, "it did not answer long after the time limit")
    if answer is None:
        _end_session(pid)
        raise _LostError("it and the process that starts runners ended during the run")
    return answer


def _receive(channel: socket.socket, otherwise: str) -> dict[str, Any] | None:
    try:
        return receive(channel)
    except TimeoutError:
        raise _LostError(otherwise) from None


def _end_session(pid: int | None) -> None:
    """The command whose two keepers are both gone: nobody else is left to end it."""
    if pid is not None:
        with contextlib.suppress(OSError):  # it is over, or another account's
            os.killpg(pid, signal.SIGKILL)


def _patience(command: Command) -> float | None:
    """Seconds after which a runner that owes an answer counts as lost; None means never."""
    if command.timeout is None:
        return None
    patience = command.timeout + command.kill_grace + ANSWER_ALLOWANCE
    return patience.total_seconds() if patience < LONGEST_PATIENCE else None
