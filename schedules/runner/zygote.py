"""The warm process that each worker starts once, and that forks its runners.

It loads the runner's code and nothing else, has one thread, and does no more than fork, wait and
tidy up: an interpreter per command would cost ten times as much, and forking the large worker
itself more still. `runner.Launcher` starts it and sends it one channel per runner;
`runner.child` is what it forks. It ends with its worker, once its last runner has ended.

It adopts orphans. A runner that dies of a signal leaves its command's processes to the zygote,
which kills them before the worker hears of the loss. A runner that lets background processes
live asks for release: for that instant nobody is adopted, so they go where cron's would.
"""

import contextlib
import gc
import os
import pwd
import select
import signal
import socket
import time
import traceback
from dataclasses import dataclass, field

from schedules.runner import tree
from schedules.runner.cgroup import find_home
from schedules.runner.child import KILL_LIMIT_SECONDS, KILL_PASS_SECONDS, serve
from schedules.runner.limits import dump_no_core
from schedules.runner.linux import (
    adopt_orphans,
    child_wakeups,
    open_pidfd,
    own_signals,
)
from schedules.runner.messages import Ending, Result, send
from schedules.runner.watch import Surroundings


def main(worker: int) -> None:
    """Serve the worker with process id `worker`; the control socket comes as descriptor 0."""
    control = _take_control()
    if os.getppid() != worker:  # it died before we could watch it
        return
    own_signals()
    dump_no_core()
    adopt_orphans(True)
    pwd.getpwuid(os.geteuid())  # loads the name service once, for all runners
    gc.freeze()  # or the first collection in every runner copies what all of them share
    _Zygote(control, open_pidfd(worker), groups=find_home()).serve()


def _take_control() -> socket.socket:
    control = socket.socket(fileno=os.dup(0))
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    return control


@dataclass
class _Lost:
    """A runner that died of a signal; its channel stays open until its tree is gone."""

    channel: socket.socket
    cause: str
    give_up_at: float = field(default_factory=lambda: time.monotonic() + KILL_LIMIT_SECONDS)


class _Zygote:
    def __init__(self, control: socket.socket, worker: int | None, *, groups: str | None) -> None:
        self._control: socket.socket | None = control
        self._worker = worker
        self._groups = groups
        self._wakeups = child_wakeups()
        self._releases, self._release = os.pipe2(os.O_CLOEXEC)
        self._runners: dict[int, socket.socket] = {}
        self._lost: list[_Lost] = []

    def serve(self) -> None:
        while self._control or self._runners or self._lost:
            ready = self._wait()
            if self._wakeups in ready:
                self._reap()
            if self._lost:
                self._kill_orphans()
            elif self._releases in ready:  # never while orphans are still to be adopted and killed
                self._let_go(int.from_bytes(os.read(self._releases, 4), "big"))
            if self._control and self._control.fileno() in ready:
                self._accept(self._control)

    def _wait(self) -> set[int]:
        poll = select.poll()
        poll.register(self._wakeups, select.POLLIN)
        if not self._lost:
            poll.register(self._releases, select.POLLIN)
        if self._control:
            poll.register(self._control, select.POLLIN)
        timeout = KILL_PASS_SECONDS * 1000 if self._lost else None
        return {descriptor for descriptor, _ in poll.poll(timeout)}

    def _accept(self, control: socket.socket) -> None:
        """Fork a runner for the channel that arrives; an end of file means: no more to come."""
        try:
            message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        except ConnectionResetError:
            message, descriptors = b"", []
        if descriptors:
            os.set_inheritable(descriptors[0], False)  # recv_fds of Python takes no flags
            self._fork(socket.socket(fileno=descriptors[0]))
        elif not message:
            control.close()
            self._control = None

    def _fork(self, channel: socket.socket) -> None:
        zygote = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            _tell(channel, Ending.NOT_STARTED, f"No process can be forked: {error.strerror}.")
            channel.close()
            return
        if pid == 0:
            self._be_runner(channel, zygote)
        self._runners[pid] = channel

    def _be_runner(self, channel: socket.socket, zygote: int) -> None:
        """In the forked process: drop what belongs to the zygote, serve, and never return."""
        status = 1
        try:
            if self._control:
                self._control.close()
            for other in (*self._runners.values(), *(lost.channel for lost in self._lost)):
                other.close()
            os.close(self._releases)
            os.close(self._wakeups)
            serve(Surroundings(channel, self._worker, child_wakeups(), self._release, zygote, self._groups))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeups, 4096)
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._note_end(pid, os.waitstatus_to_exitcode(status))

    def _note_end(self, pid: int, exit_code: int) -> None:
        channel = self._runners.pop(pid, None)
        if channel is None:
            return  # an orphan
        if exit_code == 0:
            channel.close()
        else:
            self._lost.append(_Lost(channel, _cause(exit_code)))

    def _kill_orphans(self) -> None:
        """One pass over what dead runners left; reports those runners once nothing is left."""
        orphans = tree.descendants(os.getpid(), without=self._runners)
        tree.kill(orphans, root=os.getpid())
        now = time.monotonic()
        for lost in [lost for lost in self._lost if not orphans or lost.give_up_at < now]:
            state = "may still run" if orphans else "are gone"
            _tell(lost.channel, Ending.RUNNER_LOST, f"{lost.cause} The command's processes {state}.")
            lost.channel.close()
            self._lost.remove(lost)

    def _let_go(self, pid: int) -> None:
        """End a runner whose background processes may live: init adopts them, not we.

        A runner killed by somebody else in this very instant leaves its orphans to init too;
        its command's first process still dies with it.
        """
        channel = self._runners.pop(pid, None)
        if channel is None:
            return
        adopt_orphans(False)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        adopt_orphans(True)
        channel.close()


def _cause(exit_code: int) -> str:
    if exit_code > 0:
        return f"The runner process failed with status {exit_code}; the worker's log says more."
    name = signal.Signals(-exit_code).name
    hint = " (out of memory, or somebody's kill?)" if exit_code == -signal.SIGKILL else ""
    return f"The runner process was ended by {name}{hint}."


def _tell(channel: socket.socket, ending: Ending, error: str) -> None:
    with contextlib.suppress(OSError):  # the worker has its result, or is gone
        result = Result(ending=ending, error=error)
        send(channel, {"result": result.to_message(), "again": False})
