"""States of runs and outcomes of attempts, and which may follow which. No storage: `querysets` moves rows.

    pending -> queued -> running -> succeeded | failed | timed_out | lost | cancelled
    pending, queued -> skipped | cancelled          running -> pending (a retry waits)

A run that waits for its retry is `pending` with `attempt > 0`; people see "retrying".

    queued -> sent                 a message to the workers of another codebase: what became of it is not
                                   ours to know, unless Celery's events tell: sent -> succeeded | failed
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    SENT = "sent"


WAITING = frozenset({State.PENDING, State.QUEUED})
ACTIVE = WAITING | {State.RUNNING}
FINAL = frozenset(State) - ACTIVE
FAILURES = frozenset({State.FAILED, State.TIMED_OUT, State.LOST})
"""What people call failed. Nobody's work failed where a run was skipped or cancelled."""

TRANSITIONS: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.QUEUED, State.RUNNING, State.SKIPPED, State.CANCELLED}),
    State.QUEUED: frozenset(
        {State.QUEUED, State.PENDING, State.RUNNING, State.SKIPPED, State.CANCELLED, State.SENT}
    ),
    State.RUNNING: frozenset(
        {
            State.PENDING,
            State.SUCCEEDED,
            State.FAILED,
            State.TIMED_OUT,
            State.LOST,
            State.CANCELLED,
        }
    ),
    **{state: frozenset() for state in FINAL},
    State.SENT: frozenset({State.SUCCEEDED, State.FAILED}),
}


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"  # the worker was told to stop and ended the attempt in order
    WORKER_LOST = "worker_lost"  # the worker vanished
    SENT = "sent"  # handed to the workers of another codebase


FINAL_STATE: dict[Outcome, State] = {
    Outcome.SUCCEEDED: State.SUCCEEDED,
    Outcome.FAILED: State.FAILED,
    Outcome.TIMED_OUT: State.TIMED_OUT,
    Outcome.CANCELLED: State.CANCELLED,
    Outcome.INTERRUPTED: State.LOST,
    Outcome.WORKER_LOST: State.LOST,
    Outcome.SENT: State.SENT,
}


LOSSES = (Outcome.WORKER_LOST, Outcome.INTERRUPTED)
"""Outcomes that say nothing of the work itself, which may be done in part or whole."""


class Trigger(StrEnum):
    """Why a run exists."""

    SCHEDULE = "schedule"
    CATCH_UP = "catch_up"
    MANUAL = "manual"
    RERUN = "rerun"


BY_THE_CLOCK = (Trigger.SCHEDULE, Trigger.CATCH_UP)
"""Triggers for which a schedule has at most one run per instant."""


class Reason(StrEnum):
    """Why a run was skipped, cancelled or lost; the sentence is in `Run.detail`."""

    OVERLAP = "overlap"
    MISSED = "missed"
    TOO_LATE = "too_late"
    SHADOW = "shadow"
    CANCELLED_BY_USER = "cancelled_by_user"
    SCHEDULE_DELETED = "schedule_deleted"
    WORKER_LOST = "worker_lost"
    WORKER_STOPPED = "worker_stopped"
    NO_DEFINITION = "no_definition"
