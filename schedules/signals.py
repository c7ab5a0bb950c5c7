"""A PeriodicTask that somebody saves becomes a working schedule at once. Beat would find it soon."""

from __future__ import annotations

from typing import Any

from django.db import Error as DatabaseError
from django.db import transaction
from django.db.models.signals import post_save
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from schedules import events, reconcile
from schedules.models import RetryPolicy


def adopt(instance: PeriodicTask, *, raw: bool = False, **_: Any) -> None:
    if not raw:
        transaction.on_commit(lambda: _adopt(instance.pk), robust=True)


def _adopt(pk: int) -> None:
    try:
        reconcile.reconcile_one(pk)
    except DatabaseError as error:  # the one who saved has succeeded; beat will try again
        events.part_failed("reconcile", error)


def announce(**_: Any) -> None:
    """A retry policy is part of the definition of every schedule that uses it."""
    PeriodicTasks.update_changed()


def connect() -> None:
    """Rows saved as Schedule have another sender, and are none of this module's business."""
    post_save.connect(adopt, sender=PeriodicTask, dispatch_uid="schedules.adopt")
    post_save.connect(announce, sender=RetryPolicy, dispatch_uid="schedules.announce")
