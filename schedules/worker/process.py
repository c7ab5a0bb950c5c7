"""This executing process: its Worker row, its heartbeat, its command launcher, and what it executes just now.

One per process: a threads worker, or each child of a prefork worker. `execute` asks here; `tasks`
starts and stops it. No run is decided here.
"""

from __future__ import annotations

import getpass
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum

from django.db import Error as DatabaseError
from django.db import close_old_connections, connection

from schedules import conf, events
from schedules.errors import RunnerError
from schedules.models import Run, Worker
from schedules.querysets import database_now
from schedules.runner.launcher import Launcher
from schedules.worker import facts
from schedules.worker.pool import Pool

LAST_HEARTBEAT_SECONDS = 1.0
"""So long the end of a process waits for a heartbeat that is under way; it may hang in a dead connection."""


class End(StrEnum):
    """Why an execution is being ended from outside."""

    CANCEL = "cancel"
    TIMEOUT = "timeout"
    INTERRUPT = "interrupt"  # the worker stops


@dataclass
class Execution:
    """One attempt that this process executes. `end` stops it, at most once, from any thread."""

    token: uuid.UUID
    stop: Callable[[], None]
    deadline: float | None = None  # time.monotonic()
    # Seconds that it may take to heed `stop`; None where it always does, as a command that has a runner.
    grace: float | None = None
    ended_by: End | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: bool = False

    def end(self, why: End) -> None:
        with self._lock:
            if self.ended_by is None and not self._over:
                self.ended_by = why
                self.stop()

    def over(self) -> None:
        """From here on nothing ends it any more."""
        with self._lock:
            self._over = True


class Process:
    """Registers itself, beats, and ends executions on request. Thread-safe."""

    on_disowned: Callable[[list[int]], object] = staticmethod(lambda run_ids: None)
    """Called with runs that this process does not execute, although the table says so."""

    def __init__(self, *, name: str, queues: str, pool: str, parent_pid: int | None) -> None:
        self.name, self.queues, self.pool, self.parent_pid = name, queues, pool, parent_pid
        self.pid = os.getpid()
        self.launcher = Launcher()
        self.database = Pool(conf.current().connections)
        self.is_leaving = threading.Event()  # nothing is begun any more
        self.is_stopping = threading.Event()  # and what runs is interrupted
        self.leaves_results = False  # in the spool
        self._worker: Worker | None = None
        self._executions: dict[uuid.UUID, Execution] = {}
        self._held: list[int] = []
        self._unknown: set[int] = set()
        self._beat_at = self._told_at = float("-inf")
        self._failures = 0  # of the heartbeat, in a row
        self._lock, self._register_lock = threading.Lock(), threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)

    def start(self) -> None:
        """The thread registers the process, as soon as the database answers."""
        self._thread.start()

    def stop(self) -> None:
        """The end of the process: what still runs is interrupted, and the row says that it stopped.

        Not where it leaves results in the spool: the runs of a worker that stopped are lost at once, those of
        a silent one after a lease, in which somebody may deliver them.
        """
        self.interrupt_all()
        self._ended.set()
        if self._thread.is_alive():  # a heartbeat after the row's last word would be the word of a ghost
            self._thread.join(LAST_HEARTBEAT_SECONDS)
        self.launcher.close()
        self.database.close()
        if self._worker is not None and not self.leaves_results:
            close_old_connections()
            try:
                Worker.objects.stop(self._worker.pk)
            except DatabaseError as error:  # its heartbeat has ended, which says the same a lease later
                events.part_failed("stop", error)

    @property
    def worker(self) -> Worker:
        with self._register_lock:
            if self._worker is None:
                self._worker = self._register()
            return self._worker

    def forget_worker(self, worker: Worker) -> None:
        """Its row is gone: the next look registers anew, unless somebody has done so already."""
        with self._register_lock:
            if self._worker is worker:
                self._worker = None

    def _register(self) -> Worker:
        now = database_now()
        worker = Worker.objects.create(
            name=self.name,
            host=socket.gethostname(),
            pid=self.pid,
            parent_pid=self.parent_pid,
            queues=self.queues,
            pool=self.pool,
            account=_account(),
            started_at=now,
            seen_at=now,
            facts=facts.gather(),
        )
        self._told_at = time.monotonic()
        events.worker_started(worker)
        return worker

    @contextmanager
    def holding(self, run_id: int) -> Iterator[None]:
        """From before the claim until after the record: meanwhile this process answers for the run."""
        with self._lock:
            self._held.append(run_id)
        try:
            yield
        finally:
            with self._lock:
                self._held.remove(run_id)

    @contextmanager
    def executing(self, execution: Execution) -> Iterator[Execution]:
        with self._lock:
            self._executions[execution.token] = execution
        try:
            if self.is_stopping.is_set():
                execution.end(End.INTERRUPT)
            yield execution
        finally:
            execution.over()
            with self._lock:
                del self._executions[execution.token]

    def executions(self) -> dict[uuid.UUID, Execution]:
        with self._lock:
            return dict(self._executions)

    def interrupt_all(self) -> None:
        self.is_leaving.set()
        self.is_stopping.set()
        for execution in self.executions().values():
            execution.end(End.INTERRUPT)

    def _watch(self) -> None:
        """The heartbeat thread. Its troubles are its own: the executions, and the thread, go on."""
        self._warm_up()
        while True:
            self._try()
            if self._ended.wait(self._pause()):
                break
        connection.close()

    def _try(self) -> None:
        try:
            self._look()
        except Exception as error:
            self._failures += 1
            events.part_failing("heartbeat", error, failures=self._failures)
            connection.close()
        else:
            if self._failures:
                events.part_recovered("heartbeat", failures=self._failures)
                self._failures = 0

    def _warm_up(self) -> None:
        """The first command need not wait for the process that starts commands."""
        if self.pool == "thread":
            with suppress(RunnerError):  # the first command will say why
                self.launcher.start()
                self.launcher.prepare()

    def _look(self) -> None:
        for execution in self.executions().values():
            if execution.deadline is not None and time.monotonic() >= execution.deadline:
                execution.end(End.TIMEOUT)
        self._beat()
        self._honour_the_table()

    def _pause(self) -> float:
        """Seconds until the next look: a cancel request is seen within one, an idle process looks less."""
        values = conf.current()
        idle = min(values.heartbeat_seconds, values.cancel_poll_seconds * 2)
        return min(idle, values.cancel_poll_seconds) if self._executions else idle

    def _beat(self) -> None:
        if time.monotonic() - self._beat_at < conf.current().heartbeat_seconds:
            return
        close_old_connections()
        worker = self.worker
        if not Worker.objects.beat(worker.pk):
            self.forget_worker(worker)
        self._tell(worker)
        self._disown()
        self.database.warm(conf.current().connections if self.pool == "thread" else 1)
        self._beat_at = time.monotonic()

    def _tell(self, worker: Worker) -> None:
        """Versions and the clock's skew, now and then: a clock that runs away does so slowly."""
        if time.monotonic() - self._told_at >= facts.REFRESH_SECONDS:
            Worker.objects.filter(pk=worker.pk).update(facts=facts.gather())
            self._told_at = time.monotonic()

    def _disown(self) -> None:
        """Gives up runs that the table says are executed here and are not: the answer to a claim was lost.

        Only what two heartbeats in a row do not know: a claim may be under way.
        """
        with self._lock:
            held = set(self._held)
        unknown = set(Run.objects.executed_by(self.worker)) - held
        if lost := unknown & self._unknown:
            self.on_disowned(sorted(lost))
        self._unknown = unknown

    def _honour_the_table(self) -> None:
        """Ends what somebody asked to cancel, and what was taken away: it may run elsewhere by now."""
        executions = self.executions()
        if not executions:
            return
        cancelled = Run.objects.cancel_requests(executions)
        for token, execution in executions.items():
            if token not in cancelled:
                execution.end(End.INTERRUPT)
            elif cancelled[token]:
                execution.end(End.CANCEL)


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return str(os.getuid())


@dataclass
class Identity:
    """What Celery tells about the worker before its children are forked."""

    name: str = ""
    queues: str = ""
    pool: str = "solo"


identity = Identity()
_current: Process | None = None
_current_lock = threading.Lock()


def current() -> Process:
    """The process we are in; registered at first use, and anew in a forked child."""
    global _current
    with _current_lock:
        if _current is None or _current.pid != os.getpid():
            forked = identity.pool == "prefork"
            _current = Process(
                name=identity.name or f"pid{os.getpid()}@{socket.gethostname()}",
                queues=identity.queues,
                pool=identity.pool,
                parent_pid=os.getppid() if forked else None,
            )
            _current.start()
        return _current


def stop_current() -> None:
    global _current
    with _current_lock:
        if _current is not None and _current.pid == os.getpid():
            _current.stop()
            _current = None


def existing() -> Process | None:
    """The process we are in, where it has begun to execute."""
    return _current if _current is not None and _current.pid == os.getpid() else None
