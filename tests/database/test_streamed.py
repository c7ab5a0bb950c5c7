"""Reports over a long history hold a little of it at a time."""

from __future__ import annotations

import tracemalloc
from datetime import timedelta

import pytest

from schedules.comparing import instants
from schedules.comparing.notes import Span
from schedules.models import Run, Schedule
from schedules.querysets import database_now
from schedules.sql import streamed as streaming
from schedules.sql.snapshot import snapshot
from schedules.sql.streamed import streamed
from tests.database.racing import Racer
from tests.factories import make_later

pytestmark = pytest.mark.django_db
MEGABYTE = 1_000_000


def decided(schedule: Schedule | None, count: int, *, detail: str = "") -> None:
    """Recorded by a shadow, one a minute up to now."""
    now = database_now()
    Run.objects.bulk_create(
        Run(
            schedule=schedule,
            name="job",
            scheduled_for=now - timedelta(minutes=number),
            trigger="schedule",
            state="skipped",
            reason="shadow",
            detail=detail,
            created_at=now,
            available_at=now,
            finished_at=now,
        )
        for number in range(count)
    )


def test_rows_come_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(streaming, "CHUNK", 2)
    for _ in range(20):
        decided(None, 1, detail="x" * MEGABYTE)

    tracemalloc.start()
    try:
        lengths = [len(detail) for (detail,) in streamed(Run.objects.values_list("detail"))]
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert lengths == [MEGABYTE] * 20
    assert most < 10 * MEGABYTE


@pytest.mark.django_db(transaction=True)
def test_what_is_written_meanwhile_does_not_come(monkeypatch):
    monkeypatch.setattr(streaming, "CHUNK", 2)
    decided(None, 5)

    with snapshot():
        rows = streamed(Run.objects.order_by("pk").values_list("pk", flat=True))
        found = [next(rows)]
        assert Racer(lambda: decided(None, 5)).result is None
        found += rows

    assert len(found) == 5
    assert Run.objects.count() == 10


def test_a_comparison_holds_the_instants_of_one_group_and_of_those_that_it_waits_for(monkeypatch):
    first, single, last, silent = (make_later(name) for name in ("first", "single", "last", "silent"))
    for schedule in (first, single, last):
        decided(schedule, 3)
    read = []
    monkeypatch.setattr(instants, "streamed", lambda rows: (read.append(row) or row for row in rows))
    now = database_now()
    span = Span(since=now - timedelta(hours=1), until=now + timedelta(hours=1))

    seen = [
        ([row.name for row in group], sorted(it.schedule for it in found), len(read))
        for group, found in instants.with_instants([[last, first], [silent], [single]], span)
    ]

    assert seen == [
        # One row more is read than those of the group: it ends them.
        (["single"], [single.pk] * 3, 7),
        (["last", "first"], [first.pk] * 3 + [last.pk] * 3, 9),
        (["silent"], [], 9),
    ]
