"""Why cron refuses a line or a file, in words that say what to do about it.

The refusals are found elsewhere (`crontab.settings`, `crontab.jobs`); this module recognises what
the author had in mind. Called by `crontab.parse`.
"""

import re
from collections.abc import Iterable

from schedules.rules.crontab.jobs import OR_ANOTHER_FORMAT, BadJob
from schedules.rules.crontab.settings import NotASetting

MAX_LINES = 10_000
"""Debian's own limit; a longer file is refused there too."""

MAX_BYTES = 16 * 1024 * 1024
"""More than 10,000 of the longest lines that cron accepts, so that rubbish is refused unread."""

MISSING_NEWLINE = (
    "missing newline before EOF: cron ignores a file whose last job or setting does not end with a newline"
)
NUL_BYTE = "the line holds a NUL byte, which no command and no variable can contain; remove it"

ANACRONTAB = (
    "this is an anacrontab (period in days, delay in minutes, job-id, command), not a crontab: cron "
    "does not read it. Import it with --format anacrontab"
)

_ANACRON_JOB = re.compile(r"[ \t]*(?:[0-9]+|@[a-z]+)[ \t]+[0-9]+[ \t]+[A-Za-z][^ \t]*[ \t]+[^ \t0-9*]")
_BYTE_ORDER_MARK = "\ufeff"


def size_complaint(text: str | bytes) -> str:
    """The refusal of a file that is too large to be a crontab, or ""."""
    if len(text) > MAX_BYTES:
        return f"the file is larger than {MAX_BYTES // 2**20} MiB; no crontab is"
    newlines = text.count(b"\n") if isinstance(text, bytes) else text.count("\n")
    if newlines > MAX_LINES:
        return f"the file has more than {MAX_LINES:,} lines; cron takes no more"
    return ""


def why_bad(text: str, setting: NotASetting, job: BadJob) -> str:
    """The refusal of one line, which is neither a setting nor a job; begins with cron's own words."""
    cause = _recognised(text) or setting.reason
    return f"{job.reason.partition(':')[0]}: {cause}" if cause else job.reason


def in_crons_own_file(reason: str, *, ignored: str) -> str:
    """The refusal where the file is cron's own, so that each line must name an account.

    `ignored` is what the daemon ignores because of the line: "the file", or "the line".
    """
    fact = reason.removesuffix(OR_ANOTHER_FORMAT)
    if fact == reason:
        return reason
    return (
        f"{fact}: the account column is missing, or the account is. cron ignores {ignored} today; add the "
        "account between the time and the command"
    )


def is_anacron_job(line: str) -> bool:
    """Whether a line has the columns of an anacrontab: period, delay, job-id, command.

    A command that begins like a time field is taken for one: the line is a mistaken cron line.
    """
    return _ANACRON_JOB.match(line) is not None


def is_anacrontab(good: Iterable[str], bad: Iterable[str], *, has_hours_range: bool) -> bool:
    """Whether the lines that cron would read as jobs, and those it would refuse, are anacron's.

    A line such as `@monthly 45 cron.monthly run` is a good line to cron, so one that is not, or
    anacron's own setting START_HOURS_RANGE, must be there too.
    """
    bad = list(bad)
    lines = [*good, *bad]
    is_certain = bool(bad) or has_hours_range
    return bool(lines) and is_certain and all(is_anacron_job(line) for line in lines)


def _recognised(text: str) -> str:
    if text.startswith(_BYTE_ORDER_MARK):
        return "the file begins with a byte order mark, which cron does not skip; save it without"
    if text == "\r":
        return "the line holds only a carriage return; convert the file with dos2unix"
    if re.match(r"-[0-9*@]", text):
        return (
            'a "-" before the time fields is known to cronie and SUSE (do not log), not to Debian\'s '
            "cron. If the file is cronie's, import it with --dialect cronie"
        )
    return ""
