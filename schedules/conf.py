"""What an installation may change, each with unit, default and reason. Everything else in the app asks here.

Values come from the dictionary `BEATKEEPER` in Django's settings; every key has a default, so a
project that adopts the app needs no settings at all.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed


@dataclass(frozen=True, kw_only=True)
class Conf:
    # Which commands a worker runs, whatever the database says: "shell" (any), "allow-list" (those in
    # the file), "off" (none). Read by the worker itself, so a stolen admin session cannot widen it.
    commands: str = "shell"
    # One command a line, compared as a whole.
    allowed_commands_file: str = ""
    # Queues that a schedule may name. Empty: any (a project that adopts the app declares its own).
    queues: tuple[str, ...] = ()
    # Where a routing key goes whose schedule names no exchange. Empty: Celery's own routing decides.
    topic_exchange: str = ""
    # Address of RabbitMQ's management API, with user and password, for `check_production` alone: it then says
    # of which node memory or disk is short. Empty: AMQP tells only that no message is taken.
    rabbitmq_api: str = ""
    # Where commands go that name no queue.
    commands_queue: str = "commands"

    # Due rows per dispatch transaction: large enough to be cheap, small enough that the first
    # messages go out while the next rows are still being claimed (some 80 ms). At most 1000.
    batch: int = 1000
    # An instant this old is still on time; beyond it the catch-up policy decides.
    on_time_seconds: float = 60
    # Late runs that catch-up "all" may start for one schedule after a downtime.
    catch_up_limit: int = 100
    # Missed instants that one transaction accounts for; the rest follow in the next batch.
    missed_limit: int = 10_000

    # Messages outstanding per queue: more would only wait in the broker, 1 KB each, instead of in the table.
    doorbells: int = 100_000
    # After this long without a claim the message counts as lost and is sent again; the last repeats.
    redispatch_seconds: tuple[int, ...] = (30, 60, 120, 300, 600)
    # A run whose message the broker refused waits this long.
    publish_retry_seconds: float = 2

    # Database connections that the threads of a worker share; each is used for milliseconds.
    connections: int = 8

    heartbeat_seconds: float = 10
    # A process whose heartbeat has not moved for this long, by the rescuer's own monotonic clock, is dead.
    lease_seconds: float = 60
    # How often a process that executes something looks for cancel requests.
    cancel_poll_seconds: float = 1
    # On SIGTERM a worker lets what is short finish for this long; then it interrupts what still runs.
    # 3 suits `up`, which has to end within 10 of Ctrl-C. Where deployments are to wait for jobs, minutes.
    drain_seconds: float = 3
    # Directory for results that a worker could not record, because the database was away, when it had to
    # stop; the next worker that has the same directory delivers them. Empty: they are lost with the worker.
    spool_directory: str = ""
    # Attempts that may be lost with their workers before a run is given up, whatever its policy says.
    worker_lost_limit: int = 3
    # The database clock and the monotonic clock may drift apart by this much between two ticks.
    clock_jump_seconds: float = 30

    # The full comparison of every row with what was last seen; changes announced are found at once.
    reconcile_seconds: float = 180
    retention_days: float = 30
    # Of runs that failed, timed out or were lost; None, or less than the above: as all others.
    retention_failed_days: float | None = None
    # The last runs of each schedule are kept however old they are.
    retention_runs: int = 100
    retention_batch: int = 1000

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)

    @property
    def on_time(self) -> timedelta:
        return timedelta(seconds=self.on_time_seconds)


@lru_cache(maxsize=1)
def current() -> Conf:
    """The values in force. Raises TypeError where BEATKEEPER has a key that does not exist."""
    given: dict[str, Any] = dict(getattr(settings, "BEATKEEPER", {}))
    unknown = given.keys() - {field.name for field in fields(Conf)}
    if unknown:
        known = ", ".join(field.name for field in fields(Conf))
        raise TypeError(f"BEATKEEPER has unknown keys: {', '.join(sorted(unknown))}. Known: {known}.")
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    return Conf(**given)


def _forget(*, setting: str, **_: object) -> None:
    if setting == "BEATKEEPER":
        current.cache_clear()


setting_changed.connect(_forget)
