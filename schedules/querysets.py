"""Every row lock and every compare-and-set: one method per transition of a run; nobody else moves `state`.

A method that returns False or an empty list lost a race: normal, not an error. All are called inside
the caller's transaction where they say so. `now` is the database's time, read once by the caller.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, connections, models
from django.db.models import Count, F, Q
from django.db.models.functions import Now

from schedules import bulk, statements
from schedules.rules.states import ACTIVE, WAITING, State
from schedules.statements import Begun, Closing

if TYPE_CHECKING:
    from schedules.models import Run, Schedule, Worker


def database_now(using: str = "default") -> datetime:
    """The one clock. Costs a round trip on PostgreSQL and a function call on SQLite."""
    with connections[using].cursor() as cursor:
        if connections[using].vendor == "postgresql":
            cursor.execute("SELECT clock_timestamp()")
            moment: datetime = cursor.fetchone()[0]
            return moment
        cursor.execute("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")
        return datetime.fromisoformat(cursor.fetchone()[0] + "+00:00")


def is_overlap(error: IntegrityError) -> bool:
    """Whether it is the constraint on exclusive runs that refused: PostgreSQL names it, SQLite its column."""
    return "run_exclusive" in str(error) or "schedules_run.concurrency_key" in str(error)


class ScheduleQuerySet(models.QuerySet["Schedule"]):
    def live(self) -> ScheduleQuerySet:
        return self.filter(deleted_at__isnull=True)

    def lock_due(self, now: datetime, limit: int) -> list[Schedule]:
        """Due rows that no other beat holds, oldest first, locked until the transaction ends.

        The parent is locked too: an edit through django-celery-beat waits or comes first.
        SQLite has no row locks; its transaction is the only writer.
        """
        return list(
            self.live()
            .filter(next_run_at__lte=now, enabled=True)
            .order_by("next_run_at", "pk")
            .select_related("revision")
            .only("name", "next_run_at", "one_off", "revision__digest")
            .select_for_update(skip_locked=True, no_key=True, of=("self", "periodictask_ptr"))[:limit]
        )

    def lock(self, pks: Collection[int]) -> list[Schedule]:
        """The rows with everything, locked in one order; waits for a beat or an editor that holds them."""
        return list(
            self.filter(pk__in=pks)
            .order_by("pk")
            .select_related("revision", "retry_policy", "interval", "crontab", "clocked", "solar")
            .select_for_update(no_key=True, of=("self", "periodictask_ptr"))
        )

    def set_next_run(self, rows: Sequence[dict[str, Any]]) -> None:
        """`rows`: pk, next_run_at, timing_error. One statement. The caller holds the locks."""
        bulk.update(self.model, rows, using=self.db)

    def due_at(self, moment: datetime, limit: int) -> list[tuple[int, str]]:
        """Revisions, by primary key and digest, of what is next due at exactly `moment`."""
        rows = self.live().filter(next_run_at=moment, enabled=True, revision__isnull=False)
        return list(rows.values_list("revision_id", "revision__digest")[:limit])

    def soonest(self) -> datetime | None:
        """When the next schedule is due, None where none ever is."""
        found: datetime | None = (
            self.live()
            .filter(enabled=True, next_run_at__isnull=False)
            .order_by("next_run_at")
            .values_list("next_run_at", flat=True)
            .first()
        )
        return found


@dataclass(frozen=True)
class Doorbell:
    """What a message needs of its run. `dispatches` fences the way back (T2e)."""

    run_id: int
    dispatches: int
    name: str
    queue: str
    revision_id: int | None


class RunQuerySet(models.QuerySet["Run"]):
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

    def outstanding(self) -> dict[str, int]:
        """How many messages wait in each queue, as far as the table knows."""
        counts = self.filter(state=State.QUEUED).values_list("queue").annotate(Count("pk"))
        return dict(counts.order_by())

    def publishable(self, now: datetime) -> RunQuerySet:
        """What T2 would take, queues that are full included."""
        return self.filter(
            Q(state=State.PENDING, available_at__lte=now) | Q(state=State.QUEUED, redispatch_at__lte=now)
        )

    def take_for_publishing(
        self, now: datetime, *, limit: int, full: Collection[str], delays: Sequence[int]
    ) -> list[Doorbell]:
        """T2: pending and due, or queued without a claim for too long, the oldest of each.

        `full` are the queues that take no new message; `delays` the seconds until the message counts
        as lost, by number of dispatches.
        """
        queues = {f"queue{number}": queue for number, queue in enumerate(full)}
        free = "".join(f" AND queue <> %({name})s" for name in queues)
        pending = f"state = 'pending' AND available_at <= %(now)s{free}"
        silent = "state = 'queued' AND redispatch_at <= %(now)s"
        given = {"now": now, **queues}
        # Two statements, so that each uses its own partial index.
        taken: list[Doorbell] = []
        for condition, instant in ((pending, "available_at"), (silent, "redispatch_at")):
            if room := limit - len(taken):
                rows = statements.take(
                    using=self.db,
                    condition=condition,
                    instant=instant,
                    given=given,
                    limit=room,
                    delays=delays,
                )
                taken += [Doorbell(*row) for row in rows]
        return taken

    def unpublish(self, bells: Iterable[Doorbell], *, available_at: datetime) -> int:
        """T2e: the messages did not go out; back to pending, unless somebody moved the run meanwhile."""
        by_number: dict[int, list[int]] = {}
        for bell in bells:
            by_number.setdefault(bell.dispatches, []).append(bell.run_id)
        return sum(
            self.filter(pk__in=pks, state=State.QUEUED, dispatches=number).update(
                state=State.PENDING, redispatch_at=None, available_at=available_at
            )
            for number, pks in by_number.items()
        )

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


class WorkerQuerySet(models.QuerySet["Worker"]):
    def alive(self) -> WorkerQuerySet:
        return self.filter(stopped_at__isnull=True)

    def beat(self, pk: int) -> bool:
        """A heartbeat; it takes back a verdict of `stop`. False: the row is gone, and has to be made anew."""
        return (
            self.filter(pk=pk).update(heartbeat_seq=F("heartbeat_seq") + 1, seen_at=Now(), stopped_at=None)
            == 1
        )

    def stop(self, pk: int) -> None:
        self.filter(pk=pk).update(stopped_at=Now(), seen_at=Now())


class BeatQuerySet(models.QuerySet[Any]):
    def alive(self) -> BeatQuerySet:
        return self.filter(stopped_at__isnull=True)

    def beat(self, pk: int, parts: dict[str, str]) -> bool:
        updated = self.filter(pk=pk).update(heartbeat_seq=F("heartbeat_seq") + 1, seen_at=Now(), parts=parts)
        return updated == 1

    def stop(self, pk: int) -> None:
        self.filter(pk=pk).update(stopped_at=Now(), seen_at=Now())


class BootQuerySet(models.QuerySet[Any]):
    def first_sight(self, *, host: str, boot_id: str, queue: str, now: datetime) -> bool:
        """True for the one worker that sees this boot of `host` first, for this queue."""
        row = {"host": host, "boot_id": boot_id, "queue": queue, "seen_at": now}
        return bool(bulk.insert(self.model, [row], using=self.db, unless="(boot_id, queue)"))
