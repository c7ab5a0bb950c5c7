"""What one beat has opened as queued and not rung yet: from its dispatch part to its publish part, in memory.

A run whose message counts as sent the moment it is committed costs one write less, and a look at the table
less. It is bounded, because what is lost with this process is rung again only at its `redispatch_at`;
while the broker is away it is closed, and runs are opened as pending, for any beat to publish.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

from schedules.querysets import Doorbell

COUNT_SECONDS = 1.0
"""Counting what is outstanding reads every queued run; in between, this process counts its own."""


PROBES, PROBE_SECONDS = 50, 60.0
"""So many overdue messages of a queue are sent again in that time whatever its length says: what waits there
may be of other applications, or a second copy, while ours are lost. One that was not lost costs a claim."""


class Outbox:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bells: deque[Doorbell] = deque()
        self._lock = threading.Lock()
        self._open = False
        self._outstanding: Counter[str] = Counter()
        self._counted_at: float | None = None
        self._missing: dict[str, int] = {}
        self._missing_at: float | None = None
        self._probe_at: dict[str, float] = {}

    @property
    def has_room(self) -> bool:
        return self._open and len(self._bells) < self._limit

    def __len__(self) -> int:
        return len(self._bells)

    def open(self) -> None:
        """The broker takes messages."""
        self._open = True

    def close(self) -> list[Doorbell]:
        """It does not, or this beat stops: what is to be given back."""
        self._open = False
        return self.take(len(self._bells))

    def put(self, bells: Sequence[Doorbell]) -> None:
        with self._lock:
            self._bells.extend(bells)
            self._outstanding.update(bell.queue for bell in bells)

    def take(self, limit: int) -> list[Doorbell]:
        with self._lock:
            return [self._bells.popleft() for _ in range(min(limit, len(self._bells)))]

    def count(self, bells: Sequence[Doorbell]) -> None:
        """These messages were taken from the table."""
        with self._lock:
            self._outstanding.update(bell.queue for bell in bells)

    def full(self, doorbells: int) -> list[str]:
        """Queues that take no new message, as far as this process knows."""
        with self._lock:
            return [queue for queue, count in self._outstanding.items() if count >= doorbells]

    def recount(self, outstanding: Callable[[], Mapping[str, int]]) -> None:
        """Asks the table where the last answer is old."""
        if not _is_old(self._counted_at):
            return
        counted = Counter(outstanding())
        with self._lock:
            self._outstanding, self._counted_at = counted, time.monotonic()

    def missing(self, ask: Callable[[], Mapping[str, int]]) -> dict[str, int]:
        """How many messages the broker may have lost, by queue; asked anew where the last answer is old."""
        if _is_old(self._missing_at):
            self._missing, self._missing_at = self._with_probes(ask()), time.monotonic()
        return self._missing

    def _with_probes(self, missing: Mapping[str, int]) -> dict[str, int]:
        """Some runs of a queue that stays overdue are rung again from time to time, however long it is."""
        now = time.monotonic()
        self._probe_at = {queue: self._probe_at.get(queue, now + PROBE_SECONDS) for queue in missing}
        found = dict(missing)
        for queue, due in self._probe_at.items():
            if now >= due:
                self._probe_at[queue] = now + PROBE_SECONDS
                found[queue] = max(found[queue], PROBES)
        return found

    def rang_again(self, bells: Sequence[Doorbell]) -> None:
        for bell in bells:
            if bell.dispatches > 1 and self._missing.get(bell.queue):
                self._missing[bell.queue] -= 1


def _is_old(moment: float | None) -> bool:
    return moment is None or time.monotonic() - moment >= COUNT_SECONDS
