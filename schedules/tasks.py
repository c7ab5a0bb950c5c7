"""Celery's entries: parse, call one flow, return. Worker signals start and stop `process`."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from billiard.exceptions import Terminated, WorkerLostError
from celery import Task, shared_task, signals
from django.db import DatabaseError, connections

from schedules import (
    catalog,
    control,  # noqa: F401  # registers what remote control may ask of a worker
    delivering,
    events,
    execute,
    finishing,
    operate,
    rescue,
    stopping,
)
from schedules.parts import Part
from schedules.querysets import database_now
from schedules.rules.states import Outcome
from schedules.stopping import StoppableRequest
from schedules.worker import process, spool

REPORT_RETRY_SECONDS = 5

COURIER_SECONDS = 2.0
"""How often a worker looks for results that another one left in the spool: well within a lease."""

courier: Part | None = None


class AttemptRequest(StoppableRequest):
    """What the parent of a prefork worker hears of the child that executes the message."""

    def on_timeout(self, soft: bool, timeout: float) -> None:
        super().on_timeout(soft, timeout)
        if not soft:
            self._rescue("the task did not end at its timeout and was killed", Outcome.TIMED_OUT)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        error = getattr(exc_info.exception, "exc", exc_info.exception)  # billiard wraps it on the way
        if isinstance(error, WorkerLostError | Terminated):
            self._rescue("the worker process died", Outcome.WORKER_LOST)
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def _rescue(self, what: str, outcome: Outcome) -> None:
        try:
            rescue.rescue_child(
                name=process.identity.name,
                host=socket.gethostname(),
                pid=int(self.worker_pid or 0),
                parent_pid=os.getpid(),
                what=what,
                outcome=outcome,
            )
        finally:
            connections.close_all()  # children are forked from here: they must not inherit it


class AttemptTask(Task):  # type: ignore[type-arg]
    Request = AttemptRequest  # type: ignore[assignment]


@shared_task(base=AttemptTask, name="schedules.run_attempt", ignore_result=True, acks_late=False)
def run_attempt(run_id: int) -> None:
    """Executes one attempt of the run, if it is waiting. Anything else is settled in the database."""
    if process.identity.pool == "prefork":
        _listen()
    execute.execute(run_id)


def _listen() -> None:
    """SIGUSR2 from the parent: interrupt. Here, because billiard sets its own handlers after the start.

    In a thread, because a handler may find any lock taken.
    """
    signal.signal(signal.SIGUSR2, lambda *_: threading.Thread(target=stopping.interrupt_here).start())


@shared_task(bind=True, name="schedules.run_command", ignore_result=True)
def run_command(self: Any) -> None:
    """Starts a manual run of the command schedule that the message names: django-celery-beat's "run"."""
    name = (self.request.headers or {}).get("periodic_task_name") or self.request.get("periodic_task_name")
    operate.run_now(catalog.find(name or ""), by="django-celery-beat")


@signals.celeryd_after_setup.connect
def remember_identity(sender: str, instance: Any, **_: Any) -> None:
    """Before the children are forked: they learn their worker's name and queues from here."""
    process.identity.name = sender
    process.identity.queues = ",".join(sorted(instance.app.amqp.queues.consume_from))
    pool = instance.pool_cls
    process.identity.pool = (pool if isinstance(pool, str) else pool.__module__).rpartition(".")[2]


process.Process.on_disowned = staticmethod(rescue.rescue_disowned)


@signals.worker_process_init.connect
def start_child(**_: Any) -> None:
    process.current()


@signals.worker_process_shutdown.connect
def stop_child(**_: Any) -> None:
    process.stop_current()


@signals.worker_ready.connect
def start_worker(**_: Any) -> None:
    """In threads of their own, which close their connections: a prefork parent forks children later on."""
    global courier
    threading.Thread(target=_report, name="report", daemon=True).start()
    if spool.directory() is not None:
        spool.tidy()
        courier = Part("spool", _deliver, on_trouble=connections.close_all)
        courier.start()
    atexit.register(stop_worker)  # a cold shutdown sends no `worker_shutdown`


def _deliver() -> float:
    """One look into the spool, which costs nothing while it is empty. Returns the seconds until the next."""
    delivered = 0
    with contextlib.suppress(*finishing.AWAY):  # the heartbeat says so in the log
        delivered = delivering.deliver()
    connections.close_all()
    return 0.0 if delivered == delivering.BATCH else COURIER_SECONDS


def _report() -> None:
    """The process row, where this process executes, and the boot of its host; the database may be away."""
    while True:
        try:
            if process.identity.pool != "prefork":
                process.current()
            _note_boot()
            return
        except DatabaseError as error:
            events.part_failed("worker report", error)
            time.sleep(REPORT_RETRY_SECONDS)
        finally:
            connections.close_all()


def _note_boot() -> None:
    up = float(Path("/proc/uptime").read_text().split()[0])
    operate.note_boot(
        host=socket.gethostname(),
        boot_id=Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        booted_at=database_now() - timedelta(seconds=up),
        queues=process.identity.queues.split(","),
    )


@signals.worker_shutdown.connect
def stop_worker(**_: Any) -> None:
    """After the pool. What it could not record is delivered now, if the database is back."""
    global courier
    if courier is not None:
        courier.stop(timeout=COURIER_SECONDS)
        courier = None
        with contextlib.suppress(*finishing.AWAY):
            delivering.deliver()
    process.stop_current()
