"""The Celery beat scheduler: claims what is due, rings doorbells, rescues, reconciles, prunes.

Celery calls `tick()`; the work is done by parts with threads and connections of their own, so that a
blocked broker never delays a claim. Any number of beats may run: rows, not beats, are exclusive.
"""

from __future__ import annotations

import os
import socket
import time
from datetime import datetime, timedelta
from typing import Any

from celery.beat import Scheduler as CeleryScheduler
from django.db import InterfaceError, OperationalError
from django_celery_beat.schedulers import ModelEntry

from schedules import conf, dispatch, events, following, publish, reconcile, rescue, retention, zones
from schedules.messages.outbox import Outbox
from schedules.models import Beat, Run, Schedule
from schedules.parts import ClockGuard, Part
from schedules.querysets import database_now
from schedules.terms import Ahead
from schedules.worker import facts

LONGEST_PAUSE = 1.0
"""Seconds: an edit is honoured, and a manual run sent, within that time."""

PRUNE_SECONDS, PRUNE_STEP_SECONDS = 600.0, 5.0
"""Between two walks of retention, and between two steps of one that find little to delete."""

ZONES_SECONDS = 86_400.0
"""An upgrade of the time zone data needs a restart to be seen; this is for the one that failed."""

RESTS, LONGEST_REST = 100, 900.0
"""Between two comparisons with django-celery-beat's tables: times as long as the last one took; seconds."""

LOOK_SECONDS = 0.9
"""Between two looks for what is due: with the work itself, an edit is honoured within a second."""

AHEAD = timedelta(minutes=2)
"""What is due within that time is learnt ahead."""

RUNG_AT_ONCE = 1000
"""Runs of one step of publishing."""

OUTBOX = 2000
"""Runs that wait in memory for their message: what a beat that is killed delays by `redispatch_seconds`."""


class Scheduler(CeleryScheduler):
    """`beat_scheduler = "schedules.beat:Scheduler"`."""

    def __init__(self, app: Any, *args: Any, **kwargs: Any) -> None:
        self._engine: Engine | None = None
        super().__init__(app, *args, **kwargs)

    def setup_schedule(self) -> None:
        """Nothing yet: the database may still be away. The upkeep part installs `beat_schedule`."""

    schedule: dict[str, Any] = {}  # Celery's own entries: none, they are rows

    @property
    def info(self) -> str:
        return "    . schedules -> the database"

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Never raises. Holds while a part makes no progress, so that beat stops answering pings."""
        if self._engine is None:
            self._engine = Engine(self.app)
            self._engine.start()
        limit = self.app.conf.beat_remote_control_max_tick_age or 30
        while self._engine.is_stuck(limit):
            time.sleep(LONGEST_PAUSE)
        return LONGEST_PAUSE

    def close(self) -> None:
        if self._engine is not None:
            self._engine.stop()


class Engine:
    """The parts of one beat process."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.name = f"celerybeat@{socket.gethostname()}"
        self.guard = ClockGuard(conf.current().clock_jump_seconds)
        self.watch = rescue.Watch()
        self.reconciler = reconcile.Reconciler()
        self.row: Beat | None = None
        self.pruner = retention.Pruner()
        self.recomputer = zones.Recomputer()
        self._installed = self._connected = self._pruning = self._rezoning = False
        self.ahead = Ahead()
        self.outbox = Outbox(OUTBOX)
        self._due_at: dict[str, float] = {}
        self.dispatch = Part("dispatch", self._dispatch)
        self.publish = Part("publish", self._publish)
        self.rescue = Part("rescue", self._rescue, on_trouble=self.watch.forget)
        self.upkeep = Part("upkeep", self._upkeep)
        self.follower = following.Follower(app)
        self.follow = Part("follow", self.follower.step, on_trouble=self.follower.give_up)
        self.parts = [self.dispatch, self.publish, self.rescue, self.upkeep, self.follow]

    def start(self) -> None:
        for part in self.parts:
            part.start()

    def stop(self) -> None:
        for part in self.parts:
            part.stop(timeout=2)
        publish.give_back(self.outbox)
        if self.row is not None:
            Beat.objects.stop(self.row.pk)

    def is_stuck(self, limit: float) -> bool:
        """A broker that refuses is no such trouble, claims go on; one that never answers is."""
        others = [part for part in self.parts if part not in (self.publish, self.follow)]
        return self.publish.busy_for > limit or any(part.age > limit for part in others)

    def _dispatch(self) -> float:
        now, soonest = Schedule.objects.soonest()
        if not self.guard.agrees(now):
            return LONGEST_PAUSE
        if soonest is None or soonest > now:
            more = soonest is not None and soonest - now < AHEAD and self.ahead.step(soonest)
            return 0.0 if more else self._until(soonest, now)
        claimed = dispatch.dispatch_due(now, by=self.name, outbox=self.outbox)
        self.publish.wake()
        return 0.0 if claimed else LONGEST_PAUSE / 10

    @staticmethod
    def _until(soonest: datetime | None, now: datetime) -> float:
        """Seconds to sleep: an instant is met on time, an edit is seen within a second."""
        if soonest is None:
            return LOOK_SECONDS
        return min(max((soonest - now).total_seconds(), 0.0), LOOK_SECONDS)

    def _publish(self) -> float:
        if not self._connected:
            publish.connect()
            self._connected = True
            self.outbox.open()
        if len(self.outbox):
            publish.publish_opened(self.outbox, limit=RUNG_AT_ONCE, listen=self._listen)
            if not self._every("look for pending runs", LONGEST_PAUSE / 2):
                return 0.0
        now, waiting = Run.objects.publishable()
        if self.guard.is_suspended or not waiting:
            return 0.0 if len(self.outbox) else LONGEST_PAUSE / 2
        sent = publish.publish_due(now, limit=RUNG_AT_ONCE, outbox=self.outbox, listen=self._listen)
        return 0.0 if sent or len(self.outbox) else LONGEST_PAUSE

    def _listen(self) -> None:
        """A worker elsewhere may be done with a message before the next look whether there are any."""
        self.follower.listen(wake=self.follow.wake)

    def _rescue(self) -> float:
        if not self.guard.is_suspended:
            rescue.rescue_lost(self.watch)
            rescue.settle_replaced()
        else:
            self.watch.forget()
        return min(conf.current().lease_seconds / 6, 10.0)

    def _upkeep(self) -> float:
        self._beat()
        if not self._installed:
            self._install_entries()
        announced = self.reconciler.is_announced()
        if announced or time.monotonic() >= self._due_at.get("reconcile", 0.0):
            self._reconcile()
            self.dispatch.wake()
        if self._is_time_to_prune():
            self._prune()
        if self._rezoning or self._every("zones", ZONES_SECONDS):
            self._rezoning = self.recomputer.step()
        return LONGEST_PAUSE

    def _reconcile(self) -> None:
        """The more seldom the longer it takes: it looks at every schedule, and idling is to cost little."""
        usual, began = conf.current().reconcile_seconds, time.monotonic()
        self._due_at["reconcile"] = began + usual  # where it fails, the other work of this part goes on
        reconcile.reconcile()
        ended = time.monotonic()
        self._due_at["reconcile"] = ended + max(usual, min((ended - began) * RESTS, LONGEST_REST))

    def _every(self, what: str, seconds: float) -> bool:
        due = time.monotonic() >= self._due_at.get(what, 0.0)
        if due:
            self._due_at[what] = time.monotonic() + seconds
        return due

    def _is_time_to_prune(self) -> bool:
        """A walk goes slowly: with a million schedules it never ends, and an idle beat is to cost little.

        Where it finds more to delete than fits in a step, the next step follows a second later.
        """
        if not self._pruning:
            return self._every("prune", PRUNE_SECONDS)
        return self.pruner.has_more or self._every("prune step", PRUNE_STEP_SECONDS)

    def _prune(self) -> None:
        """One step of the walk."""
        now = database_now()
        if not self._pruning:
            retention.forget_processes(now)
        self._pruning = self.pruner.step(now)

    def _install_entries(self) -> None:
        """`beat_schedule` of the Celery configuration; one bad entry does not stop the others."""
        for name, entry in (self.app.conf.beat_schedule or {}).items():
            try:
                ModelEntry.from_entry(name, app=self.app, **entry)
            except (OperationalError, InterfaceError):
                raise
            except Exception as error:
                events.part_failed(f"beat_schedule {name!r}", error)
        self._installed = True

    def _beat(self) -> None:
        if not self._every("heartbeat", min(conf.current().heartbeat_seconds, 5.0)):
            return
        now = database_now()  # by whose clock everybody looks at them
        parts = {
            part.name: (now - timedelta(seconds=part.age)).isoformat()
            for part in self.parts
            if part.has_progressed
        }
        if self.row is None or not Beat.objects.beat(self.row.pk, parts):
            self.row = self._register()
            self._due_at["facts"] = time.monotonic() + facts.REFRESH_SECONDS
        elif self._every("facts", facts.REFRESH_SECONDS):
            Beat.objects.filter(pk=self.row.pk).update(facts=facts.gather())

    def _register(self) -> Beat:
        now = database_now()
        return Beat.objects.create(
            name=self.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=now,
            seen_at=now,
            facts=facts.gather(),
        )
