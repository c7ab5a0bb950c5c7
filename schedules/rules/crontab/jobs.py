"""Job lines: time fields, account, command and standard input, by the grammar of a daemon.

The time fields themselves are judged by `cron.parse`; settings are read in `crontab.settings`.
`crontab.parse` calls this for every line that is neither blank nor comment nor setting.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from schedules.errors import CronError
from schedules.rules import cron
from schedules.rules.crontab.grammar import CRON, Grammar
from schedules.rules.crontab.lines import BLANKS, Format, JobText, byte_length

LONGEST_COMMAND = CRON.longest_command
"""Bytes of a command that Debian's cron takes, counted before `%` is treated."""

REBOOT = "@reboot"
OR_ANOTHER_FORMAT = (
    ". If the file is the crontab of one user, it has no account column: read it with --format user"
)
"""Advice behind a refusal, for a file that may be anything."""

_TIME = re.compile(r"@[^ \t]*|[^ \t]+(?:[ \t]+[^ \t]+){0,4}")
_BLANK = re.compile(r"[ \t]")
_CONTROL = re.compile(r"[\x01-\x1f\x7f]")
_FIELD_NAMES = ("minute", "hour", "day-of-month", "month", "day-of-week")
_MAY_NOT_LOG = (None, "root")


@dataclass(frozen=True, slots=True)
class BadJob:
    """The line is refused. `reason` begins with the words in which cron itself reports it."""

    reason: str


def read_job(
    text: str,
    *,
    format: Format,
    accounts: Collection[str] | None = None,
    grammar: Grammar = CRON,
    account: str | None = None,
) -> JobText | BadJob:
    """Read a line given without its leading blanks and its line end.

    `accounts` are the names that exist; with None, any account is taken as existing. `account` is
    the owner of a user's crontab; None: not known.
    """
    silent = grammar.has_options and text.startswith("-")
    if silent and format is Format.USER and account not in _MAY_NOT_LOG:
        return BadJob('bad option: only root may switch the log off with a "-" before the time fields')
    expression, rest = split_time(text[1:] if silent else text)
    complaint = _time_complaint(expression, grammar)
    if complaint:
        return BadJob(complaint)
    read = _read_behind_time(expression, rest, format, accounts, grammar)
    return replace(read, options=("-", *read.options)) if silent and isinstance(read, JobText) else read


def split_stdin(text: str, grammar: Grammar = CRON) -> tuple[str, str | None]:
    """Divide what follows the time fields into the command and its standard input (None: no `%`).

    The first `%` that no backslash protects ends the command. Quotes protect nothing.
    """
    halved = "%\\" if grammar.halves_backslashes else "%"
    command: list[str] = []
    characters = iter(text)
    for character in characters:
        if character == "%":
            return "".join(command), _as_stdin("".join(characters))
        if character == "\\":
            following = next(characters, "")
            character = following if following and following in halved else character + following
        command.append(character)
    return "".join(command), None


def _as_stdin(text: str) -> str:
    """Each `%` is a line end unless the character before it is a backslash, which then disappears.

    Cron adds the last line end where the text does not end with one. It judges that by the last
    character other than a backslash, so `%%\\` stays without.
    """
    lines = re.sub(r"\\?%", lambda found: "\n" if found[0] == "%" else "%", text)
    judged = lines.rstrip("\\")
    return lines + ("\n" if judged and not judged.endswith("\n") else "")


def split_time(text: str) -> tuple[str, str]:
    """Divide a line into its time fields, one blank between them, and what follows them."""
    found = _TIME.match(text)
    if found is None:
        return "", ""
    expression = " ".join(re.split(r"[ \t]+", found[0]))
    return _CONTROL.sub(_in_caret_notation, expression), text[found.end() :].lstrip(BLANKS)


def _in_caret_notation(control: re.Match[str]) -> str:
    """Cron skips such a character, or refuses the field, just as it does with the caret."""
    return "^" + chr(ord(control[0]) ^ 0x40)


def _time_complaint(expression: str, grammar: Grammar) -> str:
    """The daemon's refusal of the time fields, or "" if they are good."""
    if expression == REBOOT:
        return ""
    given = len(expression.split(" "))
    missing = 0 if expression.startswith("@") else 5 - given
    try:
        cron.parse(expression + " *" * missing, grammar.daemon)
    except CronError as error:
        return f"bad {_name_for_cron(error, expression)}: {error.reason}"
    if missing:
        return f"bad {_FIELD_NAMES[given]}: the line ends after {given} of five time fields"
    return ""


def _name_for_cron(error: CronError, expression: str) -> str:
    if expression.startswith("@"):
        return "time specifier"
    return error.field.replace(" ", "-") or "time fields"


def _sixth_star(rest: str) -> str:
    if _BLANK.split(rest, maxsplit=2)[1:2] == ["*"]:
        return (
            "bad command: the line has seven time fields; cron has five, without seconds and "
            "years (supercronic and Quartz have them). Remove the first and the last"
        )
    return (
        'bad command: a sixth field that starts with "*"; cron has five time fields, without '
        "seconds and years"
    )


def _read_behind_time(
    expression: str, rest: str, format: Format, accounts: Collection[str] | None, grammar: Grammar
) -> JobText | BadJob:
    """What follows the time fields. Where an empty command is refused, so is a star in either format."""
    if rest.startswith("*") and (format is Format.USER or not grammar.takes_empty_commands):
        return BadJob(_sixth_star(rest))
    if not rest and not grammar.takes_empty_commands:
        return BadJob("bad command: the line ends after the time fields")
    if format is Format.SYSTEM:
        return _read_account_and_command(expression, rest, accounts, grammar)
    return _read_command(JobText(expression, None, rest, None), grammar)


def _read_account_and_command(
    expression: str, rest: str, accounts: Collection[str] | None, grammar: Grammar
) -> JobText | BadJob:
    """Exactly one blank after the account is eaten; further ones belong to the command."""
    account, blank, command = _partition_at_blank(rest)
    if not blank:
        return BadJob(
            "bad username: the line ends before the command; a line of a system crontab has five "
            "time fields, an account and a command"
        )
    complaint = _account_complaint(account, accounts)
    return (
        BadJob(complaint)
        if complaint
        else _read_command(JobText(expression, account, command, None), grammar)
    )


def _partition_at_blank(text: str) -> tuple[str, str, str]:
    found = _BLANK.search(text)
    if found is None:
        return text, "", ""
    return text[: found.start()], found[0], text[found.end() :]


def _account_complaint(account: str, accounts: Collection[str] | None) -> str:
    if account.startswith("*"):
        return f'bad username: "{account}" stands where the account belongs; cron has five time fields'
    if accounts is None or account in accounts:
        return ""
    return f'bad username: there is no account "{account}" here{OR_ANOTHER_FORMAT}'


def _read_command(job: JobText, grammar: Grammar) -> JobText | BadJob:
    """Takes apart what `job.command` holds so far: all of the line behind time and account."""
    read = _read_options(job) if grammar.has_options else job
    if isinstance(read, BadJob):
        return read
    length = byte_length(read.command)
    if length > grammar.longest_command:
        return BadJob(
            f"command too long: {length} bytes, {grammar.daemon} takes {grammar.longest_command}; "
            "put it into a script"
        )
    command, stdin = split_stdin(read.command, grammar)
    return replace(read, command=command, stdin=stdin)


def _read_options(job: JobText) -> JobText | BadJob:
    """Cronie's options, each with blanks behind it. A command cannot begin with "-"."""
    while job.command.startswith("-"):
        option, rest = job.command[:2], job.command[2:]
        if option != "-n" or option in job.options or rest[:1] not in (" ", "\t"):
            return BadJob('bad option: before the command, cronie knows only "-n", once')
        job = replace(job, command=rest.lstrip(BLANKS), options=(*job.options, option))
        if not job.command:
            return BadJob("bad command: the line ends after the option")
    return job
