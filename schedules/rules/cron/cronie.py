"""The grammar of one field as cronie reads it: Debian's, but strict, with `~` for a chosen value.

Written after `get_range` in cronie's src/entry.c (1.7). `fri-sun` is Friday to Sunday; other reversed
ranges, steps after a single value and text after a complete element are refused. cronie chooses the
value of `~` whenever it loads the crontab; here the seed chooses it, once.
"""

import re

from schedules.errors import CronError
from schedules.rules.cron.fields import DAY_OF_WEEK, Field, FieldKind, Word, as_c_int
from schedules.rules.cron.seed import chosen

_ELEMENT = re.compile(
    r"""(?: (?P<star>\*)
          | (?P<low>[a-z0-9]*) ~ (?P<high>[a-z0-9]*)
          | (?P<first>[a-z0-9]+) (?: - (?P<last>[a-z0-9]+) )?
        ) (?P<step> / [a-z0-9]* )?""",
    re.IGNORECASE | re.ASCII | re.VERBOSE,
)


def read_cronie_field(word: Word, kind: FieldKind, seed: str) -> Field:
    """Read one column; raises CronError where cronie refuses the line."""
    values: set[int] = set()
    choices: list[tuple[str, str]] = []
    at = 0
    for text in word.text.split(","):
        element = _Element(text, word, kind, at)
        if "~" in text:
            value = element.chosen_value(seed)
            choices.append((text, str(value)))
            values.add(value)
        else:
            values.update(element.span())
        at += len(text) + 1
    return Field(values=tuple(sorted(values)), starred=word.text.startswith("*"), chosen=tuple(choices))


class _Element:
    """One part of a list, with what it needs to say where it is refused."""

    def __init__(self, text: str, word: Word, kind: FieldKind, at: int) -> None:
        self._text, self._word, self._kind, self._at = text, word, kind, at
        found = _ELEMENT.match(text)
        if found is None:
            raise self._refusal(f"{kind.name} needs {_wanted(kind)}, found {_quoted(text)}")
        if found.end() != len(text):
            raise self._refusal(f'"{text[found.end() :]}" after "{found[0]}" is not understood', found.end())
        self._found = found

    def span(self) -> range:
        """The values of `*`, `a`, `a-b`, with a step or not."""
        found, kind = self._found, self._kind
        if found["star"]:
            return range(kind.low, kind.high + 1, self._step())
        first = self._value("first")
        if found["last"] is None:
            if found["step"] is not None:
                raise self._refusal(
                    _step_needs_range(self._text, first, kind, found["step"]), found.start("step")
                )
            self._check(first)
            return range(first, first + 1)
        return self._checked(range(first, self._last(first) + 1, self._step()))

    def _last(self, first: int) -> int:
        last = self._value("last")
        if last == 0 < first and self._kind is DAY_OF_WEEK and self._found["step"] is None:
            return 7
        if last < first:
            raise self._refusal(f"{self._kind.name} range {self._text} is reversed; write it as two ranges")
        return last

    def chosen_value(self, seed: str) -> int:
        """The value of `~`, `a~`, `~b`, `a~b`; both ends can be chosen."""
        found, kind = self._found, self._kind
        if found["step"] is not None:
            raise self._refusal('"~" stands for one value and takes no step', found.start("step"))
        low = self._value("low") if found["low"] else kind.low
        high = self._value("high") if found["high"] else kind.high
        self._check(low)
        self._check(high)
        if low > high:
            raise self._refusal(f"{kind.name} range {self._text} is reversed")
        return low + chosen(seed, kind.name, high - low + 1)

    def _value(self, name: str) -> int:
        text = self._found[name]
        named = self._kind.names.get(text.lower())
        if named is None and not text.isdigit():
            reason = f"{self._kind.name} needs {_wanted(self._kind)}, found {_quoted(text)}"
            raise self._refusal(reason, self._found.start(name))
        return as_c_int(text) if named is None else named

    def _step(self) -> int:
        written = self._found["step"]
        if written is None:
            return 1
        if not written[1:].isdigit() or as_c_int(written[1:]) < 1:
            reason = f'the step in "{self._text}" must be a number from 1'
            raise self._refusal(reason, self._found.start("step") + 1)
        return as_c_int(written[1:])

    def _checked(self, values: range) -> range:
        """cronie judges the values that the steps reach, not the written end."""
        for value in (values[0], values[-1]):
            self._check(value)
        return values

    def _check(self, value: int) -> None:
        kind = self._kind
        if not kind.low <= value <= kind.high:
            raise self._refusal(f"{kind.name} {value} is outside {kind.low}-{kind.high}")

    def _refusal(self, reason: str, at: int = 0) -> CronError:
        position = self._word.position + self._at + at
        return CronError(self._word.expression, field=self._kind.name, position=position, reason=reason)


def _wanted(kind: FieldKind) -> str:
    number = f"a number {kind.low}-{kind.high}"
    return f"{number} or {kind.name_help}" if kind.name_help else number


def _quoted(text: str) -> str:
    return f'"{text}"' if text else "nothing"


def _step_needs_range(text: str, first: int, kind: FieldKind, step: str) -> str:
    return f'a step needs "*" or a range before it: "{text}" could be written "{first}-{kind.high}{step}"'
