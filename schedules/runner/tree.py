"""The processes below one process: finding them through /proc and signalling exactly those.

Decides nothing about when or how gently; `runner.child` and `runner.zygote` do. Both adopt the
orphans of their tree, so that a daemon which left its session is still found below them.
"""

import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from schedules.runner.linux import open_pidfd

_DEAD_STATES = frozenset("ZXx")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc/PID/stat shows it; `started` is in clock ticks since boot.

    A pid alone may come to mean another process; pid and `started` together do not. `ticks` are those
    of processor time that it and the children it has waited for have used.
    """

    pid: int
    parent: int
    group: int
    started: int
    ticks: int
    is_dead: bool


def descendants(root: int, *, without: Collection[int] = ()) -> list[Process]:
    """All living processes below `root`, parents before children; zombies are left out.

    Children of `root` named in `without` are left out with everything below them.
    """
    return [process for process in _below(root, without) if not process.is_dead]


def processor_seconds(root: int) -> float:
    """What the processes below `root` have used, zombies included; not those `root` has waited for.

    Read once more from the top down: a process that is waited for meanwhile is then left out for this
    time, where the other order would count it twice.
    """
    ticks = 0
    for process in _below(root):
        now = _read(process.pid)
        if now is not None and now.started == process.started:
            ticks += now.ticks
    return ticks / _TICKS_PER_SECOND


def _below(root: int, without: Collection[int] = ()) -> list[Process]:
    """Zombies included."""
    children: defaultdict[int, list[Process]] = defaultdict(list)
    for process in _all_processes():
        children[process.parent].append(process)
    found = [process for process in children[root] if process.pid not in without]
    for process in found:  # grows while it is read: breadth first
        found += children[process.pid]
    return found


def terminate(processes: Iterable[Process]) -> None:
    """Ask each process once to end; a stopped one is continued, so that it can.

    Never twice: many programs take a second SIGTERM for "at once, without tidying up".
    """
    for process in processes:
        _send(process, signal.SIGTERM)
        _send(process, signal.SIGCONT)


def kill(processes: Collection[Process], *, root: int) -> None:
    """SIGKILL to each process, and to the whole group of each direct child of `root`.

    A group dies in one kernel step, faster than it can fork. A group number cannot change its
    meaning while `root`, the caller, has not yet waited for its child in that group.
    """
    own_group = os.getpgrp()
    for group in {process.group for process in processes if process.parent == root} - {own_group}:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for process in processes:
        _send(process, signal.SIGKILL)


def _all_processes() -> Iterable[Process]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            process = _read(int(name))
            if process is not None:
                yield process


def _read(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            line = file.read(1024)
    except OSError:  # ended meanwhile
        return None
    # proc(5): the name, in brackets, may itself hold brackets and blanks.
    fields = line[line.rindex(b")") + 2 :].split()
    return Process(
        pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        started=int(fields[19]),
        ticks=sum(map(int, fields[11:15])),
        # A process whose first thread has ended looks like a zombie while the others go on.
        is_dead=fields[0].decode() in _DEAD_STATES and int(fields[17]) <= 1,
    )


def _send(process: Process, signum: signal.Signals) -> None:
    """Signal this very process; one that is gone, or belongs to root through sudo, is passed by."""
    pidfd = open_pidfd(process.pid)
    try:
        now = _read(process.pid)
        if now is None or now.is_dead or now.started != process.started:
            return
        if pidfd is None:
            os.kill(process.pid, signum)
        else:
            signal.pidfd_send_signal(pidfd, signum)
    except (ProcessLookupError, PermissionError):
        pass
    finally:
        if pidfd is not None:
            os.close(pidfd)
