"""What is kept of crontabs and of the move off cron: files as they were read, comparisons, cut-overs."""

from __future__ import annotations

from django.db import models

from schedules.models.schedule import Schedule


class CrontabFile(models.Model):
    """A crontab as it was last imported, byte for byte: what an export gives back."""

    # The same words as in `Schedule.source`.
    source = models.CharField(max_length=255, unique=True)
    # Where it was read; "" for standard input.
    path = models.CharField(max_length=4096, blank=True)
    format = models.CharField(max_length=10)
    account = models.CharField(max_length=100, blank=True)
    dialect = models.CharField(max_length=20, default="cron")
    timezone = models.CharField(max_length=64, blank=True)
    content = models.BinaryField()
    imported_at = models.DateTimeField()
    imported_by = models.CharField(max_length=150, blank=True)

    def __str__(self) -> str:
        return self.source


class CutOver(models.Model):
    """A line that was taken out of a crontab because its schedule runs it now, and how to go back."""

    schedule = models.ForeignKey(Schedule, null=True, on_delete=models.SET_NULL, related_name="cut_overs")
    name = models.CharField(max_length=200)
    path = models.CharField(max_length=4096)
    line = models.PositiveIntegerField()
    # The line as cron had it, without its end.
    text = models.BinaryField()
    backup = models.CharField(max_length=4096)
    # From this instant on the schedule runs it and cron does not.
    effective_at = models.DateTimeField()
    done_by = models.CharField(max_length=150, blank=True)
    undone_at = models.DateTimeField(null=True, blank=True)
    undone_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(
                fields=["schedule"], condition=models.Q(undone_at__isnull=True), name="cut_over_once"
            ),
        ]

    def __str__(self) -> str:
        return f"Cut-over of {self.name}"


class CronComparison(models.Model):
    """What cron's own log says was started, beside what the schedules would have started or did start."""

    compared_at = models.DateTimeField()
    compared_by = models.CharField(max_length=150, blank=True)
    log = models.CharField(max_length=4096)
    since = models.DateTimeField()
    until = models.DateTimeField()
    matched = models.PositiveIntegerField()
    only_cron = models.PositiveIntegerField()
    only_us = models.PositiveIntegerField()
    # A dict for each schedule, and for each command that belongs to none.
    result = models.JSONField(default=list)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"Comparison with {self.log}"
