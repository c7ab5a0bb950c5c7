"""`manage.py explain`: why a run did, did not or will not happen at a moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser

from schedules import catalog
from schedules.errors import TimingError
from schedules.explaining import flow as explaining
from schedules.explaining.explanation import Explanation
from schedules.management.output import iso, printable
from schedules.management.script import ScriptCommand, usage_error


class Command(ScriptCommand):
    help = "Explain why a run did, did not or will not happen at a moment (default: now, or the next one)."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="a schedule; a deleted one too")
        parser.add_argument(
            "--at",
            metavar="T",
            default="",
            help="such as 2026-01-31T02:30, in the schedule's zone unless it has an offset; 02:30 is today",
        )

    def run(self, options: dict[str, Any]) -> None:
        schedule = catalog.find_any(options["name"])
        try:
            found = explaining.explain(schedule, at=options["at"])
        except TimingError as error:
            raise usage_error(f"--at: {printable(str(error))}") from error
        self.show(options, explanation_shape(found), explanation_text(found))


def explanation_text(found: Explanation) -> str:
    return "\n".join(_lines(found))


def _lines(found: Explanation) -> Iterator[str]:
    yield f"{printable(found.name)}: {printable(found.sentence)}"
    if found.facts:
        yield ""
    width = max((len(fact.label) for fact in found.facts), default=0)
    for fact in found.facts:
        yield f"  {fact.label:<{width}}  {printable(fact.text)}"


def explanation_shape(found: Explanation) -> dict[str, Any]:
    """What `--json` prints: documented in docs/cli.md."""
    return {
        "schedule": found.name,
        "at": iso(found.at),
        "timezone": str(found.zone),
        "verdict": found.verdict,
        "sentence": found.sentence,
        "run": found.run_id,
        "before": iso(found.before),
        "after": iso(found.after),
        "facts": [{"label": fact.label, "text": fact.text, "run": fact.run_id} for fact in found.facts],
    }
