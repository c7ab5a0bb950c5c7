"""N schedules due at the same minute: dispatches per second and lateness, beside django-celery-beat.

    python -m benchmarks.dispatch [--schedules 1000] [--beats 2] [--expressions 700] [--broker amqp://…]

Real beats on PostgreSQL and a broker, one contender after the other on the same servers. A dispatch is done
when its message is in the queue: no worker runs, the length of the queue is read every few milliseconds,
and at the end the messages are read and their runs compared. Ratios matter, absolute figures do not.
"""

from __future__ import annotations

import argparse
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations, islice
from pathlib import Path
from typing import Any

from kombu import Connection

from benchmarks.filling import due_at, filling
from benchmarks.installation import Installation, installed

PATIENCE = 60
"""Seconds after the due instant at which a contender that has not sent everything is cut off."""

LOOK_SECONDS = 0.005

READY_SECONDS = 20
"""A beat is started this long before the minute; django-celery-beat needs that to read its rows."""

PEER = """
from django_celery_beat.models import CrontabSchedule, PeriodicTask, PeriodicTasks
timings = [
    CrontabSchedule.objects.create(timezone="UTC", day_of_month=cron.split()[2]) for cron in {expressions!r}
]
PeriodicTask.objects.bulk_create(
    [
        PeriodicTask(name=f"job {{n}}", task="some.task", crontab=timings[n % len(timings)])
        for n in range({count})
    ]
)
PeriodicTasks.update_changed()
"""


@dataclass(frozen=True)
class Contender:
    name: str
    queue: str
    arguments: tuple[str, ...]
    is_peer: bool = False


OURS = Contender("Beatkeeper", "commands", ())
STOCK = Contender(
    "django-celery-beat", "tasks", ("-S", "django_celery_beat.schedulers:DatabaseScheduler"), is_peer=True
)


@dataclass(frozen=True)
class Result:
    """`lateness` in seconds after the due instant, one for each message, sorted."""

    name: str
    lateness: list[float]
    wanted: int
    distinct: int
    cpu_seconds: float
    memory: int

    @property
    def per_second(self) -> float:
        return len(self.lateness) / self.lateness[-1] if self.lateness else 0.0

    def at(self, share: float) -> float:
        return self.lateness[min(int(share * len(self.lateness)), len(self.lateness) - 1)]


class Queue:
    """A queue of the broker, by its length, through the transport that beat uses."""

    def __init__(self, url: str, name: str) -> None:
        self._connection = Connection(url)
        self._name = name

    def clear(self) -> None:
        with suppress(*self._connection.channel_errors):  # it may not be there
            channel: Any = self._connection.default_channel
            channel.queue_purge(self._name)
        self._connection.close()

    def __len__(self) -> int:
        try:
            channel: Any = self._connection.default_channel
            return int(channel.queue_declare(self._name, passive=True).message_count)
        except self._connection.channel_errors:
            return 0  # beat has not declared it yet

    def bodies(self) -> set[str]:
        """Distinct messages, taken off the queue."""
        found = set()
        channel: Any = self._connection.default_channel
        while (message := channel.basic_get(self._name, no_ack=True)) is not None:
            found.add(str(message.headers["argsrepr"]) + str(message.headers.get("shadow")))
        return found


def measure(contender: Contender, given: argparse.Namespace, *, beats: int) -> Result:
    queue = Queue(given.broker, contender.queue)
    queue.clear()
    # Nobody claims what is sent, so all of it stays outstanding.
    with installed(
        postgresql=given.postgresql, broker=given.broker, BEATKEEPER_DOORBELLS="100000000"
    ) as installation:
        due = _fill(installation, contender, given)
        processes = [installation.start("beat", "--pidfile=", "-l", "warning", *contender.arguments)]
        processes += [
            installation.start("beat", "--pidfile=", "-l", "warning", *contender.arguments)
            for _ in range(beats - 1)
        ]
        pids = [process.pid for process in processes]
        time.sleep(max((due - datetime.now(UTC)).total_seconds() - 1, 0))
        before, early = sum(map(cpu_seconds, pids)), len(queue)
        lateness = _watch(queue, due, given.schedules, early)
        spent = sum(map(cpu_seconds, pids)) - before
        memory = max(map(memory_of, pids))
        installation.stop()
        distinct = 0 if given.schedules > 20_000 else len(queue.bodies())
    queue.clear()
    name = contender.name + (f", {beats} beats" if beats > 1 else "")
    return Result(name, lateness, given.schedules, distinct, spent, memory)


def _fill(installation: Installation, contender: Contender, given: argparse.Namespace) -> datetime:
    """All due at the minute that is returned, which is far enough away for a beat to be ready."""
    began = time.monotonic()
    expressions = _expressions(given.expressions)
    rows = PEER.format(count=given.schedules, expressions=expressions) if contender.is_peer else ""
    installation.run(rows or filling(given.schedules, expressions))
    print(f"{contender.name}: {given.schedules} schedules written in {time.monotonic() - began:.0f} s")
    wait = READY_SECONDS + given.schedules / 10_000
    due = (datetime.now(UTC) + timedelta(seconds=wait + 60)).replace(second=0, microsecond=0)
    if not contender.is_peer:
        installation.run(due_at(due.isoformat()))
    time.sleep(max((due - datetime.now(UTC)).total_seconds() - wait, 0))
    return due


def _expressions(count: int) -> list[str]:
    """Distinct expressions, each of which has today's minutes among its instants."""
    today = datetime.now(UTC).day
    others = [day for day in range(1, 32) if day not in (today, today + 1)]
    without = islice(combinations(others, 3), count - 1)
    return ["* * * * *", *(f"* * {_days_but(days)} * *" for days in without)]


def _days_but(left_out: tuple[int, ...]) -> str:
    return ",".join(str(day) for day in range(1, 32) if day not in left_out)


def _watch(queue: Queue, due: datetime, count: int, early: int) -> list[float]:
    """When each message was in the queue; those of an earlier minute do not count."""
    lateness: list[float] = []
    start = due.timestamp()
    while len(lateness) < count and (now := time.time()) < start + PATIENCE:
        arrived = len(queue) - early
        lateness += [max(now - start, 0.001)] * (arrived - len(lateness))
        time.sleep(LOOK_SECONDS)
    return lateness[:count]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> int:
    """The most that the process has used, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def report(results: list[Result]) -> str:
    head = f"{'':28}{'sent':>14}{'per second':>12}{'late p50':>10}{'p99':>8}{'max':>8}"
    lines = [f"{head}{'CPU ms each':>13}{'RSS MiB':>9}"]
    for result in results:
        sent = f"{len(result.lateness)}/{result.wanted}"
        times = f"{result.at(0.5):10.3f}{result.at(0.99):8.3f}{result.at(1):8.3f}" if result.lateness else ""
        each = 1000 * result.cpu_seconds / max(len(result.lateness), 1)
        lines.append(
            f"{result.name:28}{sent:>14}{result.per_second:12.0f}{times:26}{each:13.3f}{result.memory:9}"
        )
        if result.distinct:
            lines.append(f"{'':28}{result.distinct:>7} distinct")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--beats", type=int, default=1, help="with 2, one and two are measured")
    parser.add_argument("--expressions", type=int, default=1, help="distinct cron expressions, at most 3655")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument(
        "--postgresql",
        default=os.environ.get("TEST_DATABASE_URL") or "postgres://postgres@127.0.0.1/postgres",
    )
    parser.add_argument("--broker", default=os.environ.get("TEST_REDIS_URL") or "redis://127.0.0.1:6379/9")
    given = parser.parse_args()
    results = [measure(OURS, given, beats=beats) for beats in range(1, given.beats + 1)]
    if not given.no_peer:
        results.append(measure(STOCK, given, beats=1))
    print(report(results))


if __name__ == "__main__":
    main()
