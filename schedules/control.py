"""Remote control of a worker: what it answers at once, from its own memory, and does in a thread.

Imported by `tasks`, so that every worker knows it. The handler runs in the worker's main loop: it asks
neither the database nor the file system.
"""

from __future__ import annotations

import threading
from typing import Any

from celery.worker.control import control_command

from schedules import events
from schedules.checking import flow as checking
from schedules.checking import work
from schedules.worker import process

Reply = dict[str, Any]


@control_command(name=checking.CONTROL, args=[("schedules", dict)], signature="{QUEUE: [ID, ...]}")
def check_commands(state: Any, schedules: object = None, **_: Any) -> Reply:
    """Look whether commands could run here; what is found is written to the database."""
    asked = _asked(schedules)
    if asked is None:
        return {"error": "schedules by queue are expected: an object of lists of numbers"}
    queues = sorted(filter(None, process.identity.queues.split(",")))
    own = {pk for queue in queues for pk in asked.get(queue, ())}
    looker.look_at({pk for pks in asked.values() for pk in pks}, worker=str(state.hostname), queues=queues)
    return {"ok": {"queues": queues, "schedules": len(own)}}


def _asked(given: object) -> dict[str, list[int]] | None:
    """Anybody who can write to the broker can send anything."""
    if not isinstance(given, dict):
        return None
    lists = all(isinstance(pks, list) and all(type(pk) is int for pk in pks) for pks in given.values())
    return given if lists else None


class Looker:
    """One thread at a time; what is asked meanwhile is looked at afterwards, once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[int] = set()
        self._is_busy = False

    def look_at(self, pks: set[int], *, worker: str, queues: list[str]) -> None:
        with self._lock:
            self._waiting |= pks
            if self._is_busy or not self._waiting:
                return
            self._is_busy = True
        threading.Thread(target=self._run, args=(worker, queues), name="check", daemon=True).start()

    def _run(self, worker: str, queues: list[str]) -> None:
        while pks := self._next():
            try:
                work.look_at(pks, worker=worker, queues=queues)
            except Exception as error:  # whoever asked sees that no answer came
                events.part_failed("check", error)

    def _next(self) -> set[int]:
        with self._lock:
            pks, self._waiting = self._waiting, set()
            self._is_busy = bool(pks)
            return pks


looker = Looker()
