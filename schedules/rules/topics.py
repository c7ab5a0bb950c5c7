"""Topic patterns as AMQP means them: which routing keys a queue takes that is bound with a pattern.

Words are separated by dots; `*` stands for one word, `#` for any number of words, none included. kombu's
own emulation takes `#` for one word or more, so a key would go elsewhere on Redis than on RabbitMQ.
"""

from __future__ import annotations

import re
from functools import lru_cache

LONGEST = 255
"""Bytes of a routing key or pattern that AMQP can carry."""

_END = r"(?:\.|$)"
_WILD = {"*": rf"[^.]+{_END}", "#": rf"(?:[^.]+{_END})*"}


def problem(pattern: str) -> str:
    """What is wrong with `pattern`, "" where nothing is."""
    if len(pattern.encode()) > LONGEST:
        return f"it is longer than {LONGEST} bytes"
    for word in pattern.split("."):
        if not word:
            return "it has an empty word"
        if word not in _WILD and ("*" in word or "#" in word):
            return f'"{word}" mixes a wildcard with letters: * and # stand alone between dots'
    return ""


def expression(pattern: str) -> str:
    """A regular expression for `re.match` that finds the routing keys which `pattern` takes."""
    return "^" + "".join(_WILD.get(word, re.escape(word) + _END) for word in pattern.split(".")) + "$"


def takes(pattern: str, routing_key: str) -> bool:
    return _compiled(pattern).match(routing_key) is not None


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(expression(pattern))
