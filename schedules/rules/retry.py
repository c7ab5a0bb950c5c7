"""What happens after a failed attempt: another one, and when, or none. Called by `execute` and `rescue`.

The policy is a value; where it is stored and how it is edited is the business of `models.policy`.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from schedules.rules.states import Outcome


class Jitter(StrEnum):
    NONE = "none"
    EQUAL = "equal"  # between half of the delay and all of it
    FULL = "full"  # between nothing and all of it


class Condition(StrEnum):
    """What a rule looks at."""

    EXIT_CODE = "exit_code"  # "75", "1-10", "75,100-110"
    SIGNAL = "signal"  # numbers as for exit codes
    TIMEOUT = "timeout"  # no value
    EXCEPTION = "exception"  # class names with or without their module; a base class matches too
    OUTPUT = "output"  # regular expression, searched in the kept output
    ANY = "any"  # no value


class Verdict(StrEnum):
    RETRY = "retry"
    GIVE_UP = "give_up"


@dataclass(frozen=True, kw_only=True)
class Rule:
    condition: Condition
    value: str = ""
    verdict: Verdict

    def __str__(self) -> str:
        subject = self.condition.replace("_", " ")
        return f"{subject} {self.value}".strip()


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often, how soon, and after which failures. Lengths are seconds; None means no limit.

    `delays`, where given, are the waits after attempt 1, 2, ...; the last one repeats. Otherwise the
    wait grows from `initial_interval` by `backoff_coefficient` up to `maximum_interval`.
    The first rule that matches decides; where none matches, the attempt is retried.
    """

    name: str = ""
    max_attempts: int = 1
    delays: tuple[float, ...] = ()
    initial_interval: float = 30
    backoff_coefficient: float = 2
    maximum_interval: float | None = 3600
    jitter: Jitter = Jitter.NONE
    give_up_after: float | None = None
    rules: tuple[Rule, ...] = ()

    @property
    def patterns(self) -> tuple[str, ...]:
        return tuple(rule.value for rule in self.rules if rule.condition == Condition.OUTPUT)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RetryPolicy:
        rules = tuple(
            Rule(
                condition=Condition(rule["condition"]),
                value=str(rule.get("value", "")),  # 75 as well as "75"
                verdict=Verdict(rule["verdict"]),
            )
            for rule in values.get("rules", ())
        )
        plain = {key: value for key, value in values.items() if key not in ("rules", "delays", "jitter")}
        return cls(
            **plain,
            delays=tuple(values.get("delays", ())),
            jitter=Jitter(values.get("jitter", Jitter.NONE)),
            rules=rules,
        )


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What is known of a failed attempt. `exceptions` are the class and its bases, with their modules;
    `patterns` those of the policy's output patterns that occur in its output."""

    outcome: Outcome
    exit_code: int | None = None
    signal: int | None = None
    exceptions: tuple[str, ...] = ()
    patterns: frozenset[str] = frozenset()
    final: bool = False  # the task itself said that a retry is useless (Celery's Reject)


@dataclass(frozen=True)
class RetryAt:
    when: datetime
    delay: timedelta
    code: str
    sentence: str


@dataclass(frozen=True)
class GiveUp:
    code: str
    sentence: str


LONGEST_DELAY = 10 * 365 * 24 * 3600.0
"""Seconds: whatever a policy says, a retry has a date."""

CANCELLED = GiveUp("cancelled", "Not retried: the run was cancelled.")


def backoff(attempt: int, policy: RetryPolicy, *, jitter: float) -> timedelta:
    """Wait before the attempt that follows failed attempt number `attempt` (counted from 1).

    `jitter` is in [0, 1): 0 gives the shortest wait. Raises ValueError if attempt < 1.
    """
    if attempt < 1:
        raise ValueError(f"attempts are counted from 1, not {attempt}")
    seconds = _plain_delay(attempt, policy)
    if policy.jitter == Jitter.FULL:
        seconds *= jitter
    elif policy.jitter == Jitter.EQUAL:
        seconds *= 0.5 + jitter / 2
    return timedelta(seconds=min(seconds, LONGEST_DELAY))


def _plain_delay(attempt: int, policy: RetryPolicy) -> float:
    if policy.delays:
        return policy.delays[min(attempt, len(policy.delays)) - 1]
    limit = policy.maximum_interval if policy.maximum_interval is not None else timedelta.max.days * 1.0
    try:
        return min(policy.initial_interval * policy.backoff_coefficient ** (attempt - 1), limit)
    except OverflowError:
        return limit


def decide(
    policy: RetryPolicy,
    failure: Failure,
    *,
    attempt: int,
    first_started_at: datetime,
    now: datetime,
    jitter: float,
) -> RetryAt | GiveUp:
    """The decision after failed attempt number `attempt` (counted from 1) of a run.

    `first_started_at` is when attempt 1 started: `give_up_after` limits the time from there to the
    start of the next attempt.
    """
    refusal = _refusal(policy, failure, attempt)
    if refusal:
        return refusal
    delay = backoff(attempt, policy, jitter=jitter)
    when = now + delay
    budget = policy.give_up_after
    if budget is not None and when > first_started_at + timedelta(seconds=budget):
        return GiveUp(
            "time_budget",
            f"Not retried: the next attempt would start {_length(when - first_started_at)} after the first; "
            f"the policy gives up after {_length(timedelta(seconds=budget))}.",
        )
    rule = _matching(policy, failure)
    because = f" because {_what(rule)} asks for a retry" if rule else ""
    return RetryAt(
        when,
        delay,
        f"rule:{rule.condition}" if rule else "policy",
        f"Attempt {attempt + 1} of {policy.max_attempts} follows after {_length(delay)}{because}.",
    )


def after_loss(*, again: bool, losses: int, limit: int, now: datetime, what: str) -> RetryAt | GiveUp:
    """The decision after an attempt whose worker vanished or was stopped; `what` says which, in words.

    It may have done its work, in part or whole, so it is repeated only where the schedule says so
    (`again`), and only while fewer than `limit` attempts of the run ended like that (`losses`, this
    one included).
    """
    if not again:
        return GiveUp("not_repeatable", f"Not retried: {what}, and the schedule does not allow a repeat.")
    if losses >= limit:
        return GiveUp(
            "losses_used", f"Not retried: {what}; with this one {losses} of {limit} losses are used."
        )
    return RetryAt(now, timedelta(0), "worker_lost", f"Retried at once: {what}, and the schedule allows it.")


def _refusal(policy: RetryPolicy, failure: Failure, attempt: int) -> GiveUp | None:
    if failure.outcome == Outcome.CANCELLED:
        return CANCELLED
    if failure.final:
        return GiveUp("rejected", "Not retried: the task itself rejected the work.")
    rule = _matching(policy, failure)
    if rule and rule.verdict == Verdict.GIVE_UP:
        return GiveUp(f"rule:{rule.condition}", f"Not retried: {_what(rule)} says to give up.")
    if policy.max_attempts <= 1:
        return GiveUp("no_retries", "Not retried: the policy allows one attempt.")
    if attempt >= policy.max_attempts:
        return GiveUp("attempts_used", f"Not retried: all {policy.max_attempts} attempts are used.")
    return None


def _what(rule: Rule) -> str:
    return "the rule for any failure" if rule.condition == Condition.ANY else f"the rule for {rule}"


def _matching(policy: RetryPolicy, failure: Failure) -> Rule | None:
    return next((rule for rule in policy.rules if _matches(rule, failure)), None)


def _matches(rule: Rule, failure: Failure) -> bool:
    match rule.condition:
        case Condition.EXIT_CODE:
            return failure.exit_code is not None and failure.exit_code in numbers(rule.value)
        case Condition.SIGNAL:
            return failure.signal is not None and failure.signal in numbers(rule.value)
        case Condition.TIMEOUT:
            return failure.outcome == Outcome.TIMED_OUT
        case Condition.EXCEPTION:
            return any(_named(rule.value, known) for known in failure.exceptions)
        case Condition.OUTPUT:
            return rule.value in failure.patterns
        case Condition.ANY:
            return True


def _named(wanted: str, known: str) -> bool:
    names = {name.strip() for name in wanted.split(",")}
    return known in names or known.rpartition(".")[2] in names


def numbers(text: str) -> frozenset[int]:
    """The numbers in "75" or "1-10, 75". Raises ValueError with a sentence for anything else."""
    found: set[int] = set()
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdecimal() or (dash and not high.strip().isdecimal()):
            raise ValueError(f'"{part.strip()}" is not a number or a range such as 1-10')
        last = int(high) if dash else int(low)
        if last < int(low) or last > 255:
            raise ValueError(f'"{part.strip()}" is not a range within 0-255')
        found.update(range(int(low), last + 1))
    return frozenset(found)


def check(rule: Rule) -> str:
    """Why `rule` cannot be used, or "" where it can."""
    try:
        if rule.condition in (Condition.EXIT_CODE, Condition.SIGNAL):
            numbers(rule.value)
        elif rule.condition == Condition.OUTPUT:
            re.compile(rule.value)
    except (ValueError, re.error) as error:
        return f"{rule.condition} rule: {error}"
    if rule.condition in (Condition.EXCEPTION, Condition.OUTPUT) and not rule.value.strip():
        return f"{rule.condition} rule: say which one"
    return ""


def _length(length: timedelta) -> str:
    seconds = length.total_seconds()
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h"
