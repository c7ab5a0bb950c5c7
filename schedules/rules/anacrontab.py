"""Anacron's table to jobs: a period in days becomes a time of day, once a day, week, month or year.

Read as anacron 2.8 of cronie 1.7 and Debian's 2.3 read it (readtab.c: read_tab_line, parse_tab_line):
a backslash joins a line to the next and disappears everywhere else; values are taken as they stand,
quotes and blanks included; "%" means nothing; a line that cannot be read is skipped.

Anacron has no times. It starts a job on the first day on which its period has passed, when it is
called next, after the delay. Here the job gets the hour at which START_HOURS_RANGE begins (or
PREFERRED_HOUR; 0 without either) plus its delay, and the schedule makes up for one missed start.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from schedules.rules.crontab import Crontab, decoded, split_lines
from schedules.rules.crontab.lines import Job, Line, LineKind, Problem
from schedules.rules.crontab.refusals import size_complaint

_BLANK = re.compile(r"[ \t]*(?:#.*)?", re.DOTALL)
_SETTING = re.compile(r"[ \t]*([^ \t=]+)[ \t]*=(.*)", re.DOTALL)
_JOB = re.compile(r"[ \t]*([0-9]+|@[^ \t]+)[ \t]+([0-9]+)[ \t]+([^ \t/]+)[ \t]+([^ \t].*)", re.DOTALL)
_HOURS = re.compile(r"([0-9]{1,2})-([0-9]{1,2})")
_BACKSLASH = re.compile(r"\\(\n?)")
_DAYS = {"1": "* * *", "7": "* * 0", "30": "1 * *"}
_NAMED = {"@daily": "* * *", "@weekly": "* * 0", "@monthly": "1 * *", "@yearly": "1 1 *", "@annual": "1 1 *"}
_MINUTES_OF_A_DAY = 24 * 60
_LONGEST_NUMBER = 9
"""Digits. Anacron skips numbers beyond a C int; none of these fits a day anyway."""


def parse(text: str | bytes) -> Crontab:
    """Read a whole table. `Job.expression` is in the dialect "cron", `Job.name` the job's identifier."""
    complaint = size_complaint(text)
    if complaint:
        return Crontab(errors=(Problem(0, complaint),))
    reader = _Reader()
    for number, lines in _joined(split_lines(decoded(text))):
        reader.read(number, lines)
    return Crontab(tuple(reader.jobs), tuple(reader.errors), tuple(reader.warnings), tuple(reader.lines))


def _joined(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Physical lines that anacron takes for one, with the number of the first."""
    parts: list[str] = []
    for number, raw in enumerate(lines, 1):
        parts.append(raw)
        if not raw.endswith("\\\n"):
            yield number - len(parts) + 1, parts
            parts = []
    if parts:
        yield len(lines) - len(parts) + 1, parts


@dataclass(slots=True)
class _Reader:
    jobs: list[Job] = field(default_factory=list)
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    first_hour: int = 0

    def read(self, number: int, parts: list[str]) -> None:
        kind = self._kind(number, "".join(parts))
        self.lines += [Line(number + offset, kind, raw) for offset, raw in enumerate(parts)]

    def _kind(self, number: int, raw: str) -> LineKind:
        text = _BACKSLASH.sub(lambda found: " " if found[1] else "", raw.removesuffix("\n"))
        if _BLANK.fullmatch(text):
            return LineKind.COMMENT if text.strip(" \t") else LineKind.BLANK
        if "\0" in text:
            return self._refuse(number, "the line holds a NUL byte, which no command can contain; remove it")
        setting = _SETTING.fullmatch(text)
        if setting:
            return self._keep_setting(number, setting[1], setting[2])
        job = _JOB.fullmatch(text)
        if job is None:
            return self._refuse(
                number,
                "anacron skips the line: it is neither a setting nor a job (period in days, delay in "
                "minutes, identifier, command)",
            )
        if "\\" in raw.replace("\\\n", ""):
            self._warn(number, "anacron drops every backslash; the command has none left", "backslash")
        return self._keep_job(number, job, raw.removesuffix("\n"))

    def _keep_setting(self, number: int, name: str, value: str) -> LineKind:
        self.settings[name] = value
        if name == "START_HOURS_RANGE":
            hours = _HOURS.fullmatch(value)
            if not hours or not int(hours[1]) <= int(hours[2]) <= 24 or int(hours[1]) == 24:
                return self._refuse(number, f'START_HOURS_RANGE "{value}" is no range of hours such as 3-22')
            self.first_hour = int(hours[1])
        elif name == "PREFERRED_HOUR" and value.isascii() and value.isdigit() and int(value) < 24:
            self.first_hour = int(value)
        elif name == "RANDOM_DELAY" and value.strip("0"):
            self._warn(
                number,
                "anacron adds a random delay, the same to all jobs of a day; Beatkeeper starts them on "
                "the minute",
                "random-delay",
                f"up to {value} minutes",
            )
        elif value[:1] in ("'", '"'):
            self._warn(number, "anacron takes quotation marks for a part of the value", "quotes", name)
        return LineKind.SETTING

    def _keep_job(self, number: int, found: re.Match[str], raw: str) -> LineKind:
        period, delay, name, command = found.groups()
        days = _days_of(period)
        minute = self.first_hour * 60 + int(delay[-_LONGEST_NUMBER:])
        if not days:
            return self._refuse(number, _odd_period(period))
        if minute >= _MINUTES_OF_A_DAY or len(delay) > _LONGEST_NUMBER:
            return self._refuse(number, f"the delay of {delay} minutes leads into the next day; shorten it")
        if period == "30":
            self._warn(
                number, "every 30 days is read as once a month, on its first day; so is @monthly", "period"
            )
        self.jobs.append(
            Job(
                line=number,
                expression=f"{minute % 60} {minute // 60} {days}",
                user=None,
                command=command,
                stdin=None,
                environment=tuple(self.settings.items()),
                raw=raw,
                name=name,
                runs_when_missed=True,
            )
        )
        return LineKind.JOB

    def _refuse(self, number: int, reason: str) -> LineKind:
        self.errors.append(Problem(number, reason))
        return LineKind.BAD

    def _warn(self, number: int, reason: str, kind: str, detail: str = "") -> None:
        self.warnings.append(replace(Problem(number, reason, kind), detail=detail))


def _days_of(period: str) -> str:
    """The day fields for a period; "" where the calendar has none. Anacron looks at a name's begin only."""
    if not period.startswith("@"):
        return _DAYS.get(period.lstrip("0"), "")
    return next((days for name, days in _NAMED.items() if period.startswith(name)), "")


def _odd_period(period: str) -> str:
    if period.startswith("@"):
        return f'anacron does not know the period "{period}": it knows @daily, @weekly, @monthly, @yearly'
    return (
        f"a period of {period} days has no counterpart in the calendar, which an imported line goes by "
        "(1, 7, 30 days, @monthly and @yearly have one). Make a schedule with an interval in the admin, "
        "and import the rest with --partial"
    )
