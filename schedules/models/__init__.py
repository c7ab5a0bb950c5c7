"""The tables: fields, constraints, what a row says of itself. Locks and transitions are in `querysets`."""

from schedules.models.check import CommandCheck
from schedules.models.crontab import CronComparison, CrontabFile, CutOver
from schedules.models.policy import RetryPolicy
from schedules.models.process import Beat, Boot, Worker, ZoneData
from schedules.models.run import Attempt, AttemptOutput, Run
from schedules.models.schedule import Revision, Schedule

__all__ = [
    "Attempt",
    "AttemptOutput",
    "Beat",
    "Boot",
    "CommandCheck",
    "CronComparison",
    "CrontabFile",
    "CutOver",
    "RetryPolicy",
    "Revision",
    "Run",
    "Schedule",
    "Worker",
    "ZoneData",
]
