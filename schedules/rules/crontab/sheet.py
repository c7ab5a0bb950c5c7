"""The sheet on which an export puts down one line after another, under the settings then in force.

It knows what cron will have read so far, refuses what no line can say, and reads the whole again
before it is given out. Single lines are written in `crontab.writing`; which lines, and in which
order, is decided in `crontab.export`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from schedules.errors import NotPossible, NotWritable
from schedules.rules import crontab
from schedules.rules.crontab.grammar import Grammar
from schedules.rules.crontab.lines import BLANKS, Format, Job, JobText, Line, LineKind, Setting
from schedules.rules.crontab.settings import read_setting
from schedules.rules.crontab.writing import comment_out, write_comment, write_job, write_setting

Environment = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a schedule asks of cron.

    `job` is None where no line can say it; `why_not` is then, or where the line must not run, the
    reason, a clause such as "it is disabled". `notes` tell what cron will not do, for the comment
    above a composed line.
    """

    name: str
    job: JobText | None
    environment: Environment
    why_not: str = ""
    notes: tuple[str, ...] = ()


class Fate(StrEnum):
    """What the export does with one schedule."""

    KEPT = "kept"  # byte for byte
    WRITTEN = "written"  # its line is new or changed
    COMMENTED = "commented"


@dataclass(frozen=True, slots=True)
class Exported:
    """One schedule of the result; `line` is its line there, a comment where it is commented out."""

    name: str
    fate: Fate
    line: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """A crontab. Undecodable bytes are lone surrogates, as in `crontab.parse`."""

    text: str
    schedules: tuple[Exported, ...]


Meant = tuple[str, str | None, str, str | None, dict[str, str]]
"""Expression, account, command, standard input, environment."""


@dataclass(frozen=True, slots=True)
class Following:
    """What the lines below one job need: names that each of them has, and the next one's values.

    `names` is None where no job follows. `given` are the values that the next job finds or sets by
    itself, whatever stands above.
    """

    names: frozenset[str] | None
    values: Environment
    given: frozenset[str]


@dataclass(slots=True)
class Sheet:
    """Writes line after line and remembers the settings in force, and what has to be read back."""

    format: Format
    grammar: Grammar
    lines: list[str] = field(default_factory=list)
    current: dict[str, str] = field(default_factory=dict)
    expected: list[Meant] = field(default_factory=list)
    schedules: list[Exported] = field(default_factory=list)
    deferred: list[tuple[Wanted, str]] = field(default_factory=list)
    bad_lines: int = 0

    def put_line(self, line: Line) -> None:
        """A line that is no job: as it was."""
        self.lines.append(line.raw)
        self.bad_lines += line.kind is LineKind.BAD
        if line.kind is LineKind.SETTING and (setting := setting_of(line.raw, self.grammar)).name:
            self.current[setting.name] = setting.value

    def put_in_place(self, one: Wanted, like: str, following: Following) -> None:
        """`like` is the job line that stood here."""
        if one.why_not or one.job is None:
            self._comment(one, one.why_not, like=like)
            return
        added = one.environment.keys() - self.current.keys()
        if added and following.names is not None and not added <= following.names:
            self.deferred.append((one, like))
            self._put(write_comment(f"{one.name}: see the end of this file, with variables of its own"))
            return
        try:
            before = self._settings_for(one.environment)
            line = write_job(one.job, format=self.format, like=like, grammar=self.grammar)
            after = self._settings_after(one, following)
        except NotWritable as error:
            self._comment(one, str(error), like=like)
            return
        self._put_settings(before)
        self._put_job(one, line, Fate.KEPT if line == like else Fate.WRITTEN)
        self._put_settings(after)

    def put_deferred(self) -> None:
        """Those that need a variable which the lines below their place must not see."""
        unfinished = self.lines.pop() if self.lines and not self.lines[-1].endswith("\n") else ""
        for one, like in sorted(self.deferred, key=lambda it: len(it[0].environment)):
            refusal = self._put_group([(one, like)])
            for refused in refusal:
                self._comment(refused, refused.why_not, like=like)
        if unfinished:
            self.lines.append(unfinished)

    def put_groups(self, groups: Iterable[Sequence[Wanted]]) -> list[Wanted]:
        """Returns those that cannot be written, each with the reason."""
        return [refused for group in groups for refused in self._put_group([(one, "") for one in group])]

    def put_refused(self, refused: Sequence[Wanted]) -> None:
        if refused:
            self._put("")
            self._put(write_comment("Not run by this crontab:"))
        for one in refused:
            self._comment(one, one.why_not, like="")

    def checked(self) -> Written:
        """What was written, provided that it is read back as exactly that. Raises NotPossible."""
        text = "".join(self.lines)
        read = crontab.parse(text, self.format, dialect=self.grammar.daemon)
        complaint = next((error.reason for error in read.errors if error.line == 0), "")
        if complaint:
            raise NotPossible(
                f"Nothing was exported, because cron would refuse the result: {complaint}. Export fewer "
                "schedules, for example with --tag."
            )
        jobs = [_meaning(text_of(job), dict(job.environment)) for job in read.jobs]
        if jobs != self.expected or len(read.errors) != self.bad_lines:
            raise NotPossible(
                "Nothing was exported: the crontab would not have said what the schedules say. This is "
                "a mistake in Beatkeeper, found by reading the result again: "
                f"{_difference(jobs, self.expected)}."
            )
        return Written(text, tuple(self.schedules))

    def _put_group(self, group: Sequence[tuple[Wanted, str]]) -> list[Wanted]:
        """Jobs of one environment, each with the line that it stood in or ""; returns the refused ones."""
        first, refused = True, []
        for one, like in group:
            try:
                settings = self._settings_for(one.environment)
                line = self._line(one, like)
            except NotWritable as error:
                refused.append(replace(one, why_not=str(error)))
                continue
            if settings or first:
                self._put("")
            first = False
            self._put_settings(settings)
            for comment in (one.name, *one.notes):
                self._put(write_comment(comment))
            self._put_job(one, line, Fate.WRITTEN)
        return refused

    def _line(self, one: Wanted, like: str) -> str:
        assert one.job is not None
        return write_job(one.job, format=self.format, like=like, grammar=self.grammar)

    def _settings_for(self, environment: Environment) -> dict[str, str]:
        """Lines, by name, that make the environment from the one in force. Raises NotWritable."""
        surplus = sorted(self.current.keys() - environment.keys())
        if surplus:
            raise NotWritable(
                f"it runs without {', '.join(surplus)}, which a line above sets, and cron cannot unset; "
                "export it by its name, into a file of its own"
            )
        return {
            name: write_setting(name, value, self.grammar)
            for name, value in environment.items()
            if self.current.get(name) != value
        }

    def _settings_after(self, one: Wanted, following: Following) -> dict[str, str]:
        """Lines that give the next job its values back, where this one had others."""
        return {
            name: write_setting(name, following.values[name], self.grammar)
            for name, value in one.environment.items()
            if value != self.current.get(name)
            and name not in following.given
            and following.values.get(name, value) != value
        }

    def _put_settings(self, lines: Mapping[str, str]) -> None:
        for name, line in lines.items():
            self._put(line)
            self.current[name] = setting_of(line, self.grammar).value

    def _put_job(self, one: Wanted, line: str, fate: Fate) -> None:
        assert one.job is not None
        self._put(line)
        self.expected.append(_meaning(one.job, dict(one.environment)))
        if one.name:
            self.schedules.append(Exported(one.name, fate, len(self.lines)))

    def _comment(self, one: Wanted, reason: str, *, like: str) -> None:
        self._put(write_comment(f"{one.name}: {reason}"))
        self.schedules.append(Exported(one.name, Fate.COMMENTED, len(self.lines), reason))
        line = self._line_as_comment(one, like)
        if line:
            self._put(comment_out(line))

    def _line_as_comment(self, one: Wanted, like: str) -> str:
        try:
            return self._line(one, like) if one.job is not None else like
        except NotWritable:
            return like

    def _put(self, line: str) -> None:
        self.lines.append(f"{line}\n")


def _meaning(job: JobText, environment: dict[str, str]) -> Meant:
    return job.expression, job.user, job.command, job.stdin, environment


def _difference(read: Sequence[Meant], meant: Sequence[Meant]) -> str:
    for left, right in zip(read, meant, strict=False):
        if left != right:
            return f"{left[2]!r} was read where {right[2]!r} was meant"
    return f"{len(read)} jobs were read where {len(meant)} were meant"


def text_of(job: Job) -> JobText:
    return JobText(job.expression, job.user, job.command, job.stdin)


def setting_of(raw: str, grammar: Grammar) -> Setting:
    read = read_setting(raw.removesuffix("\n").lstrip(BLANKS), grammar)
    assert isinstance(read, Setting)
    return read
