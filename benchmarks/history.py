"""What the pages cost at ten million runs, and what it costs to delete old ones.

    python -m benchmarks.history                    # 10,000,000 runs: 12 GB of disk, about 10 minutes
    python -m benchmarks.history --runs 1000000 --explain
    python -m benchmarks.history --runs 1000000 --sqlite       # 600 MB of disk, about 4 minutes

Each page is asked for as a browser does, by a superuser; counted is what its queries took at the database,
the first time and, in the median, later. Beside it stands what the same rows would cost a page that counts
its rows and skips those of the pages in front of it. Then 100 schedules are due at once, some times over, and
old runs are deleted for a minute or more, beside a worker that claims and ends runs all the while.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks import history_rows
from benchmarks.installation import Installation, installed

REPEATS = 5
PRUNE_SECONDS = 60

CLAIMS = """
import json, sys, time
from schedules import execute, finishing
from schedules.models import Run, Schedule, Worker
from schedules.querysets import database_now
from schedules.rules.states import Outcome
from schedules.worker.work import Ended
from schedules import operate
worker = Worker.objects.order_by("pk").last()
schedule = Schedule.objects.order_by("-pk").first()
runs = [operate.run_now(schedule, by="benchmark") for _ in range({count})]
end, taken = time.monotonic() + {seconds}, []
for run in runs:
    began = time.perf_counter()
    claimed = execute.claim(run.pk, worker)
    taken.append(time.perf_counter() - began)
    finishing.finish(claimed, Ended(outcome=Outcome.SUCCEEDED, exit_code=0))
    time.sleep(max(0.0, {seconds} / {count} - (time.perf_counter() - began)))
    if time.monotonic() > end:
        break
print(json.dumps(taken))
"""


@dataclass(frozen=True)
class Cost:
    """Milliseconds at the database: the first time, and the median of later ones."""

    name: str
    queries: int
    first: float
    usual: float
    slowest: str


def pages(runs: int, schedules: int) -> Iterator[tuple[str, str]]:
    """Names and addresses. Keys of schedules begin at 1, and the first has most of the runs."""
    listed = "/admin/schedules/run/"
    yield "overview", "/admin/"
    yield "runs, newest", listed
    yield "runs, half way down", f"{listed}?before={runs // 2}"
    yield "runs, the last page", f"{listed}?before=40"
    for state in ("bad", "failed", "lost", "mended", "succeeded", "skipped", "retrying", "running"):
        yield f"runs: {state}", f"{listed}?state={state}"
    yield "runs: failed, half way down", f"{listed}?state=failed&before={runs // 2}"
    yield "runs: by hand (none in the newer half)", f"{listed}?trigger=manual"
    yield "runs: by schedule", f"{listed}?trigger=schedule"
    for due in ("hour", "today", "7d"):
        yield f"runs: due, {due}", f"{listed}?due={due}"
    yield "runs of the busiest schedule", f"{listed}?schedule=1"
    yield "runs of a quiet schedule", f"{listed}?schedule={schedules}"
    yield "busiest schedule, failed", f"{listed}?schedule=1&state=bad"
    yield "busiest schedule, lost", f"{listed}?schedule=1&state=lost"
    yield "by hand and skipped", f"{listed}?trigger=manual&state=skipped"
    yield "failed, due in the last 7 days", f"{listed}?state=failed&due=7d"
    yield "search: one schedule", f"{listed}?q=job+{schedules - 1:05}"
    yield "search: 10 schedules", f"{listed}?q=job+{schedules // 10 - 1:04}"
    yield "search: all schedules", f"{listed}?q=job"
    yield "search: nothing", f"{listed}?q=nothing"
    yield "search: one schedule, failed", f"{listed}?q=job+{schedules - 1:05}&state=bad"
    yield "runs of a worker", f"{listed}?worker=1"
    yield "a run", f"/admin/schedules/run/{runs // 2}/change/"
    yield "a run with two attempts", f"/admin/schedules/run/{_with_two_attempts()}/change/"
    yield "schedules", "/admin/schedules/schedule/"
    yield "schedules, page 20", "/admin/schedules/schedule/?p=20"
    yield "schedules whose last run failed", "/admin/schedules/schedule/?last=bad"
    yield "the busiest schedule", "/admin/schedules/schedule/1/change/"
    yield "workers", "/admin/schedules/worker/"


def _with_two_attempts() -> int:
    from schedules.models import Run

    return Run.objects.filter(state="succeeded", attempt=2).order_by("-pk").values_list("pk", flat=True)[0]


def cost_of(client: Any, name: str, url: str) -> Cost:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    totals = []
    for _ in range(REPEATS + 1):
        with CaptureQueriesContext(connection) as captured:
            response = client.get(url)
        if response.status_code != 200:
            raise SystemExit(f"{url} answered {response.status_code}")
        totals.append(sum(float(query["time"]) for query in captured) * 1000)
    slowest = max(captured.captured_queries, key=lambda query: float(query["time"]))["sql"]
    return Cost(name, len(captured), totals[0], median(totals[1:]), slowest)


def counted_and_skipped(runs: int) -> Cost:
    """A list as Django makes it by default, at the page half way down: COUNT(*) and OFFSET."""
    from django.db import connection

    totals = []
    with connection.cursor() as cursor:
        for _ in range(3):
            began = time.perf_counter()
            cursor.execute("SELECT count(*) FROM schedules_run")
            cursor.execute(f"SELECT id, name FROM schedules_run ORDER BY id DESC LIMIT 50 OFFSET {runs // 2}")
            cursor.fetchall()
            totals.append((time.perf_counter() - began) * 1000)
    return Cost("(counting, and skipping to half way)", 2, totals[0], median(totals[1:]), "")


def report(costs: Sequence[Cost], *, explain: bool) -> None:
    from django.db import connection

    print(f"\n{'page':42}{'queries':>8}{'first, ms':>11}{'usual, ms':>11}")
    for cost in costs:
        print(f"{cost.name:42}{cost.queries:8}{cost.first:11.1f}{cost.usual:11.1f}")
    worst = max((cost for cost in costs if cost.slowest), key=lambda cost: cost.usual)
    print(
        f"\nThe slowest is {worst.name}: {worst.usual:.0f} ms; "
        f"counting and skipping: {costs[-1].usual:.0f} ms, {costs[-1].usual / worst.usual:.0f} times as much"
    )
    if explain:
        how = "EXPLAIN (ANALYZE, BUFFERS)" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
        with connection.cursor() as cursor:
            cursor.execute(f"{how} {worst.slowest}")
            print(worst.slowest, *(line[-1] for line in cursor.fetchall()), sep="\n")


def dispatches(*, rounds: int = 20, count: int = 100) -> None:
    """So many schedules due at once are dispatched, decided and committed; the rounds are minutes apart."""
    from datetime import timedelta

    from schedules import dispatch
    from schedules.models import Schedule
    from schedules.querysets import database_now

    # Instants of the future that the clock given reaches: those of the past have runs already.
    at = database_now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    pks = list(Schedule.objects.order_by("-pk").values_list("pk", flat=True)[:count])
    totals = []
    for number in range(rounds):
        now = at + timedelta(minutes=5 * number)
        Schedule.objects.update(next_run_at=None)
        Schedule.objects.filter(pk__in=pks).update(next_run_at=now)
        began = time.perf_counter()
        if dispatch.dispatch_due(now, by="benchmark") != len(pks):
            raise SystemExit("Not all that was due was dispatched.")
        totals.append((time.perf_counter() - began) * 1000)
    print(f"\n{count} due at once: dispatched in {median(totals):.0f} ms (first {totals[0]:.0f})")


def claims(installation: Installation, *, seconds: int, count: int = 500) -> list[float]:
    """Milliseconds of each claim of a run (T3), sorted, evenly over so many seconds."""
    printed = installation.run(CLAIMS.format(seconds=seconds, count=count))
    return sorted(1000 * taken for taken in json.loads(printed.strip().splitlines()[-1]))


def prune(installation: Installation) -> None:
    """Deletes without a rest, which neither beat nor the command does, until the claims are done."""
    from schedules import retention
    from schedules.querysets import database_now

    quiet = claims(installation, seconds=20)
    beside: list[float] = []
    claimer = threading.Thread(
        target=lambda: beside.extend(claims(installation, seconds=PRUNE_SECONDS // 2)), daemon=True
    )
    claimer.start()
    began, deleted, longest = time.monotonic(), 0, 0.0
    at = began
    for count in retention.prune(None, database_now(), limit=1000):
        deleted, longest, at = deleted + count, max(longest, time.monotonic() - at), time.monotonic()
        if at - began > PRUNE_SECONDS and not claimer.is_alive():
            break
    took = time.monotonic() - began
    claimer.join()
    print(f"\npruned {deleted:,} runs in {took:.0f} s: {deleted / took:,.0f} a second, ", end="")
    print(f"the longest batch of 1000 took {longest * 1000:.0f} ms")
    for name, times in (("alone", quiet), ("beside the deletion", beside)):
        print(f"a claim {name}: p50 {_at(times, 0.5):.1f} ms, p99 {_at(times, 0.99):.1f} ms")


def _at(times: Sequence[float], share: float) -> float:
    return times[min(int(share * len(times)), len(times) - 1)]


def fill(runs: int, schedules: int) -> None:
    from django.db import connection

    from schedules import catalog
    from schedules.models import Schedule, Worker
    from schedules.querysets import database_now

    given = {"cron": "*/5 * * * *", "timezone": "UTC", "command": "true"}
    rows = [Schedule(name=f"job {number:05}", **given) for number in range(schedules)]
    catalog.create_many(rows, by="benchmark")
    now = database_now()
    Worker.objects.bulk_create(
        Worker(name=f"worker{number}@benchmark", host="benchmark", pid=number, started_at=now, seen_at=now)
        for number in range(1, history_rows.WORKERS + 1)
    )
    history_rows.fill(connection, runs=runs, schedules=schedules)
    print(f"{size_on_disk() / 1e6:,.0f} MB on disk")


def size_on_disk() -> int:
    """Bytes."""
    from django.db import connection

    if connection.vendor == "sqlite":
        return os.path.getsize(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        found: int = cursor.fetchone()[0]
        return found


def measure(installation: Installation, given: argparse.Namespace) -> None:
    os.environ.update(installation.environment)
    os.environ["BEATKEEPER_LOG_LEVEL"] = "ERROR"
    os.environ["BEATKEEPER_RETENTION_DAYS"] = "20"  # a third of the rows is old
    import django

    django.setup()
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    settings.ALLOWED_HOSTS = ["testserver"]
    if not given.keep:
        fill(given.runs, given.schedules)
    client = Client()
    client.force_login(User.objects.get_or_create(username="benchmark", is_superuser=True, is_staff=True)[0])
    costs = [cost_of(client, name, url) for name, url in pages(given.runs, given.schedules)]
    report([*costs, counted_and_skipped(given.runs)], explain=given.explain)
    dispatches()
    prune(installation)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10_000_000)
    parser.add_argument("--schedules", type=int, default=2000)
    parser.add_argument("--explain", action="store_true", help="print the plan of the slowest query")
    parser.add_argument(
        "--postgresql",
        default=os.environ.get("TEST_DATABASE_URL") or "postgres://postgres@127.0.0.1/postgres",
    )
    parser.add_argument("--sqlite", action="store_true", help="on the embedded default instead")
    parser.set_defaults(keep=False)
    given = parser.parse_args()
    with installed(postgresql="" if given.sqlite else given.postgresql) as installation:
        measure(installation, given)


if __name__ == "__main__":
    main()
