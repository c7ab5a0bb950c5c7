"""What starting a command takes: whose account, which environment, where. Nothing is started here.

`start` acts on the plan; `checking.child` makes the same one, and looks instead of starting. Whatever
cannot be had raises RunnerError with a sentence.
"""

import os
import pwd
from dataclasses import dataclass

from schedules.errors import RunnerError
from schedules.runner.cgroup import RunGroup
from schedules.runner.messages import Command, Variables

DEFAULT_PATH = "/usr/bin:/bin"

Environment = dict[str, str]


@dataclass(frozen=True)
class Account:
    """Whom a command runs as. `groups` None means: the worker's own account, change nothing."""

    name: str
    uid: int
    gid: int
    home: str
    groups: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Plan:
    """All that the new process needs, worked out before the fork: less to do there.

    `group` is the control group to join, if there is one.
    """

    command: Command
    account: Account
    arguments: tuple[bytes, ...]
    environment: dict[bytes, bytes]
    directory: str
    may_start_elsewhere: bool
    group: RunGroup | None = None


def find_account(run_as: str | None, *, own_uid: int) -> Account:
    """The account to use, given that of the worker. Raises RunnerError if it cannot be had."""
    own = _own_account(own_uid)
    if run_as is None or run_as == own.name:
        return own
    if own_uid != 0:
        raise RunnerError(
            f'Account "{run_as}" is needed, but this worker runs as "{own.name}": '
            f'start a worker as root or as "{run_as}".'
        )
    try:
        entry = pwd.getpwnam(run_as)
    except (KeyError, ValueError):
        raise RunnerError(
            f'Account "{run_as}" does not exist on this machine: '
            "create it, or choose another account for the schedule."
        ) from None
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, groups)


def build_environment(command: Command, account: Account) -> Environment:
    """cron's defaults, then the schedule's lines in order, then ours. Nothing is inherited.

    LOGNAME is the account's whatever a line says, and USER is set only by a line: as in cron.
    """
    return {
        "SHELL": command.shell,
        "PATH": DEFAULT_PATH,
        "HOME": account.home,
        **dict(_checked(command.environment)),
        **dict(_checked(command.extra_environment)),
        "LOGNAME": account.name,
    }


def plan_of(command: Command) -> Plan:
    """What starting the command takes. Raises RunnerError where it cannot be started as it is."""
    if not command.shell.startswith("/"):
        raise RunnerError(
            f'Shell "{command.shell}" is not an absolute path: name it in full, such as /bin/bash.'
        )
    if "\0" in command.text:
        raise RunnerError("The command holds a NUL character, which no shell can be given.")
    account = find_account(command.run_as, own_uid=os.geteuid())
    environment = build_environment(command, account)
    directory = environment["HOME"]
    if command.working_directory:
        directory = os.path.join(directory, command.working_directory)
    return Plan(
        command,
        account,
        arguments=(_bytes(command.shell), b"-c", _bytes(command.text)),
        environment={_bytes(name): _bytes(value) for name, value in environment.items()},
        directory=directory,
        may_start_elsewhere=not command.working_directory,
    )


def _own_account(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:  # usual in containers: an account that is a number only
        return Account(str(uid), uid, os.getegid(), "/")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


def _checked(variables: Variables) -> Variables:
    for name, value in variables:
        if not name or "=" in name or "\0" in name + value:
            raise RunnerError(
                f'Environment line "{name}" cannot be passed to a process: '
                "the name is empty or holds =, or there is a NUL character. Correct the line."
            )
    return variables


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
