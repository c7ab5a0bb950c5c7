"""Looks after one command, from its start to the end of its last process.

This is the runner process: forked by `runner.zygote`, it reads a command from its channel to the
worker, starts it (`runner.start`), watches it (`runner.watch`), ends its tree (`runner.tree`) when
the deadline, the worker or the worker's death says so, and sends back the result. A runner that
has nothing left of a command takes another one, because its memory is by then its own: forking a
fresh one costs some thousand page faults. Linux only.
"""

import contextlib
import math
import os
import select
import time
import traceback
from datetime import timedelta
from typing import NoReturn

from schedules.errors import RunnerError
from schedules.runner import limits, tree
from schedules.runner.cgroup import RunGroup
from schedules.runner.linux import adopt_orphans, default_signals
from schedules.runner.messages import Command, Ending, Result, receive, send
from schedules.runner.sentences import explanation
from schedules.runner.start import Started, start
from schedules.runner.watch import READ_SIZE, Surroundings, Watch

# How long background processes may go on, and their output is awaited, after the command's end.
LINGER_SECONDS = 1.0
# A dead worker's run may be taken up elsewhere within seconds; its own grace may be longer.
GRACE_WITHOUT_WORKER_SECONDS = 3.0
# SIGKILL can fail for good: a process in an uninterruptible call, or root's through sudo.
KILL_LIMIT_SECONDS = 10.0
KILL_PASS_SECONDS = 0.02
# A command that ends sooner is not announced to the worker before its result.
SHORT_SECONDS = 0.05
# Bounds whatever a runner may gather over time.
COMMANDS_PER_RUNNER = 100


def serve(around: Surroundings) -> None:
    """Serve the commands that the worker sends, one by one; called in the forked process."""
    os.setsid()
    adopt_orphans(True)
    send(around.channel, {"ready": os.getpid()})
    for number in range(COMMANDS_PER_RUNNER, 0, -1):
        command = _await_command(around)
        if command is None:
            return
        runner = _Runner(command, around)
        result = runner.run()
        again = runner.is_done_with and number > 1
        with contextlib.suppress(OSError):  # nobody is left to be told
            send(around.channel, {"result": result.to_message(), "again": again})
        if not again:
            runner.leave()
            return


def _await_command(around: Surroundings) -> Command | None:
    """The next command; None where the worker wants no more, or has died."""
    poll = select.poll()
    poll.register(around.channel, select.POLLIN)
    if around.worker is not None:
        poll.register(around.worker, select.POLLIN)
    if around.worker in dict(poll.poll()):
        return None
    message = receive(around.channel)
    return None if message is None else Command.from_message(message)


class _Runner:
    """One command: the decisions from its start to the death of its last process."""

    def __init__(self, command: Command, around: Surroundings) -> None:
        self._command = command
        self._around = around
        self._watch = Watch(around)
        self._started: Started | None = None
        self._group: RunGroup | None = None
        self._interruption: Ending | None = None
        self._leftovers = 0
        self._notes: list[str] = []

    def run(self) -> Result:
        """Run the command to its end. A failure of the runner itself is told in the Result."""
        if self._watch.is_disturbed:
            return Result(ending=Ending.CANCELLED, error="Cancelled before it began.")
        begun = time.monotonic()
        try:
            self._started = self._start()
            self._watch_main_process(begun)
            self._end_what_is_left()
            return self._result(begun)
        except RunnerError as error:
            return Result(ending=Ending.NOT_STARTED, error=str(error))
        except Exception:
            failure = f"The runner process failed. {traceback.format_exc()}"
            self._kill_tree()
            return Result(ending=Ending.RUNNER_LOST, error=failure)
        finally:
            if self._group is not None:
                self._group.remove()

    @property
    def is_done_with(self) -> bool:
        """Whether the command ended undisturbed and nothing of it is left, not even a pipe.

        A runner that has lost its zygote is no good for another: nobody would clear up after it.
        """
        watch, has_zygote = self._watch, os.getppid() == self._around.zygote
        is_clean = watch.is_childless and not watch.is_disturbed and not watch.has_open_pipes
        return is_clean and has_zygote

    def leave(self) -> None:
        """Go, without taking along the background processes that may stay."""
        if self._watch.is_childless or not self._leftovers or self._command.kill_leftovers:
            return
        if self._watch.streams and os.fork() == 0:
            _drain(self._watch.streams, self._around)
        _await_release(self._around)

    def _start(self) -> Started:
        self._group = self._make_group()
        started = start(self._command, group=self._group)
        self._notes += started.notes
        self._watch.follow(started, self._command.stdin)
        return started

    def _make_group(self) -> RunGroup | None:
        """For a run with a memory limit, where this worker can; limits of each process will do."""
        home, limit = self._around.groups, self._command.memory_limit
        if home is None or limit is None:
            return None
        try:
            return RunGroup.make(home, memory_limit=limit)
        except OSError as error:
            self._notes.append(f"The memory limit held for each process: no control group ({error}).")
            return None

    def _watch_main_process(self, begun: float) -> None:
        """Until the first process has ended or there is a reason to end it."""
        watch, timeout = self._watch, self._command.timeout
        deadline = math.inf if timeout is None else begun + timeout.total_seconds()
        processor = limits.ProcessorTime(self._command.cpu_limit)
        watch.wait(min(SHORT_SECONDS, deadline - time.monotonic()), until=self._is_to_end)
        if not self._is_to_end():
            self._announce()
        while watch.status is None and self._interruption is None:
            watch.wait(
                min(deadline - time.monotonic(), processor.seconds_to_next_look),
                until=self._is_to_end,
            )
            if watch.status is None:
                self._interruption = self._reason_to_end(deadline, processor)

    def _is_to_end(self) -> bool:
        return self._watch.status is not None or self._watch.is_disturbed

    def _announce(self) -> None:
        """Tell the worker that it began. Of a short command the worker only hears the end: half the talk."""
        pid = self._started.pid if self._started else None
        with contextlib.suppress(OSError):  # the watch notices a worker that is gone
            send(self._around.channel, {"started": pid})

    def _reason_to_end(self, deadline: float, processor: limits.ProcessorTime) -> Ending | None:
        if self._watch.is_disturbed:
            return Ending.CANCELLED
        if time.monotonic() >= deadline:
            return Ending.TIMED_OUT
        if self._command.cpu_limit is not None:
            used = self._watch.cpu_seconds + tree.processor_seconds(os.getpid())
            if processor.is_used_up(used):
                return Ending.OVER_LIMIT
        return None

    def _end_what_is_left(self) -> None:
        watch = self._watch
        if self._interruption is not None:
            self._end_tree()
        else:
            watch.wait(LINGER_SECONDS, until=lambda: watch.is_childless and not watch.streams)
            self._deal_with_leftovers()
        if watch.is_childless:
            watch.wait(LINGER_SECONDS, until=lambda: not watch.streams)

    def _deal_with_leftovers(self) -> None:
        if self._watch.is_childless:
            return
        self._leftovers = len(tree.descendants(os.getpid()))
        if not self._command.kill_leftovers:
            self._notes.append(f"{_processes(self._leftovers)} left running in the background.")
            return
        self._notes.append(f"{_processes(self._leftovers)} still in the background, now ended.")
        self._end_tree()

    def _end_tree(self) -> None:
        """SIGTERM once, grace, then SIGKILL until none is left."""
        watch, grace = self._watch, self._command.kill_grace.total_seconds()
        tree.terminate(tree.descendants(os.getpid()))
        give_up = time.monotonic() + grace
        watch.wait(grace, until=lambda: watch.is_childless or watch.worker_is_gone)
        remaining = min(give_up - time.monotonic(), GRACE_WITHOUT_WORKER_SECONDS)
        watch.wait(remaining, until=lambda: watch.is_childless)
        self._kill_tree()
        if not watch.is_childless:
            count = max(1, len(tree.descendants(os.getpid())))
            self._notes.append(f"{_processes(count)} not to be killed, and may still run.")

    def _kill_tree(self) -> None:
        """SIGKILL until no process is left, or KILL_LIMIT_SECONDS have passed."""
        watch, give_up = self._watch, time.monotonic() + KILL_LIMIT_SECONDS
        watch.reap()
        if self._group is not None:
            self._group.kill()
        while not watch.is_childless and time.monotonic() < give_up:
            tree.kill(tree.descendants(os.getpid()), root=os.getpid())
            watch.wait(KILL_PASS_SECONDS, until=lambda: watch.is_childless)
            watch.reap()

    def _result(self, begun: float) -> Result:
        exit_code, signum = _exit_code_and_signal(self._watch.status)
        output = self._watch.capture.output()
        ending = Ending.EXITED if signum is None else Ending.SIGNALLED
        limit_met = ""
        if self._interruption is None and exit_code != 0:
            limit_met = self._limit_met(exit_code, signum)
            ending = Ending.OVER_LIMIT if limit_met else ending
            self._notes += () if limit_met else limits.told_by_output(self._command, output)
        told = explanation(self._command, self._interruption, exit_code=exit_code, signum=signum)
        return Result(
            ending=self._interruption or ending,
            exit_code=exit_code,
            signal=signum,
            error=limit_met or told,
            notes=tuple(self._notes),
            pid=self._started.pid if self._started else None,
            duration=timedelta(seconds=time.monotonic() - begun),
            cpu_seconds=self._watch.cpu_seconds,
            peak_memory_bytes=self._watch.peak_memory_bytes,
            leftovers=self._leftovers,
            output=output,
        )

    def _limit_met(self, exit_code: int | None, signum: int | None) -> str:
        """The limit by which the kernel ended the command, as a sentence; "" where it ended otherwise."""
        if self._group is not None and self._group.was_out_of_memory:
            return limits.memory_is_up(self._command)
        return limits.told_by_signal(self._command, exit_code, signum)


def _drain(streams: set[int], around: Surroundings) -> NoReturn:
    """As cron does: read what background processes write until the last one closes it.

    They would die of a broken pipe otherwise. Runs in a process of its own, beside them.
    """
    try:
        around.channel.close()
        os.dup2(1, 2)  # /dev/null: the worker's log must not wait for a daemon's end
        default_signals()
        poll = select.poll()
        for descriptor in streams:
            poll.register(descriptor, select.POLLIN)
        while streams:
            for descriptor, _ in poll.poll():
                if not os.read(descriptor, READ_SIZE):
                    poll.unregister(descriptor)
                    streams.discard(descriptor)
    finally:
        os._exit(0)


def _await_release(around: Surroundings) -> None:
    """Have the zygote end this process while it adopts nobody: see `runner.zygote`."""
    with contextlib.suppress(OSError):
        os.write(around.release, os.getpid().to_bytes(4, "big"))
    while os.getppid() == around.zygote:
        time.sleep(0.05)


def _exit_code_and_signal(status: int | None) -> tuple[int | None, int | None]:
    if status is None:
        return None, None
    code = os.waitstatus_to_exitcode(status)
    return (code, None) if code >= 0 else (None, -code)


def _processes(count: int) -> str:
    return "1 process was" if count == 1 else f"{count} processes were"
