"""What a result says of a command's end where its exit code does not speak for itself. Pure.

Ends by a limit of the kernel are the matter of `runner.limits`. Called by `runner.child`.
"""

import signal

from schedules.runner.limits import processor_time_is_up
from schedules.runner.messages import Command, Ending

_SHELL_EXIT_CODES = {
    126: "Exit code 126: the shell found a command, but could not execute it (not executable?).",
    127: "Exit code 127: the shell did not find a command (is its directory in PATH?).",
    137: "Exit code 137: a process of it was ended by SIGKILL (out of memory, or somebody's kill?).",
}


def explanation(
    command: Command, interruption: Ending | None, *, exit_code: int | None, signum: int | None
) -> str:
    """A sentence; "" if there is nothing to explain. `interruption` is why the runner ended the command."""
    if interruption is Ending.TIMED_OUT:
        return f"The command did not end within its limit of {command.timeout}."
    if interruption is Ending.CANCELLED:
        return "The command was ended on request."
    if interruption is Ending.OVER_LIMIT:
        return processor_time_is_up(command)
    if signum == signal.SIGKILL:
        return "The command was ended by SIGKILL (out of memory, or somebody's kill?)."
    if signum is not None:
        return f"The command was ended by {_name(signum)}."
    return _SHELL_EXIT_CODES.get(exit_code or 0, "")


def _name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"
