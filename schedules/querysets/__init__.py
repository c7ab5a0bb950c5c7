"""Every row lock and every compare-and-set: one method per transition of a run; nobody else moves `state`.

    clock       `database_now`, the one clock
    schedules   what is due, and what is edited, locked
    runs        T1 to T8, of what our own workers execute
    sent        T2s and T9, of what another codebase executes
    processes   heartbeats of workers and beats

A method that returns False or an empty list lost a race: normal, not an error. All are called inside
the caller's transaction where they say so. `now` is the database's time, read once by the caller.
"""

from schedules.querysets.clock import database_now
from schedules.querysets.processes import BeatQuerySet, BootQuerySet, WorkerQuerySet
from schedules.querysets.runs import Doorbell, RunQuerySet, is_overlap
from schedules.querysets.schedules import ScheduleQuerySet
from schedules.querysets.sent import Heard, Sent

__all__ = [
    "BeatQuerySet",
    "BootQuerySet",
    "Doorbell",
    "Heard",
    "RunQuerySet",
    "ScheduleQuerySet",
    "Sent",
    "WorkerQuerySet",
    "database_now",
    "is_overlap",
]
