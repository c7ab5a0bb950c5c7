"""Looks at commands as their account: a small process that becomes it, looks, answers and ends.

The worker starts one for each account (`checking.process`) and may kill it at any time: a dead network
mount then holds this process, and not the worker. Input: one JSON object, the commands of one account.
Output: a line {"looking": id} before each, and {"id": id, "findings": [...]} after it.

Like the runner's processes it runs without site packages. Whatever the account may not be able to read
is imported, and planned, before the change of identity.
"""

import json
import os
import sys
from typing import Any

from schedules.checking.cron import added_variables, differences
from schedules.checking.files import AccountFiles
from schedules.errors import RunnerError
from schedules.rules.command.check import Subject, check
from schedules.rules.command.findings import Finding, error
from schedules.runner.linux import die_with_parent
from schedules.runner.messages import Command
from schedules.runner.planning import Account, Plan, find_account, plan_of
from schedules.runner.start import take_identity

Variables = dict[str, tuple[str, str]]


def main() -> None:
    """Answers the commands on standard input, in their order."""
    asked = json.load(sys.stdin.buffer)
    commands = {number: Command.from_message(message) for number, message in asked["commands"]}
    try:
        account = find_account(asked["run_as"], own_uid=os.geteuid())
    except RunnerError as refusal:
        for number in commands:
            _answer(number, [_refused("account", refusal)])
        return
    _look(commands, account)


def _look(commands: dict[int, Command], account: Account) -> None:
    added, differs = added_variables(), differences(account)
    plans = {number: _planned(command) for number, command in commands.items()}
    take_identity(account)
    die_with_parent()
    files = AccountFiles()
    for number, plan in plans.items():
        _say({"looking": number})
        if isinstance(plan, Finding):
            _answer(number, [plan])
        else:
            _answer(number, [*_checked(_subject(plan, added), files), *differs])


def _planned(command: Command) -> Plan | Finding:
    try:
        return plan_of(command)
    except RunnerError as refusal:
        return _refused("start", refusal)


def _checked(subject: Subject, files: AccountFiles) -> list[Finding]:
    """A failure of ours at one command is told, and the others are looked at."""
    try:
        return check(subject, files)
    except Exception as failure:
        return [error("not_looked_at", f"the check itself failed: {type(failure).__name__}: {failure}")]


def _subject(plan: Plan, added: Variables) -> Subject:
    environment = {os.fsdecode(name): os.fsdecode(value) for name, value in plan.environment.items()}
    return Subject(
        text=plan.command.text,
        shell=plan.command.shell,
        directory=os.path.normpath(plan.directory),
        is_home=plan.may_start_elsewhere,
        account=plan.account.name,
        environment=environment,
        added_by_cron=added,
    )


def _refused(code: str, refusal: RunnerError) -> Finding:
    """The runner's own sentence: what is wrong, a colon, what to do."""
    text, colon, advice = str(refusal).rpartition(": ")
    return error(code, text, advice.rstrip(".")) if colon else error(code, advice.rstrip("."))


def _answer(number: int, findings: list[Finding]) -> None:
    _say({"id": number, "findings": [finding.to_dict() for finding in findings]})


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
