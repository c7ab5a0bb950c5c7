"""The checker sees every kind of violation in evidence that is sound but for one thing, and none without."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from benchmarks.chaos import figures
from benchmarks.chaos.aims import aims
from benchmarks.chaos.checker import check
from benchmarks.chaos.lateness import Faults, bursts, starts
from benchmarks.chaos.load import Job
from benchmarks.chaos.rows import AttemptRow, Evidence, RunRow, Span, Window
from benchmarks.chaos.truth import Execution, Truth, read

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PERIOD = 2 * SECOND

QUICK = Job("quick", "command", "quick", PERIOD, False, False, 1, False, 1, T0)
FLAKY = Job("flaky", "command", "flaky", PERIOD, False, True, 4, False, 2, T0)
ALONE = Job("alone", "command", "overlap", PERIOD, True, False, 1, False, 3, T0)


def run(pk: int, schedule: int = 1, number: int = 1, **columns) -> RunRow:
    """The run of instant `number`, which is `number` periods after T0; it succeeded at once."""
    at = T0 + number * PERIOD
    given: dict[str, Any] = {
        "trigger": "schedule",
        "state": "succeeded",
        "reason": "",
        "detail": "",
        "attempt": 1,
        "missed_count": 0,
        "missed_until": None,
        "scheduled_for": at,
        "created_at": at,
        "started_at": at,
        "finished_at": at + SECOND,
    }
    return RunRow(pk=pk, schedule_id=schedule, **given | columns)


def attempt(run: int, number: int = 1, outcome: str = "succeeded", **columns) -> AttemptRow:
    given: dict[str, Any] = {
        "started_at": T0 + PERIOD,
        "finished_at": T0 + 2 * PERIOD,
        "reason": "",
        "decision": "",
        "pid": 7,
        "late_result": "",
    }
    if outcome != "succeeded":
        given |= {"reason": "because", "decision": "give_up"}
    return AttemptRow(run, number, outcome, **given | columns)


def execution(run: int, number: int = 1, started: float = 2.1, ended: float | None = 2.2, code=0):
    return Execution(
        run, number, 7, started, started if ended is None else ended, ended, None if ended is None else code
    )


def evidence(**parts) -> Evidence:
    """One schedule with two instants, both run. Host time is seconds since T0."""
    given: dict[str, Any] = {
        "jobs": [QUICK],
        "created": Span(T0, T0 + 0.5 * SECOND),
        "disabled": Span(T0 + 5 * SECOND, T0 + 5.5 * SECOND),
        "runs": [run(10), run(11, number=2)],
        "attempts": [attempt(10), attempt(11)],
        "truth": Truth([execution(10), execution(11, started=4.1, ended=4.2)]),
        "windows": [],
        "host_time_of": lambda moment: (moment - T0).total_seconds(),
        "counters": {1: 2},
        "worker_lost_limit": 3,
        "epsilon": 1.0,
        "on_time": 8 * SECOND,
    }
    return Evidence(**given | parts)


def violated(**parts) -> list[str]:
    return [violation.invariant for violation in check(evidence(**parts))]


def said(**parts) -> str:
    return "\n".join(map(str, check(evidence(**parts))))


def test_sound_evidence_violates_nothing():
    assert check(evidence()) == []


def test_an_instant_without_a_run_is_found():
    only = {"runs": [run(10)], "attempts": [attempt(10)], "truth": Truth([execution(10)]), "counters": {1: 1}}
    assert violated(**only) == ["I1"]
    assert "quick at 2026-03-01 12:00:04+00:00: 0 runs" in said(**only)


def test_an_instant_with_two_runs_is_found():
    runs = [
        run(10),
        run(11, number=2),
        run(12, number=2, state="cancelled", reason="r", detail="d", attempt=0),
    ]
    assert violated(runs=runs, counters={1: 3}, cancelled={12}) == ["I1"]


@pytest.mark.parametrize("number", [0, 3])
def test_a_run_before_the_creation_or_after_the_end_is_found(number):
    extra = run(12, number=number, state="cancelled", reason="r", detail="d", attempt=0)
    runs = [run(10), run(11, number=2), extra]
    assert violated(runs=runs, counters={1: 3}, cancelled={12}) == ["I1"]


def test_a_run_between_two_instants_is_found():
    odd = run(12, scheduled_for=T0 + 3 * SECOND, state="cancelled", reason="r", detail="d", attempt=0)
    assert "is not due at" in said(runs=[run(10), run(11, number=2), odd], counters={1: 3})


def test_what_falls_due_while_the_schedules_are_disabled_may_have_a_run_or_none():
    """The edit happened somewhere between two looks at the clock."""
    around = Span(T0 + 3 * SECOND, T0 + 5 * SECOND)
    assert violated(disabled=around) == []
    assert (
        violated(
            disabled=around,
            runs=[run(10)],
            attempts=[attempt(10)],
            truth=Truth([execution(10)]),
            counters={1: 1},
        )
        == []
    )


def test_missed_instants_may_share_one_row():
    missed = run(
        10,
        state="skipped",
        reason="missed",
        detail="d",
        attempt=0,
        missed_count=2,
        missed_until=T0 + 2 * PERIOD,
        created_at=T0 + 15 * SECOND,
        finished_at=T0 + 15 * SECOND,
    )
    away = Window("database-crash", 1, 14, 5)
    parts = {"runs": [missed], "attempts": [], "truth": Truth(), "counters": {1: 0}, "windows": [away]}
    assert violated(**parts) == []
    assert violated(**parts | {"runs": [replace(missed, missed_count=3)]}) == ["I1"]


def test_minutes_are_judged_by_the_minute():
    minutely = replace(QUICK, every=None, anchor=None)
    runs = [
        run(10, scheduled_for=T0 + timedelta(minutes=1)),
        run(11, scheduled_for=T0 + timedelta(minutes=2)),
    ]
    parts = {"jobs": [minutely], "runs": runs, "epsilon": 300.0}
    assert violated(**parts, disabled=Span(T0 + 150 * SECOND, T0 + 151 * SECOND)) == []
    assert violated(**parts, disabled=Span(T0 + 190 * SECOND, T0 + 191 * SECOND)) == ["I1"]


def test_what_the_product_s_own_audit_finds_counts():
    assert violated(audited=["audit: something"]) == ["I1"]


def test_a_run_that_is_not_over_is_found():
    open_run = run(11, number=2, state="running", finished_at=None)
    assert "I2" in violated(runs=[run(10), open_run])


def test_an_open_attempt_is_found():
    assert "I2" in violated(attempts=[attempt(10), attempt(11, outcome="", finished_at=None)])


def test_leftover_processes_and_complaints_are_found():
    assert violated(leftovers=["a job's, 1"], complaints=["would not stop"]) == ["I2", "I2"]


def test_a_missing_attempt_is_found():
    retried = run(11, number=2, attempt=2)
    assert "I3" in violated(runs=[run(10), retried], attempts=[attempt(10), attempt(11, 2)])


def test_a_last_attempt_that_does_not_explain_the_run_is_found():
    failed = attempt(11, outcome="failed")
    assert "I3" in violated(attempts=[attempt(10), failed])


def test_an_attempt_after_one_that_was_not_to_be_retried_is_found():
    attempts = [attempt(10), attempt(11, outcome="failed"), attempt(11, 2)]
    runs = [run(10), run(11, number=2, attempt=2)]
    truth = Truth(
        [execution(10), execution(11, started=4.1, code=3), execution(11, 2, started=4.5, ended=4.6)]
    )
    assert "I3" in violated(runs=runs, attempts=attempts, truth=truth)


def test_a_lost_run_and_a_retry_cancelled_while_it_waited_are_explained():
    runs = [
        run(10, state="lost", reason="worker_lost", detail="d"),
        run(11, number=2, state="cancelled", reason="cancelled_by_user", detail="d"),
    ]
    attempts = [attempt(10, outcome="worker_lost"), attempt(11, outcome="failed", decision="retry")]
    truth = Truth([execution(10, ended=None), execution(11, started=4.1, ended=4.2, code=3)])
    happened = {"windows": [Window("worker-kill", 3, 3, 0)], "cancelled": {11}}
    assert violated(runs=runs, attempts=attempts, truth=truth, **happened) == []


def test_an_attempt_that_began_twice_is_found():
    twice = Truth([execution(10), execution(10, started=2.5, ended=2.6), execution(11, started=4.1)])
    assert "I4" in violated(truth=twice)


def test_an_attempt_that_is_not_on_record_is_found():
    unknown = Truth([execution(10), execution(11, started=4.1), execution(99, started=4.1)])
    assert "not on record" in said(truth=unknown)


def test_a_success_of_which_the_job_knows_nothing_is_found():
    assert "I4" in violated(truth=Truth([execution(10)]))
    assert "I4" in violated(truth=Truth([execution(10), execution(11, started=4.1, ended=4.2, code=3)]))


def test_two_successes_of_one_run_are_found():
    runs = [run(10), run(11, number=2, attempt=2)]
    attempts = [attempt(10), attempt(11), attempt(11, 2)]
    assert "I5" in violated(runs=runs, attempts=attempts)


def test_repeating_what_must_not_be_repeated_is_found():
    lost = {
        "runs": [run(10), run(11, number=2, attempt=2)],
        "attempts": [attempt(10), attempt(11, outcome="worker_lost", decision="retry"), attempt(11, 2)],
        "truth": Truth(
            [
                execution(10),
                execution(11, started=4.1, ended=None),
                execution(11, 2, started=4.5, ended=4.6),
            ]
        ),
    }
    assert "I5" in violated(**lost)
    killed = [Window("worker-kill", 3, 3, 0)]
    assert violated(**lost, jobs=[replace(QUICK, repeatable=True)], windows=killed) == []


def overlapping(**parts):
    """Two runs of a schedule that must not overlap; the first was lost, and lived on until the second ran."""
    runs = [
        run(10, 3, state="lost", reason="worker_lost", detail="d"),
        run(11, 3, number=2),
    ]
    given = {
        "jobs": [ALONE],
        "runs": runs,
        "attempts": [attempt(10, outcome="worker_lost"), attempt(11)],
        "truth": Truth([execution(10, started=2.1, ended=4.5), execution(11, started=4.1, ended=4.2)]),
        "counters": {3: 2},
        "windows": [Window("worker-kill", 3, 3, 0)],
    }
    return violated(**given | parts)


def test_an_overlap_is_found():
    assert overlapping() == ["I6"]


def test_an_overlap_with_somebody_who_only_wrote_signs_of_life_is_found():
    seen = Execution(10, 1, 7, 2.1, 4.3)
    assert overlapping(truth=Truth([seen, execution(11, started=4.1, ended=4.2)])) == ["I6"]


def test_an_overlap_with_a_worker_that_was_cut_off_on_purpose_is_explained():
    def cut_off(*pids: int) -> list[Window]:
        return [Window("worker-pause", 3, 4, 0, frozenset(pids))]

    assert overlapping(windows=cut_off(7)) == []
    assert overlapping(windows=cut_off()) == []  # everybody was
    assert overlapping(windows=cut_off(8)) == ["I6"]
    assert overlapping(windows=[Window("beat-pause", 3, 4, 0, None)]) == ["I6"]


def test_an_ending_without_a_reason_is_found():
    silent = run(11, number=2, state="skipped", attempt=0)
    assert "I7" in violated(runs=[run(10), silent], attempts=[attempt(10)], truth=Truth([execution(10)]))


def test_a_counter_that_is_wrong_is_found():
    assert violated(counters={1: 3}) == ["I7"]


def test_a_late_start_is_found_unless_a_fault_explains_it():
    late = Truth([execution(10, started=9.0, ended=9.1), execution(11, started=4.1, ended=4.2)])
    assert violated(truth=late) == ["I8"]
    assert violated(truth=late, windows=[Window("purge", 3.0, 3.0, 6.0)]) == []
    assert violated(truth=late, windows=[Window("purge", 3.0, 3.0, 2.0)]) == ["I8"]
    assert violated(truth=late, windows=[Window("purge", 20.0, 30.0, 6.0)]) == ["I8"]
    assert violated(truth=late, was_shown_twice=lambda moment: True) == []
    assert violated(truth=late, windows=[Window("clock-back", 5.0, 5.0, 0)]) == []
    assert violated(truth=late, windows=[Window("clock-back", 9.5, 9.5, 0)]) == ["I8"]


def test_a_start_that_counts_as_caught_up_is_late_all_the_same():
    decided = T0 + 602 * SECOND
    runs = [run(10, trigger="catch_up", created_at=decided, started_at=decided), run(11, number=2)]
    late = Truth([execution(10, started=602.1, ended=602.2), execution(11, started=4.1, ended=4.2)])
    assert violated(runs=runs, truth=late) == ["I8"]
    assert violated(runs=runs, truth=late, windows=[Window("database-outage", 1, 601, 5)]) == []


def skipped(pk: int, number: int = 1, schedule: int = 1, after: float = 0, **columns) -> RunRow:
    """Decided `after` seconds from its instant."""
    at = T0 + number * PERIOD + after * SECOND
    given = {"state": "skipped", "detail": "d", "attempt": 0, "created_at": at, "finished_at": at}
    return run(pk, schedule, number, **given | columns)


def nothing_ran(*runs: RunRow, **parts) -> list[str]:
    given = {"runs": runs, "attempts": [], "truth": Truth(), "counters": {1: 0}}
    return violated(**given | parts)


@pytest.mark.parametrize("reason", ["missed", "too_late", "overlap", "shadow", "no_definition"])
def test_instants_that_are_all_skipped_for_no_cause_are_found(reason):
    assert nothing_ran(skipped(10, 1, reason=reason), skipped(11, 2, reason=reason)) == ["I7", "I7"]


def test_what_was_missed_without_a_fault_is_found_however_late_it_was_decided():
    missed = [skipped(10, 1, reason="missed", after=11), skipped(11, 2, reason="missed", after=9)]
    assert nothing_ran(*missed) == ["I8", "I8"]
    assert nothing_ran(*missed, windows=[Window("database-crash", 1, 12, 3)]) == []
    assert nothing_ran(*missed, windows=[Window("database-crash", 1, 1, 3)]) == ["I8", "I8"]


def test_what_was_passed_over_while_it_was_on_time_is_found_in_faults_too():
    missed = [skipped(10, 1, reason="missed", after=11), skipped(11, 2, reason="missed", after=7)]
    assert nothing_ran(*missed, windows=[Window("database-crash", 1, 12, 3)]) == ["I7"]


def test_what_had_passed_when_the_schedules_were_committed_may_be_missed():
    created = Span(T0, T0 + 3 * PERIOD)
    assert nothing_ran(skipped(10, 2, reason="missed", after=9), created=created) == ["I8"]
    assert nothing_ran(skipped(10, 2, reason="missed", after=9), created=created, epsilon=8) == []


def kept_from_overlapping(*, until: float, **parts) -> list[str]:
    """The first run ends so many seconds after T0; the next instant, at 4 s, was skipped because of it."""
    given = {
        "jobs": [ALONE],
        "runs": [run(10, 3, finished_at=T0 + until * SECOND), skipped(11, 2, 3, reason="overlap")],
        "attempts": [attempt(10)],
        "truth": Truth([execution(10)]),
        "counters": {3: 1},
    }
    return violated(**given | parts)


def test_a_run_that_was_skipped_because_of_another_needs_the_other():
    assert kept_from_overlapping(until=5) == []
    assert kept_from_overlapping(until=3.5) == []  # its end took a moment to become known
    assert kept_from_overlapping(until=2.5) == ["I7"]
    assert kept_from_overlapping(until=2.5, windows=[Window("delay", 1, 3, 2)]) == []


def test_runs_that_were_all_skipped_because_of_each_other_are_found():
    waited = [skipped(pk, pk - 9, 3, reason="overlap", finished_at=T0 + 9 * SECOND) for pk in (10, 11)]
    assert nothing_ran(*waited, jobs=[ALONE], counters={3: 2}) == ["I7", "I7"]


@pytest.mark.parametrize("outcome", ["worker_lost", "interrupted"])
def test_a_run_that_was_lost_without_a_fault_is_found(outcome):
    lost = {
        "runs": [run(10, state="lost", reason=outcome, detail="d"), run(11, number=2)],
        "attempts": [attempt(10, outcome=outcome), attempt(11)],
    }
    assert violated(**lost) == ["I7"]
    assert violated(**lost, windows=[Window("worker-kill", 3, 3, 0)]) == []
    assert violated(**lost, windows=[Window("worker-kill", 1, 1, 2)]) == []
    assert violated(**lost, windows=[Window("worker-kill", 1, 1, 0.5), Window("reset", 5, 5, 9)]) == ["I7"]


def test_an_attempt_that_was_lost_without_a_fault_is_found_where_it_was_repeated():
    lost = {
        "jobs": [replace(QUICK, repeatable=True)],
        "runs": [run(10, attempt=2), run(11, number=2)],
        "attempts": [attempt(10, outcome="worker_lost", decision="retry"), attempt(10, 2), attempt(11)],
        "truth": Truth([execution(10), execution(10, 2, 2.5, 2.6), execution(11, 1, 4.1, 4.2)]),
    }
    assert violated(**lost) == ["I7"]


@pytest.mark.parametrize("outcome", ["failed", "timed_out"])
def test_a_failure_of_which_the_job_knows_nothing_is_found(outcome):
    def failed(job: Job, *executions: Execution, **parts) -> list[str]:
        given = {
            "jobs": [replace(job, schedule_id=1)],
            "runs": [run(10, state=outcome, detail="d"), run(11, number=2)],
            "attempts": [attempt(10, outcome=outcome), attempt(11)],
            "truth": Truth([*executions, execution(11, started=4.1, ended=4.2)]),
        }
        return violated(**given | parts)

    assert failed(FLAKY, execution(10, code=3)) == []
    assert failed(FLAKY, execution(10, ended=None)) == []
    assert failed(FLAKY, execution(10)) == ["I7"]
    assert failed(FLAKY) == ["I7"]
    assert failed(QUICK, execution(10, code=3)) == ["I7"]
    assert failed(QUICK) == ["I7"]
    assert failed(QUICK, windows=[Window("log-full", 3, 3, 0)]) == []


def test_a_run_that_was_cancelled_and_nobody_asked_for_it_is_found():
    def cancelled(reason: str, **parts) -> list[str]:
        ended = run(11, number=2, state="cancelled", reason=reason, detail="d", attempt=0)
        one = {"attempts": [attempt(10)], "truth": Truth([execution(10)])}
        return violated(runs=[run(10), ended], **one, **parts)

    assert cancelled("cancelled_by_user") == ["I7"]
    assert cancelled("cancelled_by_user", cancelled={10}, deleted={1}) == ["I7"]
    assert cancelled("cancelled_by_user", cancelled={11}) == []
    assert cancelled("schedule_deleted") == ["I7"]
    assert cancelled("schedule_deleted", deleted={2}) == ["I7"]
    assert cancelled("schedule_deleted", deleted={1}) == []


def test_nobody_is_late_for_an_instant_that_had_passed_when_the_schedules_were_committed():
    late = Truth([execution(10, started=9.0, ended=9.1), execution(11, started=4.1, ended=4.2)])
    first = T0 + PERIOD
    assert violated(truth=late, created=Span(T0, first)) == []
    assert violated(truth=late, created=Span(T0, first - SECOND / 1000)) == ["I8"]


def test_overlapping_faults_count_once():
    faults = Faults([Window("a", 0, 4, 1), Window("b", 2, 6, 1), Window("c", 20, 21, 0)])
    assert faults.seconds_between(-5, 30) == 8
    assert faults.seconds_between(6, 20.5) == 1.5
    assert faults.seconds_between(8, 19) == 0


def test_lines_of_jobs_become_executions():
    truth = read(
        [
            "S 1 1 50 100.00 -\n",
            "S 2 1 51 100.10 -\n",
            "H 1 1 50 100.50 -\n",
            "E 2 1 51 100.60 3\n",
            "T 1 1 50 101.00 143\n",
            "S 1 2 52 102.00 -\n",
        ]
    )
    first, second, third = truth.executions
    assert (first.until, first.code) == (101.0, 143)
    assert (second.until, second.succeeded) == (100.6, False)
    assert (third.until, third.ended) == (102.0, None)


@pytest.mark.parametrize("line", ["", "S 1 1 50", "E 9 9 9 1.00 0", "X 1 1 50 1.00 -", "S x 1 50 1.00 -"])
def test_a_line_that_nobody_wrote_on_purpose_is_kept_as_such(line):
    truth = read(["S 1 1 50 1.00 -", line])
    assert truth.unreadable == [line]
    assert "I4" in violated(truth=Truth([execution(10), execution(11, started=4.1)], [line]))


def test_the_figures_name_every_violation_and_every_fault():
    facts = evidence(windows=[Window("purge", 3.0, 3.0, 6.0), Window("beat-kill", 1.0, 1.0, 0.0)])
    text = "\n".join(figures.lines(facts, check(evidence(counters={1: 3})), quiet_until=3.0))
    assert "violations         1: I7 1\n  I7 quick counts 3 runs, and started 2" in text
    assert "faults             2: beat-kill 1, purge 1" in text
    assert "kills              1" in text


def test_lateness_counts_from_the_instant_to_the_first_execution():
    facts = evidence(truth=Truth([execution(10, started=2.5), execution(10, 2, started=3.5)]))
    assert [round(late.seconds, 2) for late in starts(facts)] == [0.5]


def test_recovery_lasts_until_the_last_late_start_after_a_fault():
    """Due every two seconds; a fault from 3 to 5 s held the second up until 8 s, the third was on time."""
    runs = [run(10, number=1), run(11, number=2), run(12, number=5)]
    truth = Truth([execution(10), execution(11, started=8.0), execution(12, started=10.1)])
    text = "\n".join(
        figures.lines(
            evidence(runs=runs, truth=truth, windows=[Window("purge", 3.0, 5.0, 60.0)]), [], quiet_until=3.0
        )
    )
    assert "on time again after purge                     median 3.0 s, worst 3.0 s, n=1" in text


def test_a_recovery_that_the_next_fault_cut_short_is_not_counted_as_one():
    runs = [run(10, number=1), run(11, number=2)]
    truth = Truth([execution(10), execution(11, started=8.0)])
    windows = [Window("purge", 3.0, 5.0, 60.0), Window("reset", 9.0, 9.0, 60.0)]
    text = "\n".join(figures.lines(evidence(runs=runs, truth=truth, windows=windows), [], quiet_until=3.0))
    assert "purge                     -, n=0; 1 still catching up at the next fault" in text


ONCE = replace(QUICK, every=None, anchor=None, once=T0 + PERIOD)


def test_what_is_due_once_has_one_run_at_its_instant():
    once = {"jobs": [ONCE], "runs": [run(10)], "attempts": [attempt(10)], "truth": Truth([execution(10)])}
    assert violated(**once, counters={1: 1}) == []
    assert violated(**once | {"runs": [], "attempts": [], "truth": Truth()}, counters={1: 0}) == ["I1"]
    early = run(10, scheduled_for=T0 + SECOND)
    assert "I1" in violated(**once | {"runs": [early]}, counters={1: 1})
    before = Span(T0 + SECOND, T0 + SECOND)
    assert "I1" in violated(**once, counters={1: 1}, disabled=before)


def test_a_burst_explains_what_is_late_while_it_lasts():
    late = {
        "jobs": [ONCE, replace(FLAKY, max_attempts=1)],
        "runs": [run(10), run(11, 2), run(12, 2, number=2)],
        "attempts": [attempt(10), attempt(11), attempt(12)],
        "truth": Truth(
            [execution(10, started=7.0, ended=7.1), execution(11), execution(12, started=6.5, ended=6.6)]
        ),
        "counters": {1: 1, 2: 2},
    }
    assert violated(**late) == ["I8", "I8"]
    windows = bursts(evidence(**late))
    assert [(it.name, it.start, it.end, it.grace) for it in windows] == [("burst", 2.0, 7.0, 5.0)]
    assert violated(**late, windows=windows) == []
    text = "\n".join(figures.lines(evidence(**late, windows=windows), [], quiet_until=0))
    assert "start after instant, 1 due at once" in text
    assert "faults             0" in text


def test_without_a_burst_there_is_no_window_for_one():
    assert bursts(evidence()) == []


def test_one_line_says_what_runs_are_compared_by():
    facts = evidence(windows=[Window("purge", 3.0, 5.0, 6.0), Window("beat-kill", 1.0, 1.0, 0.0)])
    assert list(figures.lines(facts, [], quiet_until=3.0))[-1] == (
        "summary            2 occurrences, 1 kills, 2 faults, 0 violations; "
        "late p50 0.10 s, p99 0.10 s, max 0.10 s, n=2; on time again -"
    )


def test_the_figures_are_held_against_what_is_aimed_for():
    """The database is back at 3 s, and the next run begins at 4.1 s; in the second case 20 s later."""
    windows = [Window("database-crash", 2.5, 3.0, 90.0)]
    peaks = {"threads worker": 151, "beat": 500}
    held = [str(aim) for aim in aims(evidence(windows=windows), quiet_until=2.4, peaks=peaks)]
    assert held == [
        "p99 of starts before the first fault: 0.1 s, at most 1: held",
        "first start after the database's return, at worst: 1.1 s, at most 15: held",
        "memory of a worker, at most: 151 MiB, at most 150: missed",
    ]
    late = Truth([execution(10), execution(11, started=24.1, ended=24.2)])
    missed = [str(aim) for aim in aims(evidence(windows=windows, truth=late), quiet_until=0, peaks={})]
    assert missed == ["first start after the database's return, at worst: 21.1 s, at most 15: missed"]


def test_a_return_that_lasted_too_short_for_a_start_says_nothing():
    windows = [Window("database-crash", 2.5, 2.6, 90.0), Window("database-full", 2.7, 4.0, 90.0)]
    (aim,) = aims(evidence(windows=windows), quiet_until=0, peaks={})
    assert str(aim) == "first start after the database's return, at worst: 0.1 s, at most 15: held"
