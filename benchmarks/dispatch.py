"""N schedules due at the same minute: dispatches per second and lateness, beside django-celery-beat.

    python -m benchmarks.dispatch [--schedules 1000]

Real beats on PostgreSQL and Redis, one after the other on the same servers; no worker runs, a sink
pops every message off its queue and notes when it came. Ratios matter, absolute figures do not.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import redis

from benchmarks.installation import Installation, installed

PATIENCE = 120
"""Seconds after the due instant at which a contender that has not sent everything is cut off."""

OURS = """
from schedules import catalog
from schedules.models import Schedule
catalog.create_many(
    [Schedule(name=f"job {{n}}", cron="* * * * *", timezone="UTC", command="true") for n in range({count})],
    by="benchmark",
)
"""
PEER = """
from django_celery_beat.models import CrontabSchedule, PeriodicTask, PeriodicTasks
every_minute = CrontabSchedule.objects.create(timezone="UTC")
PeriodicTask.objects.bulk_create(
    [PeriodicTask(name=f"job {{n}}", task="some.task", crontab=every_minute) for n in range({count})]
)
PeriodicTasks.update_changed()
"""


@dataclass(frozen=True)
class Result:
    """`lateness` in seconds after the due instant, one for each message, sorted."""

    name: str
    lateness: list[float]
    wanted: int

    @property
    def per_second(self) -> float:
        return len(self.lateness) / self.lateness[-1] if self.lateness else 0.0

    def at(self, share: float) -> float:
        return self.lateness[min(int(share * len(self.lateness)), len(self.lateness) - 1)]


def measure(
    name: str, *, rows: str, queue: str, arguments: list[str], count: int, urls: tuple[str, str]
) -> Result:
    postgresql, broker = urls
    sink = redis.Redis.from_url(broker)
    sink.flushdb()
    with installed(postgresql=postgresql, broker=broker) as installation:
        installation.run(rows.format(count=count))
        due = _start_before_a_minute(installation, arguments)
        lateness = _drain(sink, queue, due, count)
    sink.flushdb()
    return Result(name, lateness, count)


def _start_before_a_minute(installation: Installation, arguments: list[str]) -> datetime:
    """Starts beat early enough to be ready; returns the next full minute, and sleeps until just before it."""
    now = datetime.now(UTC)
    due = (now + timedelta(seconds=75)).replace(second=0, microsecond=0)
    time.sleep(max((due - timedelta(seconds=15) - now).total_seconds(), 0))
    installation.start("beat", "--pidfile=", "-l", "warning", *arguments)
    return due


def _drain(sink: redis.Redis, queue: str, due: datetime, count: int) -> list[float]:
    """Messages that came before `due` belong to an earlier minute and do not count."""
    lateness: list[float] = []
    end = due.timestamp() + PATIENCE
    while len(lateness) < count and (now := time.time()) < end:
        messages = sink.lpop(queue, 500)
        if messages is None:
            time.sleep(0.001)
        elif now >= due.timestamp():
            lateness += [now - due.timestamp()] * len(messages)
    return sorted(lateness[:count])


def report(results: list[Result]) -> str:
    lines = [f"{'':22}{'sent':>12}{'per second':>12}{'late p50':>10}{'p99':>8}{'max':>8}  seconds"]
    for result in results:
        sent = f"{len(result.lateness)}/{result.wanted}"
        times = f"{result.at(0.5):10.3f}{result.at(0.99):8.3f}{result.at(1):8.3f}" if result.lateness else ""
        lines.append(f"{result.name:22}{sent:>12}{result.per_second:12.0f}{times}")
    ours, peer = results
    if peer.per_second:
        lines.append(f"ratio: {ours.per_second / peer.per_second:.1f} times as many per second")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument(
        "--postgresql",
        default=os.environ.get("TEST_DATABASE_URL") or "postgres://postgres@127.0.0.1/postgres",
    )
    parser.add_argument("--redis", default=os.environ.get("TEST_REDIS_URL") or "redis://127.0.0.1:6379/9")
    given = parser.parse_args()
    urls = (given.postgresql, given.redis)
    stock = ["-S", "django_celery_beat.schedulers:DatabaseScheduler"]
    results = [
        measure("Beatkeeper", rows=OURS, queue="commands", arguments=[], count=given.schedules, urls=urls),
        measure(
            "django-celery-beat", rows=PEER, queue="tasks", arguments=stock, count=given.schedules, urls=urls
        ),
    ]
    print(report(results))


if __name__ == "__main__":
    main()
