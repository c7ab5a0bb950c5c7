"""A new process by posix_spawn: a third of the time of a fork, whose copy of this process it does without.

It is given what `posix_spawn` can give: streams, a session, signals. Whatever takes more, such as another
account, is forked: `runner.start`, the only caller, decides. The parent waits in the call until the new
program is there; directory, mask and preference for the out-of-memory killer are the parent's at that moment.
"""

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# Those that the runner ignores or handles, and those that Python ignores from its start.
_RESET = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGCHLD", "SIGPIPE", "SIGXFSZ")
)


@dataclass(frozen=True)
class Spawned:
    """The process and our ends of its streams; `stdin` is None where it reads /dev/null."""

    pid: int
    stdin: int | None
    stdout: int
    stderr: int


def spawn(
    arguments: tuple[bytes, ...],
    environment: Mapping[bytes, bytes],
    *,
    has_input: bool,
    preference: bytes | None,
) -> Spawned:
    """Start `arguments[0]` in a session of its own. Raises OSError, and leaves nothing open.

    `preference` is its /proc/PID/oom_score_adj, None for ours.
    """
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
        stdin = None
        if has_input:
            stdin_theirs, stdin = _pipe(theirs, ours)
        else:
            stdin_theirs = os.open("/dev/null", os.O_RDONLY)
            theirs.callback(os.close, stdin_theirs)
        stdout_theirs, stdout = reversed(_pipe(ours, theirs))
        stderr_theirs, stderr = reversed(_pipe(ours, theirs))
        streams = enumerate((stdin_theirs, stdout_theirs, stderr_theirs))
        with _preferred(preference):
            pid = os.posix_spawn(
                arguments[0],
                arguments,
                environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, descriptor, target) for target, descriptor in streams],
                setsid=True,
                setsigdef=_RESET,
                setsigmask=(),
            )
        ours.pop_all()
        return Spawned(pid, stdin, stdout, stderr)


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe whose ends are closed with the stack of whoever has them."""
    readable, writable = os.pipe()
    reader.callback(os.close, readable)
    writer.callback(os.close, writable)
    return readable, writable


@contextlib.contextmanager
def _preferred(preference: bytes | None) -> Iterator[None]:
    """This process has `preference` meanwhile: a child begins with its parent's, and has no gap without."""
    descriptor = None
    if preference is not None:
        with contextlib.suppress(OSError):  # a container may forbid it; the command runs just as well
            descriptor = os.open("/proc/self/oom_score_adj", os.O_RDWR)
    if descriptor is None or preference is None:
        yield
        return
    own = os.pread(descriptor, 16, 0).strip()
    try:
        if int(own) < int(preference):  # a pod may be better prey already, and may not be made worse
            with contextlib.suppress(OSError):
                os.write(descriptor, preference)
        yield
    finally:
        with contextlib.suppress(OSError):
            os.write(descriptor, own)
        os.close(descriptor)
