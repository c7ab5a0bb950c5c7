"""The grammar of one cron field as Debian's cron reads it: text in, the set of values out.

Nothing here knows of dates, zones or the other fields; `cron.reading` puts five fields together.
The reading is that of Debian cron 3.0pl1, oddities included, because an imported line must mean here
what it meant there. tests/rules/test_cron_fields.py lists the oddities.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schedules.errors import CronError
from schedules.rules.cron.days import DateRule, WeekdayRule

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LARGEST_C_INT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class FieldKind:
    """One column: its name for people, its bounds (inclusive), its words."""

    name: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=dict)
    name_help: str = ""


SECOND = FieldKind("second", 0, 59)
MINUTE = FieldKind("minute", 0, 59)
HOUR = FieldKind("hour", 0, 23)
DAY_OF_MONTH = FieldKind("day of month", 1, 31)
MONTH = FieldKind(
    "month",
    1,
    12,
    {name: number for number, name in enumerate(_MONTHS, 1)},
    "a three-letter month (jan-dec)",
)
DAY_OF_WEEK = FieldKind(
    "day of week",
    0,
    7,
    {name: number for number, name in enumerate(_WEEKDAYS)},
    "a three-letter day (sun-sat)",
)
FIELD_KINDS = (MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK)


@dataclass(frozen=True, slots=True)
class Word:
    """One blank-separated word of an expression and where it begins in it (0-based)."""

    text: str
    position: int
    expression: str


@dataclass(frozen=True, slots=True)
class Field:
    """What one column means.

    `values` is sorted and may be empty (nothing matches). `starred` is cron's test on the first
    character, which decides the day rule and the clock-change rule; `*/2` is starred, `5,*` is not.
    `reversed_ranges` and `ignored` hold text that cron accepts silently and that has no effect.
    `chosen` pairs text that leaves a value open with the value that the seed gave it.
    """

    values: tuple[int, ...]
    starred: bool
    reversed_ranges: tuple[str, ...] = ()
    ignored: str = ""
    date_rules: tuple[DateRule, ...] = ()
    weekday_rules: tuple[WeekdayRule, ...] = ()
    chosen: tuple[tuple[str, str], ...] = ()


def read_field(word: Word, kind: FieldKind) -> Field:
    """Read one column; raises CronError where Debian's cron refuses the line."""
    reader = _Reader(word, kind)
    reader.read_list()
    return Field(
        values=tuple(sorted(reader.values)),
        starred=word.text.startswith("*"),
        reversed_ranges=tuple(reader.reversed_ranges),
        ignored=word.text[reader.at :],
    )


@dataclass(slots=True)
class _Reader:
    """A cursor over one word; reads `element {"," element}` and stops at the first other character."""

    word: Word
    kind: FieldKind
    at: int = 0
    values: set[int] = field(default_factory=set)
    reversed_ranges: list[str] = field(default_factory=list)

    def read_list(self) -> None:
        self._read_element()
        while self._take(","):
            self._read_element()

    def _read_element(self) -> None:
        begin = self.at
        if self._take("*"):
            first, last = self.kind.low, self.kind.high
        else:
            first = last = self._read_value()
            if self._take("-"):
                last = self._read_value()
            else:
                self._refuse_step_after_single_value(first)
        step = self._read_step() if self._take("/") else 1
        self._check_bounds(begin, first, last, step)
        if last < first:
            self.reversed_ranges.append(self.word.text[begin : self.at])
        self.values.update(range(first, last + 1, step))

    def _check_bounds(self, begin: int, first: int, last: int, step: int) -> None:
        """Both ends count, even those of a reversed range; cron's own sum must not overflow."""
        for value in (first, last):
            if not self.kind.low <= value <= self.kind.high:
                bounds = f"{self.kind.low}-{self.kind.high}"
                raise self._refusal(begin, f"{self.kind.name} {value} is outside {bounds}")
        if first <= last and first + step > _LARGEST_C_INT:
            raise self._refusal(begin, f"the step {step} is too large")

    def _read_value(self) -> int:
        begin = self.at
        word = self._read_alphanumerics()
        number = self.kind.names.get(word.lower())
        if number is not None:
            return number
        if not word.isdigit():
            raise self._refusal(begin, self._not_a_value(word))
        return as_c_int(word)

    def _read_step(self) -> int:
        begin = self.at
        word = self._read_alphanumerics()
        if not word.isdigit():
            raise self._refusal(begin, f'the step after "/" in "{self.word.text}" is not a number')
        step = as_c_int(word)
        if step < 1:
            raise self._refusal(begin, f'the step in "{self.word.text}" must be at least 1')
        return step

    def _refuse_step_after_single_value(self, value: int) -> None:
        if self._peek() == "/":
            written = self.word.text
            raise self._refusal(
                self.at,
                f'a step needs "*" or a range before it: "{written}" could be written '
                f'"{value}-{self.kind.high}{written[self.at :]}"',
            )

    def _not_a_value(self, word: str) -> str:
        found = f'"{word or self._peek()}"' if word or self._peek() else "nothing"
        if found == "nothing" and self.word.text.endswith(","):
            found = 'nothing behind ","; a list has no blanks'
        wanted = f"a number {self.kind.low}-{self.kind.high}"
        if self.kind.name_help:
            wanted += f" or {self.kind.name_help}"
        return f"{self.kind.name} needs {wanted}, found {found}"

    def _read_alphanumerics(self) -> str:
        begin = self.at
        while self._peek().isascii() and self._peek().isalnum():
            self.at += 1
        return self.word.text[begin : self.at]

    def _peek(self) -> str:
        return self.word.text[self.at : self.at + 1]

    def _take(self, character: str) -> bool:
        taken = self._peek() == character
        self.at += taken
        return taken

    def _refusal(self, at: int, reason: str) -> CronError:
        return CronError(
            self.word.expression,
            field=self.kind.name,
            position=self.word.position + at,
            reason=reason,
        )


def as_c_int(digits: str) -> int:
    """The value that cron's atoi() gives: a 64-bit reading cut down to 32 bits."""
    value = min(int(digits), 2**63 - 1)
    return (value + 2**31) % 2**32 - 2**31
