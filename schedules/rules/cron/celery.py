"""The grammar of one field as Celery's `crontab` reads it, for rows of django-celery-beat.

Differs from cron's: ranges may wrap (`22-2`), words are recognised by their first three letters
(`monday`, `january`) in every column, and nothing after a complete value is skipped. Day of week
7 is Sunday: django-celery-beat lets it pass, although Celery itself then stops on it.
"""

import re
from collections.abc import Sequence

from schedules.errors import CronError
from schedules.rules.cron.fields import DAY_OF_WEEK, MONTH, Field, FieldKind, Word

_RANGE = re.compile(r"(?P<first>\w+)-(?P<last>\w+)(?P<slash>/(?P<step>\w*))?", re.ASCII)
_STARRED = re.compile(r"\*/(?P<step>\w*)", re.ASCII)
_WORDS = {**MONTH.names, **DAY_OF_WEEK.names}


def read_celery_field(word: Word, kind: FieldKind) -> Field:
    """Read one column; raises CronError where Celery raises (but for day of week 7)."""
    values: set[int] = set()
    at = 0
    for part in word.text.split(","):
        values.update(_read_part(part, word, kind, at))
        at += len(part) + 1
    if kind is DAY_OF_WEEK:
        values = {value % 7 for value in values}
    return Field(values=tuple(sorted(values)), starred=word.text.startswith("*"))


def _read_part(part: str, word: Word, kind: FieldKind, at: int) -> Sequence[int]:
    every = range(kind.low, 7 if kind is DAY_OF_WEEK else kind.high + 1)
    if part == "*":
        return every
    if found := _STARRED.match(part):
        return every[:: _step(found["step"], word, kind, at)]
    if found := _RANGE.match(part):
        values = _span(found["first"], found["last"], word, kind, at)
        return values[:: _step(found["step"], word, kind, at)] if found["slash"] else values
    return [_number(part, word, kind, at)]


def _span(first: str, last: str, word: Word, kind: FieldKind, at: int) -> Sequence[int]:
    begin, end = _number(first, word, kind, at), _number(last, word, kind, at)
    if kind is DAY_OF_WEEK and begin == 7:
        begin = 0
    if begin <= end:
        return range(begin, end + 1)
    high = 6 if kind is DAY_OF_WEEK else kind.high
    return [*range(begin, high + 1), *range(kind.low, end + 1)]


def _step(digits: str, word: Word, kind: FieldKind, at: int) -> int:
    if not digits.isdigit() or int(digits) < 1:
        raise _refusal(word, kind, at, f'the step in "{word.text}" must be a number from 1')
    return int(digits)


def _number(text: str, word: Word, kind: FieldKind, at: int) -> int:
    named = _WORDS.get(text[:3].lower())
    if named is None and not (text.isascii() and text.isdigit()):
        reason = f'{kind.name} needs a number or a name, found "{text}"'
        raise _refusal(word, kind, at, reason)
    value = int(text) if named is None else named
    if not kind.low <= value <= kind.high:
        reason = f"{kind.name} {value} is outside {kind.low}-{kind.high}"
        raise _refusal(word, kind, at, reason)
    return value


def _refusal(word: Word, kind: FieldKind, at: int, reason: str) -> CronError:
    return CronError(word.expression, field=kind.name, position=word.position + at, reason=reason)
