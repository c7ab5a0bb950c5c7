"""Heartbeats of workers and beats, their end, and who saw a boot of a host first."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from schedules.sql import bulk

if TYPE_CHECKING:
    from schedules.models import Worker

_P = TypeVar("_P", bound=models.Model)


class ProcessQuerySet(models.QuerySet[_P]):
    def alive(self) -> Self:
        return self.filter(stopped_at__isnull=True)

    def unexplained(self) -> Self:
        """Those that never said that they stop: alive, silent, or taken for dead."""
        return self.filter(Q(stopped_at__isnull=True) | Q(stopped_at__gt=F("seen_at")))

    def stop(self, pk: int) -> None:
        """It stops, and says so itself, or its parent for it."""
        self.filter(pk=pk).update(stopped_at=Now(), seen_at=Now())

    def stop_replaced(self, *, since: datetime, silent: datetime) -> int:
        """Those that vanished after `since`, last heard of before `silent`, and were started again.

        Nobody misses them: another process of the same name on the same host, begun later, is alive.
        """
        same = self.model._default_manager.filter(name=OuterRef("name"), host=OuterRef("host"))
        back = same.filter(started_at__gt=OuterRef("seen_at"), stopped_at=None, seen_at__gte=silent)
        gone = self.unexplained().filter(Exists(back), seen_at__gte=since, seen_at__lt=silent)
        return gone.update(stopped_at=F("seen_at"))


class WorkerQuerySet(ProcessQuerySet["Worker"]):
    def stop_replaced(self, *, since: datetime, silent: datetime) -> int:
        """But for children of a pool that goes on: a new one says nothing of another, which may hang."""
        siblings = self.model._default_manager.filter(
            host=OuterRef("host"), parent_pid=OuterRef("parent_pid")
        )
        lives_on = siblings.filter(started_at__lte=OuterRef("seen_at"), stopped_at=None, seen_at__gte=silent)
        return ProcessQuerySet.stop_replaced(self.exclude(Exists(lives_on)), since=since, silent=silent)

    def beat(self, pk: int) -> bool:
        """A heartbeat; it takes back a verdict of others. False: the row is gone, and has to be made anew."""
        seq = F("heartbeat_seq") + 1
        return self.filter(pk=pk).update(heartbeat_seq=seq, seen_at=Now(), stopped_at=None) == 1

    def stop_if_silent(self, worker: Worker) -> bool:
        """Nobody has heard of it since `worker` was read: its row says when that was."""
        silent = self.filter(pk=worker.pk, heartbeat_seq=worker.heartbeat_seq)
        return silent.update(stopped_at=Now()) == 1


class BeatQuerySet(ProcessQuerySet[Any]):
    def beat(self, pk: int, parts: dict[str, str]) -> bool:
        """A heartbeat; it takes back a verdict of others. False: the row is gone."""
        seq = F("heartbeat_seq") + 1
        updated = self.filter(pk=pk).update(heartbeat_seq=seq, seen_at=Now(), parts=parts, stopped_at=None)
        return updated == 1


class BootQuerySet(models.QuerySet[Any]):
    def first_sight(self, *, host: str, boot_id: str, queue: str, now: datetime) -> bool:
        """True for the one worker that sees this boot of `host` first, for this queue."""
        row = {"host": host, "boot_id": boot_id, "queue": queue, "seen_at": now}
        return bool(bulk.insert(self.model, [row], using=self.db, unless="(boot_id, queue)"))
