"""Why cron refuses a line or a file, in words that say what to do about it.

The refusals are found elsewhere (`crontab.settings`, `crontab.jobs`); this module recognises what
the author had in mind. Called by `crontab.parse`.
"""

import re
from collections.abc import Iterable

from schedules.rules.cron.reading import MACROS
from schedules.rules.crontab.grammar import CRON, Daemon, Grammar
from schedules.rules.crontab.jobs import OR_ANOTHER_FORMAT, REBOOT, BadJob
from schedules.rules.crontab.lines import STRANGE_BLANK
from schedules.rules.crontab.settings import NotASetting

MAX_LINES = 10_000
"""Debian's own limit; a longer file is refused there too."""

MAX_BYTES = 16 * 1024 * 1024
"""More than 10,000 of the longest lines that cron accepts, so that rubbish is refused unread."""

NUL_BYTE = "the line holds a NUL byte, which no command and no variable can contain; remove it"

_CONTINUED = (
    "the line above ends with a backslash, but cron has no continuation lines. Write the job as one line, or "
    "put its command into a script"
)
ANACRONTAB = (
    "this is an anacrontab (period in days, delay in minutes, job-id, command), not a crontab: cron "
    "does not read it. Import it with --format anacrontab"
)

_ANACRON_JOB = re.compile(r"[ \t]*(?:[0-9]+|@[a-z]+)[ \t]+[0-9]+[ \t]+[A-Za-z][^ \t]*[ \t]+[^ \t0-9*]")
_BYTE_ORDER_MARK = "\ufeff"
_LONGEST_RECOGNISED = 1000
"""Characters of a line; nobody writes more than that before a command."""
_LOOKED_AT = 1024
"""Bytes that tell what kind of file it is."""
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UTF_16_TEXT = re.compile(rb"(?:[\t\n\r -~]\0){8}|(?:\0[\t\n\r -~]){8}")
"""Eight plain characters, without the mark."""
_UNPRINTABLE = re.compile(rb"\A\0|[\x01-\x08\x0e-\x1a\x1c-\x1f]")
"""What no text has, and nearly every program and archive. Colours (escape) do occur in crontabs."""
_PLACEHOLDER = re.compile(
    r"\{\{.*?\}\}|\{%.*?%\}|<%.*?%>|%\{.*?\}|@@?[A-Za-z_][A-Za-z0-9_]{2,}@|%[A-Za-z_]+%|"
    r"\b__[A-Z][A-Z0-9_]+__\b|<[A-Za-z][A-Za-z0-9_-]*>|"
    r"(?<![^ \t])\$(?:[A-Za-z_]\w*|\{\w+[^}\s]*\})(?![^ \t])"
)
"""What Ansible, ERB, Puppet, autoconf, people and the shell put where a value belongs."""
_LONGEST_PLACEHOLDER = 60
_OTHER_COMMENT = re.compile(
    r"/[/*]|\*/[ \t]*\Z|\*[ \t]+[A-Za-z]+[ \t]+[A-Za-z]|--|;|%[ \t%]|\*\*\*|===|REM\b|<!--"
)
"""How comments and rules begin elsewhere; no time that cron takes begins so."""
_FOREIGN_NAMES = (
    ("@every_minute", "@every_minute is known to FreeBSD's cron, not to this one; write * * * * *"),
    (
        "@every",
        "@every is known to schedulers written in Go, not to cron. Write the time fields, such as "
        "*/15 * * * *, or make a schedule with an interval in the admin",
    ),
)
_RANDOM_CHOICE = (
    re.compile(r"(?:\S+[ \t]+){0,4}\S*~"),
    '"~" (a random choice) is known to cronie and OpenBSD, not to Debian\'s cron. If the file is '
    "cronie's, import it with --dialect cronie",
)
_FOREIGN_FIELDS = (
    (
        re.compile(r"(?:\S+[ \t]+){0,4}H(?:[/(,-]\S*)?[ \t]"),
        '"H" is known to Jenkins, not to cron. Write a number; the dialect "extended" of a schedule knows H',
    ),
    (
        re.compile(r"(?:\S+[ \t]+){0,4}\?[ \t]"),
        'Quartz writes "?" where cron writes "*". Its lines also begin with the second, which cron has not',
    ),
)
"""Fields of other schedulers. What is found here need not be what cron stumbles over first."""


def size_complaint(text: str | bytes) -> str:
    """The refusal of a file that is too large to be a crontab, or ""."""
    if len(text) > MAX_BYTES:
        return f"the file is larger than {MAX_BYTES // 2**20} MiB; no crontab is"
    newlines = text.count(b"\n") if isinstance(text, bytes) else text.count("\n")
    if newlines > MAX_LINES:
        return f"the file has more than {MAX_LINES:,} lines; cron takes no more"
    return ""


def missing_newline(grammar: Grammar) -> str:
    """The refusal of a last line that is a job or a setting and does not end."""
    ignored = "a file whose" if grammar.is_spoiled_by_a_bad_line else "the"
    which = "does" if grammar.is_spoiled_by_a_bad_line else "that does"
    return (
        f"missing newline before EOF: {grammar.daemon} ignores {ignored} last job or setting {which} not end "
        "with a newline"
    )


def no_text_complaint(content: bytes) -> str:
    """The refusal of what is no text that cron could read, or "".

    A NUL byte alone is not enough: cron reads past one in a comment, and one elsewhere is told with its line.
    """
    head = content[:_LOOKED_AT]
    if head.startswith(_UTF_16_MARKS) or _UTF_16_TEXT.match(head):
        return (
            "it is UTF-16 text, of which cron reads no line. Convert it: iconv -f UTF-16 -t UTF-8; from "
            "Windows, its line ends too: dos2unix"
        )
    if b"\0" in head and _UNPRINTABLE.search(head):
        return "it is a binary file, not a crontab"
    return ""


def why_bad(
    text: str, setting: NotASetting, job: BadJob, *, grammar: Grammar = CRON, is_continued: bool = False
) -> str:
    """The refusal of one line, which is neither a setting nor a job; begins with cron's own words.

    `is_continued`: the line above ends with a backslash.
    """
    complaint = job.reason.partition(":")[0]
    is_about_time = complaint not in ("bad command", "bad username", "bad option", "command too long")
    cause = _recognised(text, grammar) if is_about_time else ""
    if complaint == "bad username":
        cause = _template("account", _placeholder(text, in_fields=range(1, 6), variables_in=range(1, 6)))
    cause = cause or setting.reason or (_CONTINUED if is_continued else "") or _foreign_name(text)
    if cause:
        return f"{complaint}: {cause}"
    advice = _foreign_field(text[:_LONGEST_RECOGNISED], grammar) if is_about_time else ""
    return f"{job.reason}. {advice}" if advice else job.reason


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


def _recognised(text: str, grammar: Grammar) -> str:
    if text.startswith(_BYTE_ORDER_MARK):
        return "the file begins with a byte order mark, which cron does not skip; save it without"
    if text == "\r":
        return "the line holds only a carriage return; convert the file with dos2unix"
    placeholder = _placeholder(text, in_fields=range(5), variables_in=range(2))
    if placeholder:
        return _template("time", placeholder)
    if STRANGE_BLANK.search(text[:_LONGEST_RECOGNISED]):
        return (
            "the line holds a no-break space or another character that only looks like a blank, as text "
            "copied from a page does. Type the blanks again"
        )
    if not grammar.has_options and re.match(r"-[0-9*@]", text):
        return (
            'a "-" before the time fields is known to cronie and SUSE (do not log), not to Debian\'s '
            "cron. If the file is cronie's, import it with --dialect cronie"
        )
    if _OTHER_COMMENT.match(text):
        return 'this looks like a comment; in a crontab a comment begins with "#"'
    return ""


def _template(what: str, placeholder: str) -> str:
    if not placeholder:
        return ""
    return (
        f"{placeholder} stands where the {what} belongs: this is a template. Import the crontab that is "
        "made of it, such as the output of crontab -l"
    )


def _placeholder(text: str, *, in_fields: range, variables_in: range) -> str:
    """What stands for a value in one of these fields (from 0), quoted; "" where nothing does.

    A variable of the shell counts in fewer of them: in a time it may be the command of a line in which a
    field is missing.
    """
    found = _PLACEHOLDER.search(text[:_LONGEST_RECOGNISED])
    if found is None:
        return ""
    field = len(text[: found.start()].split())
    if field not in (variables_in if found[0].startswith("$") else in_fields):
        return ""
    word = found[0]
    return f'"{word}"' if len(word) <= _LONGEST_PLACEHOLDER else f'"{word[:_LONGEST_PLACEHOLDER]}…"'


def _foreign_name(text: str) -> str:
    name = text.split(maxsplit=1)[0] if text.startswith("@") else ""
    known = next((advice for foreign, advice in _FOREIGN_NAMES if name == foreign), "")
    if known or name == name.lower():
        return known
    is_cased = name.lower() in MACROS or name.lower() == REBOOT
    return f"{name} must be written in small letters: {name.lower()}" if is_cased else ""


def _foreign_field(text: str, grammar: Grammar) -> str:
    known = _FOREIGN_FIELDS if grammar.daemon is Daemon.CRONIE else (*_FOREIGN_FIELDS, _RANDOM_CHOICE)
    return next((advice for pattern, advice in known if pattern.match(text)), "")
