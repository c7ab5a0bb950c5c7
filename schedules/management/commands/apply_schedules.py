"""`manage.py apply_schedules`: the database becomes what YAML files say. The work is in `applying`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandParser

from schedules.applying.files import read_files
from schedules.applying.flow import Plan, apply
from schedules.errors import ManifestRefused
from schedules.management.output import counted, printable
from schedules.management.plan_text import plan_shape, plan_text
from schedules.management.script import REFUSED, Error, ScriptCommand, author, usage_error

PENDING = 3
"""Exit status of `--dry-run --exit-code` where there is something to do."""
MOST_SHOWN = 100


class Command(ScriptCommand):
    help = (
        "Create and change schedules and retry policies so that they are as YAML files say, all of it or "
        "nothing. A second time there is nothing to do. What the files do not name is left alone."
    )

    def arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add(
            "paths",
            metavar="FILE|DIR|-",
            nargs="+",
            help='YAML; of a directory its *.yaml; "-" is standard input',
        )
        add("--dry-run", action="store_true", help="show what would be done, and change nothing")
        add(
            "--exit-code", action="store_true", help="with --dry-run: status 3 where there is something to do"
        )
        add("--prune", action="store_true", help="delete what has the tag of --tag and is not in the files")
        add(
            "--tag", metavar="T", default="", help="with --prune: the tag of everything that the files manage"
        )

    def run(self, options: dict[str, Any]) -> None:
        _check(options)
        try:
            plan = apply(
                read_files(options["paths"]),
                by=author(),
                prune=options["tag"],
                dry_run=options["dry_run"],
            )
        except ManifestRefused as error:
            raise Error(_complaint(error.problems), returncode=REFUSED) from error
        self.show(
            options,
            plan_shape(plan, dry_run=options["dry_run"]),
            plan_text(plan, dry_run=options["dry_run"], tag=options["tag"], width=self.width()),
        )
        if options["exit_code"] and not plan.is_empty:
            raise Error(_pending(plan), returncode=PENDING)


def _check(options: dict[str, Any]) -> None:
    if options["paths"].count("-") > 1:
        raise usage_error('"-" can be given only once: there is one standard input.')
    if options["prune"] and not options["tag"]:
        raise usage_error(
            "--prune needs --tag: it deletes what has the tag and is not in the files, and without a tag "
            "that would be every other schedule."
        )
    if options["tag"] and not options["prune"]:
        raise usage_error("--tag goes with --prune. The tags of a schedule stand in its file.")
    if len(options["tag"].split()) > 1:
        raise usage_error(f'--tag: "{printable(options["tag"])}" is not one word.')
    if options["exit_code"] and not options["dry_run"]:
        raise usage_error("--exit-code goes with --dry-run.")


def _complaint(problems: Sequence[str]) -> str:
    lines = [f"  {printable(problem)}" for problem in problems[:MOST_SHOWN]]
    if len(problems) > MOST_SHOWN:
        lines.append(f"  ... and {len(problems) - MOST_SHOWN:,} more")
    said = f"Nothing was applied because of {counted(len(problems), 'problem')}:"
    return "\n".join([said, *lines])


def _pending(plan: Plan) -> str:
    return "There is something to do: the schedules are not as the files say."
