"""What a key of a manifest takes: readers from nodes to plain values, and the one form of each value.

A reader returns the canonical value, so that equal settings compare equal however they were typed:
lengths are texts such as "90s", moments ISO 8601 in UTC, everything else is as JSON has it. It raises
Unfit with a sentence for people. Called by `manifest.keys`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import yaml

from schedules.errors import TimingError
from schedules.rules import when
from schedules.rules.keeping import LEAST_DAYS
from schedules.rules.manifest.nodes import Entries, Items, Node, Place, Scalar

Reader = Callable[[Node], Any]

NONE = "none"
FOREVER = "forever"

_LENGTH = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d{1,3})?)\s*([smhdw]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_UNITS = (("d", 86_400), ("h", 3600), ("m", 60))
_LARGEST_INTEGER = 2**31 - 1
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_RESOLVER: Any = yaml.SafeLoader("")
_TEXT = "tag:yaml.org,2002:str"
_LITERALS = {"true": True, "false": False, "null": None, "~": None, "": None}
_CRONTAB_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


class Unfit(Exception):
    """The value cannot be used; `place` is where exactly."""

    def __init__(self, place: Place, text: str) -> None:
        super().__init__(text)
        self.place = place
        self.text = text


def text(node: Node) -> str:
    """As written, whatever YAML would make of it."""
    if not isinstance(node, Scalar):
        raise Unfit(node.place, f"A text is wanted, not {_kind(node)}.")
    if node.is_missing:
        raise Unfit(node.place, 'There is no value. Leave the key out, or write "" for an empty text.')
    return node.text


def flag(node: Node) -> bool:
    if isinstance(node, Scalar) and node.is_plain and node.text in ("true", "false"):
        return node.text == "true"
    raise Unfit(node.place, f"Write true or false, not {_shown(node)}.")


def choice(*allowed: str) -> Reader:
    def read(node: Node) -> str:
        if isinstance(node, Scalar) and node.text in allowed:
            return node.text
        raise Unfit(node.place, f"Write one of {', '.join(allowed)}, not {_shown(node)}.")

    return read


def whole(low: int, high: int, *, unit: str = "") -> Reader:
    """`unit` is what the number counts; it is not written."""
    of_unit = f" of {unit}" if unit else ""
    alone = ", without the unit" if unit else ""

    def read(node: Node) -> int:
        typed = node.text if isinstance(node, Scalar) else ""
        if re.fullmatch(r"\d{1,10}", typed) and low <= int(typed) <= high:
            return int(typed)
        wanted = f"a whole number{of_unit} from {low:,} to {high:,}{alone}"
        raise Unfit(node.place, f"Write {wanted}, not {_shown(node)}.")

    return read


def factor(node: Node) -> float:
    if isinstance(node, Scalar) and _NUMBER.fullmatch(node.text) and 1 <= float(node.text) < math.inf:
        return plain_number(float(node.text))
    raise Unfit(node.place, f"Write a number from 1, such as 2 or 1.5, not {_shown(node)}.")


def days(node: Node) -> float:
    """A number of days, from 1."""
    if (
        isinstance(node, Scalar)
        and _NUMBER.fullmatch(node.text)
        and LEAST_DAYS <= float(node.text) < math.inf
    ):
        return plain_number(float(node.text))
    wanted = f"a number of days, {LEAST_DAYS:g} or more, without a unit, such as 30 or 1.5"
    raise Unfit(node.place, f"Write {wanted}, not {_shown(node)}.")


def length(node: Node) -> str:
    """A length of time, such as 90s, 15m, 2h, 1d; a number alone counts seconds."""
    found = _LENGTH.fullmatch(node.text) if isinstance(node, Scalar) else None
    seconds = float(found[1]) * _SECONDS[found[2]] if found else math.inf
    if not math.isfinite(seconds):
        raise Unfit(node.place, f"Write a length such as 90s, 15m, 2h or 1d, not {_shown(node)}.")
    return write_length(seconds)


def whole_length(node: Node) -> str:
    """A length in whole seconds, at most what a database's integer holds."""
    written = length(node)
    seconds = read_length(written)
    if seconds != int(seconds) or seconds > _LARGEST_INTEGER:
        raise Unfit(node.place, f"Write a length in whole seconds, such as 90s or 15m, not {_shown(node)}.")
    return written


def length_or_none(node: Node) -> str:
    return NONE if isinstance(node, Scalar) and node.text == NONE else length(node)


def lengths(node: Node) -> list[str]:
    return [length(item) for item in _items(node, "a list of lengths, such as [30s, 5m, 1h]")]


def words(node: Node) -> list[str]:
    """A list of words, or a text of words."""
    if isinstance(node, Scalar) and not node.is_missing:
        return list(dict.fromkeys(node.text.split()))
    found = [text(item) for item in _items(node, "a list of words, such as [nightly, reports]")]
    for word, item in zip(found, _items(node, ""), strict=True):
        if word.split() != [word]:
            raise Unfit(item.place, f"A word is wanted, without blanks, not {_shown(item)}.")
    return list(dict.fromkeys(found))


def interval(node: Node) -> str:
    """As typed in the form, without the "every": 15 minutes, hour."""
    said = text(node)
    try:
        every = when.read(f"every {said.strip().removeprefix('every ')}", timezone="UTC")
    except TimingError as error:
        raise Unfit(node.place, str(error)) from error
    return when.write(every, timezone="UTC").removeprefix("every ")


def sun(node: Node) -> str:
    """As typed in the form: sunset at 52.52, 13.405."""
    said = text(node)
    try:
        found = when.read_sun(said)
    except TimingError as error:
        raise Unfit(node.place, str(error)) from error
    return when.write(found, timezone="UTC")


def moment(node: Node) -> str:
    """ISO 8601 with an offset; canonical in UTC."""
    said = text(node)
    try:
        at = datetime.fromisoformat(said.strip())
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise Unfit(
            node.place, f"Write a moment with its offset, such as 2026-12-01T04:00:00Z, not {said!r}."
        )
    try:
        return write_moment(at)
    except OverflowError as error:
        raise Unfit(node.place, "This moment lies outside the calendar.") from error


def moment_or_forever(node: Node) -> str:
    return FOREVER if isinstance(node, Scalar) and node.text == FOREVER else moment(node)


def variables(node: Node) -> dict[str, str]:
    """Names to texts, in their order."""
    entries = _entries(node, "a mapping of names to texts, such as {PATH: /usr/bin}")
    return {key.text: text(value) for key, value in entries}


def json_list(node: Node) -> list[Any]:
    return [_json(item) for item in _items(node, "a list")]


def json_object(node: Node) -> dict[str, Any]:
    return {key.text: _json(value) for key, value in _entries(node, "a mapping")}


def crontab_row(node: Node) -> dict[str, str]:
    """The columns of django-celery-beat's own crontab; what is left out is "*"."""
    allowed = (*_CRONTAB_FIELDS, "timezone")
    found = {}
    for key, value in _entries(node, f"a mapping of {', '.join(allowed)}"):
        if key.text not in allowed:
            raise Unfit(key.place, f'"{key.text}" is not known here. Known are: {", ".join(allowed)}.')
        found[key.text] = text(value)
    given = {name: found[name] for name in _CRONTAB_FIELDS if found.get(name, "*") != "*"}
    return given | ({"timezone": found["timezone"]} if "timezone" in found else {})


def write_length(seconds: float) -> str:
    """The shortest exact text, in the largest unit that fits."""
    if seconds and math.isfinite(seconds):
        for unit, size in _UNITS:
            if seconds % size == 0 and seconds < 10**15:
                return f"{seconds / size:.0f}{unit}"
    return f"{plain_number(seconds)}s"


def read_length(written: str) -> float:
    """Seconds of what `write_length` wrote."""
    found = _LENGTH.fullmatch(written)
    assert found is not None
    return float(found[1]) * _SECONDS[found[2]]


def write_moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def plain_number(number: float) -> float:
    """Without the ".0" that a whole number does not need."""
    return int(number) if number == int(number) and abs(number) < 10**15 else number


def is_ambiguous(said: str) -> bool:
    """Whether a text needs quotes, because a reader of plain scalars takes it for something else."""
    return said in _LITERALS or _NUMBER.fullmatch(said) is not None or _resolves_to_other(said)


def _json(node: Node) -> Any:
    if isinstance(node, Items):
        return json_list(node)
    if isinstance(node, Entries):
        return json_object(node)
    if not node.is_plain:
        return node.text
    if node.text in _LITERALS:
        return _LITERALS[node.text]
    found = _NUMBER.fullmatch(node.text)
    if found:
        return _number(node, is_whole=not (found[1] or found[2]))
    if _resolves_to_other(node.text):
        raise Unfit(
            node.place,
            f"{node.text} is read differently by different versions of YAML. Put a text in quotes; write "
            "true, false, null or a decimal number for those.",
        )
    return node.text


def _number(node: Scalar, *, is_whole: bool) -> float:
    try:
        number = int(node.text) if is_whole else float(node.text)
    except ValueError:  # thousands of digits
        number = math.inf
    if number == math.inf or number == -math.inf:
        raise Unfit(node.place, "The number is too large.")
    return number


def _resolves_to_other(said: str) -> bool:
    """Whether YAML 1.1 reads the plain text as anything but a text: yes, 08:30, 0x1F, 2026-12-01."""
    return bool(_RESOLVER.resolve(yaml.ScalarNode, said, (True, False)) != _TEXT)


def _items(node: Node, wanted: str) -> tuple[Node, ...]:
    if isinstance(node, Items):
        return node.items
    raise Unfit(node.place, f"It has to be {wanted}, not {_kind(node)}.")


def _entries(node: Node, wanted: str) -> tuple[tuple[Scalar, Node], ...]:
    if isinstance(node, Entries):
        return node.entries
    raise Unfit(node.place, f"It has to be {wanted}, not {_kind(node)}.")


def _kind(node: Node) -> str:
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Entries):
        return "a mapping"
    return "nothing" if node.is_missing else "a text"


def _shown(node: Node) -> str:
    return repr(node.text[:40]) if isinstance(node, Scalar) and not node.is_missing else _kind(node)
