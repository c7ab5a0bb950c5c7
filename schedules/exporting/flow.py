"""Schedules become crontabs again: the file that was imported, or one made for the purpose. Reads only.

What a schedule asks of cron is judged in `exporting.wants`, the text is made in `rules.crontab.export`,
which reads it again before it is given out. Called by the command `export_crontab`.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.conf import settings

from schedules.cutting_over.still import open_cut_overs
from schedules.errors import NotPossible
from schedules.exporting.wants import Target, beyond_cron, name_of, shared_account, wanted
from schedules.importing.known import imported_were
from schedules.importing.planning import ANACRONS_DIRECTORY, ANACRONS_SHELL
from schedules.models import CrontabFile, Schedule
from schedules.querysets import database_now
from schedules.rules import anacrontab, crontab
from schedules.rules.cron.clock import zone
from schedules.rules.crontab import Crontab, export
from schedules.rules.crontab.grammar import CRON, Grammar, grammar_of
from schedules.rules.crontab.lines import Format, Job, LineKind
from schedules.rules.crontab.sheet import Exported, Fate, Wanted
from schedules.rules.definition import Mode

RELATED = ("interval", "crontab", "clocked", "solar", "retry_policy")


@dataclass(frozen=True, kw_only=True)
class Export:
    """A crontab, and what to tell about it; `source` is "" where it was made for the purpose."""

    content: bytes
    source: str
    format: Format
    account: str
    timezone: str
    schedules: tuple[Exported, ...]
    remarks: tuple[str, ...]

    def of(self, fate: Fate) -> list[Exported]:
        return [one for one in self.schedules if one.fate == fate]


def export_source(name: str) -> Export:
    """The crontab as it was last imported, with the lines of edited schedules saying what those do.

    `name` is the source as `list_schedules` shows it, or a path. Raises NotPossible.
    """
    file = _file(name)
    content = bytes(file.content)
    rows = _rows_of(file.source)
    format = Format(file.format)
    target = Target(
        format=format,
        grammar=grammar_of(file.dialect),
        account=file.account or _account_of(rows, format),
        timezone=file.timezone or settings.TIME_ZONE,
        now=database_now(),
    )
    if format is Format.ANACRONTAB:
        return _anacrontab(content, rows, file, target)
    read = crontab.parse(content, format, dialect=file.dialect, account=file.account or None)
    placed = _placed(read.jobs, rows)
    asked = {line: wanted(row, target) for line, row in placed.items()}
    asked |= {job.line: _removed(job) for job in read.jobs if job.line not in asked and _is_storable(job)}
    written = export.rewrite(read, asked, format=format, grammar=target.grammar)
    return Export(
        content=written.text.encode("utf-8", "surrogateescape"),
        source=file.source,
        format=format,
        account=target.account,
        timezone=target.timezone,
        schedules=written.schedules,
        remarks=(
            *_remarks_on_file(read, rows, placed, target.grammar),
            *_remarks_on_policies(placed.values()),
            *_remarks_on_cut_overs(file.source, placed.values(), written.schedules),
        ),
    )


def export_chosen(
    rows: Sequence[Schedule], *, format: Format, account: str | None = None, timezone: str = ""
) -> Export:
    """A new crontab from these schedules, for Debian's cron. Raises NotPossible.

    `account` None: the one that all of them share, in the format of a user. `timezone` is the zone of
    the machine whose cron will read it; "": the installation's. Raises TimingError for an unknown one.
    """
    zone(timezone or settings.TIME_ZONE)
    owner = account if account is not None else shared_account(rows)
    if owner is None and format is Format.USER:
        names = ", ".join(sorted({row.run_as or "(none)" for row in rows}))
        raise NotPossible(
            f"The schedules run as different accounts ({names}), and a user's crontab has one. "
            "Choose one with --account, or write a system crontab with --format system."
        )
    target = Target(
        format=format,
        grammar=CRON,
        account=owner or "" if format is Format.USER else account or "",
        timezone=timezone or settings.TIME_ZONE,
        now=database_now(),
    )
    written = export.compose([wanted(row, target) for row in rows], format=format, head=_head(target))
    return Export(
        content=written.text.encode("utf-8", "surrogateescape"),
        source="",
        format=format,
        account=target.account,
        timezone=target.timezone,
        schedules=written.schedules,
        remarks=(),
    )


def _file(name: str) -> CrontabFile:
    candidates = [name, os.path.abspath(name)]
    found = {file.source: file for file in CrontabFile.objects.filter(source__in=candidates)}
    for candidate in candidates:
        if candidate in found:
            return found[candidate]
    if Schedule.objects.filter(source__in=candidates).exists():
        raise NotPossible(
            f'What was imported from "{name}" was not kept at that time. Import the file again, then '
            "export it."
        )
    raise NotPossible(f'Nothing was imported from "{name}". {imported_were()}')


def _rows_of(source: str) -> list[Schedule]:
    """Deleted ones too: their lines are to be commented out."""
    return list(Schedule.objects.filter(source=source).select_related(*RELATED).order_by("pk"))


def _account_of(rows: Iterable[Schedule], format: Format) -> str:
    """Whose crontab it is, where the import did not say: that of the account which all of it runs as."""
    live = [row for row in rows if not row.is_deleted]
    return "" if format is Format.SYSTEM else shared_account(live) or ""


def _placed(jobs: Iterable[Job], rows: Iterable[Schedule]) -> dict[int, Schedule]:
    """The schedule of each line, as the last import left them; a live one rather than a deleted one."""
    texts = {job.line: job.raw for job in jobs}
    placed: dict[int, Schedule] = {}
    for row in sorted(rows, key=lambda row: (not row.is_deleted, row.pk)):
        if row.source_line is not None and texts.get(row.source_line) == row.source_text:
            placed[row.source_line] = row
    return placed


def _removed(job: Job) -> Wanted:
    return Wanted(
        name=f"line {job.line}",
        job=None,
        environment=dict(job.environment),
        why_not="no schedule has this line: it was refused at the import, or its schedule is gone",
    )


def _is_storable(job: Job) -> bool:
    """False for a line that no import could take over: cron goes on running it."""
    try:
        f"{job.raw}{job.environment}".encode()
    except UnicodeEncodeError:
        return False
    return len(job.expression) <= (Schedule._meta.get_field("cron").max_length or 0)


def _remarks_on_file(
    read: Crontab, rows: Sequence[Schedule], placed: dict[int, Schedule], grammar: Grammar
) -> Iterable[str]:
    bad = [line.number for line in read.lines if line.kind is LineKind.BAD]
    if bad:
        why = (
            ": cron ignores the whole file until it is corrected" if grammar.is_spoiled_by_a_bad_line else ""
        )
        yield f"line {bad[0]} is bad, as it was at the import, and stays as it is{why}"
    for job in read.jobs:
        if job.line not in placed and not _is_storable(job):
            yield f"line {job.line} could not be imported, and stays as it is"
    placed_keys = {row.pk for row in placed.values()}
    for row in rows:
        if row.pk not in placed_keys and not row.is_deleted:
            yield (
                f'"{row.name}" came from this file, but its line was gone at the last import: it is not '
                "exported"
            )


def _remarks_on_policies(rows: Iterable[Schedule]) -> Iterable[str]:
    """An unedited file stays as it is, so what cron will not do is told beside it."""
    counts = Counter(clause for row in rows if not row.is_deleted for clause in beyond_cron(row))
    for clause, count in counts.most_common():
        yield f"cron does not do for {count} of them: {clause}"


def _remarks_on_cut_overs(
    source: str, rows: Iterable[Schedule], exported: Iterable[Exported]
) -> Iterable[str]:
    """In the export these are lines for cron; in its crontab they are comments."""
    for_cron = {one.name for one in exported if one.fate != Fate.COMMENTED}
    running = [row.pk for row in rows if row.mode == Mode.LIVE and name_of(row) in for_cron]
    if count := len(open_cut_overs(running)):
        undo = shlex.join(["cut_over", "--undo", source])
        lines = "1 line is" if count == 1 else f"{count:,} lines are"
        yield (
            f"{lines} cut over and run by Beatkeeper now: cron would run the same from this file, so both "
            f"would. Before it is installed, undo the cut-over (manage.py {undo}), or disable these schedules"
        )


def _head(target: Target) -> list[str]:
    whose = f"crontab of {target.account}" if target.account else "crontab of one user"
    kind = "system crontab, with an account in each line" if target.format is Format.SYSTEM else whose
    return [
        f"Made by Beatkeeper: {kind}.",
        f"Times are those of {target.timezone}: cron has to run in this zone.",
    ]


def _anacrontab(content: bytes, rows: Sequence[Schedule], file: CrontabFile, target: Target) -> Export:
    """Given back as it is, or not at all: its lines are not written anew."""
    jobs = {job.line: job for job in anacrontab.parse(content).jobs}
    placed = _placed(jobs.values(), rows)
    edited = [name_of(row) for line, row in placed.items() if not _says_the_same(row, jobs[line], target)]
    if edited:
        raise NotPossible(
            f"{file.source} is a table of anacron, which is given back only as it was imported, and was "
            f'edited since: "{edited[0]}"{" and others" if len(edited) > 1 else ""}. '
            "Export the schedules as a crontab, by their names or with --tag."
        )
    return Export(
        content=content,
        source=file.source,
        format=target.format,
        account=target.account,
        timezone=target.timezone,
        schedules=tuple(Exported(name_of(row), Fate.KEPT, line) for line, row in placed.items()),
        remarks=(),
    )


def _says_the_same(row: Schedule, job: Job, target: Target) -> bool:
    stopped = not row.enabled or row.is_deleted or row.is_paused(target.now)
    own = (row.cron, row.command, row.stdin, dict(row.environment), row.timezone, row.run_as)
    place = (row.shell, row.working_directory)
    return (
        not stopped
        and row.has_own_timing
        and own
        == (job.expression, job.command, job.stdin, dict(job.environment), target.timezone, target.account)
        and place == (ANACRONS_SHELL, ANACRONS_DIRECTORY)
    )
