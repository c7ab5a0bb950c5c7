"""A definition's command, executed by the runner under cron's environment. Called by `execute`.

Whether this worker may run it at all is decided here, from the worker's own settings: what the
database says does not count (docs/decisions.md).
"""

from __future__ import annotations

from datetime import UTC, timedelta
from pathlib import Path

from schedules import conf
from schedules.models import Attempt, Run
from schedules.rules.definition import Background, Definition
from schedules.rules.states import Outcome
from schedules.runner.conversation import Cancel
from schedules.runner.messages import Command, Ending, Output, Result
from schedules.worker.process import End, Execution, Process
from schedules.worker.work import Ended, Piece

OUTCOMES = {
    Ending.SIGNALLED: Outcome.FAILED,
    Ending.TIMED_OUT: Outcome.TIMED_OUT,
    Ending.OVER_LIMIT: Outcome.FAILED,
    Ending.NOT_STARTED: Outcome.FAILED,
    Ending.RUNNER_LOST: Outcome.FAILED,
}

NAMED = {Ending.NOT_STARTED, Ending.RUNNER_LOST, Ending.OVER_LIMIT}
"""Endings that neither an exit code nor a signal tells."""


def run_command(definition: Definition, run: Run, attempt: Attempt, here: Process) -> Ended:
    """Blocks until the command is over. No database connection is used meanwhile."""
    refusal = refusal_of(definition.command)
    if refusal:
        return Ended(outcome=Outcome.FAILED, error_class="CommandRefused", error=refusal, final=True)
    cancel = Cancel()
    with here.executing(Execution(attempt.token, cancel.set)) as execution:
        result = here.launcher.run(command_of(definition, run, attempt), cancel=cancel)
    return _ended(result, execution.ended_by)


def command_of(definition: Definition, run: Run, attempt: Attempt) -> Command:
    settings = dict(definition.environment)
    return Command(
        text=definition.command,
        shell=definition.shell or settings.get("SHELL") or "/bin/sh",
        stdin=definition.stdin,
        environment=definition.environment,
        extra_environment=(
            ("SCHEDULED_FOR", run.scheduled_for.astimezone(UTC).isoformat()),
            ("RUN_ID", str(run.pk)),
            ("ATTEMPT", str(attempt.number)),
        ),
        working_directory=definition.working_directory or None,
        run_as=definition.run_as or None,
        timeout=None if definition.timeout is None else timedelta(seconds=definition.timeout),
        kill_grace=timedelta(seconds=definition.kill_grace),
        kill_leftovers=definition.background == Background.KILL,
        memory_limit=definition.memory_limit,
        cpu_limit=definition.cpu_limit,
        file_size_limit=definition.file_size_limit,
    )


def refusal_of(command: str) -> str:
    """Why this worker does not run commands, or not this one; "" where it does."""
    values = conf.current()
    if values.commands == "shell":
        return ""
    if values.commands == "off":
        return "This worker runs no commands: BEATKEEPER_COMMANDS is off."
    if command in _allowed(values.allowed_commands_file):
        return ""
    return (
        "This command is not on this worker's allow-list. Add it, as one line, to the file that "
        "BEATKEEPER_ALLOWED_COMMANDS_FILE names on the worker's host."
    )


def _allowed(path: str) -> set[str]:
    try:
        return set(Path(path).read_text().splitlines()) - {""}
    except OSError:
        return set()


def _ended(result: Result, ended_by: End | None) -> Ended:
    return Ended(
        outcome=_outcome(result, ended_by),
        exit_code=result.exit_code,
        signal=result.signal,
        error_class=result.ending if result.ending in NAMED else "",
        error=result.error,
        cpu_seconds=result.cpu_seconds,
        peak_memory=result.peak_memory_bytes,
        leftovers=result.leftovers,
        notes=result.notes,
        head=_pieces(result.output, "head"),
        tail=_pieces(result.output, "tail"),
        bytes_seen=result.output.bytes_seen,
        bytes_dropped=result.output.bytes_dropped,
    )


def _outcome(result: Result, ended_by: End | None) -> Outcome:
    if result.ending == Ending.EXITED:
        return Outcome.SUCCEEDED if result.exit_code == 0 else Outcome.FAILED
    if result.ending == Ending.CANCELLED:
        return Outcome.INTERRUPTED if ended_by == End.INTERRUPT else Outcome.CANCELLED
    return OUTCOMES[result.ending]


def _pieces(output: Output, part: str) -> tuple[Piece, ...]:
    return tuple((chunk.stream, chunk.text) for chunk in getattr(output, part))
