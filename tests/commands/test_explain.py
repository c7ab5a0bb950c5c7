"""`explain`: the verdict first, then the facts; errors as one sentence."""

from __future__ import annotations

import pytest

from schedules import catalog
from tests.factories import make_schedule

pytestmark = pytest.mark.django_db


def test_the_verdict_comes_first_and_the_facts_follow(call):
    make_schedule("backup", cron="30 2 * * 1-5", timezone="Europe/Berlin")
    lines = call("explain", "backup", "--at", "2100-11-21 02:30").out.splitlines()
    assert lines[0].startswith("backup: Is not due at Sun 2100-11-21 02:30 CET: minute and hour match, but")
    assert lines[1] == ""
    assert lines[2].startswith(
        "  timing  30 2 * * 1-5: at 02:30 on Monday to Friday (Europe/Berlin); revision 1"
    )


def test_json_has_codes_and_instants(call):
    make_schedule("backup", cron="30 2 * * *", timezone="Europe/Berlin")
    found = call("explain", "backup", "--at", "2100-11-21T02:31", "--json").json
    assert (found["schedule"], found["verdict"], found["run"]) == ("backup", "not_due", None)
    assert (found["at"], found["timezone"]) == ("2100-11-21T01:31:00Z", "Europe/Berlin")
    assert (found["before"], found["after"]) == ("2100-11-21T01:30:00Z", "2100-11-22T01:30:00Z")
    assert {"label": "before", "text": found["facts"][-2]["text"], "run": None} in found["facts"]


def test_a_deleted_schedule_is_found_by_the_name_that_it_had(call):
    schedule = make_schedule("backup")
    catalog.delete([schedule.pk], by="bob")
    assert call("explain", "backup").out.startswith("backup: Does not run: it is deleted.")


def test_an_unknown_name_is_refused_with_near_ones(call):
    make_schedule("backup-database")
    done = call("explain", "bakcup-database")
    assert (done.status, done.out) == (1, "")
    assert "Did you mean 'backup-database'?" in done.err


def test_what_is_no_time_is_a_usage_error(call):
    make_schedule("backup")
    done = call("explain", "backup", "--at", "\x1b[2Jsoon")
    assert (done.status, done.out) == (2, "")
    assert "Give one such as" in done.err
    assert "\x1b" not in done.err


def test_hostile_names_are_printed_harmlessly(call):
    make_schedule("evil\x1b[31m\u202e", command="true")
    assert "\x1b" not in call("explain", "evil\x1b[31m\u202e").out
