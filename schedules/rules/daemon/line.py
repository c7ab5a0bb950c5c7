"""A crontab line as cron's daemon keeps it in memory: a set of bits for each field, and the star flags.

Written a second time, from the daemon's own rules (`load_entry` of Debian's cron 3.0pl1), so that a
comparison with the engine proves something: nothing of `cron` and its modules is used here, and
nothing there may use this. Called by `daemon`. When a line is due is not here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from schedules.errors import CronError

_BLANKS = " \t"
_END_OF_LINE = "\n"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SUNDAYS = 1 << 0 | 1 << 7
_ALPHANUMERICS = re.compile(r"[0-9A-Za-z]*")
_DIGITS = re.compile(r"[0-9]+")
_BEFORE_BLANK = re.compile(r"[^ \t\n]*")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: bit v of a set stands for the value v, with both Sundays (0 and 7) or neither.

    `both_days` is cron's test whether a day must match by date and by weekday (else either does);
    `is_wildcard` its test for jobs that follow real time over a clock change. `is_plain` is False
    where the line holds a reversed range or text that this cron skips: other crons read it differently.
    """

    minute: int = 0
    hour: int = 0
    day: int = 0
    month: int = 0
    weekday: int = 0
    both_days: bool = False
    is_wildcard: bool = False
    at_boot: bool = False
    is_plain: bool = field(default=True, compare=False)


def read(text: str) -> Entry:
    """Read a job line, or its time fields alone. Raises CronError where the daemon refuses the line."""
    tape = _Tape(text.lstrip(_BLANKS))
    if tape.character == "@":
        return _macro(text, tape.word())
    columns = [_Column(name, low, high, names) for name, low, high, names in _COLUMNS]
    for column in columns:
        column.read(tape)
    minute, hour, day, month, weekday = columns
    return Entry(
        minute=minute.bits,
        hour=hour.bits,
        day=day.bits,
        month=month.bits,
        weekday=weekday.bits | (_SUNDAYS if weekday.bits & _SUNDAYS else 0),
        both_days=day.has_star or weekday.has_star,
        is_wildcard=minute.has_star or hour.has_star,
        is_plain=all(column.is_plain for column in columns),
    )


def _run(low: int, high: int) -> int:
    return (2 << high) - (1 << low)


_COLUMNS: tuple[tuple[str, int, int, Sequence[str]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 7, _WEEKDAYS),
)
_EVERY_HOUR, _EVERY_DAY, _EVERY_MONTH, _EVERY_WEEKDAY = _run(0, 23), _run(1, 31), _run(1, 12), _run(0, 7)
_ZERO, _FIRST = 1 << 0, 1 << 1
_YEARLY = Entry(_ZERO, _ZERO, _FIRST, _FIRST, _EVERY_WEEKDAY, both_days=True)
_DAILY = Entry(_ZERO, _ZERO, _EVERY_DAY, _EVERY_MONTH, _EVERY_WEEKDAY)
_MACROS = {
    "@reboot": Entry(at_boot=True),
    "@yearly": _YEARLY,
    "@annually": _YEARLY,
    "@monthly": Entry(_ZERO, _ZERO, _FIRST, _EVERY_MONTH, _EVERY_WEEKDAY, both_days=True),
    "@weekly": Entry(_ZERO, _ZERO, _EVERY_DAY, _EVERY_MONTH, _SUNDAYS, both_days=True),
    "@daily": _DAILY,
    "@midnight": _DAILY,
    "@hourly": Entry(_ZERO, _EVERY_HOUR, _EVERY_DAY, _EVERY_MONTH, _EVERY_WEEKDAY, is_wildcard=True),
}


def _macro(text: str, name: str) -> Entry:
    if name not in _MACROS:
        raise CronError(text, field="", position=0, reason=f"the daemon knows no {name}")
    return _MACROS[name]


@dataclass(slots=True)
class _Tape:
    """The line, read from left to right; at its end there are line ends without end."""

    text: str
    at: int = 0

    @property
    def character(self) -> str:
        return self.text[self.at : self.at + 1] or _END_OF_LINE

    def take(self, wanted: str) -> bool:
        found = self.character == wanted
        self.at += found
        return found

    def read(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        text = found[0] if found else ""
        self.at += len(text)
        return text

    def word(self) -> str:
        return self.read(_BEFORE_BLANK)

    def skip_blanks(self) -> None:
        while self.character in _BLANKS:
            self.at += 1


@dataclass(slots=True)
class _Column:
    """One of the five fields while it is read: `element {"," element}`, the rest up to a blank skipped."""

    name: str
    low: int
    high: int
    names: Sequence[str]
    bits: int = 0
    has_star: bool = False
    is_plain: bool = True

    def read(self, tape: _Tape) -> None:
        self.has_star = tape.character == "*"
        self._element(tape)
        while tape.take(","):
            self._element(tape)
        if tape.word():
            self.is_plain = False
        tape.skip_blanks()

    def _element(self, tape: _Tape) -> None:
        if tape.take("*"):
            first, last = self.low, self.high
        else:
            first = last = self._value(tape)
            if tape.take("-"):
                last = self._value(tape)
            elif tape.character == "/":
                raise self._refusal(tape, "a step after a single value")
        step = self._step(tape) if tape.take("/") else 1
        self._set(tape, first, last, step)

    def _set(self, tape: _Tape, first: int, last: int, step: int) -> None:
        """Sets each `step`-th bit, with C's counter, which may overflow; a reversed range sets none."""
        for end in (first, last):
            if not self.low <= end <= self.high:
                raise self._refusal(tape, f"{end} is outside {self.low}-{self.high}")
        self.is_plain = self.is_plain and first <= last
        value = first
        while value <= last:
            if value < self.low:
                raise self._refusal(tape, "the step is too large")
            self.bits |= 1 << value
            value = _c_int(value + step)

    def _value(self, tape: _Tape) -> int:
        """A name of the column, or else a number."""
        word = tape.read(_ALPHANUMERICS)
        if word.lower() in self.names:
            return self.names.index(word.lower()) + self.low
        return self._number(tape, word)

    def _step(self, tape: _Tape) -> int:
        step = self._number(tape, tape.read(_ALPHANUMERICS))
        if step < 1:
            raise self._refusal(tape, "a step of less than 1")
        return step

    def _number(self, tape: _Tape, word: str) -> int:
        if not _DIGITS.fullmatch(word):
            raise self._refusal(tape, f'"{word}" is no number' if word else "a number is missing")
        return _c_int(min(int(word.lstrip("0")[:20] or "0"), 2**63 - 1))

    def _refusal(self, tape: _Tape, reason: str) -> CronError:
        return CronError(tape.text, field=self.name, position=tape.at, reason=f"{self.name}: {reason}")


def _c_int(value: int) -> int:
    """What is left of a value in an `int` of C."""
    return (value + 2**31) % 2**32 - 2**31
