"""One attempt of a run: claim, execute, record, decide. Called by the Celery task with a run id.

The claim (T3) is a compare-and-set that gives this attempt a token; every later write carries it, so a
worker that lost the run meanwhile changes nothing but a note on its own attempt. No transaction is
open while the work is done.
"""

from __future__ import annotations

import hashlib
import random
import re
import traceback
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import repeat

from django.db import (
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)
from django.db.models.functions import Now

from schedules import commands, conf, events, patterns, process, task_calls
from schedules.models import Attempt, AttemptOutput, Run, Worker
from schedules.querysets import database_now
from schedules.rules import retry
from schedules.rules.admission import OVERLAPS, too_late
from schedules.rules.definition import Definition, Kind, OnWorkerLost
from schedules.rules.states import FINAL_STATE, LOSSES, WAITING, Outcome, Reason
from schedules.work import Ended


@dataclass(frozen=True)
class Claimed:
    run: Run
    attempt: Attempt
    definition: Definition


def execute(run_id: int) -> None:
    """Executes the run if it is waiting and due. A second message for the same run finds no work."""
    here = process.current()
    with here.holding(run_id):
        claimed = _claim(run_id, here)
        if claimed is None:
            events.message_without_work(run_id)
            return
        events.attempt_started(claimed.run, claimed.attempt)
        record(claimed, _work(claimed, here), here)


def _claim(run_id: int, here: process.Process) -> Claimed | None:
    worker = here.worker
    try:
        with here.database.connected():
            return claim(run_id, worker)
    except IntegrityError:  # the row of this worker was deleted
        here.forget_worker(worker)
        raise


def claim(run_id: int, worker: Worker) -> Claimed | None:
    """T3, or T3o where the run must not start any more. None: there is nothing to do."""
    run = Run.objects.select_related("revision").filter(pk=run_id, state__in=WAITING).first()
    if run is None:
        return None
    definition = _definition(run)
    if definition is None or _is_too_late(run, definition):
        return None
    token = uuid.uuid4()
    try:
        with transaction.atomic():
            if not Run.objects.start(run, worker=worker, token=token):
                return None
            attempt = _open_attempt(run, worker, token)
    except IntegrityError:
        if not run.exclusive:
            raise
        _overlapping(run)
        return None
    run.refresh_from_db(fields=["started_at", "attempt", "state"])
    return Claimed(run, attempt, definition)


def _definition(run: Run) -> Definition | None:
    """None where it is gone or cannot be read: the run is then skipped, so that nobody rings for it again."""
    try:
        if run.revision is not None:
            return Definition.from_dict(run.revision.definition)
        why = "it has been deleted"
    except (LookupError, TypeError, ValueError) as error:
        why = f"it cannot be read: {error}"
    Run.objects.skip(run, reason=Reason.NO_DEFINITION, detail=f"Its definition is not there: {why}.")
    return None


def _open_attempt(run: Run, worker: Worker, token: uuid.UUID) -> Attempt:
    attempt = Attempt.objects.create(
        run=run,
        number=run.attempt + 1,
        token=token,
        planned_at=run.available_at,
        started_at=Now(),
        worker=worker,
        worker_name=worker.name,
        pid=worker.pid,
    )
    attempt.refresh_from_db(fields=["started_at"])
    return attempt


def _is_too_late(run: Run, definition: Definition) -> bool:
    """The start deadline counts for the first attempt only: a retry is late by design."""
    if definition.start_deadline is None or run.attempt > 0:
        return False
    deadline = timedelta(seconds=definition.start_deadline)
    if database_now() <= run.scheduled_for + deadline:
        return False
    if Run.objects.skip(run, reason=Reason.TOO_LATE, detail=too_late(deadline)):
        events.run_skipped(run, reason=Reason.TOO_LATE)
    return True


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

    A result that the database refuses is replaced by one that says so.
    """
    for wait in _waits():
        with here.database.connected():
            try:
                finish(claimed, ended)
                return
            except (OperationalError, InterfaceError) as error:
                events.result_waits(claimed.run, error)
            except Exception as error:
                ended = _reduced(ended, error)
            connection.close()
        if here.is_stopping.wait(wait):
            return  # the rescue will find the run with a worker that has stopped


def _reduced(ended: Ended, error: Exception) -> Ended:
    return replace(
        ended,
        error_class=type(error).__name__,
        error=f"The result could not be recorded in full: {_storable(str(error))}",
        traceback="",
        result="",
        notes=(),
        head=(),
        tail=(),
        bytes_seen=0,
    )


def _waits() -> Iterator[float]:
    """Seconds between tries: 1, 2, 4, 8, then 15, for a day."""
    yield from (1, 2, 4, 8)
    yield from repeat(15, 24 * 3600 // 15)


def finish(claimed: Claimed, ended: Ended) -> bool:
    """T5 or T6 with the attempt closed in the same transaction. False: the run was taken away meanwhile."""
    run, attempt = claimed.run, claimed.attempt
    decision = _decide(claimed, ended)
    with transaction.atomic():
        won = _move(run, attempt.token, ended, decision)
        if not won and isinstance(decision, retry.RetryAt):
            decision = retry.CANCELLED
            won = _move(run, attempt.token, ended, decision)
        if won:
            _close(attempt, ended, decision)
    if won:
        events.attempt_finished(run, attempt)
    else:
        _note_late(attempt, ended)
        events.attempt_fenced(run, attempt)
    return won


Decision = retry.RetryAt | retry.GiveUp


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


def _move(run: Run, token: uuid.UUID, ended: Ended, decision: Decision | None) -> bool:
    if isinstance(decision, retry.RetryAt):
        return Run.objects.retry(run.pk, token, available_at=decision.when, detail=decision.sentence)
    outcome = Outcome.CANCELLED if decision is retry.CANCELLED else ended.outcome
    return Run.objects.finish(
        run.pk,
        token,
        state=FINAL_STATE[outcome],
        reason=REASONS.get(outcome, ""),
        detail=_detail(outcome, decision),
    )


def _detail(outcome: Outcome, decision: Decision | None) -> str | None:
    """Who asked to cancel stands there already."""
    if outcome == Outcome.CANCELLED:
        return None
    return decision.sentence if decision else ""


def _close(attempt: Attempt, ended: Ended, decision: Decision | None) -> None:
    attempt.outcome = ended.outcome
    attempt.exit_code, attempt.signal = ended.exit_code, ended.signal
    attempt.error_class, attempt.error = ended.error_class[:255], _storable(ended.error)
    attempt.traceback, attempt.result = _storable(ended.traceback), _storable(ended.result)
    attempt.fingerprint = fingerprint(ended)
    attempt.cpu_seconds, attempt.peak_memory = ended.cpu_seconds, ended.peak_memory
    attempt.leftovers, attempt.notes = ended.leftovers, _storable("\n".join(ended.notes))
    attempt.finished_at = Now()
    if decision is not None:
        attempt.decision = "retry" if isinstance(decision, retry.RetryAt) else "give_up"
        attempt.decision_rule, attempt.decision_text = decision.code, decision.sentence
    if isinstance(decision, retry.RetryAt):
        attempt.decision_delay = decision.delay.total_seconds()
    attempt.save(update_fields=CLOSING)
    if ended.bytes_seen:
        AttemptOutput.objects.create(
            attempt=attempt,
            head=list(ended.head),
            tail=list(ended.tail),
            bytes_seen=ended.bytes_seen,
            bytes_dropped=ended.bytes_dropped,
        )


CLOSING = (
    *("outcome", "exit_code", "signal", "error_class", "error", "traceback", "result", "fingerprint"),
    *("cpu_seconds", "peak_memory", "leftovers", "notes", "finished_at"),
    *("decision", "decision_rule", "decision_text", "decision_delay"),
)

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


def _storable(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def fingerprint(ended: Ended) -> str:
    """Equal for failures of the same kind: numbers and addresses in the message do not count."""
    if ended.outcome == Outcome.SUCCEEDED:
        return ""
    last = ended.error or next((line for line in reversed(ended.text.splitlines()) if line.strip()), "")
    shape = re.sub(r"0x[0-9a-f]+|\d+", "#", last.strip())[:500]
    parts = (ended.outcome, ended.error_class, ended.exit_code, ended.signal, shape)
    return hashlib.sha256(repr(tuple(map(str, parts))).encode("utf-8", "replace")).hexdigest()[:16]
