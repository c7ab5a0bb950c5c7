"""`prune_runs`: what would go, and that it goes."""

from __future__ import annotations

import time
from datetime import timedelta
from types import SimpleNamespace

import pytest

from schedules import retention
from schedules.management.commands import prune_runs
from schedules.models import Run
from schedules.querysets import database_now
from schedules.rules.states import State
from tests.factories import make_history, make_schedule

pytestmark = pytest.mark.django_db

OLD = timedelta(days=60)


@pytest.fixture(autouse=True)
def history(settings):
    settings.BEATKEEPER = {"retention_days": 30, "retention_runs": 1}
    make_history(make_schedule("backup", tags="nightly"), [State.SUCCEEDED] * 6, age=OLD)
    make_history(make_schedule("re\x1bport"), [State.FAILED] * 3, age=OLD)
    make_history(make_schedule("young"), [State.SUCCEEDED] * 3)


def test_a_dry_run_counts_by_schedule_and_deletes_nothing(call):
    said = call("prune_runs", "--dry-run")

    assert said.out.splitlines() == [
        "SCHEDULE    RUNS",
        "backup      5",
        "re\\x1bport  2",
        "7 runs would be deleted.",
    ]
    assert Run.objects.count() == 12


def test_a_dry_run_tells_scripts_the_same(call):
    assert call("prune_runs", "--dry-run", "--json").json == {
        "runs": 7,
        "schedules": [{"schedule": "backup", "runs": 5}, {"schedule": "re\x1bport", "runs": 2}],
    }


def test_it_deletes_what_the_dry_run_counted(call):
    said = call("prune_runs", "--batch", 2, "--sleep", 0)

    assert said.out.strip() == "7 runs deleted."
    assert Run.objects.count() == 5
    assert call("prune_runs").out.strip() == "No run is old enough to be deleted."


def test_only_the_chosen_schedules_are_pruned(call):
    assert call("prune_runs", "--tag", "nightly", "--json").json["deleted"] == 5
    assert call("prune_runs", "--dry-run", "backup").out.strip() == "0 runs would be deleted."
    assert call("prune_runs", "young", "--json").json["deleted"] == 0
    assert call("prune_runs", "--json").json["deleted"] == 2


def test_runs_whose_schedule_is_gone_are_pruned_with_all_others(call):
    Run.objects.filter(name="backup").update(schedule=None)

    assert ("(schedules that are gone)", "6") in {
        tuple(line.rsplit(maxsplit=1)) for line in call("prune_runs", "--dry-run").out.splitlines()
    }
    assert call("prune_runs", "--json").json["deleted"] == 8


def test_an_unknown_schedule_is_named(call):
    said = call("prune_runs", "bakcup")

    assert said.status == 1
    assert "bakcup" in said.err
    assert Run.objects.count() == 12


@pytest.mark.parametrize("wrong", [("--batch", "0"), ("--batch", "x"), ("--sleep", "-1"), ("--sleep", "x")])
def test_numbers_that_make_no_sense_are_refused(call, wrong):
    assert call("prune_runs", *wrong).status in (1, 2)
    assert Run.objects.count() == 12


def test_an_interruption_leaves_whole_batches_and_says_how_far_it_came(call, monkeypatch):
    slept = []

    def interrupt(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt

    # The command's own `time` only: other threads of the process sleep, too.
    monkeypatch.setattr(prune_runs, "time", SimpleNamespace(sleep=interrupt, monotonic=time.monotonic))
    with pytest.raises(KeyboardInterrupt):
        call("prune_runs", "backup", "--batch", 2)

    assert Run.objects.filter(name="backup").count() == 2
    assert sum(retention.prune(None, database_now(), limit=100)) == 3
