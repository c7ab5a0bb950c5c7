"""Invariants I1 to I8: what the tables say against what was due and what the jobs wrote. Pure.

I1  every due instant has exactly one run, and no run is without one (plain arithmetic, not the engine)
I2  every run is over, no attempt is open, no process of a job or of the product is left
I3  attempts are numbered without gaps, each has an end and a reason, and the last one explains the run
I4  no attempt began twice, none began without a record, and none succeeded that did not say so itself
I5  what must not be repeated began at most once, nothing more often than allowed, nothing succeeded twice
I6  executions of a schedule that must not overlap did not, unless its worker was cut off on purpose
I7  whatever was skipped, lost, cancelled or failed has a reason, which something explains, and the
    schedules' counters are right
I8  each run started, or was passed over, within so many seconds of its instant, faults and their
    aftermath not counted

`evidence` brings the rows and `truth` the executions; this module reads nothing and knows no clock.
What explains a reason is in `causes`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

from benchmarks.chaos.causes import unexplained
from benchmarks.chaos.lateness import Faults, passed_over, starts
from benchmarks.chaos.load import Job
from benchmarks.chaos.rows import BY_THE_CLOCK, LOSSES, AttemptRow, Evidence, RunRow, Violation
from benchmarks.chaos.truth import Execution

STATE_OF = dict.fromkeys(LOSSES, "lost")
"""The run's state after a last attempt of that outcome, where the two words differ."""

CLOCK = "clock-"
"""How the names of faults begin that step the database's clock."""

ROUNDING = 0.02
"""Seconds: /proc/uptime counts hundredths."""


@dataclass
class Index:
    """The same rows, found quickly."""

    jobs: dict[int, Job]
    runs: dict[int, RunRow]
    attempts: dict[int, list[AttemptRow]] = field(default_factory=lambda: defaultdict(list))
    executions: dict[int, list[Execution]] = field(default_factory=lambda: defaultdict(list))

    def job_of(self, run: RunRow) -> Job | None:
        return self.jobs.get(run.schedule_id or 0)

    def record_of(self, it: Execution) -> AttemptRow | None:
        return next((row for row in self.attempts.get(it.run, ()) if row.number == it.attempt), None)


def check(evidence: Evidence) -> list[Violation]:
    """All violations, in the order of the invariants."""
    index = Index({job.schedule_id: job for job in evidence.jobs}, {run.pk: run for run in evidence.runs})
    for attempt in sorted(evidence.attempts, key=lambda row: (row.run, row.number)):
        index.attempts[attempt.run].append(attempt)
    for execution in evidence.truth.executions:
        index.executions[execution.run].append(execution)
    parts = (_every_instant, _all_over, _attempts, _records, _repeats, _overlaps, _reasons, _lateness)
    return [violation for part in parts for violation in part(evidence, index)]


def _every_instant(evidence: Evidence, index: Index) -> Iterator[Violation]:
    rows: dict[int, list[RunRow]] = defaultdict(list)
    for run in evidence.runs:
        if run.trigger in BY_THE_CLOCK and run.schedule_id is not None:
            rows[run.schedule_id].append(run)
    for job in evidence.jobs:
        if not job.edited:
            yield from _instants_of(job, rows[job.schedule_id], evidence)
    yield from (Violation("I1", None, said) for said in evidence.audited)


def _instants_of(job: Job, rows: Iterable[RunRow], evidence: Evidence) -> Iterator[Violation]:
    stands_for: Counter[int] = Counter()
    for run in rows:
        numbers = range(
            _floor(job, run.scheduled_for), _floor(job, run.missed_until or run.scheduled_for) + 1
        )
        if _instant(job, numbers[0]) != run.scheduled_for:
            yield Violation("I1", run.pk, f"{job.name} is not due at {run.scheduled_for}")
            continue
        if run.missed_until is not None and len(numbers) != run.missed_count:
            said = f"{job.name}: it stands for {run.missed_count} instants, and there are {len(numbers)}"
            yield Violation("I1", run.pk, said)
        stands_for.update(numbers)
    must = range(_floor(job, evidence.created.latest) + 1, _floor(job, evidence.disabled.earliest) + 1)
    may = range(_floor(job, evidence.created.earliest) + 1, _floor(job, evidence.disabled.latest) + 1)
    for number in sorted(stands_for.keys() | set(must)):
        count = stands_for[number]
        if (count == 0 and number in must) or count > 1 or (count and number not in may):
            yield Violation("I1", None, f"{job.name} at {_instant(job, number)}: {count} runs")


def _floor(job: Job, moment: datetime) -> int:
    """The number of the last instant at or before the moment."""
    if job.once is not None:
        return int(moment >= job.once)
    if job.every is None:
        return int(moment.timestamp() // 60)
    assert job.anchor is not None
    return (moment - job.anchor) // job.every


def _instant(job: Job, number: int) -> datetime:
    if job.once is not None:
        return job.once
    if job.every is None:
        return datetime.fromtimestamp(number * 60, tz=UTC)
    assert job.anchor is not None
    return job.anchor + number * job.every


def _all_over(evidence: Evidence, index: Index) -> Iterator[Violation]:
    for run in evidence.runs:
        if run.finished_at is None:
            yield Violation("I2", run.pk, f"still {run.state}")
    for attempt in evidence.attempts:
        if not attempt.outcome or attempt.finished_at is None:
            yield Violation("I2", attempt.run, f"attempt {attempt.number} is open")
    yield from (Violation("I2", None, f"process left: {said}") for said in evidence.leftovers)
    yield from (Violation("I2", None, said) for said in evidence.complaints)


def _attempts(evidence: Evidence, index: Index) -> Iterator[Violation]:
    for run in evidence.runs:
        rows = index.attempts.get(run.pk, [])
        numbers = [row.number for row in rows]
        if numbers != list(range(1, run.attempt + 1)):
            yield Violation("I3", run.pk, f"attempts {numbers}, and the run says {run.attempt}")
        for row in rows[:-1]:
            if row.outcome == "succeeded" or row.decision != "retry":
                yield Violation(
                    "I3", run.pk, f"attempt {row.number} {row.outcome}, {row.decision}: and one follows"
                )
        if problem := _end_problem(run, rows):
            yield Violation("I3", run.pk, problem)


def _end_problem(run: RunRow, rows: Sequence[AttemptRow]) -> str:
    if run.finished_at is None:
        return ""
    if not rows:
        return "" if run.state in ("skipped", "cancelled") else f"{run.state} without an attempt"
    last = rows[-1]
    if STATE_OF.get(last.outcome, last.outcome) == run.state:
        return ""
    waited = run.state in ("cancelled", "skipped") and last.decision == "retry"
    ended = run.state == "cancelled" and last.outcome != "succeeded"
    return "" if waited or ended else f"{run.state}, and its last attempt {last.outcome}"


def _records(evidence: Evidence, index: Index) -> Iterator[Violation]:
    yield from (Violation("I4", None, f"unreadable: {line!r}") for line in evidence.truth.unreadable)
    began = Counter((it.run, it.attempt) for it in evidence.truth.executions)
    known = {(row.run, row.number) for row in evidence.attempts}
    for (run, attempt), count in began.items():
        if count > 1:
            yield Violation("I4", run, f"attempt {attempt} began {count} times")
        if (run, attempt) not in known:
            yield Violation("I4", run, f"attempt {attempt} began and is not on record")
    succeeded = {(it.run, it.attempt) for it in evidence.truth.executions if it.succeeded}
    for row in evidence.attempts:
        if row.outcome == "succeeded" and (row.run, row.number) not in succeeded:
            yield Violation("I4", row.run, f"attempt {row.number} succeeded, and the job does not say so")


def _repeats(evidence: Evidence, index: Index) -> Iterator[Violation]:
    for run in evidence.runs:
        rows, job = index.attempts.get(run.pk, []), index.job_of(run)
        if sum(row.outcome == "succeeded" for row in rows) > 1:
            yield Violation("I5", run.pk, "two attempts succeeded")
        if job is None:
            continue
        limit = job.max_attempts + (evidence.worker_lost_limit if job.repeatable else 0)
        began = len(index.executions.get(run.pk, []))
        if began > limit:
            yield Violation("I5", run.pk, f"{job.name} began {began} times, and {limit} are allowed")
        losses = [row for row in rows[:-1] if row.outcome in LOSSES]
        if losses and not job.repeatable:
            yield Violation(
                "I5", run.pk, f"{job.name} was repeated after attempt {losses[0].number} was lost"
            )


def _overlaps(evidence: Evidence, index: Index) -> Iterator[Violation]:
    found: dict[int, list[Execution]] = defaultdict(list)
    for it in evidence.truth.executions:
        run = index.runs.get(it.run)
        job = index.job_of(run) if run else None
        if job is not None and job.exclusive:
            found[job.schedule_id].append(it)
    for executions in found.values():
        executions.sort(key=lambda it: it.started)
        for former, latter in pairwise(executions):
            if former.until > latter.started + ROUNDING and not _was_cut_off(former, evidence, index):
                yield Violation("I6", latter.run, _overlap_said(former, latter))


def _was_cut_off(it: Execution, evidence: Evidence, index: Index) -> bool:
    row = index.record_of(it)
    if row is None or row.outcome not in LOSSES:
        return False
    return any(window.hides(row.pid, it.started, it.until) for window in evidence.windows)


def _overlap_said(former: Execution, latter: Execution) -> str:
    return (
        f"attempt {latter.attempt} began at {latter.started:.2f}, and attempt {former.attempt} of run "
        f"{former.run} lived from {former.started:.2f} to {former.until:.2f}"
    )


def _reasons(evidence: Evidence, index: Index) -> Iterator[Violation]:
    for run in evidence.runs:
        if run.state in ("skipped", "lost", "cancelled") and not (run.reason and run.detail):
            yield Violation("I7", run.pk, f"{run.state} without a reason")
        if run.state == "failed" and not run.detail:
            yield Violation("I7", run.pk, "failed, and nothing says why it was not tried again")
    for row in evidence.attempts:
        if row.outcome not in ("", "succeeded") and not row.reason:
            yield Violation("I7", row.run, f"attempt {row.number} {row.outcome} without a reason")
    yield from unexplained(evidence)
    yield from _counters(evidence)


def _counters(evidence: Evidence) -> Iterator[Violation]:
    started = Counter(
        run.schedule_id
        for run in evidence.runs
        if run.trigger in BY_THE_CLOCK and not run.was_skipped_at_once
    )
    for job in evidence.jobs:
        said = evidence.counters.get(job.schedule_id)
        if not job.edited and said != started[job.schedule_id]:
            what = f"{job.name} counts {said} runs, and started {started[job.schedule_id]}"
            yield Violation("I7", None, what)


def _lateness(evidence: Evidence, index: Index) -> Iterator[Violation]:
    faults = Faults(evidence.windows)
    steps = [it for it in evidence.windows if it.name.startswith(CLOCK)]
    for late in [*starts(evidence), *passed_over(evidence)]:
        if evidence.was_shown_twice(late.run.scheduled_for):
            continue
        if any(it.start <= late.started and late.due <= it.end for it in steps):
            continue  # made while the clock was back, it may be due at a time that had long been shown
        excused = faults.seconds_between(late.due, late.started)
        if late.seconds > evidence.epsilon + excused:
            what = "passed over" if late.run.state == "skipped" else "started"
            said = f"{what} {late.seconds:.1f} s after its instant; faults explain {excused:.1f} s"
            yield Violation("I8", late.run.pk, said)
