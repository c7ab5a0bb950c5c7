"""Jobs and settings to the lines that a daemon reads back as exactly those.

The grammar's other direction: `crontab.jobs` and `crontab.settings` read. What cannot be written is
refused with the reason: every line is read again before it is given out. Where lines stand in a file
is decided in `crontab.export`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from schedules.errors import NotWritable
from schedules.rules.crontab.grammar import CRON, Grammar
from schedules.rules.crontab.jobs import BadJob, read_job, split_stdin, split_time
from schedules.rules.crontab.lines import BLANKS, Format, JobText, Setting
from schedules.rules.crontab.settings import is_cut, read_setting

_NOT_LOGGED, _NOT_MAILED = "-", "-n"
_FIELD = re.compile(r"[^ \t]+")
_OPTIONS = re.compile(rf"(?:{_NOT_MAILED}[ \t]+)*")
_BACKSLASHES = re.compile(r"\\+")
_LINE_BREAKERS = re.compile(r"[\n\0]")
_CLEAR_VALUE = re.compile(r"[^\s'\"]+")
_CLEAR_NAME = re.compile(r"[^\s='\"#][^\s='\"]*")
_QUOTINGS = ("{}", '"{}"', "'{}'", "\"'{}'\"", "'\"{}\"'")
"""A value that ends in a blank needs two pairs of quotes under Debian's cron."""


def write_job(job: JobText, *, format: Format, like: str = "", grammar: Grammar = CRON) -> str:
    """The line without its end. Raises NotWritable.

    Of `like`, the line as it stood, everything stays as written that says the same: blanks, fields,
    ways to escape; cronie's options always stay.
    """
    _check_texts(job)
    old = read_job(like.lstrip(BLANKS), format=format, grammar=grammar) if like else BadJob("")
    candidates: list[str] = []
    if isinstance(old, JobText):
        job = replace(job, options=old.options)
        candidates += [like, *_edits(job, old, like, format, grammar)]
    anew = _Parts.anew(job, format, grammar).line
    for line in (*candidates, anew):
        if _reads_as(line, job, format, grammar):
            return line
    raise NotWritable(_why_not(job, anew, format, grammar))


def write_setting(name: str, value: str, grammar: Grammar = CRON) -> str:
    """The line without its end, in the plainest form that is read back. Raises NotWritable."""
    if _LINE_BREAKERS.search(name + value):
        raise NotWritable(f"the variable {name} holds a line end or a NUL character")
    lines = list(_settings(name, value))
    for line in lines:
        text = line.lstrip(BLANKS)
        is_read = not text.startswith("#") and read_setting(text, grammar) == Setting(name, value)
        if is_read and not is_cut(line, grammar):
            return line
    if any(is_cut(line, grammar) for line in lines):
        raise NotWritable(
            f"the variable {name} is longer than the {grammar.longest_setting} bytes cron reads"
        )
    raise NotWritable(f"cron has no way to write the name or the value of the variable {name}")


def write_comment(text: str) -> str:
    """A comment line without its end: one line, whatever the text holds."""
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
    return f"# {shown}"


def comment_out(line: str) -> str:
    """The line, disabled so that removing the `#` brings it back as it was."""
    return f"#{line}"


@dataclass(frozen=True, slots=True)
class _Parts:
    """A job line in pieces, each with the blanks behind it; joined they are the line."""

    time: str
    account: str
    options: str
    command: str
    stdin: str  # with the `%` before it

    @property
    def line(self) -> str:
        return self.time + self.account + self.options + self.command + self.stdin

    @classmethod
    def anew(cls, job: JobText, format: Format, grammar: Grammar) -> "_Parts":
        return cls(
            time=f"{_NOT_LOGGED if _NOT_LOGGED in job.options else ''}{job.expression} ",
            account=f"{job.user} " if format is Format.SYSTEM else "",
            options=f"{_NOT_MAILED} " if _NOT_MAILED in job.options else "",
            command=_escaped(job, grammar),
            stdin=_stdin_part(job.stdin),
        )

    @classmethod
    def of(cls, line: str, format: Format, grammar: Grammar) -> "_Parts":
        """Of a line that is read as a job."""
        lead = len(line) - len(line.lstrip(BLANKS))
        lead += grammar.has_options and line[lead] == _NOT_LOGGED
        _, rest = split_time(line[lead:])
        time = line[: len(line) - len(rest)]
        account = ""
        if format is Format.SYSTEM:
            end = len(_FIELD.match(rest)[0]) + 1  # type: ignore[index]  # a good line has an account
            account, rest = rest[:end], rest[end:]
        end = _OPTIONS.match(rest).end() if grammar.has_options else 0  # type: ignore[union-attr]
        options, rest = rest[:end], rest[end:]
        mark = _end_of_command(rest)
        return cls(time, account, options, rest[:mark], rest[mark:])


def _edits(job: JobText, old: JobText, like: str, format: Format, grammar: Grammar) -> Iterator[str]:
    """From the line that keeps most of the old one to the one whose command is written anew."""
    was, new = _Parts.of(like, format, grammar), _Parts.anew(job, format, grammar)
    time = _time_like(was.time, job, old)
    account = was.account if job.user == old.user else f"{job.user}{was.account[-1:] or ' '}"
    command = was.command if job.command == old.command else new.command
    stdin = was.stdin if job.stdin == old.stdin else new.stdin
    start = time + account + was.options
    yield start + command + stdin
    yield start + new.command + new.stdin


def _time_like(time: str, job: JobText, old: JobText) -> str:
    """The new fields between the old blanks, where there are as many."""
    if job.expression == old.expression:
        return time
    mark = _NOT_LOGGED if _NOT_LOGGED in job.options else ""
    fields = _FIELD.findall(mark + job.expression)
    if len(fields) == len(_FIELD.findall(time)):
        waiting = iter(fields)
        return _FIELD.sub(lambda _: next(waiting), time)
    lead = time[: len(time) - len(time.lstrip(BLANKS))]
    trail = time[len(time.rstrip(BLANKS)) :]
    return f"{lead}{mark}{job.expression}{trail or ' '}"


def _end_of_command(text: str) -> int:
    """Where the `%` stands that ends the command; the length of the text where none does."""
    position = 0
    while position < len(text) and text[position] != "%":
        position += 2 if text[position] == "\\" else 1
    return min(position, len(text))


def _escaped(job: JobText, grammar: Grammar) -> str:
    """The command with as few backslashes added as its meaning needs."""
    if not grammar.halves_backslashes:
        return job.command.replace("%", "\\%")
    text = job.command if job.stdin is None else f"{job.command}%"

    def doubled(found: re.Match[str]) -> str:
        is_before_percent = text[found.end() : found.end() + 1] == "%"
        return found[0] * 2 if len(found[0]) > 1 or is_before_percent else found[0]

    written = _BACKSLASHES.sub(doubled, text)
    return (written if job.stdin is None else written[:-1]).replace("%", "\\%")


def _stdin_part(stdin: str | None) -> str:
    return "" if stdin is None else "%" + (_stdin_text(stdin) or "")


def _stdin_text(stdin: str) -> str | None:
    """What has to follow the first `%`; None where no text gives this standard input."""
    for text in (stdin.removesuffix("\n"), stdin):
        written = text.replace("%", "\\%").replace("\n", "%")
        if split_stdin(f"%{written}")[1] == stdin:
            return written
    return None


def _check_texts(job: JobText) -> None:
    if "\n" in job.command:
        raise NotWritable("the command has more than one line")
    if _LINE_BREAKERS.search(job.expression + (job.user or "")) or "\0" in job.command + (job.stdin or ""):
        raise NotWritable("it holds a line end or a NUL character where cron can have none")
    if job.stdin is not None and _stdin_text(job.stdin) is None:
        raise NotWritable(
            "its standard input does not end with a line end, or has a backslash before one, and cron "
            "can write neither"
        )


def _reads_as(line: str, job: JobText, format: Format, grammar: Grammar) -> bool:
    text = line.lstrip(BLANKS)
    is_other = not text or text.startswith("#") or isinstance(read_setting(text, grammar), Setting)
    return not is_other and read_job(text, format=format, grammar=grammar) == job


def _why_not(job: JobText, line: str, format: Format, grammar: Grammar) -> str:
    text = line.lstrip(BLANKS)
    if text.startswith("#") or isinstance(read_setting(text, grammar), Setting):
        return "cron would not take such a line for a job"
    read = read_job(text, format=format, grammar=grammar)
    if isinstance(read, BadJob):
        return f"cron refuses such a line: {read.reason}"
    if read.user != job.user:
        return f'"{job.user}" cannot stand in the column of the account'
    if format is Format.USER and job.command.startswith(tuple(BLANKS)):
        return "the command begins with a blank, which cron skips"
    return "cron would read such a line differently"


def _settings(name: str, value: str) -> Iterator[str]:
    """Ways to write it, the plainest first."""
    names = (name,) if _CLEAR_NAME.fullmatch(name) else (f'"{name}"', f"'{name}'", name)
    quotings = _QUOTINGS if _CLEAR_VALUE.fullmatch(value) else (*_QUOTINGS[1:], _QUOTINGS[0])
    return (f"{word}={quoting.replace('{}', value)}" for quoting in quotings for word in names)
