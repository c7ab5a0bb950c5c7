"""How a worker stops: it begins nothing new, waits a while, ends in order what still runs, and is gone.

    SIGTERM, `celery control shutdown`     wait `drain_seconds`, then end what still runs
    a second SIGTERM, SIGQUIT              end it at once (SIGQUIT after Celery's soft shutdown, if set)

Ending is asking first. A command gets SIGTERM, its schedule's grace, SIGKILL, with all it started, from
its runner. A task gets SoftTimeLimitExceeded where the pool can raise it; one that does not heed that
within its grace ends with its process. Every attempt that is ended so is `interrupted`, and
`on_worker_lost` decides. Celery's own tasks in the same worker are waited for, as Celery does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from celery import bootsteps, signals
from celery.worker import state
from celery.worker.request import Request
from django.db import connections

from schedules import conf, events, rescue
from schedules.models import Run
from schedules.worker import process

ONE_KEYSTROKE = 0.5
"""Seconds: wrappers pass one Ctrl-C, or one SIGTERM, on twice."""

LOOK_SECONDS = 0.1


class StoppableRequest(Request):
    """A message that can be told to end in order."""

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:
        """Celery's cold shutdown. Its own way kills a prefork child, and fails in a pool of threads."""
        stop.now()


class Stop:
    """The stop of this worker, once it has begun. Called in the main thread, also from signal handlers.

    So the work is done in threads: a handler may find any lock taken.
    """

    def __init__(self) -> None:
        self._begun_at: float | None = None
        self._is_impatient = False

    def begin(self) -> None:
        """What runs may go on for `drain_seconds`. When asked again: no longer."""
        if self._begun_at is None:
            self._begun_at = time.monotonic()
            _later(0, _leave)
            _later(conf.current().drain_seconds, _interrupt)
        elif time.monotonic() - self._begun_at > ONE_KEYSTROKE:
            self.now()

    def now(self) -> None:
        if self._begun_at is None:
            self._begun_at = time.monotonic()
        if not self._is_impatient:
            self._is_impatient = True
            _later(0, _interrupt)

    @property
    def has_begun(self) -> bool:
        return self._begun_at is not None


stop = Stop()


class Drain(bootsteps.StartStopStep):
    """Celery comes by here however the worker is made to stop."""

    requires = ("celery.worker.components:Pool",)

    def close(self, worker: Any) -> None:
        """Before consumer and pool. Never raises: the worker would not stop."""
        if not stop.has_begun:
            stop.begin()
        ring_again()


@signals.worker_init.connect
def prepare(sender: Any, **_: Any) -> None:
    sender.app.steps["worker"].add(Drain)


@signals.worker_shutting_down.connect
def hear(how: str = "Warm", **_: Any) -> None:
    """A signal has come. What Celery calls cold is over when it says so."""
    if how == "Cold":
        stop.now()
    else:
        stop.begin()


def ring_again() -> None:
    """For the runs whose messages this worker has taken and not begun.

    A broker may keep such messages until the worker is gone, or lose them. One that comes twice is harmless.
    """
    try:
        waiting = _ours(state.reserved_requests) - _ours(state.active_requests)
        if run_ids := [request.args[0] for request in waiting]:
            events.rung_again(Run.objects.ring_again(run_ids))
            connections.close_all()
    except Exception as error:  # `redispatch_at` will do, a little later
        events.part_failed("ring again", error)


def interrupt_here() -> None:
    """Ends what this very process executes: a worker with threads, or one child of a prefork worker.

    Returns when all has ended. What does not heed is recorded as interrupted, and the process ended.
    """
    here = process.existing()
    if here is None:
        return
    here.interrupt_all()
    since = time.monotonic()
    while executions := here.executions():
        if all(is_deaf(execution, time.monotonic() - since) for execution in executions.values()):
            _abandon(here, executions)
        time.sleep(LOOK_SECONDS)


def is_deaf(execution: process.Execution, seconds: float) -> bool:
    """Whether an execution that was asked to end `seconds` ago will not do so any more."""
    return execution.grace is not None and seconds > execution.grace


def _leave() -> None:
    if here := process.existing():
        here.is_leaving.set()


def _interrupt() -> None:
    executing = {request.worker_pid for request in _ours(state.active_requests)}
    for pid in executing - {None, os.getpid()}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGUSR2)
    interrupt_here()


def _ours(requests: Iterable[Any]) -> set[Any]:
    while True:
        try:
            return {request for request in set(requests) if isinstance(request, StoppableRequest)}
        except RuntimeError:  # a thread of the pool has just added or removed one
            continue


def _abandon(here: process.Process, executions: Iterable[Any]) -> None:
    """The end of a process whose task cannot be ended. Somebody else's task in it is waited for."""
    if len(_ours(state.active_requests)) < len(state.active_requests):
        return
    try:
        rescue.rescue_deaf(executions)
    except Exception as error:  # the lease will tell
        events.part_failed("stop", error)
    process.stop_current()
    os._exit(1)


def _later(seconds: float, function: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, function)
    timer.daemon = True
    timer.start()
