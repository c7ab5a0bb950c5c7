"""`audit_firings`: what it prints, and that a violation is an exit status."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schedules import dispatch
from schedules.models import Run
from schedules.querysets import database_now
from tests.factories import due, make_schedule

pytestmark = pytest.mark.django_db


@pytest.fixture
def hour():
    """A schedule that has existed for an hour, with a run for each of its minutes."""
    now = database_now()
    schedule = make_schedule("job", tags="night db", catch_up="skip")
    schedule.revisions.update(changed_at=now - timedelta(hours=1))
    due(schedule, (now - timedelta(minutes=59)).replace(second=0, microsecond=0))
    dispatch.dispatch_due(database_now())
    return schedule


def not_due():
    """A moment that was judged and that no minute of cron is: half past one of the last minutes."""
    return database_now().replace(second=30, microsecond=0) - timedelta(minutes=5)


def test_a_clean_audit_says_what_it_judged(call, hour):
    done = call("audit_firings", "--from", "2h")
    assert done.status == 0
    assert done.out.startswith("1 schedule, ")
    assert ": each has exactly one run (1 not started yet, " in done.out
    assert "Nothing missing, doubled or extra." in done.out


def test_a_violation_is_named_and_ends_with_status_1(call, hour):
    gone = Run.objects.get(missed_until=None)
    gone.delete()

    done = call("audit_firings", "job")

    assert done.status == 1
    assert f"missing: job, {gone.scheduled_for:%Y-%m-%dT%H:%M:%SZ}: no run" in done.out
    assert "the next run moved on" in done.out
    assert "1 missing" in done.err


def test_the_evidence_as_json(call, hour):
    done = call("audit_firings", "--tag", "db", "--json")
    assert (done.json["clean"], done.json["wrong"]) == (True, {})
    (schedule,) = done.json["schedules"]
    assert (schedule["name"], schedule["deleted"], schedule["findings"]) == ("job", False, [])
    assert schedule["due"] == done.json["due"] == sum(done.json["became"].values())

    Run.objects.filter(missed_until=None).update(scheduled_for=not_due())
    done = call("audit_firings", "--json")
    assert (done.status, done.json["clean"]) == (1, False)
    assert {finding["wrong"] for finding in done.json["schedules"][0]["findings"]} == {"missing", "extra"}


def test_hostile_names_are_printed_harmlessly(call):
    make_schedule("a\x1b[31mb\u202e", cron="")
    Run.objects.all().delete()
    schedule = make_schedule("x\x1b[31m")
    schedule.revisions.update(changed_at=database_now() - timedelta(hours=1))
    done = call("audit_firings")
    assert done.status == 1
    assert "\x1b" not in done.out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--from", "soon"], 2, "is not a time"),
        (["--from", "1h", "--to", "2h"], 2, "not before --to"),
        (["no-such"], 1, "No schedule is named"),
        (["--tag", "no-such"], 1, "No schedule has the tag"),
    ],
)
def test_what_cannot_be_judged_is_refused(call, arguments, status, said):
    done = call("audit_firings", *arguments)
    assert (done.status, done.out) == (status, "")
    assert said in done.err
