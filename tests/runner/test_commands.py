"""From a definition to a command and back to an outcome: what a worker asks of the runner. No database."""

import contextlib
import uuid
from datetime import UTC, datetime

import pytest

from schedules.models import Attempt, Run
from schedules.rules.definition import Definition, Kind
from schedules.rules.states import Outcome
from schedules.worker.commands import command_of, run_command
from schedules.worker.process import Execution
from schedules.worker.work import Ended

MOMENT = datetime(2026, 11, 21, 4, 30, tzinfo=UTC)


class Here:
    """As much of a worker process as a command needs."""

    def __init__(self, launcher):
        self.launcher = launcher

    def executing(self, execution: Execution):
        return contextlib.nullcontext(execution)


@pytest.fixture
def ended(launcher):
    """How the command of a definition ends on a worker that may run any."""

    def run(text: str, **options) -> Ended:
        definition = Definition(name="job", kind=Kind.COMMAND, command=text, **options)
        return run_command(definition, _run(), _attempt(), Here(launcher))  # type: ignore[arg-type]

    return run


def _run() -> Run:
    return Run(pk=7, scheduled_for=MOMENT)


def _attempt() -> Attempt:
    return Attempt(number=2, token=uuid.uuid4())


def test_limits_of_a_definition_are_those_of_its_command():
    definition = Definition(
        name="job", kind=Kind.COMMAND, command="true", memory_limit=512, cpu_limit=60, file_size_limit=0
    )

    command = command_of(definition, _run(), _attempt())

    assert (command.memory_limit, command.cpu_limit, command.file_size_limit) == (512, 60, 0)


def test_a_definition_without_limits_asks_for_none():
    command = command_of(Definition(name="job", kind=Kind.COMMAND, command="true"), _run(), _attempt())

    assert (command.memory_limit, command.cpu_limit, command.file_size_limit) == (None, None, None)


def test_the_end_by_a_limit_is_a_failure_that_says_which(ended):
    result = ended("while :; do :; done", cpu_limit=1)

    assert (result.outcome, result.error_class) == (Outcome.FAILED, "over_limit")
    assert result.error == "Ended by its limit of 1 s of processor time."
    assert not result.final


def test_a_remark_on_a_limit_is_a_note_of_the_attempt(ended):
    result = ended("echo 'Cannot allocate memory' >&2; exit 1", memory_limit=100)

    assert (result.outcome, result.error_class, result.exit_code) == (Outcome.FAILED, "", 1)
    assert result.notes == ("It complained of a lack of memory: its limit is 100 MiB.",)


def test_a_success_is_no_less_one_for_what_it_says(ended):
    result = ended("echo 'MemoryError: none'", memory_limit=100)

    assert (result.outcome, result.notes) == (Outcome.SUCCEEDED, ())
