"""One function per lifecycle event: its log line now; metrics and notifications hang here too.

Event names are constants, followed by ids. Never arguments, commands or output: they may hold secrets.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from schedules.models import Attempt, Run, Schedule, Worker
    from schedules.querysets import Doorbell

log = logging.getLogger("beatkeeper")


def run_opened(row: dict[str, Any]) -> None:
    log.debug("run_opened run_id=%s schedule_id=%s state=%s", row["pk"], row["schedule_id"], row["state"])


def dispatched(*, schedules: int, runs: int, skipped: int) -> None:
    log.info("dispatched schedules=%s runs=%s skipped=%s", schedules, runs, skipped)


def schedule_set_aside(schedule: Schedule) -> None:
    log.error("schedule_set_aside schedule_id=%s reason=%s", schedule.pk, schedule.timing_error)


def schedule_changed(schedule: Schedule, *, by: str) -> None:
    log.info("schedule_changed schedule_id=%s by=%r", schedule.pk, by)


def before_publish(bells: Sequence[Doorbell]) -> None:
    """Between the commit of T2 and the first message: a crash here is what `redispatch_at` is for."""
    log.debug("publishing runs=%s", len(bells))


def published(count: int) -> None:
    log.debug("published runs=%s", count)


def publish_failed(count: int, error: Exception) -> None:
    log.error("publish_failed runs=%s error=%s: %s", count, type(error).__name__, error)


def messages_sent(count: int) -> None:
    log.info("messages_sent runs=%s", count)


def message_not_recorded(run_id: int) -> None:
    """Cancelled, or recorded by another beat, while the message went out."""
    log.warning("message_not_recorded run_id=%s: it went out, the run was moved meanwhile", run_id)


def channel_close_failed(error: Exception) -> None:
    log.debug("channel_close_failed error=%s", type(error).__name__)


def task_heard(run_id: int, state: str) -> None:
    log.info("task_heard run_id=%s state=%s", run_id, state)


def message_without_work(run_id: int) -> None:
    log.debug("message_without_work run_id=%s", run_id)


def attempt_started(run: Run, attempt: Attempt) -> None:
    log.info("attempt_started run_id=%s schedule_id=%s attempt=%s", run.pk, run.schedule_id, attempt.number)


def attempt_finished(run: Run, attempt: Attempt) -> None:
    log.info(
        "attempt_finished run_id=%s schedule_id=%s attempt=%s outcome=%s exit_code=%s decision=%s",
        *(run.pk, run.schedule_id, attempt.number, attempt.outcome, attempt.exit_code, attempt.decision),
    )


def result_waits(run: Run, error: Exception) -> None:
    log.error("result_waits run_id=%s error=%s: %s", run.pk, type(error).__name__, error)


def result_kept(run: Run) -> None:
    log.warning("result_kept run_id=%s: in the spool, until the database is back", run.pk)


def result_given_up(run: Run) -> None:
    log.error("result_given_up run_id=%s: this worker stops without having recorded it", run.pk)


def result_delivered(run_id: int, *, won: bool) -> None:
    log.warning("result_delivered run_id=%s won=%s: from the spool", run_id, won)


def spool_failed(run_id: int, error: OSError) -> None:
    log.error(
        "spool_failed run_id=%s: the result is in memory only, and lost if this worker stops: %s",
        *(run_id, error),
    )


def spool_set_aside(path: Path, error: Exception) -> None:
    log.error("spool_set_aside file=%s error=%s: %s", path, type(error).__name__, error)


def rung_again(runs: int) -> None:
    log.info("rung_again runs=%s: this worker stops, and will not begin them", runs)


def patterns_failed(error: Exception) -> None:
    log.error("patterns_failed error=%s: no output rule was applied", type(error).__name__)


def attempt_fenced(run: Run, attempt: Attempt) -> None:
    log.warning(
        "attempt_fenced run_id=%s attempt=%s: the run was taken away meanwhile", run.pk, attempt.number
    )


def run_skipped(run: Run, *, reason: str) -> None:
    log.info("run_skipped run_id=%s schedule_id=%s reason=%s", run.pk, run.schedule_id, reason)


def run_rescued(run: Run, *, retried: bool) -> None:
    log.error("run_rescued run_id=%s attempt=%s retried=%s", run.pk, run.attempt, retried)


def worker_started(worker: Worker) -> None:
    log.info("worker_started worker_id=%s pid=%s queues=%s", worker.pk, worker.pid, worker.queues)


def clock_jumped(seconds: float) -> None:
    log.error("clock_jumped seconds=%.1f: no claims and no rescues until the clocks agree again", seconds)


def clock_agrees() -> None:
    log.warning("clock_agrees: claims and rescues go on")


def part_failed(part: str, error: Exception) -> None:
    log.error("part_failed part=%s error=%s: %s", part, type(error).__name__, error)


def part_failing(part: str, error: Exception, *, failures: int) -> None:
    """For what repeats: `failures` in a row so far. An outage fills no log."""
    if failures in (1, 10) or failures % 100 == 0:
        part_failed(part, error)


def part_recovered(part: str, *, failures: int) -> None:
    log.warning("part_recovered part=%s failures=%s", part, failures)


def pruned(runs: int) -> None:
    log.info("pruned runs=%s", runs)


def zones_recomputed(*, before: str, after: str, schedules: int) -> None:
    log.warning("zones_recomputed before=%s after=%s next_runs_moved=%s", before, after, schedules)
