"""What workers said of the commands of schedules: could they run here?"""

from __future__ import annotations

from django.db import models

from schedules.models.schedule import Schedule


class CommandCheck(models.Model):
    """The last answer of one worker for one schedule. `findings`: dicts with level, code and text."""

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="command_checks")
    worker_name = models.CharField(max_length=255)
    host = models.CharField(max_length=255)
    account = models.CharField(max_length=100)
    # Of the definition that was checked: another one has to be checked again.
    digest = models.CharField(max_length=64)
    checked_at = models.DateTimeField()
    is_ok = models.BooleanField()
    findings = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["schedule", "worker_name"], name="command_check_once"),
        ]

    def __str__(self) -> str:
        return f"Check of {self.schedule_id} by {self.worker_name}"
