"""Heartbeats of workers and beats, their end, and who saw a boot of a host first."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import F
from django.db.models.functions import Now

from schedules.sql import bulk

if TYPE_CHECKING:
    from schedules.models import Worker


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

    def stop_if_silent(self, worker: Worker) -> bool:
        """Nobody has heard of it since `worker` was read. A heartbeat takes that back, too."""
        silent = self.filter(pk=worker.pk, heartbeat_seq=worker.heartbeat_seq)
        return silent.update(stopped_at=Now(), seen_at=Now()) == 1


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
