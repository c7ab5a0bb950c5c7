"""What the schedules started, or would have, a group at a time: all of it is never in memory.

Called by `comparing`, which pairs them with cron's starts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter

from schedules.comparing.notes import Span
from schedules.models import Run, Schedule
from schedules.rules.states import BY_THE_CLOCK, Reason, State
from schedules.sql.streamed import streamed

Group = Sequence[Schedule]
"""Schedules that a log cannot tell apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """A due instant of a schedule: when we decided it or started it, and whether a command ran."""

    at: datetime
    acted_at: datetime
    ran: bool
    schedule: int


def with_instants(groups: Sequence[Group], span: Span) -> Iterator[tuple[Group, list[Instant]]]:
    """Each group with what its schedules started, or would have. One query.

    In memory are the instants of one group, and of those of which a schedule is still to come.
    """
    waiting = {max(row.pk for row in group): group for group in groups}
    first = {row.pk: group[0].pk for group in groups for row in group}
    held: dict[int, list[Instant]] = defaultdict(list)
    for pk, instants in _instants(first, span):
        held[first[pk]] += instants
        if pk in waiting:
            group = waiting.pop(pk)
            yield group, held.pop(group[0].pk)
    for group in waiting.values():
        yield group, held.pop(group[0].pk, [])


def _instants(pks: Collection[int], span: Span) -> Iterator[tuple[int, Iterator[Instant]]]:
    """Streamed, by schedule."""
    rows = Run.objects.filter(
        schedule__in=pks,
        trigger__in=BY_THE_CLOCK,
        scheduled_for__gte=span.since - timedelta(hours=1),
        scheduled_for__lte=span.until,
    ).values_list("schedule_id", "scheduled_for", "created_at", "started_at", "state", "reason")
    for pk, group in groupby(streamed(rows.order_by("schedule", "scheduled_for")), key=itemgetter(0)):
        yield (
            pk,
            (
                Instant(at=at, acted_at=started_at or created_at, ran=state != State.SKIPPED, schedule=pk)
                for _, at, created_at, started_at, state, reason in group
                # Missed, too late, beside another run: nothing would have started.
                if state != State.SKIPPED or reason == Reason.SHADOW
            ),
        )
