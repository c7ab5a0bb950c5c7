"""Crontab text to jobs, problems and lines, exactly as Debian's cron 3.0pl1 reads it.

`parse` never raises for what a file holds: it reports. What happens then (refuse the file, import
a part) is for the importer to decide. When a job is due is not here: `cron` knows.

Cron ignores a whole file for one bad line, so a faithful import uses `jobs` only if `errors` is
empty. Bytes that are not valid UTF-8 are kept as lone surrogates (`surrogateescape`); the same
error handler gives the bytes back. Grammar: `crontab_settings`, `crontab_jobs`.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from schedules.rules.crontab_jobs import BadJob, read_job
from schedules.rules.crontab_lines import (
    BLANKS,
    Format,
    Job,
    JobText,
    Line,
    LineKind,
    Problem,
    Setting,
)
from schedules.rules.crontab_refusals import (
    ANACRONTAB,
    MISSING_NEWLINE,
    NUL_BYTE,
    is_anacrontab,
    size_complaint,
    why_bad,
)
from schedules.rules.crontab_settings import read_setting
from schedules.rules.crontab_warnings import (
    idle_setting_warning,
    job_warnings,
    names_an_account,
    setting_warnings,
)

__all__ = ["Crontab", "Job", "Line", "LineKind", "Problem", "ignored_name", "looks_like", "parse"]

_CRON_D_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Crontab:
    """One file, read. Joining the `raw` of all `lines` gives back the text.

    Only a file beyond the limits of size has no lines; its one error has line 0.
    """

    jobs: tuple[Job, ...] = ()
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    lines: tuple[Line, ...] = ()


def parse(text: str | bytes, format: str = "user", accounts: Collection[str] | None = None) -> Crontab:
    """Read a whole crontab.

    `format` is "user" (`crontab -l`) or "system" (/etc/crontab, /etc/cron.d: an account follows the
    time fields); nothing in a file says which, so it is never guessed. `accounts` are the names
    that exist, for the account column; None: not checked. Raises ValueError for another format.
    """
    reader = _Reader(Format(format), accounts)
    complaint = size_complaint(text)
    if complaint:
        return Crontab(errors=(Problem(0, complaint),))
    decoded = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
    for number, raw in enumerate(_split_lines(decoded), 1):
        reader.read(number, raw)
    return reader.crontab()


def looks_like(text: str | bytes, *, accounts: Collection[str] = ()) -> str | None:
    """A guess at the format for use in messages: "user", "system", "anacrontab", or None.

    None where there are no jobs, where they contradict each other, or where cron would refuse
    every one of them. `accounts` helps to recognise names that only this machine has.
    """
    crontab = parse(text)
    if [error.reason for error in crontab.errors] == [ANACRONTAB]:
        return "anacrontab"
    answers = {names_an_account(job.command, accounts) for job in crontab.jobs}
    if len(answers) != 1:
        return None
    return "system" if answers.pop() else "user"


def ignored_name(name: str) -> str | None:
    """Why cron ignores a file of this name in /etc/cron.d; None if it reads the file."""
    if _CRON_D_NAME.fullmatch(name):
        return None
    strange = next((character for character in name if not _CRON_D_NAME.match(character)), "")
    return (
        f'cron ignores "{name}": the name of a file in /etc/cron.d may hold only ASCII letters, '
        f'digits, "_" and "-"' + (f', not "{strange}"' if strange else "")
    )


@dataclass(slots=True)
class _Reader:
    """Reads lines in order and remembers the settings in force."""

    format: Format
    accounts: Collection[str] | None
    lines: list[Line] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    settings: dict[str, tuple[str, str]] = field(default_factory=dict)
    idle: list[tuple[int, Setting]] = field(default_factory=list)
    environment: tuple[tuple[str, str], ...] | None = ()

    def read(self, number: int, raw: str) -> None:
        text = raw.removesuffix("\n").lstrip(BLANKS)
        self.lines.append(Line(number, self._kind(number, raw, text), raw))

    def crontab(self) -> Crontab:
        lines = tuple(self.lines)
        if self._is_anacrontab():
            first = next(line for line in lines if line.kind in (LineKind.JOB, LineKind.BAD))
            return Crontab(errors=(Problem(first.number, ANACRONTAB),), lines=lines)
        idle = [Problem(number, idle_setting_warning(setting)) for number, setting in self.idle]
        warnings = sorted([*self.warnings, *idle], key=lambda problem: problem.line)
        return Crontab(tuple(self.jobs), tuple(self.errors), tuple(warnings), lines)

    def _kind(self, number: int, raw: str, text: str) -> LineKind:
        if not text:
            return LineKind.BLANK
        if text.startswith("#"):
            return LineKind.COMMENT
        if not raw.endswith("\n"):
            return self._refuse(number, MISSING_NEWLINE)
        if "\0" in text:
            return self._refuse(number, NUL_BYTE)
        return self._read_content(number, raw, text)

    def _read_content(self, number: int, raw: str, text: str) -> LineKind:
        setting = read_setting(text)
        if isinstance(setting, Setting):
            return self._keep_setting(number, setting, text)
        job = read_job(text, format=self.format, accounts=self.accounts)
        if isinstance(job, BadJob):
            return self._refuse(number, why_bad(text, setting, job))
        return self._keep_job(number, job, raw.removesuffix("\n"))

    def _keep_setting(self, number: int, setting: Setting, text: str) -> LineKind:
        self._warn(number, setting_warnings(setting, text))
        if setting.name:
            self.settings[setting.name] = (setting.name, setting.value)
            self.environment = None
        self.idle.append((number, setting))
        return LineKind.SETTING

    def _keep_job(self, number: int, job: JobText, raw: str) -> LineKind:
        self._warn(number, job_warnings(job, format=self.format, accounts=self.accounts or ()))
        if self.environment is None:
            self.environment = tuple(self.settings.values())
        self.jobs.append(
            Job(
                line=number,
                expression=job.expression,
                user=job.user,
                command=job.command,
                stdin=job.stdin,
                environment=self.environment,
                raw=raw,
            )
        )
        self.idle.clear()
        return LineKind.JOB

    def _refuse(self, number: int, reason: str) -> LineKind:
        """A refused line may have been meant as a job, so the settings above it are not idle."""
        self.errors.append(Problem(number, reason))
        self.idle.clear()
        return LineKind.BAD

    def _warn(self, number: int, reasons: Iterable[str]) -> None:
        self.warnings.extend(Problem(number, reason) for reason in reasons)

    def _is_anacrontab(self) -> bool:
        return is_anacrontab(
            good=(line.raw for line in self.lines if line.kind is LineKind.JOB),
            bad=(line.raw for line in self.lines if line.kind is LineKind.BAD),
            has_hours_range="START_HOURS_RANGE" in self.settings,
        )


def _split_lines(text: str) -> list[str]:
    """Lines with their ends. Cron ends a line at "\\n" only; `splitlines` knows more ends."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)
