"""What an import would do, schedule by schedule: created, changed, unchanged, gone. Reads the database only.

Under Beatkeeper an imported line behaves as under cron: nothing is made up for, runs may overlap, one
attempt, what a command leaves running stays. A later import updates what the line says and nothing
else: retry policy, timeout, tags, queue, pause and the rest belong to the operator from then on.
Called by `importing`; which line is which schedule is decided in `rules.import_plan`.
"""

from __future__ import annotations

import pwd
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db.models import Q
from django_celery_beat.models import PeriodicTask

from schedules.import_sources import Accounts, Remark, Source, Sources, own_account
from schedules.models import RetryPolicy, Schedule
from schedules.rules import crontab, import_plan
from schedules.rules.crontab_lines import Format, Job
from schedules.rules.definition import Background, CatchUp, Kind, Overlap
from schedules.rules.import_plan import Entry
from schedules.rules.naming import Names, name_for

_WORDS = {"cron": "time", "run_as": "account", "stdin": "standard input", "timezone": "zone"}


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
    """

    timezone: str = ""
    queue: str = ""
    retry_policy: RetryPolicy | None = None
    tags: str = ""
    enabled: bool = True
    partial: bool = False


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
    items: tuple[Item, ...]
    refused: tuple[Remark, ...]
    warnings: tuple[Remark, ...]


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """One source, read. Its jobs are those that could be imported, whatever else is refused."""

    source: Source
    jobs: tuple[Job, ...]
    refused: tuple[Remark, ...]
    warnings: tuple[Remark, ...]


def parse(sources: Sources) -> list[Parsed]:
    accounts = Accounts()
    return [_parse(source, accounts) for source in sources.found]


def make_plan(sources: Sources, parsed: Sequence[Parsed], options: Options) -> Plan:
    """Compares what was read with what earlier imports left. A fixed number of queries."""
    known = _imported_before(sources)
    names = Names(set(PeriodicTask.objects.values_list("name", flat=True)))
    items: list[Item] = []
    for one in parsed:
        rows = known.pop(one.source.label, [])
        if not one.refused or (options.partial and one.jobs):
            items += _plan_source(one, rows, options, names)
    items += [_gone(row, row.source) for rows in known.values() for row in rows]
    return Plan(
        items=tuple(items),
        refused=(*sources.refused, *(remark for one in parsed for remark in one.refused)),
        warnings=(*sources.notes, *(remark for one in parsed for remark in one.warnings)),
    )


def _parse(source: Source, accounts: Accounts) -> Parsed:
    read = crontab.parse(source.text, source.format, accounts)
    problems = {error.line: error.reason for error in read.errors}
    problems |= {job.line: why for job in read.jobs if (why := _why_unstorable(job))}
    jobs = tuple(job for job in read.jobs if job.line not in problems)
    remarks = [Remark(file=source.file, line=it.line, reason=it.reason) for it in read.warnings]
    return Parsed(
        source=source,
        jobs=jobs,
        refused=tuple(
            Remark(file=source.file, line=line, reason=problems[line]) for line in sorted(problems)
        ),
        warnings=(*remarks, *_account_warnings(source, jobs), *_mail_warning(source, jobs)),
    )


def _why_unstorable(job: Job) -> str:
    """Why cron runs the line and Beatkeeper cannot hold it; "" where it can."""
    texts = (job.raw, job.command, job.stdin or "", *(text for pair in job.environment for text in pair))
    if not all(_is_utf8(text) for text in texts):
        return (
            "the line, or a setting above it, holds bytes that are not UTF-8, which a database cannot "
            "hold. Convert the file, for example with: iconv -f latin1 -t utf-8"
        )
    longest = Schedule._meta.get_field("cron").max_length or 0
    if len(job.expression) > longest:
        return f"the time fields are longer than {longest} characters; split the line in two"
    return ""


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _account_warnings(source: Source, jobs: Sequence[Job]) -> Iterator[Remark]:
    """One for each account that needs a worker with special rights."""
    mine = own_account()
    if jobs and source.format is Format.USER and source.account is None and mine == "root":
        yield Remark(
            file=source.file,
            reason="no account is named, so the worker's own account runs the commands. "
            "Name the crontab's owner with --account",
        )
    lines: dict[str, list[int]] = defaultdict(list)
    for job in jobs:
        lines[_account(job, source) or mine].append(job.line)
    for account, numbers in lines.items():
        if account != mine:
            yield Remark(
                file=source.file,
                line=numbers[0],
                reason=f'commands of the account "{account}" ({_count(len(numbers), "line")}) need a '
                f"worker that runs as root or as {account}{_unknown(account)}",
            )


def _mail_warning(source: Source, jobs: Sequence[Job]) -> Iterator[Remark]:
    """cron mails what a command prints; here it is kept, and somebody who counts on the mail must know."""
    addresses = {value for job in jobs for name, value in job.environment if name == "MAILTO" and value}
    if addresses:
        yield Remark(
            file=source.file,
            reason=f"nothing is mailed to {', '.join(sorted(addresses))}: what commands print is "
            "kept with their runs. `list_runs --state failed` tells what to look at",
        )


def _unknown(account: str) -> str:
    """What to add where this machine does not know the account; a worker's machine may."""
    try:
        pwd.getpwnam(account)
    except KeyError:
        return ", and this machine has no such account: is the name right?"
    return ""


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


def _plan_source(parsed: Parsed, rows: Sequence[Schedule], options: Options, names: Names) -> Iterator[Item]:
    source = parsed.source
    left = {row.pk: row for row in rows}
    accounts_said = any(_account(job, source) is not None for job in parsed.jobs)
    pairs = import_plan.pair(
        [_entry_of_job(index, job, source) for index, job in enumerate(parsed.jobs)],
        [_entry_of_row(row, with_account=accounts_said) for row in rows],
    )
    for index, job in enumerate(parsed.jobs):
        if index in pairs:
            yield _known(job, left.pop(pairs[index]), source, options)
        else:
            yield _new(job, source, options, names)
    refused = {remark.line for remark in parsed.refused}
    yield from (_gone(row, source.file) for row in left.values() if row.source_line not in refused)


def _entry_of_job(index: int, job: Job, source: Source) -> Entry:
    return Entry(
        key=index,
        line=job.line,
        expression=job.expression,
        account=_account(job, source) or "",
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


def _new(job: Job, source: Source, options: Options, names: Names) -> Item:
    values = {"timezone": settings.TIME_ZONE, **_said(job, source, options)}
    schedule = Schedule(
        name=names.give(name_for(job.command, prefix=source.prefix)),
        kind=Kind.COMMAND.value,
        catch_up=CatchUp.SKIP.value,
        overlap=Overlap.ALLOW.value,
        background=Background.KEEP.value,
        queue=options.queue or None,
        retry_policy=options.retry_policy,
        tags=options.tags,
        enabled=options.enabled,
        source=source.label,
        source_line=job.line,
        source_text=job.raw,
        **values,
    )
    return Item(fate=Fate.CREATED, file=source.file, schedule=schedule, job=job, values=values)


def _known(job: Job, row: Schedule, source: Source, options: Options) -> Item:
    said = _said(job, source, options)
    changes = tuple(
        _change(column, getattr(row, column), value)
        for column, value in said.items()
        if getattr(row, column) != value
    )
    fate = Fate.CHANGED if changes else Fate.UNCHANGED
    return Item(fate=fate, file=source.file, schedule=row, job=job, values=said, changes=changes)


def _gone(row: Schedule, file: str) -> Item:
    return Item(fate=Fate.GONE, file=file, schedule=row)


def _said(job: Job, source: Source, options: Options) -> dict[str, Any]:
    """The columns that the line decides, and the operator where he said more about it."""
    account = _account(job, source)
    return {
        "cron": job.expression,
        "dialect": "cron",
        "command": job.command,
        "stdin": job.stdin,
        "environment": [list(pair) for pair in job.environment],
        **({} if account is None else {"run_as": account}),
        **({"timezone": options.timezone} if options.timezone else {}),
    }


def _account(job: Job, source: Source) -> str | None:
    """Whom the line names; None where neither the line nor the operator says."""
    return job.user if job.user is not None else source.account


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


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
