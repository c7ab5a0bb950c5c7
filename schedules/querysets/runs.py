"""Every compare-and-set of a run: one method per transition; nobody else moves `state`."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError
from django.db.models import Count
from django.db.models.functions import Now

from schedules.querysets.clock import database_now
from schedules.querysets.sent import SentQuerySet
from schedules.rules.states import ACTIVE, WAITING, State
from schedules.sql import bulk, opening, statements, taking
from schedules.sql.opening import Move, Opening, Row
from schedules.sql.statements import Begun, Closing

if TYPE_CHECKING:
    from schedules.models import Run, Worker

AT_ONCE = 10_000
"""Keys of one statement: SQLite may take no more than 32,766."""


def is_overlap(error: IntegrityError) -> bool:
    """Whether it is the constraint on exclusive runs that refused: PostgreSQL names it, SQLite its column."""
    return "run_exclusive" in str(error) or "schedules_run.concurrency_key" in str(error)


@dataclass(frozen=True)
class Doorbell:
    """What a message needs of its run. `dispatches` fences the way back (T2e)."""

    run_id: int
    dispatches: int
    name: str
    queue: str
    revision_id: int | None
    digest: str = ""


class RunQuerySet(SentQuerySet["Run"]):
    def active(self) -> RunQuerySet:
        return self.filter(state__in=ACTIVE)

    def open(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """T1: inserts runs, leaving out instants that have theirs. Returns pk, schedule_id, state of each."""
        return bulk.insert(
            self.model,
            rows,
            using=self.db,
            unless="(schedule_id, scheduled_for) WHERE trigger IN ('catch_up', 'schedule')",
            returning=("schedule_id", "state"),
        )

    def open_due(
        self, shapes: Sequence[Row], openings: Sequence[Opening], moves: Sequence[Move], *, now: datetime
    ) -> list[dict[str, Any]]:
        """T1 for a batch: runs as `open` does, and their schedules moved on. The caller holds the locks."""
        return opening.settle(using=self.db, shapes=shapes, openings=openings, moves=moves, now=now)

    def outstanding(self) -> dict[str, int]:
        """How many messages wait in each queue, as far as the table knows."""
        counts = self.filter(state=State.QUEUED).values_list("queue").annotate(Count("pk"))
        return dict(counts.order_by())

    def overdue(self, now: datetime) -> list[str]:
        """Queues with messages that nobody has claimed for too long."""
        late = self.filter(state=State.QUEUED, redispatch_at__lte=now)
        return list(late.order_by().values_list("queue", flat=True).distinct())

    def publishable(self) -> tuple[datetime, bool]:
        """The database's time, and whether T2 would take anything, full queues included. One query."""
        return taking.publishable(using=self.db)

    def take_for_publishing(
        self,
        now: datetime,
        *,
        limit: int,
        full: Collection[str],
        delays: Sequence[int],
        again: Mapping[str, int] | None = None,
    ) -> list[Doorbell]:
        """T2: pending and due, or queued without a claim for too long, the oldest of each.

        `full` are the queues that take no new message; `delays` the seconds until the message counts
        as lost, by number of dispatches. `again` says for some queues how many are rung again at most.
        """
        again = again or {}
        pending = "state = 'pending' AND available_at <= %(now)s"
        silent = "state = 'queued' AND redispatch_at <= %(now)s"
        # Statements of their own, so that each uses its own partial index.
        wanted: list[tuple[str, str, dict[str, Any], int]] = [
            (pending, "available_at", {"but": tuple(full)}, limit),
            (silent, "redispatch_at", {"but": tuple(again)}, limit),
            *((silent, "redispatch_at", {"only": (queue,)}, most) for queue, most in again.items() if most),
        ]
        taken: list[Doorbell] = []
        for condition, instant, queues, most in wanted:
            if room := min(limit - len(taken), most):
                rows = taking.take(
                    using=self.db,
                    condition=condition,
                    instant=instant,
                    now=now,
                    limit=room,
                    delays=delays,
                    **queues,
                )
                taken += [Doorbell(*row) for row in rows]
        return taken

    def unpublish(self, bells: Iterable[Doorbell], *, available_at: datetime | None = None) -> int:
        """T2e: the messages did not go out; back to pending, unless somebody moved the run meanwhile.

        Without `available_at` they keep their places: what was due first is sent first.
        """
        moved = {} if available_at is None else {"available_at": available_at}
        by_number: dict[int, list[int]] = {}
        for bell in bells:
            by_number.setdefault(bell.dispatches, []).append(bell.run_id)
        return sum(
            self.filter(pk__in=pks[at : at + AT_ONCE], state=State.QUEUED, dispatches=number).update(
                state=State.PENDING, redispatch_at=None, **moved
            )
            for number, pks in by_number.items()
            for at in range(0, len(pks), AT_ONCE)
        )

    def explain_waiting(self, run_id: int, *, detail: str) -> None:
        """Why a message does not go out, for whoever looks at the run that waits."""
        self.filter(pk=run_id, state__in=WAITING).update(detail=detail)

    def ring_again(self, run_ids: Collection[int]) -> int:
        """T2 now instead of after `redispatch_at`: their messages were taken by a worker that stops."""
        return self.filter(pk__in=run_ids, state=State.QUEUED).update(redispatch_at=Now())

    def start(self, run_id: int, *, worker: Worker, token: uuid.UUID) -> Begun | None:
        """T3, with its attempt. None: it is not there, or not to be started.

        Raises IntegrityError where overlap is not allowed and another run executes (see `is_overlap`).
        """
        attempt = {"token": token, "worker_id": worker.pk, "worker_name": worker.name, "pid": worker.pid}
        return statements.begin(using=self.db, run_id=run_id, attempt=attempt)

    def skip(self, run: Run, *, reason: str, detail: str) -> bool:
        """T3o: a waiting run that must not start any more."""
        return self._won(
            self.filter(pk=run.pk, state__in=WAITING).update(
                state=State.SKIPPED,
                reason=reason,
                detail=detail,
                finished_at=Now(),
                redispatch_at=None,
            )
        )

    def wait(self, run: Run, *, seconds: float) -> bool:
        """T3o: a retry that may not start beside another run is tried again later."""
        return self._won(
            self.filter(pk=run.pk, state__in=WAITING).update(
                state=State.PENDING,
                available_at=database_now(self.db) + timedelta(seconds=seconds),
                redispatch_at=None,
            )
        )

    def held_by(self, run_id: int, token: uuid.UUID) -> RunQuerySet:
        """The run while the attempt with `token` executes it: the fence of T5, T6 and T7."""
        return self.filter(pk=run_id, token=token, state=State.RUNNING)

    def finish(
        self,
        run_id: int,
        token: uuid.UUID,
        *,
        state: State,
        reason: str = "",
        detail: str | None = "",
        closing: Closing | None = None,
    ) -> bool:
        """T5 and the end in T7. `detail` None leaves what stands there, such as who asked to cancel."""
        said = {} if detail is None else {"detail": detail}
        columns = {"state": state, "token": None, "finished_at": Now(), "reason": reason} | said
        return self._end(run_id, token, columns, closing, unless_cancelled=False)

    def retry(
        self,
        run_id: int,
        token: uuid.UUID,
        *,
        available_at: datetime,
        detail: str,
        closing: Closing | None = None,
    ) -> bool:
        """T6 and the retry in T7. Also False where somebody asked to cancel the run meanwhile."""
        columns = {
            "state": State.PENDING,
            "token": None,
            "available_at": available_at,
            "dispatches": 0,
            "redispatch_at": None,
            "detail": detail,
        }
        return self._end(run_id, token, columns, closing, unless_cancelled=True)

    def _end(
        self,
        run_id: int,
        token: uuid.UUID,
        columns: dict[str, Any],
        closing: Closing | None,
        *,
        unless_cancelled: bool,
    ) -> bool:
        """With `closing` the attempt is closed at once: a worker does so, a rescuer has its own way."""
        if closing is not None:
            return statements.end(
                using=self.db,
                run_id=run_id,
                token=token,
                run=columns,
                closing=closing,
                unless_cancelled=unless_cancelled,
            )
        held = self.held_by(run_id, token)
        return self._won(
            (held.filter(cancel_requested=False) if unless_cancelled else held).update(**columns)
        )

    def hasten(self, pk: int) -> bool:
        """A waiting retry starts now."""
        return self._won(self.filter(pk=pk, state=State.PENDING).update(available_at=Now()))

    def cancel_waiting(self, *, reason: str, detail: str) -> int:
        """T8 for runs of this queryset that have not started, or wait for a retry."""
        return self.filter(state__in=WAITING).update(
            state=State.CANCELLED,
            reason=reason,
            detail=detail,
            finished_at=Now(),
            redispatch_at=None,
            cancel_requested=True,
        )

    def request_cancel(self, *, detail: str) -> int:
        """T8 for runs of this queryset that execute: their worker ends them."""
        return self.filter(state=State.RUNNING, cancel_requested=False).update(
            cancel_requested=True, detail=detail
        )

    def executed_by(self, worker: Worker) -> list[int]:
        """What the table says that `worker` executes."""
        return list(self.filter(worker=worker, state=State.RUNNING).values_list("pk", flat=True))

    def cancel_requests(self, tokens: Iterable[uuid.UUID]) -> dict[uuid.UUID, bool]:
        """T4: whether to end each execution; those that are missing were taken away."""
        rows = self.filter(token__in=list(tokens), state=State.RUNNING)
        return {token: asked for token, asked in rows.values_list("token", "cancel_requested") if token}

    @staticmethod
    def _won(updated: int) -> bool:
        return updated == 1
