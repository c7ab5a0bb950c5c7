"""What a worker and a runner say to each other: a command goes out, a result comes back.

Values and their framing only; nothing here starts or watches a process. `runner` (in the worker),
`runner.zygote` and `runner.child` (outside it) share this module, so it needs no package.
"""

import json
import socket
import struct
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Literal

Stream = Literal["stdout", "stderr"]
Variables = tuple[tuple[str, str], ...]

_LENGTH = struct.Struct("!I")


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command line and everything that its process gets to see.

    `shell` is an absolute path and is given `-c text`. `stdin` None means /dev/null.
    `environment` holds the schedule's own lines, in order, on top of cron's defaults;
    `extra_environment` comes last. `working_directory` None means HOME, a relative one starts
    there. `run_as` None means the worker's own account. `timeout` None means no limit.
    `kill_grace` is the time between SIGTERM and SIGKILL.

    `kill_leftovers` says what happens to background processes that outlive the command by a
    second: True ends them, False leaves them running as cron does. After a timeout, a cancel
    or the worker's death the whole tree ends in either case.

    `memory_limit` and `file_size_limit` are MiB, `cpu_limit` is seconds of processor time of the whole
    tree; None means no limit. What each counts is the matter of `runner.limits`.
    """

    text: str
    shell: str = "/bin/sh"
    stdin: str | None = None
    environment: Variables = ()
    extra_environment: Variables = ()
    working_directory: str | None = None
    run_as: str | None = None
    timeout: timedelta | None = None
    kill_grace: timedelta = timedelta(seconds=10)
    kill_leftovers: bool = True
    memory_limit: int | None = None
    cpu_limit: int | None = None
    file_size_limit: int | None = None

    def to_message(self) -> dict[str, Any]:
        timeout = self.timeout.total_seconds() if self.timeout is not None else None
        return vars(self) | {"timeout": timeout, "kill_grace": self.kill_grace.total_seconds()}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "Command":
        timeout = message["timeout"]
        changed = {
            "environment": _variables(message["environment"]),
            "extra_environment": _variables(message["extra_environment"]),
            "timeout": timedelta(seconds=timeout) if timeout is not None else None,
            "kill_grace": timedelta(seconds=message["kill_grace"]),
        }
        return cls(**(message | changed))


class Ending(StrEnum):
    """Why a command is over."""

    EXITED = "exited"  # by itself, with an exit code
    SIGNALLED = "signalled"  # by a signal that the runner did not send
    TIMED_OUT = "timed_out"  # ended by the runner at its deadline
    CANCELLED = "cancelled"  # ended by the runner, or never begun, on request
    OVER_LIMIT = "over_limit"  # by the runner or the kernel, for a limit; `Result.error` says which
    NOT_STARTED = "not_started"  # nothing ran; `Result.error` says why
    RUNNER_LOST = "runner_lost"  # the runner died; how far the command came is unknown


@dataclass(frozen=True)
class Chunk:
    """Consecutive text of one stream; holds neither NUL nor lone surrogates."""

    stream: Stream
    text: str


@dataclass(frozen=True)
class Output:
    """The kept output in arrival order: its first part and, if more came, its last part.

    Without dropped bytes, head and tail are one text. `bytes_seen` counts what the command
    wrote, `bytes_dropped` what lies between head and tail.
    """

    head: tuple[Chunk, ...] = ()
    tail: tuple[Chunk, ...] = ()
    bytes_seen: int = 0
    bytes_dropped: int = 0

    def to_message(self) -> dict[str, Any]:
        """Without `asdict`, whose copies took longer than the start of the command."""
        return vars(self) | {part: [vars(chunk) for chunk in getattr(self, part)] for part in _PARTS}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "Output":
        chunks = {part: tuple(Chunk(**chunk) for chunk in message[part]) for part in _PARTS}
        return cls(**(message | chunks))


_PARTS = ("head", "tail")


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a command went.

    `exit_code` or `signal` is that of the command's first process; both are None where it never
    ran or was lost. `error` explains a failure in a sentence ("" if there is nothing to explain),
    `notes` are remarks that are no failure. `duration` is the time until nothing was left of the
    command, background processes that had to be ended included. `cpu_seconds` sums the tree.
    `peak_memory_bytes` is the largest single process; it is never below the runner's own 12 MB or
    so, because the kernel counts the moment before exec. `leftovers` counts the background
    processes that outlived the command.
    """

    ending: Ending
    exit_code: int | None = None
    signal: int | None = None
    error: str = ""
    notes: tuple[str, ...] = ()
    pid: int | None = None
    duration: timedelta | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    leftovers: int = 0
    output: Output = field(default_factory=Output)

    @property
    def succeeded(self) -> bool:
        return self.ending is Ending.EXITED and self.exit_code == 0

    def to_message(self) -> dict[str, Any]:
        duration = self.duration.total_seconds() if self.duration is not None else None
        return vars(self) | {"duration": duration, "output": self.output.to_message()}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "Result":
        duration = message["duration"]
        changed = {
            "ending": Ending(message["ending"]),
            "notes": tuple(message["notes"]),
            "duration": timedelta(seconds=duration) if duration is not None else None,
            "output": Output.from_message(message["output"]),
        }
        return cls(**(message | changed))


def send(channel: socket.socket, message: dict[str, Any]) -> None:
    """Send one message: its length in four bytes, then JSON. Raises OSError if nobody listens."""
    body = json.dumps(message).encode("ascii")
    channel.sendall(_LENGTH.pack(len(body)) + body)


def receive(channel: socket.socket) -> dict[str, Any] | None:
    """The next message, or None where the other side has closed or died."""
    prefix = _receive_exactly(channel, _LENGTH.size)
    body = prefix and _receive_exactly(channel, _LENGTH.unpack(prefix)[0])
    message: dict[str, Any] | None = json.loads(body) if body else None
    return message


def _receive_exactly(channel: socket.socket, size: int) -> bytes | None:
    received = bytearray()
    while len(received) < size:
        try:
            piece = channel.recv(min(size - len(received), 1 << 18))
        except ConnectionResetError:
            return None
        if not piece:
            return None
        received += piece
    return bytes(received)


def _variables(pairs: list[list[str]]) -> Variables:
    return tuple((name, value) for name, value in pairs)
