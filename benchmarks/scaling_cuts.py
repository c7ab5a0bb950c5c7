"""Hosts that are cut off while there is work, and how soon all is as before. The faults of `scaling`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.hosts import Host
from benchmarks.scaling_site import Site, sleep_until

SETTLE = 15
"""Seconds of peace after a cable is back, before the next one is pulled or the load ends."""
BLINK, GONE = 5, 20
"""Seconds of a cut that is shorter than a lease (8 s), and of one that is longer."""
TROUBLED = BLINK + SETTLE + GONE + 2 * SETTLE
"""Seconds that all of it takes."""

TAKEN = """
SELECT count(*) FROM schedules_attempt AS attempt
JOIN schedules_worker AS worker ON worker.id = attempt.worker_id
WHERE worker.host = %s AND attempt.outcome = 'worker_lost'
"""
LATE = """
SELECT count(*), coalesce(max(extract(epoch FROM started_at - scheduled_for)), 0),
    coalesce(max(extract(epoch FROM started_at)), 0)
FROM schedules_run WHERE name LIKE 'steady %%' AND started_at > scheduled_for + %s * interval '1 second'
    AND scheduled_for BETWEEN to_timestamp(%s) AND to_timestamp(%s)
"""


@dataclass(frozen=True)
class Cut:
    """A cable that was pulled, with the times of the wall clock."""

    host: Host
    since: float
    until: float


def pull(measured: Site, begin: float) -> Iterator[Cut]:
    """A worker for less than a lease; then another one, and a beat, for longer than one."""
    sleep_until(begin)
    with pulled(measured.workers[1]) as blink:
        time.sleep(BLINK)
    yield Cut(measured.workers[1], blink, time.time())
    time.sleep(SETTLE)
    with pulled(measured.workers[2]) as worker:
        time.sleep(SETTLE / 3)
        with pulled(measured.beats[0]) as beat:
            time.sleep(GONE - SETTLE / 3)
        back = time.time()
    yield Cut(measured.workers[2], worker, back)
    yield Cut(measured.beats[0], beat, back)


@contextmanager
def pulled(host: Host) -> Iterator[float]:
    host.cut_off()
    try:
        yield time.time()
    finally:
        host.reconnect()


def recovered(measured: Site, cut: Cut, usual: float) -> str:
    """When the host worked again, and what its absence meant for everybody."""
    if cut.host in measured.beats:
        own, key = "SELECT min(created_at) FROM schedules_run WHERE decided_by LIKE %s", f"%{cut.host.name}%"
        after = " AND created_at > to_timestamp(%s)"
    else:
        own = (
            "SELECT min(attempt.started_at) FROM schedules_attempt AS attempt "
            "JOIN schedules_worker AS worker ON worker.id = attempt.worker_id WHERE worker.host = %s"
        )
        key, after = cut.host.name, " AND attempt.started_at > to_timestamp(%s)"
    again = measured.number(f"SELECT extract(epoch FROM ({own}{after}))", key, cut.until)
    works = f"works again {again - cut.until:.1f} s after the cable" if again else "has not worked since"
    taken = int(measured.number(TAKEN, cut.host.name))
    works += f", {taken} attempts taken from it" if taken else ""
    late, most, last = measured.query(LATE, usual, cut.since, cut.until)[0]
    others = (
        f"{late} runs due meanwhile began more than {usual:.1f} s late, at most {most:.1f} s, "
        f"the last {float(last) - cut.since:.1f} s after the cut"
        if late
        else f"no run due meanwhile began more than {usual:.1f} s late"
    )
    return f"{cut.host.name} cut off for {cut.until - cut.since:.1f} s: {works}; {others}"
