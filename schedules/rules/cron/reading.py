"""From the text of a cron expression to its `CronExpression`: macros, the number of fields, dialects.

The grammars of a single field are in `cron.fields` (Debian's cron), `cron.cronie`, `cron.celery` and
`cron.extended`. Called by `cron.parse`, which caches.
"""

import re
from collections.abc import Iterator, Sequence

from schedules.errors import CronError, InvalidSchedule
from schedules.rules.cron.celery import read_celery_field
from schedules.rules.cron.cronie import read_cronie_field
from schedules.rules.cron.expression import NOTHING, CronExpression, Dialect
from schedules.rules.cron.extended import read_extended_field
from schedules.rules.cron.fields import FIELD_KINDS, SECOND, Field, FieldKind, Word, read_field

MAX_LENGTH = 1000
"""Characters: as many as a schedule stores. Five fields that list every value need less than 400."""

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIVE = "minute, hour, day of month, month, day of week"
_WORD = re.compile(r"[^ \t]+")


def read_expression(text: str, dialect: Dialect, seed: str = "") -> CronExpression:
    """Read the fields or a macro; raises CronError where the dialect refuses them.

    `seed` chooses the values that cronie's `~` and the extended `H` leave open.
    """
    if len(text) > MAX_LENGTH:
        raise _whole(
            text[:40] + "...", f"it is longer than {MAX_LENGTH:,} characters, the most that Beatkeeper stores"
        )
    if "\n" in text:
        raise _whole(text, "it holds a line break; an expression is one line")
    expanded = _macro(text) if dialect is not Dialect.CELERY and _is_macro(text) else text
    words = [Word(found[0], found.start(), text) for found in _WORD.finditer(expanded)]
    kinds = _kinds(text, dialect, len(words))
    fields = [_read(word, kind, dialect, seed) for word, kind in zip(words, kinds, strict=True)]
    return _assemble(text, dialect, kinds, fields)


def dialect_named(name: str) -> Dialect:
    """The dialect of that name; raises InvalidSchedule and lists the known ones."""
    try:
        return Dialect(name)
    except ValueError:
        known = ", ".join(Dialect)
        raise InvalidSchedule(f'cron dialect "{name}" is not known; known are: {known}') from None


def _is_macro(text: str) -> bool:
    return text.strip(" \t").startswith("@")


def _macro(text: str) -> str:
    name = text.strip(" \t")
    if name == "@reboot":
        reason = "@reboot is not a time of the clock; it is a timing of its own (once per boot)"
        raise _whole(text, reason)
    if name not in MACROS:
        reason = f"{name} is not one of {', '.join(MACROS)} (small letters, nothing after it)"
        raise _whole(text, reason)
    return MACROS[name]


def _kinds(text: str, dialect: Dialect, count: int) -> tuple[FieldKind, ...]:
    """The columns of so many fields; only the extended dialect has seconds, before the rest."""
    if count == 5:
        return FIELD_KINDS
    if dialect is Dialect.EXTENDED:
        if count == 6:
            return (SECOND, *FIELD_KINDS)
        year = "; years are not written here: give the schedule a start and an end" if count == 7 else ""
        raise _whole(
            text, f"it has {count} fields and needs five ({_FIVE}), or six with the second first{year}"
        )
    hint = "; the extended dialect takes the second as a sixth, before the others" if count in (6, 7) else ""
    raise _whole(text, f"it has {count} fields and needs five ({_FIVE}){hint}")


def _read(word: Word, kind: FieldKind, dialect: Dialect, seed: str) -> Field:
    match dialect:
        case Dialect.CRON:
            return read_field(word, kind)
        case Dialect.CRONIE:
            return read_cronie_field(word, kind, seed)
        case Dialect.CELERY:
            return read_celery_field(word, kind)
        case Dialect.EXTENDED:
            return read_extended_field(word, kind, seed)


def _assemble(
    text: str, dialect: Dialect, kinds: Sequence[FieldKind], fields: Sequence[Field]
) -> CronExpression:
    *clock, day, month, weekday = fields
    minute, hour = clock[-2:]
    return CronExpression(
        text=text,
        dialect=dialect,
        seconds=clock[0].values if len(clock) == 3 else (0,),
        minutes=minute.values,
        hours=hour.values,
        days=day.values,
        months=month.values,
        weekdays=tuple(sorted({value % 7 for value in weekday.values})),
        date_rules=day.date_rules,
        weekday_rules=weekday.weekday_rules,
        is_wildcard=any(field.starred for field in clock),
        either_day=dialect is not Dialect.CELERY and not (day.starred or weekday.starred),
        notes=tuple(_notes(kinds, fields)),
        choices=tuple(_choices(kinds, fields)),
    )


def _notes(kinds: Sequence[FieldKind], fields: Sequence[Field]) -> Iterator[str]:
    for kind, field in zip(kinds, fields, strict=True):
        for written in field.reversed_ranges:
            yield f"{kind.name} range {written} is reversed, so it {NOTHING}"
        if field.ignored:
            yield f'{kind.name}: cron ignores "{field.ignored}"'


def _choices(kinds: Sequence[FieldKind], fields: Sequence[Field]) -> Iterator[str]:
    for kind, field in zip(kinds, fields, strict=True):
        for written, chosen in field.chosen:
            yield f"{kind.name}: {written} stands for {chosen} here"


def _whole(text: str, reason: str) -> CronError:
    return CronError(text, field="", position=0, reason=reason)
