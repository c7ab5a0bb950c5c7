"""The installation of one run: its servers, the ways to them, its processes and its schedules.

`driver` builds it in this order, and `close` takes everything down again whatever happened.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from benchmarks.chaos import cluster, load
from benchmarks.chaos.faults import Stage
from benchmarks.chaos.options import Options
from benchmarks.chaos.pooler import Pooler
from benchmarks.chaos.proxy import Loop, Proxy
from benchmarks.chaos.rows import Span
from benchmarks.chaos.scratch import Scratch
from benchmarks.chaos.servers import BROKERS, Broker, Database, PostgreSQL, SQLite
from benchmarks.chaos.servers.postgresql import MEGABYTES
from schedules.conf import Conf

if TYPE_CHECKING:
    from benchmarks.chaos.evidence import Clocks

ROLES = ("beats", "workers")
SPOOL_MEGABYTES, LOG_MEGABYTES = 4, 64
MEGABYTES_PER_1000_RUNS = 2
"""Of history: rows, their indexes, and the write-ahead log meanwhile."""


class Site:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.stack = ExitStack()
        self.scratch = Scratch(keep=options.keep)
        self.stack.callback(self.scratch.close)
        self.truth = self.scratch.root / "truth"
        self.truth.touch(mode=0o666)
        self.work = self.scratch.directory("work", mode=0o777)
        self.remembered = 0
        """The key of the last run of the history: what is above is of this run."""

    def close(self) -> None:
        self.stack.close()

    def serve(self) -> None:
        """Servers, proxies, an empty database; after this, Django can be asked."""
        self.database = self._database()
        self.stack.callback(self.database.close)
        self.broker: Broker = BROKERS[self.options.broker](self.scratch)
        self.stack.callback(self.broker.close)
        starter = threading.Thread(target=self.broker.start)
        starter.start()
        self.database.start()
        self.database.prepare()
        starter.join()
        self.ways = self._ways()
        self._be_django()

    def _database(self) -> Database:
        if self.options.is_embedded:
            return SQLite(self.scratch)
        self.scratch.directory("state")
        megabytes = MEGABYTES + self.options.history * MEGABYTES_PER_1000_RUNS // 1000
        return PostgreSQL(self.scratch, faked_clock=self.options.clock, megabytes=megabytes)

    def _ways(self) -> dict[tuple[str, str], Proxy]:
        """Through a proxy for each role and server; none where nobody listens."""
        ports = {"database": self._database_port(), "broker": self.broker.port}
        loop = Loop()
        self.stack.callback(loop.close)
        return {
            (role, server): Proxy(loop, port)
            for role in ROLES
            for server, port in ports.items()
            if port is not None
        }

    def _database_port(self) -> int | None:
        """Where the proxies lead: to PostgreSQL, or to a pooler before it."""
        if not self.options.pooled or not isinstance(self.database, PostgreSQL):
            return self.database.port
        pooler = Pooler(self.scratch, self.database)
        self.stack.callback(pooler.close)
        pooler.start()
        return pooler.port

    def _be_django(self) -> None:
        """This process looks at the database directly; it is no part of what is tested."""
        os.environ |= self._environment(self.database.port, self.broker.port)
        os.environ["BEATKEEPER_LOG_LEVEL"] = "ERROR"
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)

    def _environment(self, database: int | None, broker: int | None) -> dict[str, str]:
        options = self.options
        return {
            "DJANGO_SETTINGS_MODULE": "scheduler.settings",
            "SECRET_KEY": "only-for-chaos",
            "DATABASE_URL": self.database.address(database),
            "CELERY_BROKER_URL": self.broker.url(broker),
            "BEATKEEPER_STATE": str(self.scratch.root / "state"),
            "BEATKEEPER_SPOOL": str(self.scratch.root / "spool"),
            "BEATKEEPER_TASK_MODULES": "benchmarks.chaos.jobs",
            "BEATKEEPER_LEASE_SECONDS": f"{options.lease:g}",
            "BEATKEEPER_HEARTBEAT_SECONDS": f"{options.lease / 8:g}",
            "BEATKEEPER_REDISPATCH_SECONDS": ",".join(map(str, self._redispatch())),
            "BEATKEEPER_ON_TIME_SECONDS": f"{self._shortened(Conf().on_time_seconds):g}",
            "BEATKEEPER_DOORBELLS": "500",
            "BEATKEEPER_TIME_ZONE": "UTC",
            "BEATKEEPER_LOG_LEVEL": "INFO",
            **({"BEATKEEPER_CONN_MAX_AGE": "0"} if options.pooled else {}),
        }

    def _redispatch(self) -> list[int]:
        return [max(1, round(self._shortened(seconds))) for seconds in Conf().redispatch_seconds]

    def _shortened(self, seconds: float) -> float:
        """A usual time, made short as the lease is."""
        return seconds * self.options.lease / Conf().lease_seconds

    def furnish(self) -> None:
        """Disks of their own, and the past."""
        from benchmarks.chaos import history
        from benchmarks.chaos.evidence import Clocks

        self.spool = self.scratch.small("spool", SPOOL_MEGABYTES, mode=0o700)
        self.logs = self.scratch.small("logs", LOG_MEGABYTES, is_worth_keeping=True)
        if self.options.history:
            self.remembered = history.write(self.options.history)
        self.clocks: Clocks = Clocks()
        self.clocks.look()

    def start_processes(self) -> None:
        """All of them are registered afterwards."""

        def port(role: str, server: str) -> int | None:
            return self.ways[role, server].port if (role, server) in self.ways else None

        environments = {
            role: self._environment(port(role, "database"), port(role, "broker")) for role in ROLES
        }
        self.cluster = cluster.Cluster(
            self.scratch, self.logs, self._members(), environments, seed=self.options.seed
        )
        self.stack.callback(self.cluster.kill_leftovers)
        self.stack.callback(self.cluster.stop)
        self.cluster.start()
        self._await_processes()

    def _members(self) -> list[cluster.Member]:
        """Long commands keep a thread each; tasks share a few children. SQLite has one beat, as `up` has."""
        concurrency = max(6, round(26 * self.options.scale))
        return [
            *(cluster.beat(f"beat-{number}") for number in range(1 if self.options.is_embedded else 3)),
            *(cluster.threads(f"threads-{number}", concurrency) for number in range(2)),
            cluster.prefork("prefork-0", max(4, round(6 * self.options.scale))),
        ]

    def _await_processes(self) -> None:
        from schedules.models import Beat, Worker

        deadline = time.monotonic() + 90
        beats, workers = len(self.cluster.beats), len(self.cluster.workers)
        while Worker.objects.alive().count() < workers or Beat.objects.alive().count() < beats:
            if time.monotonic() > deadline:
                raise RuntimeError(f"The processes did not register within 90 s. Their logs:\n{self._said()}")
            time.sleep(0.2)

    def load(self) -> None:
        """The schedules, which are due from now on."""
        from benchmarks.chaos import jobs

        script = self.scratch.root / "job.sh"
        jobs.write_script(script, self.truth)
        before = _now()
        wanted = load.jobs(self.options.scale, period=self.options.period, burst=self.options.burst)
        places = load.Places(script, self.truth, self.work)
        self.jobs = load.create(wanted, places, lease=self.options.lease, quiet=self.options.quiet)
        self.created = Span(before, _now())

    def stage(self) -> Stage:
        return Stage(
            self.cluster,
            self.database,
            self.broker,
            self.ways,
            self.spool if self.scratch.is_limited(self.spool) else None,
            self.logs if self.scratch.is_limited(self.logs) else None,
            self.options.lease,
            self.clocks.look,
        )

    def _said(self, lines: int = 30) -> str:
        parts = []
        for path in sorted(self.logs.glob("*.log")):
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            parts.append("\n".join([f"--- {path.name}", *tail]))
        return "\n".join(parts)


def _now() -> Any:
    from schedules.querysets import database_now

    return database_now()
