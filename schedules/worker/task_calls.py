"""A schedule's Celery task, called in this process with its own arguments. Called by `execute`.

The task sees a request of its own, its hooks (`on_success`, ...) and signals fire, and what it logs
and prints is kept. `called_directly` is True: with False, `self.retry()` and `autoretry_for` would
send a second real message that escapes the schedule's policy.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import threading
import time
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from billiard.einfo import ExceptionInfo
from celery import current_app, signals
from celery.app.trace import task_has_custom
from celery.exceptions import Ignore, NotRegistered, Reject, Retry, SoftTimeLimitExceeded

from schedules.models import Attempt, Run
from schedules.rules.definition import Definition
from schedules.rules.states import Outcome
from schedules.worker.process import End, Execution, Process
from schedules.worker.work import Ended, Piece

RESULT_LIMIT = 1000
OUTPUT_LIMIT = 256 * 1024

ENDED_BY = {
    End.TIMEOUT: (Outcome.TIMED_OUT, "The task ran longer than its timeout."),
    End.CANCEL: (Outcome.CANCELLED, "The task was cancelled."),
    End.INTERRUPT: (Outcome.INTERRUPTED, "The worker stopped before the task had ended."),
}


def call_task(definition: Definition, run: Run, attempt: Attempt, here: Process) -> Ended:
    """Blocks until the task is over."""
    try:
        task = current_app.tasks[definition.task]
    except NotRegistered:
        return Ended(
            outcome=Outcome.FAILED,
            error_class="NotRegistered",
            error=f'This worker knows no task "{definition.task}". Its module must be imported by the '
            "worker: name it in BEATKEEPER_TASK_MODULES or in Celery's imports setting.",
            exceptions=("celery.exceptions.NotRegistered",),
        )
    call = Call(task, definition, run, attempt, here)
    with _captured() as captured:
        ended = call()
    return captured.added_to(ended)


class Call:
    """One call of one task: request pushed, signals and hooks fired, exceptions judged."""

    def __init__(self, task: Any, definition: Definition, run: Run, attempt: Attempt, here: Process) -> None:
        self.task, self.here = task, here
        self.id = str(uuid.uuid4())
        self.args: list[Any] = json.loads(definition.args)
        self.kwargs: dict[str, Any] = json.loads(definition.kwargs)
        self.timeout, self.kill_grace = definition.timeout, definition.kill_grace
        self.token = attempt.token
        self.request = {
            "id": self.id,
            "root_id": self.id,
            "task": definition.task,
            "args": self.args,
            "kwargs": self.kwargs,
            "retries": attempt.number - 1,
            "hostname": here.name,
            "called_directly": True,
            "is_eager": False,
            "headers": json.loads(definition.headers) | {"periodic_task_name": definition.name},
            "delivery_info": {"is_eager": False},
            "origin": f"run {run.pk}",
        }

    def __call__(self) -> Ended:
        task = self.task
        task.push_request(**self.request)
        try:
            signals.task_prerun.send(
                sender=task, task_id=self.id, task=task, args=self.args, kwargs=self.kwargs
            )
            return self._judged()
        finally:
            task.pop_request()

    def _judged(self) -> Ended:
        execution = Execution(self.token, _interrupter(), deadline=self._deadline(), grace=self.kill_grace)
        try:
            result = self._protected(execution)
        except (Exception, SystemExit) as error:
            return self._failed(error, execution.ended_by)
        self._hook("on_success", result, self.id, self.args, self.kwargs)
        signals.task_success.send(sender=self.task, result=result)
        self._after("SUCCESS", result, None)
        return Ended(outcome=Outcome.SUCCEEDED, result=_shown(result))

    def _protected(self, execution: Execution) -> Any:
        """The call itself, the only stretch in which `execution` may be ended from outside."""
        fun = self.task if task_has_custom(self.task, "__call__") else self.task.run
        with self.here.executing(execution):
            try:
                self.task.before_start(self.id, self.args, self.kwargs)
                return fun(*self.args, **self.kwargs)
            finally:
                execution.over()
                time.sleep(0)  # a signal that is under way arrives here, inside the caller's `try`

    def _deadline(self) -> float | None:
        return None if self.timeout is None else time.monotonic() + self.timeout

    def _failed(self, error: BaseException, ended_by: End | None) -> Ended:
        if isinstance(error, Ignore) and not isinstance(error, Reject):
            self._after("IGNORED", error, None)
            return Ended(outcome=Outcome.SUCCEEDED, result="ignored by the task")
        cause = error.exc if isinstance(error, Retry) and error.exc is not None else error
        einfo = ExceptionInfo()
        self._hook("on_failure", cause, self.id, self.args, self.kwargs, einfo)
        signals.task_failure.send(
            sender=self.task,
            task_id=self.id,
            exception=cause,
            args=self.args,
            kwargs=self.kwargs,
            traceback=error.__traceback__,
            einfo=einfo,
        )
        self._after("FAILURE", cause, einfo)
        outcome, said = Outcome.FAILED, str(cause)
        if ended_by is not None and isinstance(error, SoftTimeLimitExceeded):
            outcome, said = ENDED_BY[ended_by]
        return Ended(
            outcome=outcome,
            error_class=type(cause).__name__,
            error=said[:10_000],
            traceback="".join(traceback.format_exception(error))[-100_000:],
            exceptions=_names(type(cause)),
            final=isinstance(error, Reject),
        )

    def _hook(self, name: str, *args: Any) -> None:
        """A hook that fails does not change how the task ended."""
        try:
            getattr(self.task, name)(*args)
        except Exception:
            logging.getLogger("beatkeeper").exception("%s of %s failed", name, self.task.name)

    def _after(self, state: str, result: Any, einfo: Any) -> None:
        self._hook("after_return", state, result, self.id, self.args, self.kwargs, einfo)
        signals.task_postrun.send(
            sender=self.task,
            task_id=self.id,
            task=self.task,
            args=self.args,
            kwargs=self.kwargs,
            retval=result,
            state=state,
        )


def _interrupter() -> Callable[[], None]:
    """Raises SoftTimeLimitExceeded in the task, where Celery's prefork pool has a handler for that."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None  # a thread cannot be ended: the task ends by itself
    if signal.getsignal(signal.SIGUSR1) in (signal.SIG_DFL, signal.SIG_IGN, None):
        return lambda: None
    return lambda: os.kill(os.getpid(), signal.SIGUSR1)


def _shown(result: Any) -> str:
    if result is None:
        return ""
    try:
        text = repr(result)
    except Exception as error:
        text = f"<{type(result).__name__} whose repr failed: {error}>"
    return text[:RESULT_LIMIT].replace("\x00", "\ufffd")


def _names(kind: type[BaseException]) -> tuple[str, ...]:
    """The class and its bases as "module.Name", nearest first."""
    known = [cls for cls in kind.__mro__ if issubclass(cls, BaseException)]
    return tuple(f"{cls.__module__}.{cls.__qualname__}".removeprefix("builtins.") for cls in known)


class Captured:
    """What one thread logs and prints, the last OUTPUT_LIMIT characters of it."""

    def __init__(self) -> None:
        self.pieces: deque[Piece] = deque()
        self.size = self.dropped = 0

    def keep(self, stream: str, text: str) -> None:
        text = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
        self.pieces.append((stream, text))
        self.size += len(text)
        while (excess := self.size - OUTPUT_LIMIT) > 0:
            first, oldest = self.pieces[0]
            gone = oldest[:excess]
            self.size -= len(gone)
            self.dropped += len(gone.encode())
            if len(gone) < len(oldest):
                self.pieces[0] = (first, oldest[excess:])
            else:
                self.pieces.popleft()

    def added_to(self, ended: Ended) -> Ended:
        seen = sum(len(text.encode()) for _, text in self.pieces) + self.dropped
        return replace(ended, tail=tuple(self.pieces), bytes_seen=seen, bytes_dropped=self.dropped)


class _LogHandler(logging.Handler):
    def __init__(self, captured: Captured) -> None:
        super().__init__(logging.INFO)
        self.captured, self.thread_id = captured, threading.get_ident()
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread_id and record.name != "beatkeeper":
            try:
                self.captured.keep("stderr", self.format(record) + "\n")
            except Exception:  # as every handler of `logging`: a bad call of a logger fails no task
                self.handleError(record)


class _Stream(io.TextIOBase):
    def __init__(self, captured: Captured, name: str) -> None:
        self.captured, self.name = captured, name

    def write(self, text: str) -> int:
        self.captured.keep(self.name, text)
        return len(text)


@contextlib.contextmanager
def _captured() -> Iterator[Captured]:
    """Log records of this thread; prints too where the process runs one task at a time."""
    captured = Captured()
    handler = _LogHandler(captured)
    root = logging.getLogger()
    root.addHandler(handler)
    alone = threading.current_thread() is threading.main_thread()
    try:
        if not alone:
            yield captured
            return
        with (
            contextlib.redirect_stdout(_Stream(captured, "stdout")),
            contextlib.redirect_stderr(_Stream(captured, "stderr")),
        ):
            yield captured
    finally:
        root.removeHandler(handler)
