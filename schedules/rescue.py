"""Runs whose worker is gone (T7). Called by `beat`, and by a prefork parent that saw its child die.

A worker counts as gone when its heartbeat number has not moved for one lease of *this* process's
monotonic time. Times in the database are not compared: after a clock step, an outage of the database
or a pause of this process every lease would look expired at once.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import DatabaseError, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from schedules import conf, events
from schedules.models import Attempt, Beat, Run, Worker
from schedules.querysets import database_now
from schedules.rules import retry
from schedules.rules.definition import Definition, OnWorkerLost
from schedules.rules.states import FINAL_STATE, LOSSES, Outcome, Reason, State

LONGEST_DEAFNESS = 0.5
"""Leases between two looks, which come six to a lease, after which everybody gets a whole lease again."""

REMEMBERED = timedelta(days=1)
"""A process that vanished earlier is not shown any more, whether it is back or not."""


@dataclass
class Watch:
    """When each worker's heartbeat was last seen to move. Forgotten after an outage of the database.

    A lease of silence counts only where somebody listened: after a pause of this process, or a look for
    which the database took long, live workers may have been cut off just as long.
    """

    monotonic: Callable[[], float] = time.monotonic
    _seen: dict[int, tuple[int, float]] = field(default_factory=dict)
    _looked_at: float = float("-inf")

    def forget(self) -> None:
        """Everybody gets a whole lease again: live workers may have been cut off just like us."""
        self._seen.clear()

    def silent(self, workers: Iterable[Worker]) -> list[Worker]:
        """Those whose heartbeat has not moved for a lease."""
        now, lease = self.monotonic(), conf.current().lease_seconds
        if now - self._looked_at > lease * LONGEST_DEAFNESS:
            self.forget()
        self._looked_at = now
        known = self._seen
        self._seen = {}
        gone = []
        for worker in workers:
            number, since = known.get(worker.pk, (-1, now))
            if number != worker.heartbeat_seq:
                since = now
            self._seen[worker.pk] = (worker.heartbeat_seq, since)
            if now - since >= lease:
                gone.append(worker)
        return gone


def rescue_lost(watch: Watch) -> int:
    """Ends or retries the runs of workers that are gone. Returns how many."""
    executing = Run.objects.filter(state=State.RUNNING).values("worker")
    workers = list(Worker.objects.filter(pk__in=executing))
    silent = watch.silent(workers)
    lease = conf.current().lease_seconds
    rescued = 0
    for worker in silent:
        said = f"worker {worker.name} (pid {worker.pid}) has not been heard of for {lease:.0f} s"
        rescued += rescue_worker(worker, what=said)
        Worker.objects.stop_if_silent(worker)
    return rescued + sum(map(_rescue_stopped, workers)) + _rescue_orphans()


def settle_replaced() -> None:
    """Processes that were killed and started again are not missing. What they executed is ended before."""
    now = database_now()
    since, silent = now - REMEMBERED, now - conf.current().lease
    Beat.objects.stop_replaced(since=since, silent=silent)
    executing = Run.objects.filter(state=State.RUNNING, worker=OuterRef("pk"))
    Worker.objects.exclude(Exists(executing)).stop_replaced(since=since, silent=silent)


def rescue_worker(worker: Worker, *, what: str, outcome: Outcome = Outcome.WORKER_LOST) -> int:
    """Every run that `worker` executed, as far as its heartbeat has not moved since `worker` was read."""
    return sum(_rescue(run, what, outcome, worker) for run in _executed_by(worker))


def _rescue_stopped(worker: Worker) -> int:
    """What it executed when it said that it stopped, or when somebody took it for dead.

    What it has begun since then, it has begun alive, and its next heartbeat will say so.
    """
    if worker.stopped_at is None:
        return 0
    said = f"worker {worker.name} (pid {worker.pid}) stopped without a result"
    before = _executed_by(worker).filter(
        attempts__token=F("token"), attempts__started_at__lte=worker.stopped_at
    )
    return sum(_rescue(run, said, Outcome.WORKER_LOST, worker) for run in before)


def _executed_by(worker: Worker) -> QuerySet[Run]:
    return Run.objects.filter(state=State.RUNNING, worker=worker).select_related("revision")


def rescue_child(*, name: str, host: str, pid: int, parent_pid: int, what: str, outcome: Outcome) -> int:
    """What a child of a prefork worker executed when its parent saw it die. Returns how many runs.

    The name tells it from others where containers share a host name: their process ids may be the same.
    """
    count = 0
    for worker in Worker.objects.alive().filter(name=name, host=host, pid=pid, parent_pid=parent_pid):
        runs = Run.objects.filter(state=State.RUNNING, worker=worker).select_related("revision")
        count += sum(_rescue(run, what, outcome, None) for run in runs)
        Worker.objects.stop(worker.pk)  # last: beat ends the runs of a stopped worker as lost
    return count


def rescue_disowned(run_ids: list[int]) -> int:
    """Runs that their own live worker does not know: their claim was committed, its answer lost."""
    runs = Run.objects.filter(pk__in=run_ids, state=State.RUNNING).select_related("revision")
    return sum(_rescue(run, "its worker never began it", Outcome.WORKER_LOST, None) for run in runs)


def rescue_deaf(tokens: Iterable[uuid.UUID]) -> int:
    """Runs of a worker that stops, whose task does not heed that: the process ends with them in it."""
    runs = Run.objects.filter(token__in=list(tokens), state=State.RUNNING).select_related("revision")
    what = "the worker was stopped, and the task went on until its process was ended"
    return sum(_rescue(run, what, Outcome.INTERRUPTED, None) for run in runs)


def _rescue_orphans() -> int:
    """Runs whose worker row was deleted by hand: nobody can end them."""
    runs = Run.objects.filter(state=State.RUNNING, worker__isnull=True).select_related("revision")
    return sum(_rescue(run, "its worker's row was deleted", Outcome.WORKER_LOST, None) for run in runs)


def _rescue(run: Run, what: str, outcome: Outcome, worker: Worker | None) -> bool:
    """One run that cannot be rescued does not keep the others waiting."""
    try:
        return _rescued(run, what, outcome, worker)
    except DatabaseError:
        raise
    except Exception as error:
        events.part_failed(f"rescue of run {run.pk}", error)
        return False


def _rescued(run: Run, what: str, outcome: Outcome, worker: Worker | None) -> bool:
    decision = _decide(run, what, outcome)
    assert run.token is not None
    with transaction.atomic():
        if worker is not None and not _still_silent(worker):
            return False
        won = _move(run, decision, outcome)
        if not won and isinstance(decision, retry.RetryAt):
            decision = retry.CANCELLED
            won = _move(run, decision, outcome)
        if won:
            _close(run, decision, what, outcome)
    if won:
        events.run_rescued(run, retried=isinstance(decision, retry.RetryAt))
    return won


def _still_silent(worker: Worker) -> bool:
    """The row locked, so that a heartbeat either comes first, and is seen, or waits for our verdict."""
    found = Worker.objects.select_for_update(no_key=True).filter(pk=worker.pk).first()
    return found is None or found.heartbeat_seq == worker.heartbeat_seq


def _decide(run: Run, what: str, outcome: Outcome) -> retry.RetryAt | retry.GiveUp:
    definition = _definition(run)
    if outcome == Outcome.TIMED_OUT and definition is not None:
        return retry.decide(
            definition.retry,
            retry.Failure(outcome=outcome),
            attempt=run.attempt,
            first_started_at=run.started_at or run.created_at,
            now=database_now(),
            jitter=0.5,
        )
    if run.cancel_requested:
        return retry.CANCELLED
    return retry.after_loss(
        again=definition is not None and definition.on_worker_lost == OnWorkerLost.RETRY,
        losses=run.attempts.filter(outcome__in=LOSSES).count() + 1,
        limit=conf.current().worker_lost_limit,
        now=database_now(),
        what=what,
    )


def _definition(run: Run) -> Definition | None:
    """None where nobody can tell what the run was: it is then not repeated."""
    try:
        return Definition.from_dict(run.revision.definition) if run.revision else None
    except (LookupError, TypeError, ValueError):
        return None


def _move(run: Run, decision: retry.RetryAt | retry.GiveUp, outcome: Outcome) -> bool:
    assert run.token is not None
    if isinstance(decision, retry.RetryAt):
        return Run.objects.retry(run.pk, run.token, available_at=decision.when, detail=decision.sentence)
    if decision is retry.CANCELLED:
        outcome = Outcome.CANCELLED
    reason = REASONS.get(outcome, "")
    detail = None if outcome == Outcome.CANCELLED else decision.sentence
    return Run.objects.finish(run.pk, run.token, state=FINAL_STATE[outcome], reason=reason, detail=detail)


REASONS = {
    Outcome.WORKER_LOST: Reason.WORKER_LOST,
    Outcome.INTERRUPTED: Reason.WORKER_STOPPED,
    Outcome.CANCELLED: Reason.CANCELLED_BY_USER,
}


def _close(run: Run, decision: retry.RetryAt | retry.GiveUp, what: str, outcome: Outcome) -> None:
    retried = isinstance(decision, retry.RetryAt)
    Attempt.objects.filter(Q(run=run, token=run.token, outcome="")).update(
        outcome=outcome,
        finished_at=Now(),
        error=f"{what[:1].upper()}{what[1:]}.",
        decision="retry" if retried else "give_up",
        decision_rule=decision.code,
        decision_delay=decision.delay.total_seconds() if isinstance(decision, retry.RetryAt) else None,
        decision_text=decision.sentence,
    )
