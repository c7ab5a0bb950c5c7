"""Waits and rules of a retry policy as people type them, and back. Pure; raises ValueError with a sentence.

30s, 5m, 1h                      waits before attempt 2, 3, 4; a bare number is seconds
exit code 75: retry              one rule a line; what conditions mean is said in `rules.retry`
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from schedules.rules.retry import Condition, Rule, Verdict, check

_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_DELAY = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>s|min|m|h|d|)", re.ASCII)
_LONGEST = 365 * 86_400
_VERDICTS = {"retry": Verdict.RETRY, "give up": Verdict.GIVE_UP}


def read_delays(text: str) -> list[float]:
    """Seconds."""
    return [_delay(word.strip()) for word in re.split(r"[,\n]", text) if word.strip()]


def _delay(word: str) -> float:
    found = _DELAY.fullmatch(word)
    if found is None:
        raise ValueError(f'"{word}" is no length. Write 30s, 5m, 1h, 2d or a number of seconds.')
    seconds = float(found["number"]) * _UNITS[found["unit"]]
    if seconds > _LONGEST:
        raise ValueError(f'"{word}" is longer than a year.')
    return int(seconds) if seconds.is_integer() else seconds


def write_delays(delays: Sequence[Any]) -> str:
    return ", ".join(_written(delay) for delay in delays)


def _written(delay: Any) -> str:
    if not isinstance(delay, int | float):
        return str(delay)
    for unit in ("d", "h", "m"):
        if delay and delay % _UNITS[unit] == 0:
            return f"{int(delay // _UNITS[unit])}{unit}"
    return f"{delay:g}s" if delay < 1_000_000 else f"{delay}s"


def read_rules(text: str) -> list[dict[str, str]]:
    """As the policy's JSON has them."""
    lines = enumerate(text.split("\n"), 1)
    return [_rule(number, line.strip()) for number, line in lines if line.strip()]


def _rule(number: int, line: str) -> dict[str, str]:
    left, colon, right = line.rpartition(":")
    verdict = _VERDICTS.get(" ".join(right.lower().split()))
    if not colon or verdict is None:
        raise ValueError(f"Line {number}: end it with : retry or : give up.")
    condition = _condition(left.strip())
    if condition is None:
        known = ", ".join(member.replace("_", " ") for member in Condition)
        raise ValueError(f"Line {number}: begin it with one of {known}.")
    value = left.strip()[len(condition) :].strip()
    if condition == Condition.OUTPUT and len(value) > 1 and value[0] == value[-1] == "/":
        value = value[1:-1]
    rule = Rule(condition=condition, value=value, verdict=verdict)
    if problem := _problem(rule):
        raise ValueError(f"Line {number}: {problem}.")
    return {"condition": str(condition), "value": value, "verdict": str(verdict)}


def _condition(text: str) -> Condition | None:
    lowered = " ".join(text.lower().split(" "))
    for condition in Condition:
        words = condition.replace("_", " ")
        if lowered == words or lowered.startswith(f"{words} "):
            return condition
    return None


def _problem(rule: Rule) -> str:
    if rule.condition in (Condition.TIMEOUT, Condition.ANY) and rule.value:
        return f'{rule.condition} takes no value, so "{rule.value}" has no meaning'
    return check(rule)


def write_rules(rules: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(_line(rule) for rule in rules if isinstance(rule, Mapping))


def _line(rule: Mapping[str, Any]) -> str:
    condition, value = str(rule.get("condition", "")), str(rule.get("value", ""))
    shown = f"/{value}/" if condition == Condition.OUTPUT else value
    verdict = str(rule.get("verdict", "")).replace("_", " ")
    subject = f"{condition.replace('_', ' ')} {shown}".strip()
    return f"{subject}: {verdict}"
