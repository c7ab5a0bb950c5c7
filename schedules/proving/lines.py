"""Crontab files for the equivalence report, and which schedule each of their job lines is. Reads only.

A file is either as it was imported (`CrontabFile`), or as it is on disk now. Called by `proving` and its
commands; what the lines mean is read in `rules.crontab`, when cron starts them is computed in `rules.daemon`.
"""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from django.conf import settings
from django.db.models import Q

from schedules.accounts import Accounts
from schedules.cutting_over.plan import read_as_cron_had_them
from schedules.errors import NotPossible
from schedules.importing.known import imported_were
from schedules.importing.sources import printable_path, read
from schedules.importing.values import Reading, Source
from schedules.models import CrontabFile, Schedule
from schedules.rules import anacrontab, crontab, import_plan
from schedules.rules.crontab.grammar import Daemon, grammar_of
from schedules.rules.crontab.lines import Format, Job
from schedules.rules.import_plan import Entry

RELATED = ("revision", "retry_policy", "interval", "crontab", "clocked", "solar")


@dataclass(frozen=True, kw_only=True)
class File:
    """One crontab. `zone` is the zone of its daemon; `state` says which state of the file `content` is.

    `is_here`: its daemon runs on this machine, so that its accounts must exist here. `is_dormant`: the
    daemon ignores it for its name, owner or mode.
    """

    source: str
    shown: str
    state: str
    format: str
    account: str | None
    zone: str
    dialect: str
    content: bytes
    is_here: bool = False
    is_dormant: bool = False


@dataclass(frozen=True, kw_only=True)
class Line:
    """A job line and its schedule; either may be missing, not both.

    `ignored` says why cron starts nothing of the file, though its lines can be read; "" where it does.
    """

    file: File
    job: Job | None
    schedule: Schedule | None
    ignored: str = ""

    @property
    def number(self) -> int:
        return self.job.line if self.job else (self.schedule.source_line or 0) if self.schedule else 0


def imported(sources: Sequence[str] | None = None) -> list[File]:
    """Files as they were last imported; None: all of them."""
    rows = CrontabFile.objects.order_by("source")
    return [_as_imported(row) for row in (rows if sources is None else rows.filter(source__in=sources))]


def vanished(sources: Sequence[str]) -> list[File]:
    """Imported files of which nothing is left, so that cron starts nothing of them."""
    return [replace(file, content=b"", state="is no longer there") for file in imported(sources)]


def found(names: Sequence[str]) -> list[File]:
    """For each name the files that lie there now; for what was read from a pipe, as it was imported.

    Raises NotPossible for a name that is neither a file here nor known, and for an unreadable file.
    """
    files: dict[str, File] = {}
    for name in names:
        some = _on_disk(name) if os.path.exists(name) else _not_on_disk(name)
        files |= {file.source: file for file in some}
    return list(files.values())


def lines_of(files: Sequence[File]) -> list[Line]:
    """Every job line of the files, in order, then the schedules whose lines they do not hold."""
    rows: dict[str, list[Schedule]] = defaultdict(list)
    known = Schedule.objects.live().filter(source__in=[file.source for file in files])
    for row in known.select_related(*RELATED).order_by("source_line", "pk"):
        rows[row.source].append(row)
    return [line for file in files for line in _lines(file, rows[file.source])]


def _as_imported(row: CrontabFile) -> File:
    return File(
        source=row.source,
        shown=row.source,
        state=f"as imported on {row.imported_at:%Y-%m-%d %H:%M} UTC",
        format=row.format,
        account=row.account or None,
        zone=row.timezone or settings.TIME_ZONE,
        dialect=row.dialect,
        content=bytes(row.content),
    )


def _on_disk(name: str) -> list[File]:
    """Read in the way in which the import read them: a path alone does not say how."""
    place = printable_path(os.path.abspath(name))
    inside = Q(source__startswith=place.rstrip("/") + "/")
    known = {row.source: row for row in CrontabFile.objects.filter(inside | Q(source=place) | Q(path=place))}
    first = next(iter(known.values()), None)
    sources = read([name], _reading(first, is_folder=os.path.isdir(name)) if first else Reading())
    if sources.refused:
        raise NotPossible(f"{sources.refused[0].file}: {sources.refused[0].text}")
    read_as_cron_had_them(sources)
    here = [_as_on_disk(source, known.get(source.label)) for source in sources.found]
    return here + vanished(sorted(known.keys() - {file.source for file in here}))


def _not_on_disk(name: str) -> list[File]:
    places = [printable_path(name), printable_path(os.path.abspath(name))]
    row = CrontabFile.objects.filter(source__in=places).first()
    if row is None:
        unknown = f'"{places[0]}" is neither a file here nor a source that was imported.'
        raise NotPossible(f"{unknown} {imported_were()}")
    return vanished([row.source]) if row.path else [_as_imported(row)]


def _reading(imported: CrontabFile, *, is_folder: bool) -> Reading:
    if is_folder:
        return Reading(daemon=Daemon(imported.dialect), spool=imported.format == Format.USER)
    return Reading(
        format=Format(imported.format),
        account=imported.account or None,
        daemon=Daemon(imported.dialect),
        label=imported.source,
    )


def _as_on_disk(source: Source, imported: CrontabFile | None) -> File:
    return File(
        source=source.label,
        shown=source.file,
        state="as it is on disk now",
        format=source.format,
        account=source.account,
        zone=(imported.timezone if imported else "") or settings.TIME_ZONE,
        dialect=source.daemon,
        content=source.text,
        is_here=True,
        is_dormant=source.is_dormant,
    )


def _lines(file: File, rows: Sequence[Schedule]) -> Iterator[Line]:
    jobs, ignored = _parse(file)
    pairs = _pairs(file, jobs, rows)
    schedules = {row.pk: row for row in rows}
    for index, job in enumerate(jobs):
        schedule = schedules.pop(pairs[index]) if index in pairs else None
        yield Line(file=file, job=job, schedule=schedule, ignored=ignored)
    for row in schedules.values():
        yield Line(file=file, job=None, schedule=row)


def _parse(file: File) -> tuple[Sequence[Job], str]:
    """Its jobs, and why cron starts none of them."""
    if file.format == Format.ANACRONTAB:
        return anacrontab.parse(file.content).jobs, ""
    accounts = Accounts() if file.is_here else None
    grammar = (
        file.dialect if file.dialect in list(Daemon) else Daemon.CRON
    )  # the rest of the file is crontab(5)
    parsed = crontab.parse(file.content, file.format, accounts, dialect=grammar, account=file.account)
    if file.is_dormant:
        return parsed.jobs, f"{file.dialect} ignores the file today, for its name, owner or mode"
    if parsed.errors and grammar_of(grammar).is_spoiled_by_a_bad_line:
        first = parsed.errors[0]
        return parsed.jobs, f"cron ignores the whole file because of line {first.line}: {first.text}"
    return parsed.jobs, ""


def _pairs(file: File, jobs: Sequence[Job], rows: Sequence[Schedule]) -> dict[int, int]:
    """Indexes of jobs to primary keys of schedules: by the text that was imported, then by likeness."""
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for with_place in (True, False):
        waiting: dict[tuple[object, str], deque[int]] = defaultdict(deque)
        for row in rows:
            if row.pk not in taken:
                waiting[with_place and row.source_line, row.source_text].append(row.pk)
        for index, job in enumerate(jobs):
            if index not in pairs and (same := waiting[with_place and job.line, job.raw]):
                pairs[index] = same.popleft()
        taken = set(pairs.values())
    new = [_entry_of_job(index, job, file) for index, job in enumerate(jobs) if index not in pairs]
    old = [_entry_of_row(row) for row in rows if row.pk not in taken]
    return pairs | import_plan.pair(new, old)


def _entry_of_job(index: int, job: Job, file: File) -> Entry:
    return Entry(
        key=index,
        line=job.line,
        expression=job.expression,
        account=job.user or file.account or "",
        command=job.command,
        stdin=job.stdin,
        environment=job.environment,
    )


def _entry_of_row(row: Schedule) -> Entry:
    return Entry(
        key=row.pk,
        line=row.source_line or 0,
        expression=row.cron,
        account=row.run_as,
        command=row.command,
        stdin=row.stdin,
        environment=tuple((name, value) for name, value in row.environment),
    )
