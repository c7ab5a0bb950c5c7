"""The grammar of one field of the extended dialect: cron's, with the additions of Quartz and Jenkins.

    a/n      from a to the end in steps            22-2, fri-mon   a range that goes over the end
    H  H/n  H(a-b)  H(a-b)/n    chosen by the seed, so that schedules do not all start at once
    ?        in a day field: no condition          L  L-3  LW  15W    days of the month
    5#2  friL    the second, the last Friday

The semantics of `L`, `W`, `#`, `?` and of ranges over the end are Quartz's (CronTrigger tutorial),
those of `H` Jenkins' (its pipeline syntax). Weekdays count as cron's do: 0 or 7 is Sunday.
"""

import re
from collections.abc import Sequence

from schedules.errors import CronError
from schedules.rules.cron.days import (
    DateRule,
    FromTheEnd,
    LastWeekday,
    NearestWorkingDay,
    NthWeekday,
    WeekdayRule,
)
from schedules.rules.cron.fields import DAY_OF_MONTH, DAY_OF_WEEK, Field, FieldKind, Word
from schedules.rules.cron.seed import chosen

_FLAGS = re.IGNORECASE | re.ASCII | re.VERBOSE
_SPAN = re.compile(
    r"(?: (?P<every>[*?]) | (?P<first>\w+) (?: - (?P<last>\w+) )? ) (?: / (?P<step>\w*) )?", _FLAGS
)
_CHOICE = re.compile(r"H (?: \( (?P<first>\w+) - (?P<last>\w+) \) )? (?: / (?P<step>\w*) )?", _FLAGS)
_FROM_THE_END = re.compile(r"L (?: - (?P<before>\d{1,2}) )? (?P<working>W)?", _FLAGS)
_WORKING_DAY = re.compile(r"(?P<day>\d{1,2}) W", _FLAGS)
_NTH = re.compile(r"(?P<weekday>\w+) \# (?P<number>\w*)", _FLAGS)
_LAST = re.compile(r"(?P<weekday>[0-7]|[a-z]{3}) L", _FLAGS)
# Every month has a 28th, and 0 and 7 are one weekday: a choice beyond them would be uneven.
_HIGHEST_CHOICE = {DAY_OF_MONTH.name: 28, DAY_OF_WEEK.name: 6}
_LISTED_CHOICES = 6


def read_extended_field(word: Word, kind: FieldKind, seed: str) -> Field:
    """Read one column; raises CronError. `seed` is what `H` hashes."""
    reader = _Reader(word, kind, seed)
    for part in word.text.split(","):
        reader.read(part)
    return Field(
        values=tuple(sorted(reader.values)),
        starred=word.text[0] in "*?",
        date_rules=tuple(reader.date_rules),
        weekday_rules=tuple(reader.weekday_rules),
        chosen=tuple(reader.chosen),
    )


class _Reader:
    """Collects what the elements of one list mean; `_at` is where the present one begins."""

    def __init__(self, word: Word, kind: FieldKind, seed: str) -> None:
        self._word, self._kind, self._seed, self._at = word, kind, seed, 0
        self._high = 6 if kind is DAY_OF_WEEK else kind.high
        self.values: set[int] = set()
        self.date_rules: list[DateRule] = []
        self.weekday_rules: list[WeekdayRule] = []
        self.chosen: list[tuple[str, str]] = []

    def read(self, part: str) -> None:
        date_rule = self._date_rule(part) if self._kind is DAY_OF_MONTH else None
        weekday_rule = self._weekday_rule(part) if self._kind is DAY_OF_WEEK else None
        if date_rule:
            self.date_rules.append(date_rule)
        elif weekday_rule:
            self.weekday_rules.append(weekday_rule)
        elif found := _CHOICE.fullmatch(part):
            values = self._choice(found)
            self.values.update(values)
            self.chosen.append((part, _listed(values)))
        elif found := _SPAN.fullmatch(part):
            self.values.update(self._span(found))
        else:
            raise self._refusal(self._not_understood(part))
        self._at += len(part) + 1

    def _date_rule(self, part: str) -> DateRule | None:
        if found := _FROM_THE_END.fullmatch(part):
            before = int(found["before"] or 0)
            if before > 30:
                raise self._refusal(f"no month has a day {before} days before its last one")
            from_the_end = FromTheEnd(before)
            return NearestWorkingDay(from_the_end) if found["working"] else from_the_end
        if found := _WORKING_DAY.fullmatch(part):
            return NearestWorkingDay(self._number(found["day"]))
        return None

    def _weekday_rule(self, part: str) -> WeekdayRule | None:
        if found := _NTH.fullmatch(part):
            if found["number"] not in ("1", "2", "3", "4", "5"):
                raise self._refusal(f'after "#" a number 1-5 is needed, found "{found["number"]}"')
            return NthWeekday(self._number(found["weekday"]) % 7, int(found["number"]))
        if found := _LAST.fullmatch(part):
            return LastWeekday(self._number(found["weekday"]) % 7)
        return None

    def _choice(self, found: re.Match[str]) -> Sequence[int]:
        """Values for `H`: one of the range, or every n-th from a chosen beginning within the step."""
        low, high = self._kind.low, _HIGHEST_CHOICE.get(self._kind.name, self._kind.high)
        if found["first"]:
            low, high = self._number(found["first"]), self._number(found["last"])
            if low > high:
                raise self._refusal(f"{self._kind.name} range {found[0]} is reversed")
        if found["step"] is None:
            return [low + chosen(self._seed, self._kind.name, high - low + 1)]
        step = self._step(found["step"], high - low + 1)
        return range(low + chosen(self._seed, self._kind.name, step), high + 1, step)

    def _span(self, found: re.Match[str]) -> Sequence[int]:
        if found["every"] == "?" and (
            self._kind not in (DAY_OF_MONTH, DAY_OF_WEEK) or found["step"] is not None
        ):
            raise self._refusal('"?" stands alone in a day field only')
        first = self._kind.low if found["every"] else self._number(found["first"])
        if found["last"]:
            last = self._number(found["last"])
        else:
            last = self._high if found["every"] or found["step"] is not None else first
        values = self._from_to(first, last)
        size = self._high - self._kind.low + 1
        return values if found["step"] is None else values[:: self._step(found["step"], size)]

    def _from_to(self, first: int, last: int) -> Sequence[int]:
        if self._kind is DAY_OF_WEEK and first == 7:
            first, last = 0, last % 7
        if first <= last:
            return range(first, last + 1)
        return [*range(first, self._high + 1), *range(self._kind.low, last + 1)]

    def _step(self, text: str, most: int) -> int:
        name = self._kind.name
        if not text.isdigit() or int(text) < 1:
            raise self._refusal(f'the step in "{self._word.text}" must be a number from 1')
        if int(text) > most:
            advice = f', or write "every {int(text)} {name}s"' if name in ("second", "minute", "hour") else ""
            raise self._refusal(f"the step {text} is larger than the {most} values it counts{advice}")
        return int(text)

    def _number(self, text: str) -> int:
        kind = self._kind
        value = kind.names.get(text.lower())
        if value is None:
            if not text.isdigit():
                raise self._refusal(self._not_understood(text))
            value = int(text)
        if not kind.low <= value <= kind.high:
            raise self._refusal(f"{kind.name} {value} is outside {kind.low}-{kind.high}")
        return value

    def _not_understood(self, part: str) -> str:
        if self._kind is DAY_OF_WEEK and part.upper() == "L":
            return 'for day of week "L" needs a day before it: friL is the last Friday, sat every Saturday'
        wanted = f"a number {self._kind.low}-{self._kind.high}"
        if self._kind.name_help:
            wanted += f" or {self._kind.name_help}"
        return f"{self._kind.name} needs {wanted}, found {_quoted(part)}"

    def _refusal(self, reason: str) -> CronError:
        position = self._word.position + self._at
        return CronError(self._word.expression, field=self._kind.name, position=position, reason=reason)


def _listed(values: Sequence[int]) -> str:
    shown = ",".join(str(value) for value in values[:_LISTED_CHOICES])
    return f"{shown},..." if len(values) > _LISTED_CHOICES else shown


def _quoted(text: str) -> str:
    return f'"{text}"' if text else "nothing"
