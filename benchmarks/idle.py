"""A beat with many schedules of which few are due: how soon it is ready, what it costs, how exact it is.

    python -m benchmarks.idle [--schedules 1000000] [--jobs 100]

On PostgreSQL and Redis. All schedules but the jobs of the last part are due years from now. Measured:
from the start of the process to the first run that it opens, memory, CPU while nothing is due, how soon
an edit is honoured, and the lateness of jobs that are due at one minute, from the instant to the queue.
"""

from __future__ import annotations

import argparse
import os
import time
from datetime import UTC, datetime, timedelta

import psycopg2
import redis

from benchmarks.dispatch import cpu_seconds, memory_of
from benchmarks.filling import filling
from benchmarks.installation import Installation, installed

NEVER = "0 0 29 2 *"
IDLE_SECONDS = 180
"""As from one comparison with django-celery-beat's tables to the next, so that one of them is in it."""
EDITS = 5
QUEUE = "commands"

JOBS = """
from schedules import catalog
from schedules.models import Schedule
catalog.create_many(
    [Schedule(name=f"each {{n}}", cron="* * * * *", timezone="UTC", command="true") for n in range({jobs})],
    by="benchmark",
)
"""


EDITING = """
import time
from django_celery_beat.models import ClockedSchedule
from schedules import catalog
from schedules.models import Run, Schedule
from schedules.querysets import database_now
for pk in Schedule.objects.order_by("pk").values_list("pk", flat=True)[1:{edits} + 1]:
    moment = ClockedSchedule.objects.create(clocked_time=database_now())
    catalog.change([pk], by="benchmark", cron="", interval=None, clocked=moment, one_off=True)
    edited = time.monotonic()
    while not Run.objects.filter(schedule=pk).exists():
        time.sleep(0.005)
    print(f"{{time.monotonic() - edited:.2f}}", end=" ")
"""
"""Edits as somebody makes them, each to a moment that is past: when does its run exist?"""


class Database:
    """The installation's tables, read beside the beat that is measured."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True

    def ask(self, question: str) -> object:
        with self._connection.cursor() as cursor:
            cursor.execute(question)
            row = cursor.fetchone() if cursor.description else None
            return row and row[0]

    def close(self) -> None:
        self._connection.close()


def measure(given: argparse.Namespace) -> None:
    sink = redis.Redis.from_url(given.broker, socket_timeout=60)
    sink.flushdb()
    with installed(
        postgresql=given.postgresql, broker=given.broker, BEATKEEPER_DOORBELLS="100000000"
    ) as installation:
        began = time.monotonic()
        installation.run(filling(given.schedules, [NEVER]))
        print(f"{given.schedules:,} schedules written in {time.monotonic() - began:.0f} s")
        database = Database(installation.environment["DATABASE_URL"])
        try:
            _measure_all(installation, database, sink, given)
        finally:
            database.close()
    sink.flushdb()


def _measure_all(
    installation: Installation, database: Database, sink: redis.Redis, given: argparse.Namespace
) -> None:
    database.ask(
        "UPDATE schedules_schedule SET next_run_at = date_trunc('minute', now()) "
        "WHERE periodictask_ptr_id = (SELECT min(periodictask_ptr_id) FROM schedules_schedule)"
    )
    began = time.monotonic()
    beat = installation.start("beat", "--pidfile=", "-l", "warning")
    _wait(lambda: database.ask("SELECT count(*) FROM schedules_run"), 60)
    print(f"start to the first run that is opened: {time.monotonic() - began:.2f} s")
    time.sleep(given.settle)  # the first comparison with the tables of django-celery-beat is over
    spent = cpu_seconds(beat.pid)
    time.sleep(IDLE_SECONDS)
    spent = cpu_seconds(beat.pid) - spent
    print(f"idle for {IDLE_SECONDS} s: {100 * spent / IDLE_SECONDS:.2f} % of a core", end="; ")
    print(f"{memory_of(beat.pid)} MiB at most")
    edits = installation.run(EDITING.format(edits=EDITS)).strip()
    print(f"edits honoured after they were committed, s: {edits}")
    print(_jobs(installation, sink, given.jobs))


def _jobs(installation: Installation, sink: redis.Redis, jobs: int) -> str:
    installation.run(JOBS.format(jobs=jobs))
    lateness: list[float] = []
    for _ in range(3):
        due = (datetime.now(UTC) + timedelta(minutes=1)).replace(second=0, microsecond=0).timestamp()
        time.sleep(max(due - time.time() - 0.05, 0))
        sink.delete(QUEUE)  # what an earlier minute left
        arrived: list[float] = []
        while len(arrived) < jobs and (now := time.time()) < due + 30:
            arrived += [now - due] * (int(str(sink.llen(QUEUE))) - len(arrived))
            time.sleep(0.0005)
        lateness += arrived
    lateness.sort()
    at = [lateness[min(int(share * len(lateness)), len(lateness) - 1)] * 1000 for share in (0.5, 0.99, 1)]
    return (
        f"{jobs} jobs at a minute, 3 times, instant to queue, ms: "
        f"p50 {at[0]:.0f}, p99 {at[1]:.0f}, max {at[2]:.0f}"
    )


def _wait(condition, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("The beat did not do what was waited for; its log is in the installation.")
        time.sleep(0.005)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--schedules", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument(
        "--settle", type=float, default=60, help="seconds between the start and the idle part"
    )
    parser.add_argument(
        "--postgresql",
        default=os.environ.get("TEST_DATABASE_URL") or "postgres://postgres@127.0.0.1/postgres",
    )
    parser.add_argument("--broker", default=os.environ.get("TEST_REDIS_URL") or "redis://127.0.0.1:6379/9")
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
