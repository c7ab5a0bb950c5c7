"""From the due instant to the command's first instruction, and runs per second on one worker.

    python -m benchmarks.start [--jobs 1 100 1000] [--rounds 3] [--runs 1500] [--only redis embedded peer]

Real beats and workers, one contender after the other on the same servers: Beatkeeper on PostgreSQL and
Redis, on the embedded default, and, as the peer, django-celery-beat with a Celery worker whose tasks
call `subprocess.run` and keep no record. Commands: 20 threads. No-op tasks: 2 prefork children. Each
set of jobs waits for a full minute of its own, in each round; shown are the median of the rounds and, in
brackets, the worst. The very first is the first that the worker executes. "CPU" is that of the worker, its
runners and its commands; unlike the rates it hardly depends on who else uses the machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.installation import Installation, installed

BEAT = ("beat", "--pidfile=", "-l", "warning")
COMMANDS = ("worker", "-n", "c@%h", "-P", "threads", "-c", "20", "-l", "warning", "-Q")
TASKS = ("worker", "-n", "t@%h", "-P", "prefork", "-c", "2", "-l", "warning", "-Q")
PATIENCE = 180

SOON = """
from datetime import timedelta
from schedules.querysets import database_now
due = (database_now() + timedelta(seconds=68)).replace(second=0, microsecond=0)
"""
OUR_JOBS = """
from schedules import catalog
from schedules.models import Schedule
catalog.create_many(
    [
        Schedule(
            name=f"late {jobs} {round} {{n}}", cron=f"{{due.minute}} {{due.hour}} * * *", timezone="UTC",
            command="date +%s.%N >> {file}",
        )
        for n in range({jobs})
    ],
    by="benchmark",
)
print(due.timestamp())
"""
PEER_JOBS = """
import json
from django_celery_beat.models import CrontabSchedule, PeriodicTask, PeriodicTasks
minute = CrontabSchedule.objects.create(minute=due.minute, hour=due.hour, timezone="UTC")
PeriodicTask.objects.bulk_create(
    [
        PeriodicTask(
            name=f"late {jobs} {round} {{n}}", task="benchmarks.shell", crontab=minute,
            args=json.dumps(["date +%s.%N >> {file}"]),
        )
        for n in range({jobs})
    ]
)
PeriodicTasks.update_changed()
print(due.timestamp())
"""
OUR_RUNS = """
from datetime import timedelta
from schedules import catalog, occurrences
from schedules.models import Run, Schedule
from schedules.querysets import database_now
catalog.create_many([Schedule(**{schedule})], by="benchmark")
schedule = Schedule.objects.get(name="{name}")
start = database_now() + timedelta(seconds=3)
row = occurrences.run_columns(schedule, catalog.check(schedule), start)
row |= {{"trigger": "manual", "scheduled_for": start, "decided_by": "benchmark"}}
Run.objects.open([row] * {runs})
"""
OUR_PROGRESS = """
from schedules.models import Run
from django.db.models import Min, Max
runs = Run.objects.filter(name="{name}", state="succeeded")
times = runs.aggregate(first=Min("started_at"), last=Max("finished_at"))
print(runs.count(), (times["last"] - times["first"]).total_seconds() if times["last"] else 0)
"""
FINISHED = "SELECT count(*) FROM schedules_run WHERE name = '{name}' AND state = 'succeeded'"
PEER_RUNS = """
from benchmarks import tasks
for _ in range({runs}):
    tasks.{task}.apply_async(kwargs={arguments}, queue="tasks")
"""


@dataclass(frozen=True)
class Contender:
    name: str
    is_peer: bool
    postgresql: str
    broker: str


def measure(contender: Contender, *, jobs: list[int], rounds: int, runs: int) -> None:
    modules = {"BEATKEEPER_TASK_MODULES": "benchmarks.tasks"}
    with installed(postgresql=contender.postgresql, broker=contender.broker, **modules) as installation:
        stock = ("-S", "django_celery_beat.schedulers:DatabaseScheduler") if contender.is_peer else ()
        installation.start(*BEAT, *stock)
        worker = installation.start(*COMMANDS, "tasks" if contender.is_peer else "commands")
        time.sleep(10)
        for number in jobs:
            late = [lateness(installation, contender, number, round) for round in range(rounds)]
            print(f"{contender.name:22}{number:6} jobs: ms late: {_quantiles(late)}", flush=True)
        report(contender, "`true`", *throughput(installation, contender, worker.pid, "shell", runs))
        worker.terminate()
        worker.wait()
        worker = installation.start(*TASKS, "tasks")
        time.sleep(5)
        report(contender, "no-op task", *throughput(installation, contender, worker.pid, "noop", runs))


def report(contender: Contender, what: str, rate: float, cpu: float) -> None:
    print(f"{contender.name:22}{what:>12}: {rate:5.0f} per second, {cpu:5.2f} ms of CPU each", flush=True)


def _quantiles(rounds: list[list[float]]) -> str:
    """Of each round first, p50, p99 and last: the median of the rounds, and the worst in brackets."""
    shown = []
    for name, share in (("first", 0), ("p50", 0.5), ("p99", 0.99), ("last", 1)):
        values = [1000 * late[min(int(share * len(late)), len(late) - 1)] for late in rounds]
        shown.append(f"{name} {median(values):.0f} ({max(values):.0f})")
    return ", ".join(shown)


def lateness(installation: Installation, contender: Contender, jobs: int, round: int) -> list[float]:
    """Seconds from the due instant to what `date` says, sorted."""
    file = installation.directory / f"late-{jobs}-{round}"
    made = (PEER_JOBS if contender.is_peer else OUR_JOBS).format(jobs=jobs, round=round, file=file)
    due = float(installation.run(SOON + made).split()[-1])
    _wait_for(lambda: len(_lines(file)) == jobs, due + PATIENCE)
    return sorted(float(line) - due for line in _lines(file))


def throughput(
    installation: Installation, contender: Contender, worker: int, task: str, runs: int
) -> tuple[float, float]:
    """Runs per second from the first start to the last end, and milliseconds of CPU for each."""
    before = cpu_seconds(worker)
    execute = _peer_throughput if contender.is_peer else _our_throughput
    rate = execute(installation, task, runs)
    return rate, 1000 * (cpu_seconds(worker) - before) / runs


def _our_throughput(installation: Installation, task: str, runs: int) -> float:
    kind = {"command": "true"} if task == "shell" else {"kind": "task", "task": "benchmarks.noop"}
    given = {"name": task, "cron": ""} | kind
    installation.run(OUR_RUNS.format(schedule=given, name=task, runs=runs))
    end = time.time() + PATIENCE
    while time.time() < end:
        if installation.number(FINISHED.format(name=task)) < runs:  # asking in Python would cost a core
            time.sleep(0.5)
            continue
        count, seconds = installation.run(OUR_PROGRESS.format(name=task)).split()
        if int(count) == runs:
            return runs / float(seconds)
    raise SystemExit(f"Only {count} of {runs} runs were over after {PATIENCE} s.")


def _peer_throughput(installation: Installation, task: str, runs: int) -> float:
    file = installation.directory / f"ends-{task}"
    arguments = {"ends": str(file)} | ({"command": "true"} if task == "shell" else {})
    installation.run(PEER_RUNS.format(task=task, runs=runs, arguments=arguments))
    _wait_for(lambda: len(_lines(file)) == runs, time.time() + PATIENCE)
    ends = sorted(map(float, _lines(file)))
    return runs / (ends[-1] - ends[0])


def cpu_seconds(pid: int) -> float:
    """Of the process, what it has waited for, and everything alive below it."""
    parents: dict[int, list[int]] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(entry)):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
            used[int(entry.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    found = [pid]
    for process in found:  # grows while it is read
        found += parents.get(process, [])
    return sum(used.get(process, 0.0) for process in found)


def _stat(entry: Path) -> list[str]:
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _lines(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def _wait_for(condition: Callable[[], bool], end: float) -> None:
    while not condition():
        if time.time() > end:
            raise SystemExit("The commands did not start in time.")
        time.sleep(0.2)


def yardstick(count: int = 300) -> str:
    """What this machine can do just now: `sh -c true`, one after the other, from this process."""
    started = time.perf_counter()
    for _ in range(count):
        subprocess.run(["/bin/sh", "-c", "true"], check=True)
    rate = count / (time.perf_counter() - started)
    return f"yardstick: {rate:.0f} `sh -c true` per second from one process; load {os.getloadavg()[0]:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, nargs="*", default=[1, 100, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=1500)
    parser.add_argument("--only", nargs="+", default=["redis", "embedded", "peer"])
    local = "postgres://postgres@127.0.0.1/postgres"
    parser.add_argument("--postgresql", default=os.environ.get("TEST_DATABASE_URL") or local)
    parser.add_argument("--redis", default=os.environ.get("TEST_REDIS_URL") or "redis://127.0.0.1:6379/9")
    given = parser.parse_args()
    contenders = {
        "redis": Contender("PostgreSQL + Redis", False, given.postgresql, given.redis),
        "embedded": Contender("embedded default", False, "", ""),
        "peer": Contender("django-celery-beat", True, given.postgresql, given.redis),
    }
    print(yardstick())
    for name in given.only:
        measure(contenders[name], jobs=given.jobs, rounds=given.rounds, runs=given.runs)
    print(yardstick())


if __name__ == "__main__":
    main()
