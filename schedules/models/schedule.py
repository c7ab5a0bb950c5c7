"""Schedules and their revisions. A schedule is a django-celery-beat PeriodicTask with more columns.

Who writes what: the edit flow and `reconcile` write definitions, `occurrences` alone writes
`next_run_at`. A row whose timing is ours points its parent at one reserved interval, so that the
parent stays valid and a stock beat neither crashes on it nor fires it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django_celery_beat.models import DAYS, IntervalSchedule, PeriodicTask

from schedules.models.choices import choices
from schedules.models.policy import RetryPolicy
from schedules.querysets import ScheduleQuerySet
from schedules.rules.cron.clock import Gap, Repeat
from schedules.rules.definition import Background, CatchUp, Delivery, Kind, Mode, OnWorkerLost, Overlap

RESERVED_EVERY, RESERVED_PERIOD = 36_500, DAYS
"""The interval that stands for "the timing is Beatkeeper's"; hidden from people."""

COMMAND_TASK = "schedules.run_command"
"""The parent's task of a command schedule: starts a manual run, so that "run" means the same everywhere."""

DELETED_MARK = "~deleted~"
"""Stands between the name of a deleted schedule and its key: the name itself is free again."""

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
"""`paused_until` of a schedule that is paused until somebody resumes it."""


def reserved_interval() -> IntervalSchedule:
    """The one reserved row; made where it is missing."""
    row = IntervalSchedule.objects.filter(every=RESERVED_EVERY, period=RESERVED_PERIOD).first()
    return row or IntervalSchedule.objects.create(every=RESERVED_EVERY, period=RESERVED_PERIOD)


class Schedule(PeriodicTask):
    """What runs, when, and under which policies. Lengths are seconds."""

    # The default accessor, "schedule", would replace PeriodicTask.schedule.
    periodictask_ptr = models.OneToOneField(
        PeriodicTask,
        on_delete=models.CASCADE,
        parent_link=True,
        primary_key=True,
        related_name="beatkeeper",
    )
    kind = models.CharField(
        max_length=10,
        default=Kind.COMMAND.value,
        choices=[(Kind.COMMAND.value, "command"), (Kind.TASK.value, "Celery task")],
    )

    cron = models.CharField(max_length=1000, blank=True)
    dialect = models.CharField(max_length=20, default="cron")
    # What becomes of fixed times that a clock change skips or repeats; "" = as the dialect does.
    gap = models.CharField(max_length=4, blank=True, choices=choices(Gap))
    repeat = models.CharField(max_length=5, blank=True, choices=choices(Repeat))
    timezone = models.CharField(max_length=64, blank=True)
    # What intervals count from where there is no start time: the moment the schedule came to be.
    anchor_at = models.DateTimeField()

    command = models.TextField(blank=True)
    stdin = models.TextField(null=True, blank=True)
    environment = models.JSONField(default=list, blank=True)
    working_directory = models.CharField(max_length=4096, blank=True)
    run_as = models.CharField(max_length=100, blank=True)
    shell = models.CharField(max_length=255, blank=True)
    background = models.CharField(
        max_length=5,
        default=Background.KILL.value,
        choices=[
            (Background.KILL.value, "end them too"),
            (Background.KEEP.value, "leave them alone, as cron does"),
        ],
    )

    retry_policy = models.ForeignKey(
        RetryPolicy, null=True, blank=True, on_delete=models.PROTECT, related_name="schedules"
    )
    overlap = models.CharField(
        max_length=10,
        default=Overlap.ALLOW.value,
        choices=[
            (Overlap.ALLOW.value, "start anyway, beside it"),
            (Overlap.SKIP.value, "skip this one"),
        ],
    )
    catch_up = models.CharField(
        max_length=10,
        default=CatchUp.LATEST.value,
        choices=[
            (CatchUp.SKIP.value, "start none of them, as cron does"),
            (CatchUp.LATEST.value, "start the latest one"),
            (CatchUp.ALL.value, "start them all, at most 100"),
        ],
    )
    catch_up_window = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0)])
    timeout = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0.1)])
    kill_grace = models.FloatField(default=10, validators=[MinValueValidator(0)])
    # For the command and everything that it starts: MiB, seconds of processor time, MiB.
    memory_limit = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    cpu_limit = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    file_size_limit = models.PositiveIntegerField(null=True, blank=True)
    on_worker_lost = models.CharField(
        max_length=10,
        default=OnWorkerLost.LOST.value,
        choices=[
            (OnWorkerLost.LOST.value, "record it as lost, for somebody to decide"),
            (OnWorkerLost.RETRY.value, "run it again (it may then run twice)"),
        ],
    )
    mode = models.CharField(
        max_length=6,
        default=Mode.LIVE.value,
        choices=[
            (Mode.LIVE.value, "live: start what is due"),
            (Mode.SHADOW.value, "shadow: record what would start, and start nothing"),
        ],
    )
    delivery = models.CharField(
        max_length=7,
        default=Delivery.RUN.value,
        choices=[
            (Delivery.RUN.value, "run: a worker of Beatkeeper executes the task, on record"),
            (Delivery.MESSAGE.value, "message: send the task to the workers of another codebase"),
        ],
    )
    paused_until = models.DateTimeField(null=True, blank=True)
    pause_note = models.CharField(max_length=255, blank=True)
    tags = models.CharField(max_length=255, blank=True, help_text="Words, separated by blanks.")

    # How long its runs are kept; empty = as the installation says. No part of the definition.
    keep_days = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0)])
    keep_runs = models.PositiveIntegerField(null=True, blank=True)
    keep_failed_days = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0)])

    # Where an imported schedule came from; `source` and its lines find it again at the next import.
    source = models.CharField(max_length=255, blank=True)
    source_line = models.PositiveIntegerField(null=True, blank=True)
    source_text = models.TextField(blank=True)
    # Whom cron mailed what the command printed (MAILTO, MAILFROM in force at the line).
    mail_to = models.TextField(blank=True)
    mail_from = models.TextField(blank=True)

    revision = models.ForeignKey(
        "schedules.Revision", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    deleted_at = models.DateTimeField(null=True, blank=True)
    # The first due instant not yet accounted for; null = never due.
    next_run_at = models.DateTimeField(null=True, blank=True)
    # Fingerprint, computed by the database, of everything that decides the definition: `reconcile`.
    source_key = models.CharField(max_length=64, blank=True)
    # Why an unusable timing was set aside; empty where it is usable.
    timing_error = models.TextField(blank=True)

    no_changes = True  # our own saves do not make every beat reload
    objects = ScheduleQuerySet.as_manager()

    class Meta:
        permissions = [
            ("run_schedule", "Can start runs by hand"),
            ("pause_schedule", "Can pause, resume, enable and disable schedules"),
            ("change_timing", "Can change when schedules run"),
            ("change_command", "Can add and change commands: runs code as the worker's account"),
        ]
        indexes = [
            models.Index(fields=["next_run_at"], condition=Q(next_run_at__isnull=False), name="schedule_due"),
            models.Index(fields=["source"], condition=~Q(source=""), name="schedule_source"),
        ]

    def __str__(self) -> str:
        return str(self.name)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """A full save never touches the columns that beat owns: `update_fields` names the rest."""
        if not self._state.adding and kwargs.get("update_fields") is None and not args:
            kwargs["update_fields"] = self._own_fields()
        super().save(*args, **kwargs)

    @classmethod
    def _own_fields(cls) -> list[str]:
        beats = {
            "next_run_at",
            "last_run_at",
            "total_run_count",
            "source_key",
            "timing_error",
            "revision",
            "deleted_at",
            "periodictask_ptr",
            "id",
        }
        return [field.name for field in cls._meta.concrete_fields if field.name not in beats]

    @property
    def has_own_timing(self) -> bool:
        """True for cron text, `@reboot` and "by hand": the parent's interval is then the reserved one."""
        interval = self.interval
        return interval is not None and (interval.every, interval.period) == (
            RESERVED_EVERY,
            RESERVED_PERIOD,
        )

    @property
    def is_deleted(self) -> bool:
        return self.deleted_at is not None

    @property
    def given_name(self) -> str:
        """The name that people gave it, without what deleting put behind it."""
        return str(self.name).removesuffix(f"{DELETED_MARK}{self.pk}") if self.is_deleted else str(self.name)

    def is_due(self, now: datetime) -> bool:
        return self.next_run_at is not None and self.next_run_at <= now

    def is_paused(self, now: datetime) -> bool:
        return self.paused_until is not None and self.paused_until > now


class Revision(models.Model):
    """An immutable copy of a schedule's definition and policies; a run points at the one it runs."""

    schedule = models.ForeignKey(Schedule, null=True, on_delete=models.SET_NULL, related_name="revisions")
    number = models.PositiveIntegerField()
    definition = models.JSONField()
    digest = models.CharField(max_length=64)
    changed_by = models.CharField(max_length=150, blank=True)
    changed_at = models.DateTimeField()
    note = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ("-number",)
        constraints = [
            models.UniqueConstraint(fields=["schedule", "number"], name="revision_number_once"),
        ]

    def __str__(self) -> str:
        return f"Revision {self.number}"
