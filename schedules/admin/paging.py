"""Pages of the list of runs, newest first: the first and the last of ten million cost the same.

Nothing is counted and nothing is skipped. A page begins beside a key and is read along an index that has
the order of the list (`streams_of` knows which). Where more is asked for than that index answers, at most
`BUDGET` rows are looked at; the page then says how far it looked, and where to go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from schedules.models import Run
from schedules.models.run import UNUSUAL, UNUSUAL_TRIGGERS
from schedules.rules.states import ACTIVE, FAILURES, State, Trigger
from schedules.sql.indexed import Order, StateAmong, ended_as, keys_of, triggered_by

BUDGET = 20_000
"""Rows that one page looks at: some 30 ms."""

FEW_ACTIVE = 5000
"""With fewer active runs they are the stream; with more, most of the newest runs are active."""

LARGEST_KEY = 2**63 - 1


@dataclass(frozen=True)
class Place:
    """Where a page begins: below a key (older runs), or above one (newer runs); at the top by default."""

    before: int | None = None
    after: int | None = None


@dataclass(frozen=True)
class Page:
    """`older` and `newer` are keys to go on from, None where there is nothing.

    `looked_at` is the last key that was looked at where the budget ended the search, else None.
    """

    keys: list[int]
    older: int | None
    newer: int | None
    looked_at: int | None = None


@dataclass(frozen=True)
class Streams:
    """Conditions that are each read along an index. `exact`: they are all that was asked for.

    `short`: so few rows that all of them may be looked at.
    """

    conditions: Sequence[Q]
    exact: bool = False
    short: bool = False


def streams_of(asked: Mapping[str, str], named: Sequence[Q] | None) -> Streams:
    """`asked` are the filters by name; `named` the schedules that a search found, None: too many, or none."""
    state, trigger = asked.get("state", ""), asked.get("trigger", "")
    if asked.get("schedule"):
        return Streams([Q(schedule=int(asked["schedule"]))], exact=len(asked) == 1)
    if named is not None:
        return Streams(named, exact=len(asked) == 1)
    if state in ("waiting", "retrying", *ACTIVE):
        return _active()
    if trigger in UNUSUAL_TRIGGERS:
        return Streams([triggered_by(Trigger(trigger))], exact=len(asked) == 1)
    if condition := _UNUSUAL.get(state):
        return Streams([condition], exact=len(asked) == 1)
    return Streams([Q()], exact=not asked)


_UNUSUAL = {
    "bad": Q(StateAmong(FAILURES)),
    "mended": Q(state=State.SUCCEEDED, attempt__gt=1),
    **{state.value: ended_as(state) for state in UNUSUAL},
}
"""Ends that few runs have, by the words of the filter; each has an index in the order of the list."""


def _active() -> Streams:
    """Ordered by schedule, as the index of what is active is: no statistics can mislead to another."""
    active = Run.objects.filter(StateAmong(ACTIVE)).order_by("schedule").values_list("pk", flat=True)
    keys = list(active[: FEW_ACTIVE + 1])
    return Streams([Q()]) if len(keys) > FEW_ACTIVE else Streams([Q(pk__in=keys)], short=True)


def page_of(runs: QuerySet[Run], streams: Streams, place: Place, *, size: int) -> Page:
    """The keys of one page of `runs`, newest first, in two statements at most."""
    forward = place.after is not None
    limit = Q(pk__gt=place.after) if forward else Q(pk__lt=place.before) if place.before else Q()
    wall = None if streams.exact or streams.short else _wall(streams, limit, forward=forward)
    found = _read(runs, streams, limit & _up_to(wall, forward=forward), forward=forward, count=size + 1)
    keys = found[:size]
    further = keys[-1] if len(found) > size else wall
    looked_at = wall if len(found) <= size else None
    if forward:
        return Page(keys[::-1], older=keys[0] if keys else _beside(place.after, 1), newer=further)
    newer = None
    if place.before is not None:
        newer = keys[0] if keys else _beside(place.before, -1)
    return Page(keys, older=further, newer=newer, looked_at=looked_at)


def _wall(streams: Streams, limit: Q, *, forward: bool) -> int | None:
    """The key up to which every stream is looked at within the budget; None: all of it is."""
    at = BUDGET // len(streams.conditions)
    branches = [
        _ordered(Run.objects.filter(limit, condition), forward=forward)[at - 1 : at]
        for condition in streams.conditions
    ]
    nearest = keys_of(branches, using=Run.objects.db, limit=1, order=_order(forward=forward))
    return nearest[0] if nearest else None


def _read(runs: QuerySet[Run], streams: Streams, limit: Q, *, forward: bool, count: int) -> list[int]:
    base = Run.objects.all() if streams.exact else runs
    branches = [
        _ordered(base.filter(limit, condition), forward=forward)[:count] for condition in streams.conditions
    ]
    return keys_of(branches, using=Run.objects.db, limit=count, order=_order(forward=forward))


def _up_to(wall: int | None, *, forward: bool) -> Q:
    if wall is None:
        return Q()
    return Q(pk__lte=wall) if forward else Q(pk__gte=wall)


def _ordered(runs: QuerySet[Run], *, forward: bool) -> QuerySet[Run]:
    return runs.order_by("pk" if forward else "-pk")


def _order(*, forward: bool) -> Order:
    return Order.OLDEST_FIRST if forward else Order.NEWEST_FIRST


def _beside(key: int | None, step: int) -> int:
    return min(max((key or 0) + step, 0), LARGEST_KEY)
