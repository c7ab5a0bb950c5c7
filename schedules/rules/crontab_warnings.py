"""What cron accepts although its author can hardly have meant it, in sentences for the operator.

A warning never changes what is imported. Refused lines are not here: `crontab_jobs` and
`crontab_settings` say why cron refuses a line. Called by `crontab.parse`.
"""

import re
from collections.abc import Collection, Iterator

from schedules.errors import CronError
from schedules.rules import cron
from schedules.rules.crontab_jobs import REBOOT, split_time
from schedules.rules.crontab_lines import Format, JobText, Setting
from schedules.rules.crontab_settings import LONGEST_SETTING, is_cut

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXPANSION = re.compile(r"\$[A-Za-z_{(]|(?:^|:)~(?:/|$|:)")
_END_OF_COMMAND = re.compile(r"[|;&]")
_DATE = re.compile(r"\bdate\b")
_TIME_FIELD = re.compile(r"[0-9*?,/-]+|(?:sun|mon|tue|wed|thu|fri|sat)(?:-\w{3})?", re.IGNORECASE)
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?")
_NEVER_PROGRAMS = frozenset(("root", "nobody", "www-data"))
_SYSTEM_ACCOUNTS = frozenset(("daemon", "apache", "nginx", "news", "postgres", "mysql", "backup"))

_SETTINGS_WITHOUT_EFFECT = {
    "CRON_TZ": (
        "Debian's cron hands CRON_TZ to the commands and runs them by the system's time zone; cronie "
        "would shift the jobs below. If the file comes from cronie, choose the zone with --timezone"
    ),
    "TZ": (
        "TZ is handed to the commands and does not change when they run: cron goes by the system's "
        "time zone. Choose another with --timezone"
    ),
    "RANDOM_DELAY": "RANDOM_DELAY is a setting of cronie; Debian's cron does not delay its jobs",
    "START_HOURS_RANGE": "START_HOURS_RANGE is a setting of anacron; cron does not read it",
    "LOGNAME": "cron sets LOGNAME to the account itself; this setting has no effect",
}


def job_warnings(job: JobText, *, format: Format, accounts: Collection[str]) -> Iterator[str]:
    """Sentences on one job; `accounts` are the names that are known to exist (may be empty)."""
    yield from _time_warnings(job.expression)
    yield from _command_warnings(job)
    yield from _percent_warnings(job)
    yield from _format_warnings(job, format=format, accounts=accounts)


def setting_warnings(setting: Setting, text: str) -> Iterator[str]:
    """Sentences on one setting; `text` is its line without leading blanks and line end."""
    if is_cut(text):
        yield f"the line is longer than {LONGEST_SETTING} bytes: cron drops the rest of the value"
    if _hides_a_job(setting.value):
        yield (
            f"this is a setting of {setting.name or 'a nameless variable'}, not a job: cron never "
            "runs the command. Put the assignment after the five time fields"
        )
    elif setting.name in _SETTINGS_WITHOUT_EFFECT:
        yield _SETTINGS_WITHOUT_EFFECT[setting.name]
    if not setting.name:
        yield "a variable without a name cannot be read by any program; it is left out"
    elif not _IDENTIFIER.fullmatch(setting.name):
        yield f'"{setting.name}" is not a name that a shell can read'
    if _EXPANSION.search(setting.value):
        yield f"cron expands nothing: the value of {setting.name} stays as written, with its $ or ~"
    if " #" in setting.value:
        yield f'the text after "#" belongs to the value of {setting.name}'


def idle_setting_warning(setting: Setting) -> str:
    """The sentence for a setting below the last job."""
    return f"no job follows this setting of {setting.name}: it has no effect"


def names_an_account(command: str, accounts: Collection[str]) -> bool:
    """Whether the command begins as a line of a system crontab does: account, then a program."""
    words = command.split(maxsplit=2)
    if len(words) < 2:
        return False
    account, program = words[:2]
    is_account = account in _SYSTEM_ACCOUNTS or account in accounts
    return account in _NEVER_PROGRAMS or (is_account and program.startswith("/"))


def _time_warnings(expression: str) -> Iterator[str]:
    if expression == REBOOT:
        return
    read = cron.parse(expression, "cron")
    yield from read.notes
    if "~" in expression:
        yield 'cronie and OpenBSD read "~" as a random choice; Debian\'s cron skips it'
    if read.why_never:
        yield f"this job never runs: {read.why_never}"


def _command_warnings(job: JobText) -> Iterator[str]:
    if not job.command.strip():
        yield "the command is empty: cron starts a shell that does nothing"
    if (job.command + (job.stdin or "")).rstrip("\n").endswith("\r"):
        yield (
            "the line ends with a carriage return, which cron hands to the command; convert the "
            "file with dos2unix"
        )
    if job.stdin is None and job.command.endswith("\\"):
        yield "cron has no continuation lines: the backslash belongs to the command, the next line not"
    first_word = "".join(job.command.split(maxsplit=1)[:1])
    if _TIME_FIELD.fullmatch(first_word):
        yield (
            f'cron has five time fields and takes "{first_word}" for the program to run; a field '
            "for seconds or years is not known to it"
        )


def _percent_warnings(job: JobText) -> Iterator[str]:
    if job.stdin is None:
        return
    if _is_unfinished(job.command) or _ends_in_date_format(job.command):
        yield (
            f'cron cuts the command at the first "%" and runs only: {job.command} (the rest becomes '
            'its standard input); write "\\%" to keep it'
        )


def _is_unfinished(command: str) -> bool:
    """Whether a quotation or a substitution is still open at the end of the command."""
    return bool(_open_quote(command)) or command.count("$(") > command.count(")")


def _ends_in_date_format(command: str) -> bool:
    last = _END_OF_COMMAND.split(command)[-1]
    date = _DATE.search(last)
    return date is not None and "+" in last[date.end() :]


def _open_quote(command: str) -> str:
    quote = ""
    characters = iter(command)
    for character in characters:
        if character == "\\" and quote != "'":
            next(characters, None)
        elif not quote and character in "'\"`":
            quote = character
        elif character == quote:
            quote = ""
    return quote


def _format_warnings(job: JobText, *, format: Format, accounts: Collection[str]) -> Iterator[str]:
    if format is Format.USER and names_an_account(job.command, accounts):
        account = job.command.split(maxsplit=1)[0]
        yield (
            f'the command begins with the account "{account}": this looks like a line of a system '
            "crontab; read it with --format system"
        )
    if job.user is not None and not _ACCOUNT.fullmatch(job.user):
        yield (
            f'"{job.user}" can hardly be an account: this looks like a line of a user\'s crontab; '
            "read it with --format user"
        )


def _hides_a_job(value: str) -> bool:
    """Whether time fields and a command stand in the value, at its begin or after one word."""
    _, _, after_first_word = value.partition(" ")
    return _begins_like_a_job(value) or _begins_like_a_job(after_first_word.lstrip())


def _begins_like_a_job(text: str) -> bool:
    expression, command = split_time(text)
    if not command or not ("*" in expression or expression.startswith("@")):
        return False
    try:
        return expression == REBOOT or bool(cron.parse(expression, "cron"))
    except CronError:
        return False
