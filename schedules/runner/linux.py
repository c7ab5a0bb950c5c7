"""The few Linux calls of the runner that the standard library lacks or may find missing.

No policy lives here. Called by `runner.zygote`, `runner.child` and `runner.start`.
"""

import contextlib
import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)

# Signals that reach a whole service or terminal at once. Zygote and runners outlive them: the
# worker's end is theirs, and until then they have a result to bring home.
_OUTLIVED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_OURS = (*_OUTLIVED, signal.SIGPIPE, signal.SIGCHLD)


def adopt_orphans(adopt: bool) -> None:
    """Make this process the parent of its orphaned descendants, or no longer (a subreaper)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, int(adopt))


def die_with_parent() -> None:
    """Have the kernel send SIGKILL to this process when its parent ends.

    A change of account clears this, so it comes after that.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def open_pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None before Linux 5.3."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def own_signals() -> None:
    """Forget what the worker did to signals, and ignore those that are not for this process."""
    for signum in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError):  # some real-time signals belong to the C library
            signal.signal(signum, signal.SIG_DFL)
    for signum in (*_OUTLIVED, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def default_signals() -> None:
    """Undo `own_signals` and `child_wakeups`: every signal as a new process expects it."""
    signal.set_wakeup_fd(-1)
    for signum in _OURS:
        signal.signal(signum, signal.SIG_DFL)


def child_wakeups() -> int:
    """A descriptor that becomes readable whenever a child ends; replaces an earlier one."""
    readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return readable


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl({option}): {os.strerror(code)}")
