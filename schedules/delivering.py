"""Results that a worker left in the spool, recorded by another one. Called by `tasks` every few seconds.

A result is recorded as its own worker would have done, under the token of its attempt: a run that was
rescued meanwhile gets a note of what came late, and nothing else is changed.
"""

from __future__ import annotations

from schedules import events, finishing
from schedules.models import Attempt
from schedules.rules.definition import Definition
from schedules.worker import spool

BATCH = 100
"""Files of one pass: thousands keep nothing else waiting."""


def deliver(*, limit: int = BATCH) -> int:
    """One pass over what no living worker holds; returns how many files it dealt with.

    Raises `finishing.AWAY` while the database is away: they stay. A file that cannot be read, or whose run
    cannot, is set aside and does not keep the others waiting.
    """
    count = 0
    for kept in spool.left_behind(limit=limit):
        count += 1
        with kept:
            try:
                _deliver(kept.read())
                kept.remove()
            except finishing.AWAY:
                raise
            except Exception as error:
                kept.set_aside(error)
    return count


def _deliver(result: spool.Result) -> None:
    found = Attempt.objects.select_related("run__revision")
    attempt = found.filter(pk=result.attempt_id, run=result.run_id, token=result.token).first()
    if attempt is None:  # deleted, or this is another database than the one that it came from
        raise LookupError(f"there is no such attempt of run {result.run_id} in the database")
    won = finishing.finish_late(_claimed(attempt), result)
    events.result_delivered(result.run_id, won=won)


def _claimed(attempt: Attempt) -> finishing.Claimed:
    """Raises LookupError or ValueError where nobody can tell any more what the run was."""
    revision = attempt.run.revision
    if revision is None:
        raise LookupError(f"the definition of run {attempt.run_id} has been deleted")
    return finishing.Claimed(attempt.run, attempt, Definition.from_dict(revision.definition))
