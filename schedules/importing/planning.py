"""What an import would do, schedule by schedule: created, changed, unchanged, gone. Reads the database only.

Under Beatkeeper an imported line behaves as under cron: nothing is made up for, runs may overlap, one
attempt, what a command leaves running stays. (Anacron makes up for a missed start, so its jobs do.)
A later import updates what the line says and nothing else: retry policy, timeout, tags, queue, pause
and the rest belong to the operator from then on. Called by `importing`; which line is which schedule
is decided in `rules.import_plan`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db.models import Q
from django_celery_beat.models import PeriodicTask

from schedules.importing.copies import copy_warnings, deleted_warnings
from schedules.importing.reading import Parsed, account_of
from schedules.importing.values import Remark, Source, Sources
from schedules.models import CrontabFile, RetryPolicy, Schedule
from schedules.rules import import_plan
from schedules.rules.crontab import decoded, split_lines
from schedules.rules.crontab.grammar import Daemon
from schedules.rules.crontab.lines import Format, Job
from schedules.rules.definition import Background, CatchUp, Kind, Mode, Overlap
from schedules.rules.import_plan import Entry
from schedules.rules.naming import Names, name_for

_WORDS = {
    "cron": "time",
    "run_as": "account",
    "stdin": "standard input",
    "timezone": "zone",
    "mail_to": "mail to",
    "mail_from": "mail from",
}
_OF_THE_LINE = ("cron", "command", "stdin")
_EDITED_HERE = ", as the file still has it: it was edited here"
_COMPARED = 500
"""Characters of a line."""
_ALIKE = 0.6
"""An edit leaves more than that of a line, unless it is another line."""
ANACRONS_SHELL, ANACRONS_DIRECTORY = "/bin/sh", "/"
"""Whatever its table sets (anacron, runjob.c: run_job)."""


class Fate(StrEnum):
    """What an import does to one schedule."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    GONE = "gone"  # its line is no longer in the file; the schedule is left as it is


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the operator said beside the files. All but `timezone` concern new schedules only.

    `timezone`: IANA name; "" means that nobody said, which is the zone of the settings for new
    schedules and no change for others. `partial`: import the good lines of files that cron refuses.
    `shadow`: record what would start, and start nothing. `prefix` goes before the names.
    """

    timezone: str = ""
    queue: str = ""
    retry_policy: RetryPolicy | None = None
    tags: str = ""
    enabled: bool = True
    partial: bool = False
    shadow: bool = False
    prefix: str = ""
    no_anacron: bool = False


@dataclass(kw_only=True)
class Item:
    """One schedule of the plan, not yet touched: `values` are the columns that its line decides.

    `job` is None where the line is gone; `changes` name what differs, for people.
    """

    fate: Fate
    file: str
    schedule: Schedule
    job: Job | None = None
    values: dict[str, Any] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    next_run_at: datetime | None = None

    @property
    def line(self) -> int:
        return self.job.line if self.job else self.schedule.source_line or 0

    @property
    def is_moved(self) -> bool:
        """True where only the place or the blanks of the line differ from what is stored."""
        job, row = self.job, self.schedule
        return job is not None and (job.line, job.raw) != (row.source_line, row.source_text)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`read` is everything that was read; `files` are the sources of which something is imported, with
    the zone of each.
    """

    items: tuple[Item, ...]
    refused: tuple[Remark, ...]
    warnings: tuple[Remark, ...]
    read: tuple[Parsed, ...] = ()
    files: tuple[tuple[Source, str], ...] = ()


def make_plan(sources: Sources, parsed: Sequence[Parsed], options: Options) -> Plan:
    """Compares what was read with what earlier imports left. A fixed number of queries."""
    known = _imported_before(sources)
    zones = _zones(parsed, options)
    names = Names(set(PeriodicTask.objects.values_list("name", flat=True)))
    items: list[Item] = []
    imported = [one for one in parsed if not one.refused or (options.partial and one.jobs)]
    for one in parsed:
        rows = known.pop(one.source.label, [])
        if one in imported:
            items += _plan_source(one, rows, options, names, zones[one.source.label])
    new = [(item.file, item.schedule) for item in items if item.fate == Fate.CREATED]
    items += [_gone(row, row.source) for rows in known.values() for row in rows]
    return Plan(
        items=tuple(items),
        refused=(*sources.refused, *(remark for one in parsed for remark in one.refused)),
        warnings=(
            *copy_warnings(new),
            *deleted_warnings(new),
            *sources.notes,
            *(remark for one in parsed for remark in one.warnings),
        ),
        read=tuple(parsed),
        files=tuple((one.source, zones[one.source.label]) for one in imported),
    )


def _zones(parsed: Sequence[Parsed], options: Options) -> Mapping[str, str]:
    """The zone of each file: what is said now, or was at its last import, or the installation's."""
    labels = [one.source.label for one in parsed]
    before = dict(CrontabFile.objects.filter(source__in=labels).values_list("source", "timezone"))
    return {label: options.timezone or before.get(label) or settings.TIME_ZONE for label in labels}


def _imported_before(sources: Sources) -> dict[str, list[Schedule]]:
    """Live schedules of these sources, and of files that their folders no longer hold, by source."""
    wanted = Q(source__in=[source.label for source in sources.found])
    for folder in sources.folders:
        wanted |= Q(source__startswith=folder.rstrip("/") + "/")
    rows = Schedule.objects.live().filter(wanted).select_related("interval").order_by("source_line", "pk")
    found: dict[str, list[Schedule]] = defaultdict(list)
    for row in rows:
        if row.source not in sources.unread:
            found[row.source].append(row)
    return found


def _plan_source(
    parsed: Parsed, rows: Sequence[Schedule], options: Options, names: Names, zone: str
) -> Iterator[Item]:
    source = parsed.source
    left = {row.pk: row for row in rows}
    accounts_said = any(account_of(job, source) is not None for job in parsed.jobs)
    pairs = import_plan.pair(
        [_entry_of_job(index, job, source) for index, job in enumerate(parsed.jobs)],
        [_entry_of_row(row, with_account=accounts_said) for row in rows],
    )
    for index, job in enumerate(parsed.jobs):
        if index in pairs:
            yield _known(job, left.pop(pairs[index]), source, options, zone)
        else:
            yield _new(job, source, options, names, zone)
    yield from (_gone(row, source.file) for row in _without_those_gone_bad(left.values(), parsed))


def _without_those_gone_bad(rows: Iterable[Schedule], parsed: Parsed) -> Iterator[Schedule]:
    """The schedules whose line is not there any more, not even edited into one that is refused."""
    lines = split_lines(decoded(parsed.source.text)) if parsed.refused else []
    bad = {remark.line: lines[remark.line - 1] for remark in parsed.refused if remark.line}
    for row in rows:
        now = bad.get(row.source_line or 0, "")
        alike = SequenceMatcher(None, now[:_COMPARED], row.source_text[:_COMPARED]) if now else None
        if alike is None or alike.ratio() <= _ALIKE:
            yield row


def _entry_of_job(index: int, job: Job, source: Source) -> Entry:
    return Entry(
        key=index,
        line=job.line,
        expression=job.expression,
        account=account_of(job, source) or "",
        command=job.command,
        stdin=job.stdin,
        environment=job.environment,
    )


def _entry_of_row(row: Schedule, *, with_account: bool) -> Entry:
    return Entry(
        key=row.pk,
        line=row.source_line or 0,
        expression=row.cron,
        account=row.run_as if with_account else "",
        command=row.command,
        stdin=row.stdin,
        environment=tuple((name, value) for name, value in row.environment),
    )


def _new(job: Job, source: Source, options: Options, names: Names, zone: str) -> Item:
    values = {"timezone": zone, **_said(job, source, options)}
    schedule = Schedule(
        name=names.give(name_for(job.command, title=job.name, prefixes=(options.prefix, source.prefix))),
        kind=Kind.COMMAND.value,
        catch_up=(CatchUp.LATEST if job.runs_when_missed else CatchUp.SKIP).value,
        overlap=Overlap.ALLOW.value,
        background=Background.KEEP.value,
        mode=(Mode.SHADOW if options.shadow else Mode.LIVE).value,
        queue=options.queue or None,
        retry_policy=options.retry_policy,
        tags=options.tags,
        enabled=options.enabled,
        source=source.label,
        source_line=job.line,
        source_text=job.raw,
        **(_of_anacron() if source.format is Format.ANACRONTAB else {}),
        **values,
    )
    return Item(fate=Fate.CREATED, file=source.file, schedule=schedule, job=job, values=values)


def _of_anacron() -> dict[str, str]:
    return {"shell": ANACRONS_SHELL, "working_directory": ANACRONS_DIRECTORY}


def _known(job: Job, row: Schedule, source: Source, options: Options, zone: str) -> Item:
    said = _said(job, source, options)
    if "timezone" not in said and _had_own_zone(row):
        said["timezone"] = zone
    is_same_line = job.raw == row.source_text
    changes = tuple(
        _change(column, getattr(row, column), value)
        + (_EDITED_HERE if is_same_line and column in _OF_THE_LINE else "")
        for column, value in said.items()
        if getattr(row, column) != value
    )
    fate = Fate.CHANGED if changes else Fate.UNCHANGED
    return Item(fate=fate, file=source.file, schedule=row, job=job, values=said, changes=changes)


def _had_own_zone(row: Schedule) -> bool:
    """Whether a CRON_TZ that cronie reads decided the zone at the last import."""
    settings_before: dict[str, str] = dict(row.environment)
    return row.dialect == Daemon.CRONIE and bool(settings_before.get("CRON_TZ"))


def _gone(row: Schedule, file: str) -> Item:
    return Item(fate=Fate.GONE, file=file, schedule=row)


def _said(job: Job, source: Source, options: Options) -> dict[str, Any]:
    """The columns that the line decides, and the operator where he said more about it."""
    account = account_of(job, source)
    zone = job.zone or options.timezone
    in_force = dict(job.environment)
    return {
        "cron": job.expression,
        "dialect": str(source.daemon),
        "command": job.command,
        "stdin": job.stdin,
        "environment": [list(pair) for pair in job.environment],
        "mail_to": in_force.get("MAILTO", ""),
        "mail_from": in_force.get("MAILFROM", ""),
        **({} if account is None else {"run_as": account}),
        **({"timezone": zone} if zone else {}),
    }


def _change(column: str, before: Any, after: Any) -> str:
    word = _WORDS.get(column, column)
    if column == "environment":
        return f"{word}: {', '.join(_changed_names(before, after)) or 'order'}"
    return word if column in ("command", "stdin") else f"{word}: {before or '(none)'} -> {after or '(none)'}"


def _changed_names(before: Iterable[Sequence[str]], after: Iterable[Sequence[str]]) -> list[str]:
    """Variables whose value differs, is new, or is gone. Values may be secrets and are not shown."""
    differing = Counter(map(tuple, before))
    differing.subtract(map(tuple, after))
    return sorted({name for (name, _), count in differing.items() if count})
