"""What explains that a run did not succeed: a fault, a person, or the schedule's policy. Pure.

Part of I7, asked by `checker`; how late something was is not judged here. It goes by what the load asks for:
none of its schedules has a start deadline or is a shadow, and only exclusive ones are kept from overlapping.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

from benchmarks.chaos.lateness import Faults
from benchmarks.chaos.load import FAILING
from benchmarks.chaos.rows import LOSSES, AttemptRow, Evidence, RunRow, Violation

FAILURES = ("failed", "timed_out")


def unexplained(evidence: Evidence) -> Iterator[Violation]:
    """Runs that were skipped, lost, cancelled or failed, and nothing that happened accounts for it."""
    yield from _cancellations(evidence)
    faults = Faults(evidence.windows)
    yield from _losses(evidence, faults)
    yield from _failures(evidence, faults)
    yield from _lateness(evidence)
    yield from _skips(evidence, faults)


def _cancellations(evidence: Evidence) -> Iterator[Violation]:
    for run in evidence.runs:
        if run.state != "cancelled":
            continue
        by_deletion = run.reason == "schedule_deleted" and run.schedule_id in evidence.deleted
        if not by_deletion and run.pk not in evidence.cancelled:
            yield Violation("I7", run.pk, f"cancelled ({run.reason}), and nobody asked for it")


def _losses(evidence: Evidence, faults: Faults) -> Iterator[Violation]:
    """Those that were repeated too: a worker that is well loses nothing."""
    for row in evidence.attempts:
        if row.outcome in LOSSES and not _was_hit(row, evidence, faults):
            yield Violation("I7", row.run, f"attempt {row.number} {row.outcome}, and no fault explains it")


def _failures(evidence: Evidence, faults: Faults) -> Iterator[Violation]:
    """Jobs that fail on purpose say themselves that they began, and not that they ended well."""
    failing = {job.schedule_id for job in evidence.jobs if job.mix in FAILING}
    failing_runs = {run.pk for run in evidence.runs if run.schedule_id in failing}
    failed = {(it.run, it.attempt) for it in evidence.truth.executions if not it.succeeded}
    for row in evidence.attempts:
        if row.outcome not in FAILURES or _was_hit(row, evidence, faults):
            continue
        if row.run not in failing_runs or (row.run, row.number) not in failed:
            yield Violation("I7", row.run, f"attempt {row.number} {row.outcome}, and its job did not")


def _was_hit(row: AttemptRow, evidence: Evidence, faults: Faults) -> bool:
    if row.finished_at is None:
        return True  # I2 has it
    return faults.touch(evidence.host_time_of(row.started_at), evidence.host_time_of(row.finished_at))


def _lateness(evidence: Evidence) -> Iterator[Violation]:
    """What counts as late was late when it was decided: the same clock, with or without faults."""
    for run in evidence.runs:
        if run.reason != "missed" and run.trigger != "catch_up":
            continue
        age = run.created_at - (run.missed_until or run.scheduled_for)
        if age <= evidence.on_time:
            what = run.reason or run.trigger
            yield Violation("I7", run.pk, f"{what}, {age.total_seconds():.1f} s after its instant: on time")


def _skips(evidence: Evidence, faults: Faults) -> Iterator[Violation]:
    exclusive = {job.schedule_id for job in evidence.jobs if job.exclusive}
    others: dict[int | None, list[RunRow]] = defaultdict(list)
    for run in evidence.runs:
        if run.schedule_id in exclusive and run.state != "skipped":
            others[run.schedule_id].append(run)
    slack = timedelta(seconds=evidence.epsilon)
    for run in evidence.runs:
        if run.state != "skipped" or run.reason in ("", "missed"):
            continue
        if run.reason != "overlap" or run.schedule_id not in exclusive:
            yield Violation("I7", run.pk, f"skipped ({run.reason}), which its schedule does not ask for")
        elif not _was_busy(run, others[run.schedule_id], slack) and not _was_disturbed(run, evidence, faults):
            yield Violation("I7", run.pk, "skipped (overlap), and no other run of its schedule was active")


def _was_busy(skipped: RunRow, others: list[RunRow], slack: timedelta) -> bool:
    """Whether another run was active then. `slack`: it ends a moment after the time that its row tells."""
    if skipped.finished_at is None:
        return True  # I2 has it
    return any(
        run.created_at <= skipped.finished_at
        and (run.finished_at is None or skipped.finished_at <= run.finished_at + slack)
        for run in others
    )


def _was_disturbed(run: RunRow, evidence: Evidence, faults: Faults) -> bool:
    assert run.finished_at is not None
    return faults.touch(evidence.host_time_of(run.created_at), evidence.host_time_of(run.finished_at))
