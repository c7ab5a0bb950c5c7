"""Two beats and four workers on six hosts: what more of each brings, what a run costs, and a cut cable.

    python -m benchmarks.scaling [--schedules 2000] [--rate 40] [--seconds 60]        as root, 5 minutes

The hosts are network namespaces on a bridge, with a PostgreSQL and a Redis on two further ones (`hosts`,
`scaling_site`). All of them share the processors of one machine: rates are of this machine and do not add up,
while bytes, connections, shares and exactness are what they would be on six. Exactness is seen twice, in the
tables by `audit_firings` and in a file to which each command appends a line. The exit status is 1 where an
instant has no run or two, or where a run that must not be repeated was executed twice.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.hosts import Traffic, missing
from benchmarks.scaling_cuts import SETTLE, TROUBLED, pull, recovered
from benchmarks.scaling_servers import missing_programs, wait_for
from benchmarks.scaling_site import (
    AUDIT,
    SHORT,
    Site,
    Watch,
    per_run,
    share_of,
    site,
    sleep_until,
)

PATIENCE = 180
TABLES = ("schedules_run", "schedules_attempt", "schedules_attemptoutput")
DEFINITIONS = ("schedules_schedule", "schedules_revision", "django_celery_beat_periodictask")

TIMES = """
SELECT count(*), extract(epoch FROM max(finished_at)), percentile_cont(ARRAY[0.5, 0.99, 1])
    WITHIN GROUP (ORDER BY extract(epoch FROM started_at - scheduled_for))
FROM schedules_run WHERE name LIKE %s AND state = 'succeeded'
"""
BY_WORKER = """
SELECT worker.host, count(*) FROM schedules_run AS run
JOIN schedules_worker AS worker ON worker.id = run.worker_id WHERE run.name LIKE %s GROUP BY 1 ORDER BY 1
"""
BY_BEAT = "SELECT decided_by, count(*) FROM schedules_run WHERE name LIKE %s GROUP BY 1 ORDER BY 1"


@dataclass(frozen=True)
class Cost:
    """Of one run: milliseconds of CPU by role, bytes on the wire by host, bytes of log and of tables."""

    cpu: dict[str, float]
    wire: dict[str, float]
    log: float
    tables: float


class Meter:
    """Reads every counter when it is made; `cost` says what has been added since, for each of `runs`."""

    def __init__(self, measured: Site) -> None:
        self._site = measured
        self._before = self._read()

    def cost(self, runs: int) -> Cost:
        cpu, wire, log, tables = (
            per_run(before, after, runs) for before, after in zip(self._before, self._read(), strict=True)
        )
        milliseconds = {role: 1000 * seconds for role, seconds in cpu.items()}
        return Cost(milliseconds, wire, log["log"], sum(tables.values()))

    def _read(self) -> tuple[dict[str, float], ...]:
        wire = {name: float(traffic.bytes) for name, traffic in self._site.traffic().items()}
        log = {"log": self._site.number("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")}
        sizes = {table: self._site.number(f"SELECT pg_total_relation_size('{table}')") for table in TABLES}
        return self._site.cpu(), wire, log, sizes


def backlog(measured: Site, count: int, *, beats: int) -> None:
    """Messages wait because no worker takes them."""
    used, waiting = _used(measured), _waiting(measured)
    name = f"backlog of {beats}"
    due = measured.cohort(name, count)
    wait_for(lambda: _waiting(measured) >= waiting + count, "The messages were not sent", PATIENCE)
    took = time.time() - due
    each = (_used(measured) - used) / count
    say(
        f"{beats} beats, no worker: {count:,} messages out after {took:.2f} s, {each:,.0f} bytes of Redis "
        f"each; {share_of(measured.query(BY_BEAT, f'{name} %'))}"
    )


def burst(measured: Site, count: int, *, beats: int, workers: int) -> None:
    """`count` schedules due at one second. Runs per second count from that second to the last end."""
    name = f"{beats} beats, {workers} workers"
    due = measured.cohort(name, count)
    sleep_until(due - 0.5)
    meter = Meter(measured)
    sleep_until(due)
    like = f"{name} %"
    ended = "SELECT count(*) FROM schedules_run WHERE name LIKE %s AND finished_at IS NOT NULL"
    wait_for(lambda: measured.number(ended, like) >= count, f"The runs of {like} did not end", PATIENCE)
    cost = meter.cost(count)
    done, last, (p50, p99, most) = measured.query(TIMES, like)[0]
    rate = count / (float(last) - due)
    late = f"late p50 {p50:5.2f}  p99 {p99:5.2f}  max {most:5.2f} s"
    say(f"{name:20}{done:>7,} of {count:,}{rate:8.0f}/s   {late}   load {os.getloadavg()[0]:.0f}")
    say(f"{'':20}{share_of(measured.query(BY_WORKER, like))}; {share_of(measured.query(BY_BEAT, like))}")
    show(cost)


def steady(measured: Site, rate: int, seconds: int) -> None:
    """So many runs each second in peace, and then some more while cables are pulled.

    Their commands sleep for a moment, so that every host has some in hand when its cable is pulled.
    """
    first = measured.steady(rate, seconds + TROUBLED)
    sleep_until(first)
    meter = Meter(measured)
    with Watch(measured) as watch:
        sleep_until(first + seconds)
    runs = measured.number("SELECT count(*) FROM schedules_run WHERE name LIKE 'steady %%'")
    say(f"\n{rate} runs a second for {seconds} s, 2 beats, 4 workers")
    show(meter.cost(int(runs)))
    connections = ", ".join(f"{name} {count}" for name, count in sorted(watch.database.items()))
    say(f"connections to the database at most: {connections}; to the broker {watch.broker} in all")
    cuts = list(pull(measured, first + seconds))
    sleep_until(first + seconds + TROUBLED)
    measured.wait_until_over("steady %", PATIENCE)
    quiet = measured.query(
        TIMES.replace("%s", "%s AND scheduled_for < to_timestamp(%s)"), "steady %", first + seconds
    )[0][2]
    say(f"late p50 {quiet[0]:.3f}  p99 {quiet[1]:.3f}  max {quiet[2]:.3f} s")
    say(
        share_of(measured.query(BY_WORKER, "steady %")) + "; " + share_of(measured.query(BY_BEAT, "steady %"))
    )
    usual = max(quiet[2], 1.0)
    for cut in cuts:
        say(recovered(measured, cut, usual))


def judge(measured: Site, expected: int) -> bool:
    """Every instant, by the audit; every execution, by the file that the commands wrote.

    `expected` instants were due, by the arithmetic of those who made the schedules.
    """
    due, became, wrong = json.loads(measured.installation.run(AUDIT))
    executions = measured.executions()
    begun = Counter(run for run, _ in executions)
    repeatable = {
        pk
        for (pk,) in measured.query(
            "SELECT run.id FROM schedules_run AS run JOIN schedules_schedule AS schedule "
            "ON schedule.periodictask_ptr_id = run.schedule_id WHERE schedule.on_worker_lost = 'retry'"
        )
    }
    twice = [run for run, times in begun.items() if times > 1 and run not in repeatable]
    repeated = sum(times > 1 for run, times in begun.items() if run in repeatable)
    succeeded = {pk for (pk,) in measured.query("SELECT id FROM schedules_run WHERE state = 'succeeded'")}
    without = len(succeeded - begun.keys())
    states = measured.query("SELECT state, count(*) FROM schedules_run GROUP BY 1 ORDER BY 1")
    say(f"\naudit: {due:,} due instants of {expected:,} expected, {became}; wrong: {wrong or 'nothing'}")
    say(f"runs: {', '.join(f'{state} {count:,}' for state, count in states)}")
    say(
        f"{len(executions):,} executions by their own account; twice though they must not be: {len(twice)}; "
        f"repeated as their schedule allows: {repeated}; succeeded without an execution: {without}"
    )
    return due == expected and not (wrong or twice or without)


def show(cost: Cost) -> None:
    cpu = ", ".join(f"{role} {value:.2f}" for role, value in cost.cpu.items())
    wire = {name: value for name, value in cost.wire.items() if name in ("database", "broker")}
    say(
        f"{'':20}a run: CPU ms {cpu}; wire bytes {_rounded(wire)}; "
        f"WAL {cost.log:,.0f}; tables {cost.tables:,.0f}"
    )


def _rounded(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:,.0f}" for name, value in values.items())


def idle(measured: Site, seconds: float = 5) -> None:
    """What processes that have nothing to do say to the servers."""
    before = measured.traffic()
    time.sleep(seconds)
    spent: dict[str, Traffic] = {
        name: traffic - before[name] for name, traffic in measured.traffic().items() if name in before
    }
    say(
        "idle, bytes a second: "
        + _rounded({name: traffic.bytes / seconds for name, traffic in spent.items()})
    )


def sizes(measured: Site) -> None:
    """With their indexes, with what updates have left behind, and as they would be after a rewrite."""
    schedules = measured.number("SELECT count(*) FROM schedules_schedule")
    used = sum(measured.number(f"SELECT pg_total_relation_size('{table}')") for table in DEFINITIONS)
    say(f"schedules, with parents and revisions: {schedules:,.0f}, {used / schedules:,.0f} bytes each")
    for table in TABLES:
        size = f"SELECT pg_total_relation_size('{table}') FROM {table} LIMIT 1"
        rows = measured.number(f"SELECT count(*) FROM {table}")
        if rows:
            used = measured.number(size) / rows
            measured.execute(f"VACUUM FULL {table}")
            rewritten = measured.number(size) / rows
            say(f"{table}: {rows:,.0f} rows, {used:,.0f} bytes each; {rewritten:,.0f} rewritten")


def _used(measured: Site) -> int:
    memory: Any = measured.redis.info("memory")
    return int(memory["used_memory"])


def _waiting(measured: Site) -> int:
    length: Any = measured.redis.llen("commands")
    return int(length)


def say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--schedules", type=int, default=2000, help="due at one second, six times")
    parser.add_argument("--rate", type=int, default=40, help="runs a second of the steady part")
    parser.add_argument("--seconds", type=int, default=60, help="of the steady part before the cuts")
    parser.add_argument("--logs", type=Path, help="keep the logs of beats and workers in this directory")
    given = parser.parse_args()
    if problem := missing() or missing_programs():
        raise SystemExit(problem)
    say(
        f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.0f}; "
        + ", ".join(f"{name}={value}" for name, value in SHORT.items())
    )
    with site(beats=2, workers=4) as measured:
        measured.start_beat(measured.beats[0])
        backlog(measured, given.schedules, beats=1)
        measured.start_beat(measured.beats[1])
        backlog(measured, given.schedules, beats=2)
        measured.beats[1].stop()
        measured.start_workers(measured.workers[0])
        measured.wait_until_over("backlog %", PATIENCE)
        burst(measured, given.schedules, beats=1, workers=1)
        measured.start_workers(measured.workers[1])
        burst(measured, given.schedules, beats=1, workers=2)
        measured.start_workers(*measured.workers[2:])
        burst(measured, given.schedules, beats=1, workers=4)
        measured.start_beat(measured.beats[1])
        time.sleep(SETTLE)  # a beat that begins reads every schedule once
        burst(measured, given.schedules, beats=2, workers=4)
        idle(measured)
        steady(measured, given.rate, given.seconds)
        steadily = given.rate * (given.seconds + TROUBLED)
        is_clean = judge(measured, expected=6 * given.schedules + steadily)
        sizes(measured)
        if given.logs:
            measured.copy_logs(given.logs)
    raise SystemExit(0 if is_clean else 1)


if __name__ == "__main__":
    main()
