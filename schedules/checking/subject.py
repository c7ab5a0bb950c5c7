"""What of a schedule is checked, and by which workers. Called by `checking.work` and the pages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from schedules.models import Schedule
from schedules.occurrences import queue_of
from schedules.rules.definition import Definition, Kind

ByQueue = dict[str, list[int]]
"""Primary keys of schedules by the queue that their runs go to."""


def by_queue(schedules: Iterable[Schedule]) -> ByQueue:
    """Those that a worker can be asked about. Expects their revisions to be fetched."""
    found: ByQueue = {}
    for schedule in schedules:
        definition = command_definition(schedule)
        if definition is not None:
            found.setdefault(queue_of(definition), []).append(schedule.pk)
    return found


def command_definition(schedule: Schedule) -> Definition | None:
    """What its runs execute; None for Celery tasks, and for a schedule that never was usable."""
    if schedule.kind != Kind.COMMAND or schedule.revision is None:
        return None
    try:
        return Definition.from_dict(schedule.revision.definition)
    except (LookupError, TypeError, ValueError):
        return None


def digest_of(definition: Definition) -> str:
    """Of all that a check looks at: an edit of anything else, such as a pause, leaves the check valid."""
    parts = (
        *(definition.command, definition.environment, definition.working_directory),
        *(definition.run_as, definition.shell, queue_of(definition)),
    )
    text = json.dumps(parts, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
