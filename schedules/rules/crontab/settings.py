"""Environment lines: `NAME = value` by the grammar of a daemon.

Job lines are read in `crontab.jobs`. `crontab.parse` asks here first, as the daemons do: whatever
can be read as a setting is one, even if it looks like a job to a person.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass

from schedules.rules.crontab.grammar import CRON, Grammar
from schedules.rules.crontab.lines import SPACES, Setting, byte_length

LONGEST_SETTING = CRON.longest_setting
"""Bytes of a setting that Debian's cron reads; it drops the rest of the line without a word."""

_UNQUOTED_NAME = re.compile(r"[^= \t\n\v\f\r]*")
_QUOTES = "'\""


@dataclass(frozen=True, slots=True)
class NotASetting:
    """Cron tries to read the line as a job. `reason` is "" if the line does not resemble a setting."""

    reason: str = ""


def read_setting(text: str, grammar: Grammar = CRON) -> Setting | NotASetting:
    """Read a line given without its leading blanks and its line end."""
    name, rest = _split_name(_readable(text, grammar.longest_setting))
    rest = rest.lstrip(SPACES)
    if name is None or not rest.startswith("="):
        return NotASetting()
    value = _read_value(rest[1:].lstrip(SPACES), name, grammar)
    if isinstance(value, NotASetting) and is_cut(text, grammar):
        longest = grammar.longest_setting
        return NotASetting(f"the setting is longer than {longest} bytes, and the rest of it is not read")
    return value if isinstance(value, NotASetting) else Setting(name, value)


def is_cut(text: str, grammar: Grammar = CRON) -> bool:
    """Whether the line is longer than what is read of a setting; the rest is dropped without a word."""
    return byte_length(text) > grammar.longest_setting


def _readable(text: str, limit: int) -> str:
    """The part that is read; a character that the limit would halve is left out."""
    if byte_length(text) <= limit:
        return text
    fitting = bisect_right(range(limit + 1), limit, key=lambda n: byte_length(text[:n])) - 1
    return text[:fitting]


def _split_name(text: str) -> tuple[str | None, str]:
    if text[:1] and text[0] in _QUOTES:
        name, closing, rest = text[1:].partition(text[0])
        return (name if closing and "=" not in name else None), rest
    end = _UNQUOTED_NAME.match(text).end()  # type: ignore[union-attr]  # matches the empty string too
    return text[:end], text[end:]


def _read_value(text: str, name: str, grammar: Grammar) -> str | NotASetting:
    if not text:
        if grammar.takes_empty_values:
            return ""
        return NotASetting(f'"{name}=" has no value; for an empty one write {name}=""')
    if text[0] not in _QUOTES:
        return _without_outer_quotes(text) if grammar.trims_quoted_values else text.rstrip(SPACES)
    value, closing, rest = text[1:].partition(text[0])
    # Of a line that ends with the opening quote cron reads on into what an earlier line left in
    # its buffer, and now and then finds a closing one there. Nobody can have meant that.
    if not closing:
        return NotASetting(f"the quotation mark that opens the value of {name} is not closed")
    if rest.strip(SPACES):
        return NotASetting(f"text follows the closing quotation mark of the value of {name}")
    return _without_outer_quotes(value) if grammar.trims_quoted_values else value


def _without_outer_quotes(value: str) -> str:
    """Cut trailing blanks, also those that were quoted, then a second pair of quotes, as cron does."""
    value = value.rstrip(SPACES)
    is_quoted = len(value) >= 2 and value[0] in _QUOTES and value[0] == value[-1]
    return value[1:-1] if is_quoted else value
