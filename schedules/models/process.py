"""Processes that took part: workers, beats, and the boots of workers' hosts.

A row is a fact for people and for the rescue of lost runs; no process is controlled through it.
"""

from __future__ import annotations

import uuid

from django.db import models

from schedules.querysets import BeatQuerySet, BootQuerySet, WorkerQuerySet


class Process(models.Model):
    """One process from start to stop. `heartbeat_seq` counts up while it lives."""

    name = models.CharField(max_length=255)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    instance = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    started_at = models.DateTimeField()
    heartbeat_seq = models.PositiveBigIntegerField(default=0)
    seen_at = models.DateTimeField()
    # When it said so, or when somebody took it for dead: then it was last seen before.
    stopped_at = models.DateTimeField(null=True, blank=True)
    # What it said of itself: versions, and how far its host's clock is from the database's.
    facts = models.JSONField(default=dict)

    class Meta:
        abstract = True
        ordering = ("-seen_at",)

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"

    @property
    def vanished(self) -> bool:
        """Taken for dead: no heartbeat came for a lease, nor a word that it stops."""
        return self.stopped_at is not None and self.stopped_at > self.seen_at


class Worker(Process):
    """One *executing* process: a threads worker, or one child of a prefork worker."""

    parent_pid = models.PositiveIntegerField(null=True, blank=True)
    queues = models.CharField(max_length=1000, blank=True)
    account = models.CharField(max_length=100, blank=True)
    pool = models.CharField(max_length=20, blank=True)

    objects = WorkerQuerySet.as_manager()

    class Meta(Process.Meta):
        indexes = [models.Index(fields=["seen_at"], name="worker_seen")]


class Beat(Process):
    """One beat process. `parts` maps the name of each of its parts to its last progress (ISO 8601, UTC)."""

    parts = models.JSONField(default=dict)

    objects = BeatQuerySet.as_manager()

    class Meta(Process.Meta):
        indexes = [models.Index(fields=["seen_at"], name="beat_seen")]


class ZoneData(models.Model):
    """The version of the time zone database by which `next_run_at` was computed, for everybody. One row."""

    version = models.CharField(max_length=40)
    computed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"tzdata {self.version}"


class Boot(models.Model):
    """A boot of a worker's host that has been seen: `@reboot` schedules run once for each."""

    host = models.CharField(max_length=255)
    boot_id = models.CharField(max_length=64)
    queue = models.CharField(max_length=200)
    seen_at = models.DateTimeField()

    objects = BootQuerySet.as_manager()

    class Meta:
        constraints = [
            # Not by host: containers of one kernel have names of their own, and one boot.
            models.UniqueConstraint(fields=["boot_id", "queue"], name="boot_once_per_queue"),
        ]

    def __str__(self) -> str:
        return f"{self.host} {self.boot_id}"
