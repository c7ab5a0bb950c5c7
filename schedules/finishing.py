"""The end of an attempt: its result recorded, however late, and whether it is tried again (T5, T6).

Called by `execute`, and by `delivering` for results that a worker left behind. Every write carries the
token of the claim: a worker that lost the run meanwhile changes nothing but a note on its own attempt.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

from django.db import InterfaceError, InternalError, OperationalError, ProgrammingError, connection

from schedules import conf, events
from schedules.models import Attempt, Run
from schedules.querysets import database_now
from schedules.rules import retry
from schedules.rules.definition import Definition, OnWorkerLost
from schedules.rules.states import FINAL_STATE, LOSSES, Outcome, Reason
from schedules.worker import patterns, process, spool
from schedules.worker.closing import Decision, closing_of, noted, reduced
from schedules.worker.work import Ended

AWAY = (OperationalError, InterfaceError, InternalError, ProgrammingError)
"""What the database says when it is not there, only a standby that cannot write, or half migrated."""

REASONS = {
    Outcome.CANCELLED: Reason.CANCELLED_BY_USER,
    Outcome.INTERRUPTED: Reason.WORKER_STOPPED,
}


@dataclass(frozen=True)
class Claimed:
    run: Run
    attempt: Attempt
    definition: Definition


def record(claimed: Claimed, ended: Ended, here: process.Process) -> None:
    """Finishes the attempt, however long the database is away: the work is done, its result must not be lost.

    Meanwhile the result is in the spool, from which the next worker delivers it if this one has to stop.
    """
    run, attempt = claimed.run, claimed.attempt
    result = spool.Result(
        run_id=run.pk, attempt_id=attempt.pk, token=attempt.token, ended_at=time.time(), ended=ended
    )
    with spool.Keeping(result) as keeping:
        for wait in waits():
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
    except AWAY:
        raise
    except Exception as error:
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


def _note_late(attempt: Attempt, ended: Ended) -> None:
    said = f"{ended.outcome}, exit code {ended.exit_code}" if ended.exit_code is not None else ended.outcome
    # The same outcome: our own record went in after all, and only its answer was lost.
    Attempt.objects.filter(pk=attempt.pk).exclude(outcome=ended.outcome).update(
        late_result=f"The worker came back and reported: {said}. Nothing else was changed."
    )


def waits() -> Iterator[float]:
    """Seconds between tries: 1, 2, 4, 8, then 15, for a day."""
    yield from (1, 2, 4, 8)
    yield from repeat(15, 24 * 3600 // 15)
