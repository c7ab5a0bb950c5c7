"""Starts a command as cron does: its account, directory, streams and session, as `planning` has found them.

Everything here happens before the command's first instruction; watching it is the matter of
`runner.child`, which calls `start`. Whatever cannot be had raises RunnerError with a sentence.
"""

import contextlib
import errno
import json
import os
import select
import signal
import time
import traceback
from dataclasses import dataclass, replace
from typing import NoReturn

from schedules.errors import RunnerError
from schedules.runner import limits
from schedules.runner.cgroup import RunGroup
from schedules.runner.linux import default_signals, die_with_parent
from schedules.runner.messages import Command
from schedules.runner.planning import Account, Plan, plan_of
from schedules.runner.spawn import spawn

# A home directory on a dead network mount would hold the start for ever.
START_LIMIT_SECONDS = 20.0
# Under memory pressure the kernel shall take the command, not the worker that records its end.
_OOM_SCORE_ADJUSTMENT = b"500"
CRON_UMASK = 0o022

_LACKING = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
_NO_PROCESS = (
    "No process can be started ({}): does the machine have memory, "
    "and the account processes and open files to spare?"
)


@dataclass(frozen=True)
class Started:
    """A command that runs: its first process, our ends of its streams, remarks on the start.

    `stdin` is None where the command reads /dev/null.
    """

    pid: int
    stdin: int | None
    stdout: int
    stderr: int
    notes: tuple[str, ...] = ()


def start(command: Command, *, group: RunGroup | None = None) -> Started:
    """Start the command; returns once it has replaced the forked process.

    Raises RunnerError if the account, the directory or the shell cannot be had.
    """
    plan = replace(plan_of(command), group=group)
    if _is_plain(plan):
        return _spawn(plan)
    try:
        started, report = _fork(plan)
    except OSError as error:
        raise RunnerError(_NO_PROCESS.format(error.strerror)) from None
    return replace(started, notes=_await_start(started.pid, report, plan))


def _is_plain(plan: Plan) -> bool:
    """Whether the process needs no more than `runner.spawn` gives, from a shell that always answers."""
    command = plan.command
    unlimited = command.memory_limit is command.cpu_limit is command.file_size_limit is None
    ours = plan.account.groups is None and plan.group is None
    return unlimited and ours and command.shell.startswith(("/bin/", "/usr/bin/"))


def _spawn(plan: Plan) -> Started:
    """The quick way. Nothing but the zygote, or the worker, ends the command if this process dies."""
    begun = time.monotonic()
    try:
        notes = _go_to(plan)
        if time.monotonic() - begun > START_LIMIT_SECONDS:
            raise RunnerError(_late(plan))
        os.umask(CRON_UMASK)
        spawned = spawn(
            plan.arguments,
            plan.environment,
            has_input=plan.command.stdin is not None,
            preference=_OOM_SCORE_ADJUSTMENT if plan.command.kill_leftovers else None,
        )
    except OSError as error:
        lacking = error.errno in _LACKING
        said = _NO_PROCESS.format(error.strerror) if lacking else _cannot_start("shell", error.strerror, plan)
        raise RunnerError(said) from None
    finally:
        os.chdir("/")  # a directory that we stay in could not be unmounted
    return Started(spawned.pid, spawned.stdin, spawned.stdout, spawned.stderr, notes)


def _go_to(plan: Plan) -> tuple[str, ...]:
    """Make the command's directory ours for the moment; returns notes."""
    try:
        os.chdir(plan.directory)
    except OSError as error:
        if not plan.may_start_elsewhere:
            raise RunnerError(_cannot_start("directory", error.strerror, plan)) from None
        os.chdir("/")
        return (_not_at_home(plan, error.strerror),)
    return ()


def _fork(plan: Plan) -> tuple[Started, int]:
    """Fork the process; also returns where it reports. Raises OSError where resources lack."""
    stdin_theirs, stdin = _input(plan.command.stdin)
    stdout, stdout_theirs = os.pipe()
    stderr, stderr_theirs = os.pipe()
    report, report_theirs = os.pipe()
    theirs = (stdin_theirs, stdout_theirs, stderr_theirs)
    runner = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(plan, streams=theirs, report=report_theirs, runner=runner)
    for descriptor in (*theirs, report_theirs):
        os.close(descriptor)
    return Started(pid, stdin, stdout, stderr), report


def _input(text: str | None) -> tuple[int, int | None]:
    """The command's end of stdin, and ours if there is something to write."""
    if text is None:
        return os.open("/dev/null", os.O_RDONLY), None
    return os.pipe()


def _become(plan: Plan, *, streams: tuple[int, int, int], report: int, runner: int) -> NoReturn:
    """In the forked process: turn into the command. Reports what went wrong, line by line."""
    try:
        os.setsid()
        for target, descriptor in enumerate(streams):
            os.dup2(descriptor, target)
        os.umask(CRON_UMASK)
        default_signals()
        if plan.group is not None:  # as the worker, who owns it
            plan.group.join()
        if plan.command.kill_leftovers:  # a daemon left running is no better prey than another
            _prefer_for_oom_killer()
        take_identity(plan.account)
        die_with_parent()
        if os.getppid() != runner:  # it died before the kernel knew what to do then
            os._exit(1)
        _enter_directory(plan, report)
        _execute(plan, report)
    except BaseException:
        _report(report, "start", traceback.format_exc())
    os._exit(127)


def _prefer_for_oom_killer() -> None:
    with contextlib.suppress(OSError):  # a container may forbid it; the command runs just as well
        descriptor = os.open("/proc/self/oom_score_adj", os.O_RDWR)
        if int(os.pread(descriptor, 16, 0)) < int(_OOM_SCORE_ADJUSTMENT):
            os.write(descriptor, _OOM_SCORE_ADJUSTMENT)


def take_identity(account: Account) -> None:
    """Become the account, for good. Raises OSError where this process may not."""
    if account.groups is not None:
        os.setgroups(account.groups)
        os.setgid(account.gid)
        os.setuid(account.uid)


def _enter_directory(plan: Plan, report: int) -> None:
    try:
        os.chdir(plan.directory)
    except OSError as error:
        _report(report, "home" if plan.may_start_elsewhere else "directory", error.strerror)
        if not plan.may_start_elsewhere:
            os._exit(127)
        os.chdir("/")


def _execute(plan: Plan, report: int) -> None:
    limits.impose(plan.command, memory_is_grouped=plan.group is not None)
    try:
        os.execve(plan.arguments[0], plan.arguments, plan.environment)
    except OSError as error:
        _report(report, "shell", error.strerror)


def _report(report: int, stage: str, reason: str | None) -> None:
    os.write(report, json.dumps([stage, reason]).encode("ascii") + b"\n")


def _await_start(pid: int, report: int, plan: Plan) -> tuple[str, ...]:
    """Wait until the process is the command; returns notes, raises RunnerError if it is not."""
    try:
        lines = _read_until_exec(report)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        raise RunnerError(_late(plan)) from None
    finally:
        os.close(report)
    troubles = [json.loads(line) for line in lines]
    for stage, reason in troubles:
        if stage != "home":
            raise RunnerError(_cannot_start(stage, reason, plan))
    return tuple(_not_at_home(plan, reason) for _, reason in troubles)


def _read_until_exec(report: int) -> list[bytes]:
    """All lines up to the exec, which closes the pipe. Raises TimeoutError."""
    poll = select.poll()
    poll.register(report, select.POLLIN)
    received = b""
    while poll.poll(START_LIMIT_SECONDS * 1000):
        piece = os.read(report, 65536)
        if not piece:
            return received.splitlines()
        received += piece
    raise TimeoutError


def _late(plan: Plan) -> str:
    return (
        f"The command did not start within {START_LIMIT_SECONDS:g} s: "
        f"does directory {plan.directory} or shell {plan.command.shell} answer?"
    )


def _not_at_home(plan: Plan, reason: str | None) -> str:
    return f"HOME {plan.directory} cannot be entered ({reason}); the command started in /."


def _cannot_start(stage: str, reason: str | None, plan: Plan) -> str:
    if stage == "directory":
        return (
            f'Working directory "{plan.directory}" cannot be entered ({reason}): '
            "create it, or correct the schedule."
        )
    if stage == "shell":
        return (
            f'Shell "{plan.command.shell}" cannot be started ({reason}): '
            "install it, or correct the shell or the command of the schedule."
        )
    return f"The command could not be started. {reason}"
