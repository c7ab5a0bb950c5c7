"""What a task of another codebase cannot have, said where it was asked for."""

from __future__ import annotations

import pytest

from schedules.rules import delivery, manifest
from schedules.rules.definition import Definition, Delivery, Kind, Overlap
from schedules.rules.retry import RetryPolicy

THEIRS = {"name": "theirs", "kind": Kind.TASK, "task": "shop.report", "queue": "shop"}


def test_what_fits_is_not_complained_about():
    assert delivery.problem(Definition(**THEIRS, delivery=Delivery.MESSAGE)) == ""


def test_a_task_of_our_own_may_have_every_policy():
    ours = Definition(**THEIRS, timeout=60, overlap=Overlap.SKIP, retry=RetryPolicy(max_attempts=3))
    assert delivery.problem(ours) == ""


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"retry": RetryPolicy(max_attempts=3)}, "retry_policy"),
        ({"overlap": Overlap.SKIP}, "overlap"),
        ({"timeout": 60}, "timeout"),
        ({"queue": "", "exchange": "shop"}, "exchange"),
    ],
)
def test_the_first_misfit_is_named_with_what_to_do(given, field):
    problem = delivery.problem(Definition(**(THEIRS | given), delivery=Delivery.MESSAGE))
    assert problem.startswith(f'Delivery is "message", but {field} does not fit: ')


def test_a_manifest_says_where():
    text = b"""\
schedules:
  theirs:
    cron: 0 6 * * *
    task: shop.report
    queue: shop
    delivery: message
    timeout: 60s
    overlap: skip
  local:
    command: "true"
    delivery: message
  lights:
    solar: moonrise at 1, 2
    command: "true"
  both:
    solar: sunset at 1, 2
    cron: 0 6 * * *
    command: "true"
"""
    _, problems = manifest.read([("jobs.yaml", text)])

    said = [str(problem) for problem in problems]
    assert len(said) == 5
    assert "jobs.yaml:7" in said[0]
    assert '"timeout" does not fit "delivery: message"' in said[0]
    assert '"overlap" does not fit' in said[1]
    assert '"delivery" is for tasks only' in said[2]
    assert "names no event of the sun" in said[3]
    assert "both say when it runs" in said[4]
