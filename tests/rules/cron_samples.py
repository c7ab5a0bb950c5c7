"""Random cron expressions for the comparisons: well-formed fields that any cron would take."""

import random
import re
from collections.abc import Sequence

_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MONTHS = ("jan", "FEB", "Mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "MON", "Tue", "wed", "thu", "fri", "sat")
_NUMBERS = {name.lower(): str(number) for number, name in (*enumerate(_MONTHS, 1), *enumerate(_WEEKDAYS))}


def random_expression(chance: random.Random, *, hours: Sequence[int] | None = None) -> str:
    """Five fields; with `hours`, a single hour is mostly one of these."""
    fields = [_field(chance, column) for column in range(5)]
    if hours and chance.random() < 0.6:
        fields[1] = str(chance.choice(hours))
    for column in (2, 3, 4):
        if chance.random() < 0.6:
            fields[column] = "*"
    return " ".join(fields)


def has_range_of_one(expression: str) -> bool:
    """True if a range begins and ends with one value, such as 15-15/24 or feb-2.

    Two libraries misread these: croniter takes `2-2` for `*`, cronsim steps on from `15-15/24`.
    """
    spans = re.findall(r"(\w+)-(\w+)", expression.lower())
    return any(_NUMBERS.get(first, first) == last for first, last in spans)


def _field(chance: random.Random, column: int) -> str:
    count = chance.choices((1, 2, 3), (8, 2, 1))[0]
    return ",".join(_element(chance, column) for _ in range(count))


def _element(chance: random.Random, column: int) -> str:
    low, high = _BOUNDS[column]
    kind = chance.choice(("star", "value", "value", "range", "step"))
    if kind == "star":
        return chance.choice(("*", f"*/{chance.randint(1, 12)}"))
    if kind == "value":
        return _value(chance, column, chance.randint(low, high))
    first, last = sorted(chance.randint(low, high) for _ in range(2))
    written = f"{_value(chance, column, first)}-{last}"
    return written if kind == "range" else f"{written}/{chance.randint(1, 15)}"


def _value(chance: random.Random, column: int, value: int) -> str:
    if column == 3 and chance.random() < 0.3:
        return _MONTHS[value - 1]
    if column == 4 and value < 7 and chance.random() < 0.3:
        return _WEEKDAYS[value]
    return str(value)
