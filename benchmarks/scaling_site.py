"""The installation that `scaling` measures: servers, beats and workers on hosts of their own, and its tables.

Nothing here judges; `scaling` asks. Every query goes to the database by this process, which is no host.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import redis

from benchmarks.hosts import Host, Network, Traffic
from benchmarks.installation import ROOT, Installation, installed
from benchmarks.scaling_servers import start_postgresql, start_redis, wait_for
from benchmarks.start import cpu_seconds

SHORT = {
    "BEATKEEPER_HEARTBEAT_SECONDS": "1",
    "BEATKEEPER_LEASE_SECONDS": "8",
    "BEATKEEPER_REDISPATCH_SECONDS": "5,10,20",
}
"""So that what takes a minute in an installation takes seconds here."""

COHORT = """
from datetime import timedelta
from schedules import catalog
from schedules.models import Schedule
from schedules.querysets import database_now
due = (database_now() + timedelta(seconds={lead})).replace(microsecond=0)
once = f"{{due.second}} {{due.minute}} {{due.hour}} {{due.day}} {{due.month}} *"
catalog.create_many(
    [
        Schedule(name=f"{name} {{n}}", cron=once, dialect="extended", timezone="UTC", command={command!r})
        for n in range({count})
    ],
    by="benchmark",
)
assert database_now() < due, "the schedules were not there in time"
print(due.timestamp())
"""

STEADY = """
from datetime import timedelta
from schedules import catalog
from schedules.models import Schedule
from schedules.querysets import database_now
first = (database_now() + timedelta(seconds={lead})).replace(microsecond=0)
end = first + timedelta(seconds={seconds} - 0.5)
catalog.create_many(
    [
        Schedule(
            name=f"steady {{second}} {{n}}", cron=f"{{second}}-59/10 * * * * *", dialect="extended",
            timezone="UTC", start_time=first, expires=end, command={command!r} + "; sleep 0.5",
            on_worker_lost="retry" if n % 2 else "lost",
        )
        for second in range(10) for n in range({rate})
    ],
    by="benchmark",
)
assert database_now() < first, "the schedules were not there in time"
print(first.timestamp())
"""

AUDIT = """
import json
from schedules import auditing
done = auditing.audit()
print(json.dumps([done.due, dict(done.became), dict(done.wrong)]))
"""


@dataclass
class Site:
    """`roles` maps a role to its processes' ids; hosts are in the order in which they were made."""

    network: Network
    installation: Installation
    database: Host
    broker: Host
    beats: list[Host]
    workers: list[Host]
    redis: redis.Redis
    roles: dict[str, list[int]]
    executed: Path
    """One line for each execution, written by the command itself: the run's id and the attempt's number."""
    _connection: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def hosts(self) -> list[Host]:
        return [self.database, self.broker, *self.beats, *self.workers]

    @property
    def command(self) -> str:
        """As cheap as `true`: the shell does it itself."""
        return f'echo "$RUN_ID $ATTEMPT" >> {self.executed}'

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            cursor = self._cursor()
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def execute(self, statement: str) -> None:
        with self._lock:
            self._cursor().execute(statement)

    def _cursor(self) -> Any:
        if self._connection is None:
            self._connection = psycopg2.connect(self.installation.environment["DATABASE_URL"])
            self._connection.autocommit = True
        return self._connection.cursor()

    def number(self, statement: str, *values: object) -> float:
        return float(self.query(statement, *values)[0][0] or 0)

    def start_beat(self, host: Host) -> None:
        self._start("beats", host, "beat", "--pidfile=", "-l", "warning")
        alive = "SELECT count(*) FROM schedules_beat WHERE host = %s"
        wait_for(lambda: self.number(alive, host.name) > 0, f"{host.name} did not start")

    def start_workers(self, *hosts: Host) -> None:
        """Returns when each waits for a message."""
        lean = ("--without-gossip", "--without-mingle", "-l", "warning")
        for host in hosts:
            self._start(
                "workers", host, "worker", "-n", "c@%h", "-Q", "commands", "-P", "threads", "-c", "20", *lean
            )
        for host in hosts:
            wait_for(lambda host=host: self._listens(host), f"{host.name} did not start")  # type: ignore[misc]

    def _start(self, role: str, host: Host, *arguments: str) -> None:
        process = host.start(
            [sys.executable, "-m", "celery", "-A", "scheduler", *arguments],
            environment=self.installation.environment,
            log=self.installation.directory / f"{host.name}.log",
            directory=ROOT,
        )
        self.roles[role].append(process.pid)

    def _listens(self, host: Host) -> bool:
        clients: Any = self.redis.client_list()
        return any(
            client["addr"].startswith(f"{host.address}:") and client["cmd"] == "brpop" for client in clients
        )

    def cohort(self, name: str, count: int) -> float:
        """`count` schedules that are due once, at the moment that is returned, a few seconds from now."""
        lead = 6 + count / 400
        return self._create(COHORT, name=name, count=count, lead=lead)

    def steady(self, rate: int, seconds: int) -> float:
        """`rate` runs due at each second from the moment that is returned on, for so many seconds.

        Half of the schedules may be repeated when their worker vanishes.
        """
        return self._create(STEADY, rate=rate, seconds=seconds, lead=8 + rate / 25)

    def _create(self, code: str, **values: object) -> float:
        return float(self.installation.run(code.format(command=self.command, **values)).split()[-1])

    def traffic(self) -> dict[str, Traffic]:
        return {host.name: host.traffic() for host in self.hosts}

    def cpu(self) -> dict[str, float]:
        """Seconds by role, with what the processes have started."""
        return {role: sum(map(cpu_seconds, pids)) for role, pids in self.roles.items()}

    def executions(self) -> list[tuple[int, int]]:
        """(run id, attempt), as the commands wrote them."""
        lines = self.executed.read_text().splitlines() if self.executed.exists() else []
        return [(int(run), int(attempt)) for run, attempt in (line.split() for line in lines)]

    def copy_logs(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        for log in self.installation.directory.glob("*-*.log"):
            shutil.copy(log, directory)

    def wait_until_over(self, like: str, patience: float) -> None:
        left = "SELECT count(*) FROM schedules_run WHERE name LIKE %s AND finished_at IS NULL"
        wait_for(lambda: self.number(left, like) == 0, f"Runs of {like} did not end", patience)


@contextmanager
def site(*, beats: int, workers: int) -> Iterator[Site]:
    """Servers that run, and hosts for beats and workers on which nothing runs yet."""
    with Network() as network, _scratch() as directory:
        database, broker = network.host("database"), network.host("broker")
        roles: dict[str, list[int]] = {"beats": [], "workers": []}
        try:
            roles["database"] = [start_postgresql(database, directory, network.subnet)]
            roles["broker"] = [start_redis(broker, directory)]
            urls = {
                "postgresql": f"postgres://postgres@{database.address}/postgres",
                "broker": f"redis://{broker.address}:6379/0",
            }
            with installed(**urls, **SHORT) as installation:
                made = Site(
                    network,
                    installation,
                    database,
                    broker,
                    [network.host(f"beat-{number + 1}") for number in range(beats)],
                    [network.host(f"worker-{number + 1}") for number in range(workers)],
                    redis.Redis(host=broker.address, socket_timeout=5),
                    roles,
                    directory / "executed",
                )
                try:
                    yield made
                finally:
                    for host in [*made.workers, *made.beats]:
                        host.reconnect()
                    for host in [*made.workers, *made.beats]:
                        host.stop()
        finally:
            for host in network.hosts:
                host.stop()


@contextmanager
def _scratch() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="beatkeeper-scaling-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class Watch:
    """The most connections that each host had to the database at one look, and the broker at all."""

    def __init__(self, site: Site) -> None:
        self.database: dict[str, int] = {}
        self.broker = 0
        self._site, self._over = site, threading.Event()
        self._names = {host.address: host.name for host in site.hosts}
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        statement = (
            "SELECT host(client_addr), count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND client_addr IS NOT NULL GROUP BY 1"
        )
        while not self._over.wait(0.5):
            for address, count in self._site.query(statement):
                if name := self._names.get(address):
                    self.database[name] = max(self.database.get(name, 0), count)
            info: Any = self._site.redis.info("clients")
            self.broker = max(self.broker, info["connected_clients"])


def per_run(before: Mapping[str, float], after: Mapping[str, float], runs: int) -> dict[str, float]:
    return {key: (after[key] - before[key]) / runs for key in after}


def sleep_until(moment: float) -> None:
    time.sleep(max(moment - time.time(), 0))


def share_of(counts: Sequence[tuple[str, int]]) -> str:
    """ "worker-1 52 %, worker-2 48 %"."""
    total = sum(count for _, count in counts) or 1
    return ", ".join(f"{name} {100 * count / total:.0f} %" for name, count in counts)
