"""One crontab line and its schedule, made ready to be compared: cron's side, and ours.

Cron's side comes from the text of the line, ours from the definition. Called by `proving`, which
compares the instants and judges. Reads nothing but the rows that it is given.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

from schedules import revisions
from schedules.errors import BeatkeeperError, CronError
from schedules.importing.planning import ANACRONS_DIRECTORY, ANACRONS_SHELL
from schedules.models import Schedule
from schedules.proving.lines import File, Line
from schedules.rules import daemon
from schedules.rules.crontab.grammar import Daemon
from schedules.rules.crontab.lines import BLANKS, Format, Job
from schedules.rules.definition import Definition
from schedules.rules.equivalence import Stored
from schedules.rules.equivalence.causes import Cause, Claim, notes, timing_causes, work_causes
from schedules.rules.timing import BootTiming

NO_LINE = Cause("", "its line is not in the file, so cron starts nothing")
NO_SCHEDULE = Cause("", "no schedule was made of this line")
UNEXPLAINED = Cause(
    "", "its definition says what the line says, yet the engine starts it at other times: please report this"
)
EDITED_LINE = Cause("", "its line has changed since the last import")
BOOT = Cause("", "@reboot: once per boot, not by the clock")
ANACRON = Cause("", "anacron starts it when its period has passed, not by the clock")
NOTHING = Stored(timing=None)
_NOT_PLAIN = "dialect cronie: only plain fields can be computed independently, not these"
_NOT_TAKEN_OVER = "it was changed outside Beatkeeper, and beat has not taken the change over yet"
_DISABLED_YET = "it starts nothing until it is enabled"


@dataclass(kw_only=True)
class Case:
    """`unproved` says why cron's side cannot be computed; `unusable` why ours never starts anything.

    `entry` is None where no line, or none that the clock starts, is to be compared.
    """

    line: Line
    claim: Claim | None = None
    entry: daemon.Entry | None = None
    definition: Definition | None = None
    stored: Stored = NOTHING
    unproved: str = ""
    unusable: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def zone(self) -> str:
        return self.claim.zone if self.claim else self.line.file.zone

    @property
    def is_anacrons(self) -> bool:
        return self.line.file.format == Format.ANACRONTAB

    @property
    def has_instants(self) -> bool:
        """Whether the clock decides when cron starts the line, or when a schedule without line starts."""
        if self.line.job is None:
            return not (isinstance(self.stored.timing, BootTiming) and self.stored.enabled)
        return self.entry is not None and not self.entry.at_boot

    @cached_property
    def when_causes(self) -> list[Cause]:
        if self.unusable:
            return [Cause("", self.unusable)]
        return timing_causes(self.claim, self.definition) if self.claim and self.definition else []

    @cached_property
    def work_causes(self) -> list[Cause]:
        return work_causes(self.claim, self.definition) if self.claim and self.definition else []

    @property
    def is_edited_line(self) -> bool:
        """Whether the line has changed since its schedule was made of it."""
        job, schedule = self.line.job, self.line.schedule
        return job is not None and schedule is not None and job.raw != schedule.source_text

    def reasons(self, otherwise: Cause | None = None) -> list[Cause]:
        if self.unproved:
            return [Cause("", self.unproved)]
        return [otherwise] if otherwise else []

    @property
    def why_not_clocked(self) -> Cause:
        return ANACRON if self.is_anacrons else BOOT


def case_of(line: Line, *, new_may_be_disabled: bool) -> Case:
    case = Case(line=line, unproved=line.ignored)
    if line.job is not None:
        _read_line(case, line.job, line.file)
    if line.schedule is not None:
        _read_schedule(case, line.schedule, new_may_be_disabled=new_may_be_disabled)
    return case


def _read_line(case: Case, job: Job, file: File) -> None:
    case.claim = Claim(
        expression=job.expression,
        zone=job.zone or file.zone,
        dialect=Daemon.CRON if case.is_anacrons else file.dialect,
        command=job.command,
        stdin=job.stdin,
        environment=job.environment,
        account=job.user if job.user is not None else file.account,
        shell=ANACRONS_SHELL if case.is_anacrons else "",
        directory=ANACRONS_DIRECTORY if case.is_anacrons else "",
    )
    if case.is_anacrons:
        return
    if file.dialect not in list(Daemon):
        case.unproved = f"dialect {file.dialect}: there is no daemon whose rules could be computed"
        return
    try:
        case.entry = daemon.read(_without_mark(job, file))
    except CronError as error:
        case.unproved = (
            _NOT_PLAIN
            if file.dialect == Daemon.CRONIE
            else f"cron refuses the line, and with it the file: {error.reason}"
        )
        return
    if file.dialect == Daemon.CRONIE and not case.unproved:
        case.unproved = _why_unproved_for_cronie(case.entry, job)


def _without_mark(job: Job, file: File) -> str:
    """The line without the mark by which cronie leaves a start out of its log."""
    text = job.raw.lstrip(BLANKS)
    return text.removeprefix("-") if file.dialect == Daemon.CRONIE else text


def _why_unproved_for_cronie(entry: daemon.Entry, job: Job) -> str:
    """Its main loop is that of Debian's cron; its grammar is the same for plain fields only."""
    if job.zone:
        return "dialect cronie: its rules for CRON_TZ cannot be computed independently"
    if not entry.is_plain:
        return _NOT_PLAIN
    return ""


def _read_schedule(case: Case, schedule: Schedule, *, new_may_be_disabled: bool) -> None:
    """The definition in force; where the row says something else by now, what it will be."""
    revision = schedule.revision
    try:
        definition = revisions.definition_of(schedule)
        case.stored = Stored.of(definition)
    except BeatkeeperError as error:
        case.unusable = f"its timing cannot be used, so it starts nothing: {error}"
        return
    if revision is not None and revision.digest != definition.digest:
        case.notes.append(_NOT_TAKEN_OVER)
    if new_may_be_disabled and not definition.enabled and revision is not None and revision.number == 1:
        definition = replace(definition, enabled=True)
        case.stored = replace(case.stored, enabled=True)
        case.notes.append(_DISABLED_YET)
    case.definition = definition
    job = case.line.job
    case.notes += notes(definition, makes_up=job is not None and job.runs_when_missed)
