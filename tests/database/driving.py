"""A made-up history by the real code: edits through `catalog`, beats through `dispatch`, at our own clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django_celery_beat.models import PeriodicTask

from schedules import auditing, catalog, dispatch, occurrences, operate, reconcile
from schedules.models import Schedule
from schedules.models.schedule import FOREVER
from schedules.sql import snapshot


class Driver:
    """One schedule and the time. Everything happens at `now`, which only `pass_time` moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, begin: datetime) -> None:
        self.now = begin
        for module in (catalog, occurrences, operate, reconcile, snapshot):
            monkeypatch.setattr(module, "database_now", self._read)

    def _read(self, using: str = "default") -> datetime:
        return self.now

    def create(self, name: str = "job", **columns: Any) -> Schedule:
        given = {"cron": "*/20 * * * *", "timezone": "Europe/Berlin", "command": "true"} | columns
        self.schedule = catalog.save(Schedule(name=name, **given), by="ann")
        return self.schedule

    def pass_time(self, length: timedelta) -> None:
        """Without a beat."""
        self.now += length

    def beat(self) -> None:
        while dispatch.dispatch_due(self.now, by="beat@test"):
            pass

    def change(self, **columns: Any) -> None:
        catalog.change([self.schedule.pk], by="bob", **columns)

    def pause(self, length: timedelta | None) -> None:
        catalog.pause([self.schedule.pk], by="bob", until=self.now + length if length else FOREVER)

    def each(self, verb: Callable[..., Any]) -> None:
        """One of `catalog`'s verbs: resume, enable, disable, delete."""
        verb([self.schedule.pk], by="bob")

    def outside(self, **columns: Any) -> None:
        """Somebody writes django-celery-beat's row; nobody is told."""
        PeriodicTask.objects.filter(pk=self.schedule.pk).update(**columns)

    def reconcile(self) -> None:
        reconcile.reconcile()

    def audit(self) -> auditing.Audit:
        return auditing.audit(schedules=[self.schedule.pk])
