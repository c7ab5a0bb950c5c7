"""From the due instant to the first instruction of the command, and runs of `true` per second on one worker.

    python -m benchmarks.start [--jobs 1 100] [--runs 500]

A real beat and a real worker with 20 threads, on PostgreSQL + Redis and on the embedded default, in the
same run; beside them, as a yardstick, what starting and waiting for `sh -c true` costs here by itself.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from collections.abc import Callable

from benchmarks.installation import Installation, installed

WORKER = ("worker", "-Q", "commands", "-P", "threads", "-c", "20", "-l", "warning")
BEAT = ("beat", "--pidfile=", "-l", "warning")

SCHEDULE = """
from schedules import catalog
from schedules.models import Schedule
from schedules.querysets import database_now
from datetime import timedelta
from django_celery_beat.models import ClockedSchedule
due = database_now().replace(microsecond=0) + timedelta(seconds=6)
moment = ClockedSchedule.objects.create(clocked_time=due)
catalog.create_many(
    [
        Schedule(name=f"late {jobs} {{n}}", clocked=moment, one_off=True, command="date +%s.%N >> {file}")
        for n in range({jobs})
    ],
    by="benchmark",
)
print(due.timestamp())
"""
RUNS = """
from schedules import catalog, operate
from schedules.models import Schedule
[schedule] = catalog.create_many([Schedule(name="true", command="true")], by="benchmark")
for _ in range({runs}):
    operate.run_now(schedule, by="benchmark")
"""
PROGRESS = """
from schedules.models import Run
from django.db.models import Min, Max
runs = Run.objects.filter(name="true", state="succeeded")
times = runs.aggregate(first=Min("started_at"), last=Max("finished_at"))
seconds = (times["last"] - times["first"]).total_seconds() if times["last"] else 0
print(runs.count(), seconds)
"""


def lateness(installation: Installation, jobs: int) -> list[float]:
    """Seconds from the due instant to what `date` says, sorted."""
    file = installation.directory / f"late-{jobs}"
    due = float(installation.run(SCHEDULE.format(jobs=jobs, file=file)))
    _wait_for(lambda: file.exists() and len(file.read_text().split()) == jobs, due + 60)
    return sorted(float(line) - due for line in file.read_text().split())


def throughput(installation: Installation, runs: int) -> float:
    """Runs of `true` per second, from the first start to the last end."""
    installation.run(RUNS.format(runs=runs))
    end = time.time() + 120
    while time.time() < end:
        count, seconds = installation.run(PROGRESS).split()
        if int(count) == runs:
            return runs / float(seconds)
        time.sleep(0.5)
    raise SystemExit(f"Only {count} of {runs} runs were over after two minutes.")


def _wait_for(condition: Callable[[], bool], end: float) -> None:
    while not condition():
        if time.time() > end:
            raise SystemExit("The commands did not start in time.")
        time.sleep(0.05)


def yardstick(count: int = 300) -> float:
    """`sh -c true` per second, one after the other, from this process."""
    started = time.perf_counter()
    for _ in range(count):
        subprocess.run(["/bin/sh", "-c", "true"], check=True)
    return count / (time.perf_counter() - started)


def measure(name: str, *, jobs: list[int], runs: int, postgresql: str = "", broker: str = "") -> None:
    with installed(postgresql=postgresql, broker=broker) as installation:
        installation.start(*BEAT)
        installation.start(*WORKER)
        _wait_until_ready(installation)
        for number in jobs:
            late = lateness(installation, number)
            shown = "".join(
                f"{1000 * late[min(int(p * number), number - 1)]:9.0f}" for p in (0, 0.5, 0.99, 1)
            )
            print(f"{name:24}{number:5} jobs, ms late: first, p50, p99, last {shown}", flush=True)
        print(f"{name:24}{throughput(installation, runs):5.0f} runs of `true` per second", flush=True)


def _wait_until_ready(installation: Installation) -> None:
    ready = "from schedules.models import Beat, Worker; print(Beat.objects.count(), Worker.objects.count())"
    end = time.time() + 60
    while installation.run(ready).split() != ["1", "1"]:
        if time.time() > end:
            raise SystemExit(f"Beat and worker did not start: see {installation.directory}")
        time.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--runs", type=int, default=500)
    local = "postgres://postgres@127.0.0.1/postgres"
    parser.add_argument("--postgresql", default=os.environ.get("TEST_DATABASE_URL") or local)
    parser.add_argument("--redis", default=os.environ.get("TEST_REDIS_URL") or "redis://127.0.0.1:6379/9")
    given = parser.parse_args()
    measure("embedded default", jobs=given.jobs, runs=given.runs)
    measure(
        "PostgreSQL + Redis",
        jobs=given.jobs,
        runs=given.runs,
        postgresql=given.postgresql,
        broker=given.redis,
    )
    print(f"{'yardstick':24}{yardstick():5.0f} `sh -c true` per second from one process")


if __name__ == "__main__":
    main()
