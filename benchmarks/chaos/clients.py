"""Five people at work on the schedules that are theirs: edits, pauses, deletions, starts, cancellations.

They use the flows that the admin uses, straight on the database. A refusal is an answer; an outage of
the database is one too, and they try again.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError, connection, transaction
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from benchmarks.chaos import poison
from schedules import catalog, operate
from schedules.errors import BeatkeeperError
from schedules.models import Run, Schedule
from schedules.querysets import database_now

COUNT = 5
PAUSE = (0.2, 1.5)
"""Seconds between two edits of one person."""


class Clients:
    def __init__(self, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.troubles: list[str] = []
        """Errors that are neither a refusal nor an outage."""
        self.cancelled: set[int] = set()
        """Runs that they asked to cancel, before they knew the answer: an outage may keep it to itself."""
        self.deleted: set[int] = set()
        """Schedules, likewise."""
        self._actions = [*ACTIONS, self._delete, self._cancel]
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(random.Random(f"{seed} client {number}"),), daemon=True)
            for number in range(COUNT)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=60)

    def _work(self, chance: random.Random) -> None:
        while not self._stopping.wait(chance.uniform(*PAUSE)):
            act = chance.choice(self._actions)
            name = act.__name__.strip("_")
            try:
                self.done[name] += bool(act(chance))
            except (BeatkeeperError, Schedule.DoesNotExist):
                self.refused[name] += 1
            except (DatabaseError, InterfaceError):
                self.refused["database away"] += 1
                connection.close()
            except Exception as error:
                self.troubles.append(f"client, {name}: {type(error).__name__}: {error}")
        connection.close()

    def _delete(self, chance: random.Random) -> bool:
        """And the same anew, under the name that is free again."""
        with transaction.atomic():
            row = _locked(chance)
            fresh = {
                field.attname: getattr(row, field.attname)
                for field in Schedule._meta.concrete_fields
                if not field.primary_key and field.attname not in FRESH
            }
            self.deleted.add(row.pk)
            catalog.delete([row.pk], by="client")
            catalog.save(Schedule(**fresh | {"enabled": True, "paused_until": None}), by="client")
        return True

    def _cancel(self, chance: random.Random) -> bool:
        run = Run.objects.filter(name__startswith="edited-").active().order_by("-pk").first()
        if run is None:
            return False
        self.cancelled.add(run.pk)
        return bool(operate.cancel(run, by="client"))


def _edit(chance: random.Random) -> bool:
    """Another timing: an interval, each minute, or nothing at all."""
    with transaction.atomic():
        row = _locked(chance)
        if chance.random() < 0.5:
            row.cron = ""
            row.interval = _every(chance.randint(1, 4))
        else:
            row.cron = chance.choice(["* * * * *", "*/2 * * * *", "0 4 * * *"])
            row.interval = None
        catalog.save(row, by="client")
    return True


def _toggle(chance: random.Random) -> bool:
    row = _any(chance)
    return bool((catalog.disable if row.enabled else catalog.enable)([row.pk], by="client"))


def _pause(chance: random.Random) -> bool:
    until = None if chance.random() < 0.3 else database_now() + timedelta(seconds=chance.uniform(1, 20))
    return bool(catalog.pause([_any(chance).pk], by="client", until=until))


def _resume(chance: random.Random) -> bool:
    return bool(catalog.resume([_any(chance).pk], by="client"))


FRESH = {
    *("id", "periodictask_ptr_id", "revision_id", "next_run_at", "anchor_at", "deleted_at", "source_key"),
    *("timing_error", "last_run_at", "total_run_count", "date_changed"),
}


def _run_now(chance: random.Random) -> bool:
    operate.run_now(_any(chance), by="client")
    return True


def _run_again(chance: random.Random) -> bool:
    run = Run.objects.filter(name__startswith="edited-").order_by("-pk").first()
    return run is not None and bool(operate.run_again(run, by="client"))


def _edit_elsewhere(chance: random.Random) -> bool:
    """As other code does with django-celery-beat's own rows: enabled, and announced."""
    changed = PeriodicTask.objects.filter(pk=_any(chance).pk).update(enabled=True)
    PeriodicTasks.update_changed()
    return bool(changed)


def _poison(chance: random.Random) -> bool:
    """Somebody else's SQL."""
    return poison.insert(chance)


ACTIONS: list[Callable[[random.Random], Any]] = [
    *(_edit, _edit, _toggle, _toggle, _pause, _resume, _resume),
    *(_run_now, _run_now, _run_again, _edit_elsewhere, _poison),
]


def _any(chance: random.Random) -> Schedule:
    keys = list(Schedule.objects.live().filter(tags="edited").order_by("pk").values_list("pk", flat=True))
    found: Schedule = Schedule.objects.get(pk=chance.choice(keys))
    return found


def _locked(chance: random.Random) -> Schedule:
    """As the admin's form does it: what is saved was read under the lock. Raises DoesNotExist."""
    row = Schedule.objects.lock([_any(chance).pk])[0]
    if row.is_deleted:
        raise Schedule.DoesNotExist
    return row


def _every(seconds: int) -> IntervalSchedule:
    """The row of that interval; two clients may have made one each."""
    found: IntervalSchedule | None = IntervalSchedule.objects.filter(every=seconds, period="seconds").first()
    return found or IntervalSchedule.objects.create(every=seconds, period="seconds")
