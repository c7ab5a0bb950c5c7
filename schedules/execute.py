"""One attempt of a run: claim, execute, hand over to `finishing`. Called by the Celery task with a run id.

The claim (T3) is a compare-and-set that gives this attempt a token. No transaction is open while the work
is done.
"""

from __future__ import annotations

import json
import traceback
import uuid
from datetime import timedelta
from functools import lru_cache

from django.db import IntegrityError, InterfaceError, OperationalError, connection
from django.db.models.functions import Now

from schedules import conf, events
from schedules.finishing import Claimed, record, waits
from schedules.models import Run, Worker
from schedules.querysets import database_now, is_overlap
from schedules.rules.admission import OVERLAPS, too_late
from schedules.rules.definition import Definition, Kind
from schedules.rules.states import WAITING, Outcome, Reason, State
from schedules.sql.statements import Begun, Closing
from schedules.worker import commands, process, task_calls
from schedules.worker.work import Ended

LONGEST_CLAIM_WAIT = 5.0
"""Seconds between two tries of a claim while the database is away."""


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
    for wait in waits():
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
