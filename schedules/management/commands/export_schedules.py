"""`manage.py export_schedules`: schedules and their retry policies as YAML, for `apply_schedules`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from schedules.applying.rows import Described, describe_all
from schedules.management.output import counted, printable
from schedules.management.script import REFUSED, Error, ScriptCommand
from schedules.management.selection import add_selection, chosen
from schedules.management.writing import write_output
from schedules.models import RetryPolicy
from schedules.querysets import database_now
from schedules.rules import manifest


class Command(ScriptCommand):
    help = (
        "Print schedules as YAML: every setting that differs from its default, with the retry policies "
        "that they use. apply_schedules reads it, here or elsewhere. Values of variables are in it as is."
    )

    def arguments(self, parser: CommandParser) -> None:
        add_selection(parser)
        parser.add_argument(
            "--output", metavar="FILE", default="-", help='where to write; "-" is standard output'
        )

    def run(self, options: dict[str, Any]) -> None:
        rows = chosen(options["names"], options["tag"])
        policies = RetryPolicy.objects.order_by("name")
        if options["names"] or options["tag"]:
            policies = policies.filter(pk__in={row.retry_policy_id for row in rows})
        found = describe_all(rows, policies, now=database_now())
        if options["as_json"]:
            self.show(options, _shape(found), "")
        if not options["as_json"] or options["output"] != "-":
            write_output(self, manifest.write(found.policies, found.schedules).encode(), options["output"])
        if found.left_out:
            raise Error(_complaint(found), returncode=REFUSED)


def _shape(found: Described) -> dict[str, Any]:
    return {
        manifest.POLICIES: found.policies,
        manifest.SCHEDULES: found.schedules,
        "left_out": found.left_out,
    }


def _complaint(found: Described) -> str:
    lines = [f"  {printable(name)}: {printable(why)}" for name, why in found.left_out.items()]
    said = f"{counted(len(lines), 'schedule')} cannot be used as they are, and are not in the export:"
    return "\n".join([said, *lines])
