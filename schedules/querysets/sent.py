"""Runs whose task is executed by another codebase: sent once (T2s), and what was heard of them since (T9)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from django.db import models, transaction

from schedules.querysets.clock import database_now
from schedules.rules.states import Outcome, State

_R = TypeVar("_R", bound=models.Model)


@dataclass(frozen=True)
class Sent:
    """A message to another codebase that went out. `token` is the id of its Celery task."""

    run_id: int
    token: uuid.UUID
    destination: str


@dataclass(frozen=True)
class Heard:
    """What became of another codebase's task, as its worker told; `runtime` is None where it did not."""

    state: State
    outcome: Outcome
    worker: str
    runtime: timedelta | None = None
    result: str = ""
    error_class: str = ""
    error: str = ""
    traceback: str = ""


class SentQuerySet(models.QuerySet[_R]):
    """The transitions of runs that leave us; `RunQuerySet` has the others."""

    def sent(self, messages: Sequence[Sent]) -> set[int]:
        """T2s: the messages went out to other codebases; each gets its one attempt. Returns the runs moved.

        Not fenced by `dispatches`: that the message went out is true whoever sent it again meanwhile.
        """
        by_run = {message.run_id: message for message in messages}
        with transaction.atomic(using=self.db):
            now = database_now(self.db)
            waiting = self.filter(pk__in=by_run, state=State.QUEUED)
            planned = dict(waiting.select_for_update(no_key=True).values_list("pk", "available_at"))
            by_destination: dict[str, list[int]] = {}
            for pk in planned:
                by_destination.setdefault(by_run[pk].destination, []).append(pk)
            columns = {"state": State.SENT, "attempt": 1, "started_at": now, "finished_at": now}
            for destination, pks in by_destination.items():
                self.filter(pk__in=pks, state=State.QUEUED).update(
                    **columns, detail=f"Sent to {destination}.", reason="", redispatch_at=None
                )
            attempt = self._attempts().model
            self._attempts().bulk_create(
                attempt(
                    run_id=pk,
                    number=1,
                    token=by_run[pk].token,
                    planned_at=available_at,
                    started_at=now,
                    finished_at=now,
                    outcome=Outcome.SENT,
                    notes=f"Sent to {by_run[pk].destination} as Celery task {by_run[pk].token}.",
                )
                for pk, available_at in planned.items()
            )
        return set(planned)

    def hear_begin(self, run_id: int, token: uuid.UUID, *, worker: str) -> bool:
        """The worker that took a task of another codebase."""
        return self._of_others(run_id, token).update(worker_name=worker) == 1

    def hear_end(self, run_id: int, token: uuid.UUID, heard: Heard) -> bool:
        """T9: sent -> succeeded or failed. Any number of beats hear the same; one wins."""
        with transaction.atomic(using=self.db):
            attempt = self._of_others(run_id, token).first()
            if attempt is None:
                return False
            now = database_now(self.db)
            began = attempt.started_at
            if heard.runtime is not None:
                began = max(began, now - heard.runtime)
            moved = self.filter(pk=run_id, state=State.SENT).update(
                state=heard.state, started_at=began, finished_at=now, detail=heard.error[:500]
            )
            if moved:
                self._of_others(run_id, token).update(
                    outcome=heard.outcome,
                    started_at=began,
                    finished_at=now,
                    worker_name=heard.worker or attempt.worker_name,
                    result=heard.result,
                    error_class=heard.error_class,
                    error=heard.error,
                    traceback=heard.traceback,
                )
            return moved == 1

    def _of_others(self, run_id: int, token: uuid.UUID) -> models.QuerySet[Any]:
        """The attempt that was sent under this id and of which no end was heard."""
        return self._attempts().filter(run=run_id, number=1, token=token, outcome=Outcome.SENT)

    def _attempts(self) -> models.QuerySet[Any]:
        model = self.model._meta.get_field("attempts").related_model
        return models.QuerySet(model, using=self.db)
