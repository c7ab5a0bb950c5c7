"""The limits of a command: what the kernel is told, what the runner counts, and how an end by one reads.

The kernel counts memory, file size and processor time for each process; where the worker has control
groups of its own (`runner.cgroup`), memory for a run as a whole. The runner counts the processor time of
the whole tree. Called by `runner.start` and `runner.child`; the units are those of `Command`.
"""

import math
import os
import resource
import signal

from schedules.runner.messages import Command, Output

MIB = 1024 * 1024
# The kernel knows one process, the runner the tree: the runner comes first, unless it is held up.
KERNEL_SLACK_SECONDS = 5
# A look reads the whole of /proc. A tree may pass its limit by this long on each processor.
SHORTEST_LOOK_SECONDS = 0.5
_PROCESSORS = os.cpu_count() or 1

_MEMORY_COMPLAINTS = (
    *("memoryerror", "cannot allocate memory", "out of memory", "outofmemory", "memory exhausted"),
    *("bad_alloc", "cannot map zero-fill pages", "failed to map segment"),
)
# strerror(EFBIG), and what a shell says of a process that SIGXFSZ ended.
_FILE_COMPLAINTS = ("file too large", "file size limit exceeded")


def dump_no_core() -> None:
    """For this process and all below it: a crash is told by its signal. A command may raise it again."""
    _lower(resource.RLIMIT_CORE, 0, math.inf)


def impose(command: Command, *, memory_is_grouped: bool) -> None:
    """Limit this process, just forked to become the command, and with it all that it will start.

    Memory is limited by RLIMIT_DATA, what a process may write to alone. RLIMIT_AS counts addresses:
    node and java reserve gigabytes of those without use, and would not even start.
    """
    if command.memory_limit is not None and not memory_is_grouped:
        _lower(resource.RLIMIT_DATA, command.memory_limit * MIB)
    if command.file_size_limit is not None:
        _lower(resource.RLIMIT_FSIZE, command.file_size_limit * MIB)
    if command.cpu_limit is not None:
        seconds = command.cpu_limit + KERNEL_SLACK_SECONDS
        _lower(resource.RLIMIT_CPU, seconds, seconds + KERNEL_SLACK_SECONDS)


def _lower(which: int, soft: float, hard: float | None = None) -> None:
    """Set a limit; one that is lower already stays, because only root may raise it."""
    most: float = resource.getrlimit(which)[1]
    hard = min(soft if hard is None else hard, math.inf if most == resource.RLIM_INFINITY else most)
    numbers = (min(soft, hard), hard)
    soft_now, hard_now = (resource.RLIM_INFINITY if number == math.inf else int(number) for number in numbers)
    resource.setrlimit(which, (soft_now, hard_now))


class ProcessorTime:
    """When to look how much processor time a command has used, and whether that is all it may."""

    def __init__(self, limit: int | None) -> None:
        self._limit = math.inf if limit is None else limit
        self._used = 0.0

    @property
    def seconds_to_next_look(self) -> float:
        """The soonest that all processors together can use up what is left; infinite without a limit."""
        left = self._limit - self._used
        return max(SHORTEST_LOOK_SECONDS, left / _PROCESSORS)

    def is_used_up(self, used: float) -> bool:
        """`used` is that of the whole tree, in seconds."""
        self._used = used
        return used >= self._limit


def processor_time_is_up(command: Command) -> str:
    return f"Ended by its limit of {command.cpu_limit} s of processor time."


def memory_is_up(command: Command) -> str:
    return f"Ended by its limit of {command.memory_limit} MiB of memory."


def told_by_signal(command: Command, exit_code: int | None, signum: int | None) -> str:
    """The limit whose own signal ended the command; "" where there was none.

    A shell says 128 + n where signal n ended what it had started.
    """
    number = signum or (exit_code or 0) - 128
    if number == signal.SIGXCPU and command.cpu_limit is not None:
        return processor_time_is_up(command)
    if number == signal.SIGXFSZ and command.file_size_limit is not None:
        return f"Ended by its limit of {command.file_size_limit} MiB for a file."
    return ""


def told_by_output(command: Command, output: Output) -> tuple[str, ...]:
    """Remarks on a failed command that complained of what its limits refuse.

    No more than remarks: a refused allocation or write is an error like any other to the program, and
    the kernel tells nobody.
    """
    if command.memory_limit is None and command.file_size_limit is None:
        return ()
    text = "".join(chunk.text for chunk in (*output.head, *output.tail)).lower()
    notes = []
    if command.memory_limit is not None and any(words in text for words in _MEMORY_COMPLAINTS):
        notes.append(f"It complained of a lack of memory: its limit is {command.memory_limit} MiB.")
    if command.file_size_limit is not None and any(words in text for words in _FILE_COMPLAINTS):
        notes.append(f"It complained of the size of a file: its limit is {command.file_size_limit} MiB.")
    return tuple(notes)
