"""Which due instants of a schedule start a run, and which are skipped and why. Called by `occurrences`.

Every due instant ends up in exactly one decision; a long gap of missed ones is one `Skip` that
covers them all. Nothing is stored here, and the clock comes in as `now`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from schedules.rules.definition import CatchUp
from schedules.rules.states import Reason, Trigger
from schedules.rules.timing import Timing


@dataclass(frozen=True)
class Start:
    scheduled_for: datetime
    trigger: Trigger


@dataclass(frozen=True)
class Skip:
    """`count` due instants, from `scheduled_for` to `until` (both included), start nothing."""

    scheduled_for: datetime
    reason: Reason
    detail: str
    count: int = 1
    until: datetime | None = None


Decision = Start | Skip


@dataclass(frozen=True)
class Limits:
    """`on_time`: how old an instant may be before the catch-up policy decides.
    `starts`: late runs that one downtime may start. `missed`: instants accounted for at once."""

    on_time: timedelta
    starts: int
    missed: int


@dataclass(frozen=True)
class Due:
    """The due instants of one timing from `instants[0]` on, and the first one that is left for later."""

    instants: tuple[datetime, ...]
    next_at: datetime | None


def due_instants(timing: Timing, first: datetime, now: datetime, *, limit: int) -> Due:
    """The instants of `timing` from `first`, which is one, to `now` (both included), at most `limit`.

    More than `limit` leave the rest to the next call: `next_at` is then still in the past.
    """
    after = timing.next_after(first)
    if after is None or after > now:
        return Due((first,), after)
    instants = (first, *islice(timing.between(after, now + timedelta(microseconds=1)), limit - 1))
    return Due(instants, timing.next_after(instants[-1]))


def admit(
    due: Due,
    *,
    now: datetime,
    catch_up: CatchUp,
    window: timedelta | None,
    start_deadline: timedelta | None,
    busy: bool,
    limits: Limits,
    shadow: bool = False,
) -> list[Decision]:
    """One decision for each due instant, oldest first.

    `window` bounds how far back a late run may reach; `start_deadline` how late any run may start;
    `busy` says that overlap is not allowed and another run is active; with `shadow` nothing starts.
    """
    late = [at for at in due.instants if now - at > limits.on_time]
    more = due.next_at is not None and due.next_at <= now
    timely = due.instants[len(late) :]
    chosen = (
        []  # newer instants follow in the next call, and the policy is about the newest
        if more
        else _late_starts(late, now=now, catch_up=catch_up, window=window, limits=limits, timely=bool(timely))
    )
    decisions: list[Decision] = [
        *_missed(late[: len(late) - len(chosen)], catch_up),
        *(Start(at, Trigger.CATCH_UP) for at in chosen),
        *(Start(at, Trigger.SCHEDULE) for at in timely),
    ]
    decisions = [_within_deadline(decision, now, start_deadline) for decision in decisions]
    if shadow:
        return _without_starts(decisions, Reason.SHADOW, SHADOW)
    return _without_starts(decisions, Reason.OVERLAP, OVERLAPS) if busy else decisions


def _late_starts(
    late: Sequence[datetime],
    *,
    now: datetime,
    catch_up: CatchUp,
    window: timedelta | None,
    limits: Limits,
    timely: bool,
) -> Sequence[datetime]:
    """The newest late instants that still start a run: always a tail of `late`."""
    eligible = [at for at in late if window is None or now - at <= window]
    if catch_up == CatchUp.SKIP or (catch_up == CatchUp.LATEST and timely):
        return []
    return eligible[-(1 if catch_up == CatchUp.LATEST else limits.starts) :]


def _missed(instants: Sequence[datetime], catch_up: CatchUp) -> list[Decision]:
    if not instants:
        return []
    detail = f"Not started in time; the catch-up policy is {catch_up}."
    return [Skip(instants[0], Reason.MISSED, detail, count=len(instants), until=instants[-1])]


def _within_deadline(decision: Decision, now: datetime, deadline: timedelta | None) -> Decision:
    if deadline is None or isinstance(decision, Skip) or now - decision.scheduled_for <= deadline:
        return decision
    return Skip(decision.scheduled_for, Reason.TOO_LATE, too_late(deadline))


def too_late(deadline: timedelta) -> str:
    return f"The start deadline of {deadline.total_seconds():.0f} s had passed."


OVERLAPS = "The previous run was still active, and the overlap policy is skip."


SHADOW = "The schedule is a shadow: it records that it would have started now, and starts nothing."


def _without_starts(decisions: list[Decision], reason: Reason, detail: str) -> list[Decision]:
    return [
        Skip(decision.scheduled_for, reason, detail) if isinstance(decision, Start) else decision
        for decision in decisions
    ]
