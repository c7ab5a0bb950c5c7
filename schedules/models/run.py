"""Runs and their attempts. Rows are narrow: output has a table of its own.

`state` is moved by the methods of `querysets.RunQuerySet` alone; the constraints repeat its rules.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import Q

from schedules.models.choices import choices, values
from schedules.models.process import Worker
from schedules.models.schedule import Revision, Schedule
from schedules.querysets import RunQuerySet
from schedules.rules.states import (
    ACTIVE,
    BY_THE_CLOCK,
    FAILURES,
    FINAL,
    WAITING,
    Outcome,
    State,
    Trigger,
)

UNUSUAL = FINAL - {State.SUCCEEDED}
UNUSUAL_TRIGGERS = set(Trigger) - {Trigger.SCHEDULE}


class Run(models.Model):
    """The life of one occurrence, or of one manual start, from due to its final state."""

    schedule = models.ForeignKey(
        Schedule,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="runs",
        db_index=False,
    )
    name = models.CharField(max_length=200)
    revision = models.ForeignKey(
        Revision, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    scheduled_for = models.DateTimeField()
    trigger = models.CharField(max_length=10, choices=choices(Trigger))
    triggered_by = models.CharField(max_length=150, blank=True)
    rerun_of = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="reruns"
    )
    queue = models.CharField(max_length=200, blank=True)
    # The process that decided it: a beat, or who edited the schedule while it was due.
    decided_by = models.CharField(max_length=150, blank=True)

    state = models.CharField(max_length=10, default=State.PENDING.value, choices=choices(State))
    reason = models.CharField(max_length=30, blank=True)
    detail = models.TextField(blank=True)
    missed_count = models.PositiveIntegerField(default=0)
    missed_until = models.DateTimeField(null=True, blank=True)

    attempt = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=1)
    token = models.UUIDField(null=True, blank=True)
    worker = models.ForeignKey(
        Worker,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="runs",
        db_index=False,
    )
    cancel_requested = models.BooleanField(default=False)
    concurrency_key = models.CharField(max_length=255, blank=True)
    exclusive = models.BooleanField(default=False)

    created_at = models.DateTimeField()
    available_at = models.DateTimeField()
    redispatch_at = models.DateTimeField(null=True, blank=True)
    dispatches = models.PositiveIntegerField(default=0)
    queued_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        permissions = [
            ("view_output", "Can view the output of attempts"),
            ("cancel_run", "Can cancel runs, and end or hasten their retries"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["schedule", "scheduled_for"],
                condition=Q(trigger__in=values(BY_THE_CLOCK)),
                name="run_once_per_instant",
            ),
            models.UniqueConstraint(
                fields=["concurrency_key"],
                condition=Q(state=State.RUNNING.value, exclusive=True),
                name="run_exclusive",
            ),
            models.CheckConstraint(condition=Q(state__in=values(State)), name="run_state_known"),
            models.CheckConstraint(
                condition=Q(state__in=values(FINAL), finished_at__isnull=False)
                | Q(state__in=values(ACTIVE), finished_at__isnull=True),
                name="run_final_is_finished",
            ),
            models.CheckConstraint(
                condition=Q(state=State.RUNNING.value, token__isnull=False)
                | (~Q(state=State.RUNNING.value) & Q(token__isnull=True)),
                name="run_running_has_token",
            ),
        ]
        indexes = [
            models.Index(fields=["available_at"], condition=Q(state=State.PENDING.value), name="run_pending"),
            models.Index(fields=["redispatch_at"], condition=Q(state=State.QUEUED.value), name="run_queued"),
            models.Index(fields=["worker"], condition=Q(state=State.RUNNING.value), name="run_running"),
            models.Index(fields=["schedule"], condition=Q(state__in=values(ACTIVE)), name="run_active"),
            models.Index(
                fields=["available_at"],
                condition=Q(state__in=values(WAITING), attempt__gt=0),
                name="run_retrying",
            ),
            models.Index(fields=["schedule", "-id"], name="run_of_schedule"),
            # The lists, newest first. Runs that are active or succeeded are found without: the first
            # are few, the others most.
            models.Index(
                fields=["state", "-id"], condition=Q(state__in=values(UNUSUAL)), name="run_ended_as"
            ),
            models.Index(fields=["-id"], condition=Q(state__in=values(FAILURES)), name="run_failures"),
            models.Index(
                fields=["-id"], condition=Q(state=State.SUCCEEDED.value, attempt__gt=1), name="run_mended"
            ),
            models.Index(
                fields=["trigger", "-id"],
                condition=Q(trigger__in=values(UNUSUAL_TRIGGERS)),
                name="run_by_trigger",
            ),
            # Retention, by schedule and age, apart from what failed, which may be kept for longer.
            models.Index(
                fields=["schedule", "finished_at"],
                condition=Q(state__in=values(FINAL - FAILURES)),
                name="run_aged",
            ),
            models.Index(
                fields=["schedule", "finished_at"],
                condition=Q(state__in=values(FAILURES)),
                name="run_failures_aged",
            ),
            models.Index(
                fields=["finished_at"], condition=Q(state__in=values(FAILURES)), name="run_failed_at"
            ),
            # Of the few rows that stand for missed instants, those that reach into a time.
            models.Index(
                fields=["missed_until"], condition=Q(missed_until__isnull=False), name="run_missed_until"
            ),
            # Whether a worker's row is still referred to.
            models.Index(fields=["worker"], condition=Q(worker__isnull=False), name="run_of_worker"),
        ]

    def __str__(self) -> str:
        return f"Run {self.pk} of {self.name}"

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def is_retrying(self) -> bool:
        """Waits for its next attempt."""
        return self.state in (State.PENDING, State.QUEUED) and self.attempt > 0

    @property
    def label(self) -> str:
        """The state in the word that people see."""
        return "retrying" if self.is_retrying else str(self.state).replace("_", " ")

    @property
    def duration(self) -> timedelta | None:
        """From the first attempt's start to the end; None while it runs or where it never started."""
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at

    @property
    def lateness(self) -> timedelta | None:
        """From the nominal instant to the first attempt's start."""
        return None if self.started_at is None else self.started_at - self.scheduled_for


class Attempt(models.Model):
    """One execution of a run. Never overwritten: a retry is the next row."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="attempts", db_index=False)
    number = models.PositiveSmallIntegerField()
    token = models.UUIDField()
    planned_at = models.DateTimeField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=15, blank=True, choices=choices(Outcome))
    exit_code = models.IntegerField(null=True, blank=True)
    signal = models.PositiveSmallIntegerField(null=True, blank=True)
    error_class = models.CharField(max_length=255, blank=True)
    error = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    # Equal for attempts that failed the same way: groups failures on the pages.
    fingerprint = models.CharField(max_length=64, blank=True)
    result = models.TextField(blank=True)
    worker = models.ForeignKey(
        Worker, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    worker_name = models.CharField(max_length=255, blank=True)
    pid = models.PositiveIntegerField(null=True, blank=True)
    cpu_seconds = models.FloatField(null=True, blank=True)
    peak_memory = models.PositiveBigIntegerField(null=True, blank=True, help_text="Bytes.")
    leftovers = models.PositiveIntegerField(default=0)
    notes = models.TextField(blank=True)
    # What a worker reported after it had lost the run: noted here, and changes nothing else.
    late_result = models.TextField(blank=True)

    decision = models.CharField(max_length=30, blank=True)
    decision_rule = models.CharField(max_length=100, blank=True)
    decision_delay = models.FloatField(null=True, blank=True, help_text="Seconds.")
    decision_text = models.TextField(blank=True)

    class Meta:
        ordering = ("run", "number")
        constraints = [
            models.UniqueConstraint(fields=["run", "number"], name="attempt_number_once"),
            models.CheckConstraint(
                condition=Q(outcome="", finished_at__isnull=True)
                | (~Q(outcome="") & Q(finished_at__isnull=False)),
                name="attempt_outcome_when_finished",
            ),
            models.CheckConstraint(condition=Q(number__gte=1), name="attempt_counts_from_one"),
        ]
        indexes = [
            models.Index(fields=["worker"], condition=Q(worker__isnull=False), name="attempt_of_worker"),
        ]

    def __str__(self) -> str:
        return f"Attempt {self.number} of run {self.run_id}"

    @property
    def duration(self) -> timedelta | None:
        return None if self.finished_at is None else self.finished_at - self.started_at

    @property
    def label(self) -> str:
        return str(self.outcome).replace("_", " ") if self.outcome else "running"


class AttemptOutput(models.Model):
    """What an attempt printed: the first and the last pieces, in the order in which they arrived.

    `head` and `tail` are lists of [stream, text], stream being "stdout" or "stderr"; between them
    `bytes_dropped` bytes were not kept.
    """

    attempt = models.OneToOneField(Attempt, primary_key=True, on_delete=models.CASCADE, related_name="output")
    head = models.JSONField(default=list)
    tail = models.JSONField(default=list)
    bytes_seen = models.PositiveBigIntegerField(default=0)
    bytes_dropped = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"Output of {self.attempt_id}"

    @property
    def text(self) -> str:
        """Both streams as they arrived, with a line where something was dropped."""
        head = "".join(text for _, text in self.head)
        tail = "".join(text for _, text in self.tail)
        gap = f"\n[… {self.bytes_dropped:,} bytes were not kept …]\n" if self.bytes_dropped else ""
        return head + gap + tail
