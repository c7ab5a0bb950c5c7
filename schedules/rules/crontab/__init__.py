"""Crontab text to jobs, problems and lines, exactly as the named daemon reads it.

`parse` never raises for what a file holds: it reports. What happens then (refuse the file, import
a part) is for the importer to decide. When a job is due is not here: `cron` knows. Files of anacron
are recognised and left to `anacrontab`.

Debian's cron ignores a whole file for one bad line, so a faithful import uses `jobs` only if `errors`
is empty. Bytes that are not valid UTF-8 are kept as lone surrogates (`surrogateescape`); the same
error handler gives the bytes back. Grammar: `crontab.grammar`, `crontab.settings`, `crontab.jobs`.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from schedules.errors import TimingError
from schedules.rules.cron.clock import zone
from schedules.rules.crontab.grammar import Grammar, grammar_of
from schedules.rules.crontab.jobs import BadJob, read_job
from schedules.rules.crontab.lines import (
    BLANKS,
    Format,
    Job,
    JobText,
    Line,
    LineKind,
    Problem,
    Setting,
)
from schedules.rules.crontab.places import ignored_name
from schedules.rules.crontab.refusals import (
    ANACRONTAB,
    NUL_BYTE,
    is_anacrontab,
    missing_newline,
    size_complaint,
    why_bad,
)
from schedules.rules.crontab.setting_warnings import idle_setting_warning, setting_warnings
from schedules.rules.crontab.settings import read_setting
from schedules.rules.crontab.warnings import job_warnings, names_an_account

__all__ = ["Crontab", "Job", "Line", "LineKind", "Problem", "ignored_name", "looks_like", "parse"]

_AROUND_COMMENTS = "# \t\n"
_EXAMPLES = re.compile(
    r"0 5 \* \* 1 tar -zcf /var/backups/home\.tgz /home/|(?:\*\s+){5}user-?name\s+command to be executed"
)
"""What Debian and Red Hat write into the head of every crontab."""
_LONGEST_COMMENT = 2000
"""Characters of a comment that may be a job, switched off."""


@dataclass(frozen=True, slots=True)
class Crontab:
    """One file, read. Joining the `raw` of all `lines` gives back the text.

    Only a file beyond the limits of size has no lines; its one error has line 0. `commented_out` are
    the numbers of comments that would be jobs without their "#".
    """

    jobs: tuple[Job, ...] = ()
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    lines: tuple[Line, ...] = ()
    commented_out: tuple[int, ...] = ()

    @property
    def is_anacrontab(self) -> bool:
        """True where the lines are anacron's, whatever the caller took them for."""
        return [error.reason for error in self.errors] == [ANACRONTAB]


def parse(
    text: str | bytes,
    format: str = "user",
    accounts: Collection[str] | None = None,
    *,
    dialect: str = "cron",
    account: str | None = None,
) -> Crontab:
    """Read a whole crontab.

    `format` is "user" (`crontab -l`) or "system" (/etc/crontab, /etc/cron.d: an account follows the
    time fields); nothing in a file says which, so it is never guessed, and neither is the daemon
    (`dialect`: "cron" or "cronie"). `accounts` are the names that exist, for the account column;
    None: not checked. `account` is the owner of a user's crontab, where known. Raises ValueError for
    another format or dialect.
    """
    if Format(format) is Format.ANACRONTAB:
        raise ValueError("an anacrontab is no crontab: anacrontab.parse reads it")
    reader = _Reader(Format(format), accounts, grammar_of(dialect), account)
    complaint = size_complaint(text)
    if complaint:
        return Crontab(errors=(Problem(0, complaint),))
    for number, raw in enumerate(split_lines(decoded(text)), 1):
        reader.read(number, raw)
    return reader.crontab()


def looks_like(text: str | bytes, *, accounts: Collection[str] = ()) -> str | None:
    """A guess at the format for use in messages: "user", "system", "anacrontab", or None.

    None where there are no jobs, where they contradict each other, or where cron would refuse
    every one of them. `accounts` helps to recognise names that only this machine has.
    """
    crontab = parse(text)
    if crontab.is_anacrontab:
        return "anacrontab"
    answers = {names_an_account(job.command, accounts) for job in crontab.jobs}
    if len(answers) != 1:
        return None
    return "system" if answers.pop() else "user"


def decoded(text: str | bytes) -> str:
    return text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text


def split_lines(text: str) -> list[str]:
    """Lines with their ends. Cron ends a line at "\\n" only; `splitlines` knows more ends."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


@dataclass(slots=True)
class _Reader:
    """Reads lines in order and remembers the settings in force."""

    format: Format
    accounts: Collection[str] | None
    grammar: Grammar
    account: str | None
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
        idle = [replace(idle_setting_warning(setting), line=number) for number, setting in self.idle]
        warnings = sorted([*self.warnings, *idle], key=lambda problem: problem.line)
        return Crontab(
            jobs=tuple(self.jobs),
            errors=tuple(self.errors),
            warnings=tuple(warnings),
            lines=lines,
            commented_out=tuple(line.number for line in lines if self._is_commented_out(line)),
        )

    def _kind(self, number: int, raw: str, text: str) -> LineKind:
        if not text:
            return LineKind.BLANK
        if text.startswith("#"):
            return LineKind.COMMENT
        if not raw.endswith("\n"):
            return self._refuse(number, missing_newline(self.grammar))
        if "\0" in text:
            return self._refuse(number, NUL_BYTE)
        return self._read_content(number, raw, text)

    def _read_content(self, number: int, raw: str, text: str) -> LineKind:
        setting = read_setting(text, self.grammar)
        if isinstance(setting, Setting):
            return self._keep_setting(number, setting, text)
        job = read_job(
            text, format=self.format, accounts=self.accounts, grammar=self.grammar, account=self.account
        )
        if isinstance(job, BadJob):
            return self._refuse(
                number, why_bad(text, setting, job, grammar=self.grammar, is_continued=self._is_continued())
            )
        complaint = _zone_complaint(self._zone())
        if complaint:
            return self._refuse(number, complaint)
        return self._keep_job(number, job, raw.removesuffix("\n"))

    def _keep_setting(self, number: int, setting: Setting, text: str) -> LineKind:
        self._warn(number, setting_warnings(setting, text, self.grammar))
        if setting.name:
            self.settings[setting.name] = (setting.name, setting.value)
            self.environment = None
        self.idle.append((number, setting))
        return LineKind.SETTING

    def _keep_job(self, number: int, job: JobText, raw: str) -> LineKind:
        shell = self.settings.get("SHELL", ("", "/bin/sh"))[1]
        self._warn(
            number,
            job_warnings(
                job, format=self.format, accounts=self.accounts or (), grammar=self.grammar, shell=shell
            ),
        )
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
                zone=self._zone(),
            )
        )
        self.idle.clear()
        return LineKind.JOB

    def _is_commented_out(self, line: Line) -> bool:
        if line.kind is not LineKind.COMMENT or len(line.raw) > _LONGEST_COMMENT:
            return False
        text = line.raw.strip(_AROUND_COMMENTS)
        if _EXAMPLES.fullmatch(text):
            return False
        job = read_job(text, format=self.format, accounts=self.accounts, grammar=self.grammar)
        return isinstance(job, JobText) and bool(job.command)

    def _refuse(self, number: int, reason: str) -> LineKind:
        """A refused line may have been meant as a job, so the settings above it are not idle."""
        self.errors.append(Problem(number, reason))
        self.idle.clear()
        return LineKind.BAD

    def _warn(self, number: int, problems: Iterable[Problem]) -> None:
        self.warnings.extend(replace(problem, line=number) for problem in problems)

    def _zone(self) -> str:
        """What CRON_TZ says, where the daemon reads it. A colon may precede the name (POSIX)."""
        if not self.grammar.has_zones:
            return ""
        return self.settings.get("CRON_TZ", ("", ""))[1].removeprefix(":")

    def _is_continued(self) -> bool:
        """Whether somebody meant the last line to go on in the one that is read now."""
        above = self.lines[-1] if self.lines else None
        return above is not None and above.kind is not LineKind.COMMENT and above.raw.endswith("\\\n")

    def _is_anacrontab(self) -> bool:
        return is_anacrontab(
            good=(line.raw for line in self.lines if line.kind is LineKind.JOB),
            bad=(line.raw for line in self.lines if line.kind is LineKind.BAD),
            has_hours_range="START_HOURS_RANGE" in self.settings,
        )


def _zone_complaint(name: str) -> str:
    """Why no schedule can have this zone, or ""."""
    try:
        zone(name or "UTC")
    except TimingError:
        return (
            f'CRON_TZ is "{name}", which is no IANA time zone that this machine knows; cronie may take '
            "it for UTC. Write one such as Europe/Berlin"
        )
    return ""
