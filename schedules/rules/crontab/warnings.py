"""What cron accepts although its author can hardly have meant it, in sentences for the operator.

A warning never changes what is imported. Refused lines are not here: `crontab.jobs` and
`crontab.settings` say why a line is refused. What commands do that a scheduler does better is in
`crontab.habits`, settings are in `crontab.setting_warnings`. Called by `crontab.parse`.
"""

import re
from collections.abc import Collection, Iterator

from schedules.rules import cron
from schedules.rules.crontab.bashisms import bash_only, without_quoted
from schedules.rules.crontab.grammar import Daemon, Grammar
from schedules.rules.crontab.habits import habit_warnings
from schedules.rules.crontab.jobs import REBOOT
from schedules.rules.crontab.lines import STRANGE_BLANK, Format, JobText, Problem

_END_OF_COMMAND = re.compile(r"[|;&]")
_DATE = re.compile(r"\bdate\b")
_TIME_FIELD = re.compile(r"[0-9*?,/-]+|(?:sun|mon|tue|wed|thu|fri|sat)(?:-\w{3})?", re.IGNORECASE)
_OPTIONS = re.compile(r"\s*(-[nqs]{1,3})\s")
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?")
_NEVER_PROGRAMS = frozenset(("root", "nobody", "www-data"))
_SYSTEM_ACCOUNTS = frozenset(("daemon", "apache", "nginx", "news", "postgres", "mysql", "backup"))
_FIRST_ACCOUNTS = frozenset(("ubuntu", "ec2-user", "vagrant", "centos", "debian", "jenkins"))
"""Accounts that images come with, and no programs."""
_PROGRAMS = frozenset(("sync", "mail", "man"))
"""Names of accounts on most machines that are more often the program of a line."""
_MOST_QUOTED = 60
"""Characters of a command in a warning."""


def job_warnings(
    job: JobText, *, format: Format, accounts: Collection[str], grammar: Grammar, shell: str = "/bin/sh"
) -> Iterator[Problem]:
    """Warnings on one job, their line not yet filled in.

    `accounts` are the names that are known to exist (may be empty); `shell` is the one in force.
    """
    yield from _time_warnings(job.expression, grammar)
    yield from _command_warnings(job)
    yield from _percent_warnings(job)
    yield from _option_warnings(job)
    yield from _format_warnings(job, format=format, accounts=accounts)
    if grammar.daemon is Daemon.CRON:
        yield from _debian_warnings(job.command, shell)
    yield from habit_warnings(job.command, shell)


def names_an_account(command: str, accounts: Collection[str]) -> bool:
    """Whether the command begins as a line of a system crontab does: account, then a program."""
    words = command.split(maxsplit=2)
    if len(words) < 2:
        return False
    account, program = words[:2]
    is_account = account in _SYSTEM_ACCOUNTS | _FIRST_ACCOUNTS or (
        account not in _PROGRAMS and (account in accounts or f"/home/{account}/" in command)
    )
    return account in _NEVER_PROGRAMS or (is_account and program.startswith("/"))


def _time_warnings(expression: str, grammar: Grammar) -> Iterator[Problem]:
    if expression == REBOOT:
        return
    read = cron.parse(expression, grammar.daemon)
    if read.is_seeded:
        yield Problem(
            0,
            'the random choice ("~") is made once for each schedule; cronie makes it at each start',
            "tilde",
        )
    else:
        for note in read.notes:
            yield Problem(0, "part of the time fields has no effect", "ignored-text", note)
    if grammar.daemon is Daemon.CRON and "~" in expression:
        yield Problem(
            0,
            'cronie and OpenBSD read "~" as a random choice; Debian\'s cron skips it. If the file is '
            "cronie's, import it with --dialect cronie",
            "tilde",
        )
    if read.either_day and len(read.days) < 31 and len(read.weekdays) < 7:
        yield Problem(
            0,
            "both day fields are set: cron runs the job on days that match either of them, not only on those "
            "that match both",
            "either-day",
        )
    if read.why_never:
        yield Problem(0, "this job never runs", "never-runs", read.why_never)


def _command_warnings(job: JobText) -> Iterator[Problem]:
    if not job.command.strip():
        yield Problem(0, "the command is empty: cron starts a shell that does nothing", "empty-command")
    if job.command.lstrip().startswith("#"):
        yield Problem(
            0,
            'the command is a comment of the shell, so the job does nothing. To switch a job off, put "#" '
            "before its time",
            "empty-command",
        )
    if (job.command + (job.stdin or "")).rstrip("\n").endswith("\r"):
        yield Problem(
            0,
            "the line ends with a carriage return, which cron hands to the command; convert the "
            "file with dos2unix",
            "carriage-return",
        )
    if STRANGE_BLANK.search(job.expression + without_quoted(job.command)):
        yield Problem(
            0,
            "the line holds a no-break space or another character that only looks like a blank, as text "
            "copied from a page does: it separates no words. Type the blanks again",
            "strange-blank",
        )
    if job.stdin is None and job.command.endswith("\\"):
        yield Problem(
            0,
            "cron has no continuation lines: the backslash belongs to the command, the next line not",
            "continuation",
        )
    first_word = "".join(job.command.split(maxsplit=1)[:1])
    if _TIME_FIELD.fullmatch(first_word):
        yield Problem(
            0,
            "cron has five time fields, none for seconds or years: it takes the sixth for the program to run",
            "sixth-field",
            f'runs "{first_word}"',
        )


def _debian_warnings(command: str, shell: str) -> Iterator[Problem]:
    """What Debian's cron, and the /bin/sh beside it, do not know."""
    strange = bash_only(command, shell)
    if strange:
        yield Problem(
            0,
            "only bash understands this. /bin/sh is dash on Debian and Ubuntu: there the command fails, or "
            "does something else. Put SHELL=/bin/bash above the line",
            "bash-only",
            strange,
        )
    option = _OPTIONS.match(command)
    if option:
        yield Problem(
            0,
            "cronie and OpenBSD read what the command begins with as their own option; Debian's cron takes "
            "it for the program. If the file is cronie's, import it with --dialect cronie",
            "option",
            option[1],
        )


def _percent_warnings(job: JobText) -> Iterator[Problem]:
    if job.stdin is None:
        return
    if _is_unfinished(job.command) or _ends_in_date_format(job.command):
        yield Problem(
            0,
            'cron cuts the command at the first "%" and hands the rest to it as standard input; '
            'write "\\%" to keep it',
            "percent",
            f"runs only: {_shortened(job.command)}",
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


def _option_warnings(job: JobText) -> Iterator[Problem]:
    if "-n" in job.options:
        yield Problem(
            0,
            "-n (no mail where the command succeeds) has no counterpart: nothing is mailed, and the "
            "output of every run is kept",
            "option",
        )
    if "-" in job.options:
        yield Problem(0, 'the "-" that keeps the start out of the log has no counterpart', "option")


def _format_warnings(job: JobText, *, format: Format, accounts: Collection[str]) -> Iterator[Problem]:
    if format is Format.USER and names_an_account(job.command, accounts):
        account = job.command.split(maxsplit=1)[0]
        yield Problem(
            0,
            "the command begins with an account: this looks like a line of a system crontab; read it "
            "with --format system",
            "format",
            account,
        )
    if job.user is not None and not _ACCOUNT.fullmatch(job.user):
        yield Problem(
            0,
            "what stands where the account belongs can hardly be one: this looks like a line of a "
            "user's crontab; read it with --format user",
            "format",
            job.user,
        )


def _shortened(command: str) -> str:
    return command if len(command) <= _MOST_QUOTED else command[:_MOST_QUOTED] + "…"
