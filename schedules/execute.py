"""One attempt of a run: claim, execute, record, decide. Called by the Celery task with a run id.

The claim (T3) is a compare-and-set that gives this attempt a token; every later write carries it, so a
worker that lost the run meanwhile changes nothing but a note on its own attempt. No transaction is
open while the work is done.
"""

from __future__ import annotations

import json
import random
import time
import traceback
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import repeat

from django.db import (
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connection,
)
from django.db.models.functions import Now

from schedules import conf, events
from schedules.models import Attempt, Run, Worker
from schedules.querysets import database_now, is_overlap
from schedules.rules import retry
from schedules.rules.admission import OVERLAPS, too_late
from schedules.rules.definition import Definition, Kind, OnWorkerLost
from schedules.rules.states import FINAL_STATE, LOSSES, WAITING, Outcome, Reason, State
from schedules.sql.statements import Begun, Closing
from schedules.worker import commands, patterns, process, spool, task_calls
from schedules.worker.closing import Decision, closing_of, noted, reduced
from schedules.worker.work import Ended

LONGEST_CLAIM_WAIT = 5.0
"""Seconds between two tries of a claim while the database is away."""


@dataclass(frozen=True)
class Claimed:
    run: Run
    attempt: Attempt
    definition: Definition


def execute(run_id: int) -> None:
    """Executes the run if it is waiting and due. A second message for the same run finds no work."""
    here = process.current()
    if here.is_leaving.is_set():
        _ring_again(run_id, here)
        return
    with here.holding(run_id):
        claimed = _claim(run_id, here)
        if claimed is None:
            events.message_without_work(run_id)
            return
        events.attempt_started(claimed.run, claimed.attempt)
        record(claimed, _work(claimed, here), here)


def _ring_again(run_id: int, here: process.Process) -> None:
    """This message is used up, and `stopping` looks at what is reserved only once Celery comes by there."""
    try:
        with here.database.connected():
            Run.objects.ring_again([run_id])
    except Exception as error:  # `redispatch_at` will do, a little later
        events.part_failed("ring again", error)


def _claim(run_id: int, here: process.Process) -> Claimed | None:
    """Waits while the database is away: a message that is let go of rings again only minutes later."""
    for wait in _waits():
        try:
            return _claim_now(run_id, here)
        except (OperationalError, InterfaceError) as error:
            events.part_failed(f"claim of run {run_id}", error)
        if here.is_leaving.wait(min(wait, LONGEST_CLAIM_WAIT)):
            break
    return None


def _claim_now(run_id: int, here: process.Process) -> Claimed | None:
    worker = here.worker
    try:
        with here.database.connected():
            try:
                return claim(run_id, worker)
            except (OperationalError, InterfaceError):
                connection.close()
                raise
    except IntegrityError:  # the row of this worker was deleted
        here.forget_worker(worker)
        raise


def claim(run_id: int, worker: Worker) -> Claimed | None:
    """T3, or T3o where the run must not start any more. None: there is nothing to do."""
    try:
        begun = Run.objects.start(run_id, worker=worker, token=uuid.uuid4())
    except IntegrityError as error:
        if not is_overlap(error):
            raise
        _overlapping(Run.objects.get(pk=run_id))
        return None
    if begun is None:
        _see_why(run_id)
        return None
    try:
        return Claimed(begun.run, begun.attempt, _definition(begun.definition))
    except Exception as error:  # whatever is wrong with it, the run must not stay as if it executed
        _unreadable(begun, error)
        return None


@lru_cache(maxsize=1000)
def _definition(text: str) -> Definition:
    """Few schedules make most runs: each definition is read once. Raises what `from_dict` raises."""
    return Definition.from_dict(json.loads(text))


def _unreadable(begun: Begun, error: Exception) -> None:
    """A revision of a later version, for one: the attempt fails, as nobody can tell what it was to do."""
    said = f"Its definition cannot be read by this worker: {error}."
    failed = {"outcome": Outcome.FAILED, "error": said, "finished_at": Now()}
    Run.objects.finish(
        begun.run.pk,
        begun.attempt.token,
        state=State.FAILED,
        reason=Reason.NO_DEFINITION,
        detail=said,
        closing=Closing(begun.attempt.pk, failed, None),
    )


def _see_why(run_id: int) -> None:
    """T3o: a run that waits and will never start is skipped, so that nobody rings for it again."""
    run = Run.objects.select_related("revision").filter(pk=run_id, state__in=WAITING).first()
    if run is None:
        return
    if run.revision is None:
        detail = "Its definition is not there: it has been deleted."
        Run.objects.skip(run, reason=Reason.NO_DEFINITION, detail=detail)
    elif run.attempt == 0:
        _skip_if_too_late(run, run.revision.definition.get("start_deadline"))


def _skip_if_too_late(run: Run, deadline_seconds: float | None) -> None:
    if deadline_seconds is None:
        return
    deadline = timedelta(seconds=deadline_seconds)
    if database_now() > run.scheduled_for + deadline and Run.objects.skip(
        run, reason=Reason.TOO_LATE, detail=too_late(deadline)
    ):
        events.run_skipped(run, reason=Reason.TOO_LATE)


def _overlapping(run: Run) -> None:
    """The constraint refused T3: another run of the schedule executes, and overlap is not allowed.

    A run that has had an attempt is no duplicate of what executes: its retry waits.
    """
    if run.attempt > 0:
        Run.objects.wait(run, seconds=conf.current().redispatch_seconds[0])
    elif Run.objects.skip(run, reason=Reason.OVERLAP, detail=OVERLAPS):
        events.run_skipped(run, reason=Reason.OVERLAP)


def _work(claimed: Claimed, here: process.Process) -> Ended:
    """Whatever happens in here is the attempt's failure, never the worker's."""
    call = commands.run_command if claimed.definition.kind == Kind.COMMAND else task_calls.call_task
    try:
        return call(claimed.definition, claimed.run, claimed.attempt, here)
    except Exception as error:
        return Ended(
            outcome=Outcome.FAILED,
            error_class=type(error).__name__,
            error=str(error),
            traceback=traceback.format_exc(),
            exceptions=(type(error).__name__,),
        )


def record(claimed: Claimed, ended: Ended, here: process.Process) -> None:
    """Finishes the attempt, however long the database is away: the work is done, its result must not be lost.

    Meanwhile the result is in the spool, from which the next worker delivers it if this one has to stop.
    """
    run, attempt = claimed.run, claimed.attempt
    result = spool.Result(
        run_id=run.pk, attempt_id=attempt.pk, token=attempt.token, ended_at=time.time(), ended=ended
    )
    with spool.Keeping(result) as keeping:
        for wait in _waits():
            if _is_recorded(claimed, result, here):
                keeping.remove()
                return
            if keeping.keep():
                events.result_kept(run)
            if here.is_stopping.is_set():  # that was the last try
                break
            here.is_stopping.wait(wait)
        here.leaves_results = here.leaves_results or keeping.is_kept
        if not keeping.is_kept:
            events.result_given_up(run)


def _is_recorded(claimed: Claimed, result: spool.Result, here: process.Process) -> bool:
    try:
        with here.database.connected():
            try:
                finish_late(claimed, result)
            except Exception:
                connection.close()
                raise
    except Exception as error:
        events.result_waits(claimed.run, error)
        return False
    return True


AWAY = (OperationalError, InterfaceError, InternalError, ProgrammingError)
"""What the database says when it is not there, only a standby that cannot write, or half migrated."""


def finish_late(claimed: Claimed, result: spool.Result) -> bool:
    """`finish`, with a note of how late it is. Raises `AWAY` where the result has to wait.

    A result that the database refuses is replaced by one that says so.
    """
    ended = noted(result.ended, time.time() - result.ended_at)
    try:
        return finish(claimed, ended)
    except AWAY:
        raise
    except Exception as error:
        return finish(claimed, reduced(ended, error))


def _waits() -> Iterator[float]:
    """Seconds between tries: 1, 2, 4, 8, then 15, for a day."""
    yield from (1, 2, 4, 8)
    yield from repeat(15, 24 * 3600 // 15)


def finish(claimed: Claimed, ended: Ended) -> bool:
    """T5 or T6 with the attempt closed in the same transaction. False: the run was taken away meanwhile."""
    run, attempt = claimed.run, claimed.attempt
    decision = _decide(claimed, ended)
    won = _move(run, attempt, ended, decision)
    if not won and isinstance(decision, retry.RetryAt):
        won = _move(run, attempt, ended, retry.CANCELLED)
    if won:
        events.attempt_finished(run, attempt)
    else:
        _note_late(attempt, ended)
        events.attempt_fenced(run, attempt)
    return won


def _decide(claimed: Claimed, ended: Ended) -> Decision | None:
    """None where there is nothing to retry. A policy that cannot be applied is no reason to lose a result."""
    if ended.outcome == Outcome.SUCCEEDED:
        return None
    try:
        return _judged(claimed, ended)
    except (ArithmeticError, ValueError, TypeError) as error:
        return retry.GiveUp("policy_error", f"Not retried: the retry policy cannot be applied: {error}.")


def _judged(claimed: Claimed, ended: Ended) -> Decision:
    if ended.outcome == Outcome.INTERRUPTED:
        return _after_interruption(claimed)
    failure = retry.Failure(
        outcome=ended.outcome,
        exit_code=ended.exit_code,
        signal=ended.signal,
        exceptions=ended.exceptions,
        patterns=patterns.found(claimed.definition.retry.patterns, ended.text),
        final=ended.final,
    )
    return retry.decide(
        claimed.definition.retry,
        failure,
        attempt=claimed.attempt.number,
        first_started_at=claimed.run.started_at or claimed.attempt.started_at,
        now=database_now(),
        jitter=random.random(),
    )


def _after_interruption(claimed: Claimed) -> Decision:
    return retry.after_loss(
        again=claimed.definition.on_worker_lost == OnWorkerLost.RETRY,
        losses=claimed.run.attempts.filter(outcome__in=LOSSES).count() + 1,
        limit=conf.current().worker_lost_limit,
        now=database_now(),
        what="the worker was stopped",
    )


def _move(run: Run, attempt: Attempt, ended: Ended, decision: Decision | None) -> bool:
    closing = closing_of(attempt, ended, decision)
    if isinstance(decision, retry.RetryAt):
        return Run.objects.retry(
            run.pk, attempt.token, available_at=decision.when, detail=decision.sentence, closing=closing
        )
    outcome = Outcome.CANCELLED if decision is retry.CANCELLED else ended.outcome
    return Run.objects.finish(
        run.pk,
        attempt.token,
        state=FINAL_STATE[outcome],
        reason=REASONS.get(outcome, ""),
        detail=_detail(outcome, decision),
        closing=closing,
    )


def _detail(outcome: Outcome, decision: Decision | None) -> str | None:
    """Who asked to cancel stands there already."""
    if outcome == Outcome.CANCELLED:
        return None
    return decision.sentence if decision else ""


REASONS = {
    Outcome.CANCELLED: Reason.CANCELLED_BY_USER,
    Outcome.INTERRUPTED: Reason.WORKER_STOPPED,
}


def _note_late(attempt: Attempt, ended: Ended) -> None:
    said = f"{ended.outcome}, exit code {ended.exit_code}" if ended.exit_code is not None else ended.outcome
    # The same outcome: our own record went in after all, and only its answer was lost.
    Attempt.objects.filter(pk=attempt.pk).exclude(outcome=ended.outcome).update(
        late_result=f"The worker came back and reported: {said}. Nothing else was changed."
    )
