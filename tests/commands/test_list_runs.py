"""`list_runs` in a long history: bounded reads, the same answers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schedules import catalog
from schedules.management.commands import list_runs
from schedules.management.output import local
from schedules.management.runs_text import duration
from schedules.models import Run
from schedules.querysets import database_now
from schedules.rules.states import State
from tests.factories import make_history, make_later, make_run, make_schedule

pytestmark = pytest.mark.django_db


@pytest.fixture
def ids(call):
    return lambda *options: [row["id"] for row in call("list_runs", *options, "--json").json]


@pytest.mark.parametrize("window", [1, 3, 100])
def test_what_was_due_since_a_time_is_found_window_by_window(ids, monkeypatch, window):
    monkeypatch.setattr(list_runs, "WINDOW", window)
    schedule = make_schedule()
    old = make_history(schedule, [State.SUCCEEDED] * 5, age=timedelta(hours=3))
    Run.objects.update(scheduled_for=database_now() - timedelta(hours=3))
    young = make_history(schedule, [State.SUCCEEDED, State.FAILED] * 4)

    assert ids("--since", "2h") == [run.pk for run in young[::-1]]
    assert ids("--since", "2h", "--limit", 3) == [run.pk for run in young[:-4:-1]]
    assert ids("--since", "2h", "--state", "failed") == [run.pk for run in young[::-2]]
    assert ids("--since", "1d") == [run.pk for run in (old + young)[::-1]]


def test_a_list_without_end_has_one_all_the_same(call, monkeypatch):
    monkeypatch.setattr(list_runs, "MOST", 2)
    runs = make_history(make_schedule(), [State.SUCCEEDED] * 3)

    said = call("list_runs", "--limit", 0, "--json")

    assert [row["id"] for row in said.json] == [runs[2].pk, runs[1].pk]
    assert "Only the newest 2 are listed." in said.err


def test_a_row_that_stands_for_many_instants_says_so(call):
    until = database_now().replace(microsecond=0)
    missed = {
        "state": State.SKIPPED,
        "reason": "missed",
        "detail": "Not started in time.",
        "finished_at": until,
    }
    make_run(make_schedule(), **missed, missed_count=1440, missed_until=until)

    assert f"Not started in time. 1,440 instants, until {local(until)}." in call("list_runs").out


def test_runs_are_found_by_the_name_of_schedules_that_are_gone(ids):
    first, second = make_later("job"), make_later("other")
    runs = make_history(first, [State.SUCCEEDED]) + make_history(second, [State.SUCCEEDED])
    catalog.delete([first.pk], by="ada")
    Run.objects.filter(pk=runs[1].pk).update(schedule=None, name="job")

    assert ids("--schedule", "job") == [runs[1].pk, runs[0].pk]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0421, "42 ms"), (1.24, "1.2 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"), (None, "-")],
)
def test_a_length_is_said_in_the_unit_that_tells_something(seconds, said):
    assert duration(None if seconds is None else timedelta(seconds=seconds)) == said
