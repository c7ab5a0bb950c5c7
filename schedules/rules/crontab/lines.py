"""The values that reading a crontab yields: lines, jobs, settings, problems.

Nothing is read here: `crontab.parse` and `anacrontab.parse` make these values, the importer and the
exporter use them.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

BLANKS = " \t"
"""What separates fields. Cron knows no other separator, not even the carriage return."""

STRANGE_BLANK = re.compile(r"[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000\ufeff]")
"""What looks like a blank, or like nothing, and separates no words: the no-break space of a web page."""

SPACES = " \t\n\v\f\r"
"""What cron skips around the `=` of a setting and cuts off the end of its value."""


class Format(StrEnum):
    """What stands between the time of a job and its command."""

    USER = "user"
    SYSTEM = "system"  # the account
    ANACRONTAB = "anacrontab"  # not a crontab: period, delay and identifier precede the command


class LineKind(StrEnum):
    """What the daemon takes a line for."""

    COMMENT = "comment"
    BLANK = "blank"
    SETTING = "setting"
    JOB = "job"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file; `raw` includes the line end, so that joining all `raw` gives the file."""

    number: int
    kind: LineKind
    raw: str


@dataclass(frozen=True, slots=True)
class Setting:
    """`name=value` as cron puts it into the environment of the jobs below."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class JobText:
    """One job line taken apart: `command` and `stdin` are what the shell gets.

    `options` are cronie's: "-" (do not log the start), "-n" (no mail where the command succeeds).
    """

    expression: str
    user: str | None
    command: str
    stdin: str | None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One job, with the settings in force at its line.

    `expression` is the five fields as written, one blank between them, or the macro ("@daily",
    "@reboot"). `user` is None in the user format. `stdin` is None where the line has no `%`.
    `environment` holds only what the file sets, in the order in which the names first appear.
    `raw` is the line without its line end. `zone` is the time zone that the file gives the line;
    "" where it gives none. `name` is what the file calls the job; only anacron's jobs have names.
    `runs_when_missed` says that the daemon makes up for a start that it missed (once).
    """

    line: int
    expression: str
    user: str | None
    command: str
    stdin: str | None
    environment: tuple[tuple[str, str], ...]
    raw: str
    zone: str = ""
    name: str = ""
    runs_when_missed: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to tell the operator about one line; `line` is 0 when it is about the whole file.

    `reason` is the same for all lines of one `kind` where that is possible, so that they can be told
    together; `detail` is what is special about this one.
    """

    line: int
    reason: str
    kind: str = ""
    detail: str = ""

    @property
    def text(self) -> str:
        """The whole sentence."""
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


def byte_length(text: str) -> int:
    """The length that cron sees. An undecodable byte (a lone surrogate) counts as one."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
