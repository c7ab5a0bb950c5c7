"""One run from the first server to the verdict. Called by `python -m benchmarks.chaos`.

Quiet time first, to know how late runs are without faults; then faults, edits and load together; then
calm, so that every retry and rescue can end; then all is disabled, drained, stopped, and checked.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from benchmarks.chaos import cluster, figures, load, truth
from benchmarks.chaos.checker import check
from benchmarks.chaos.faults import KILLS, OUTAGES, Clock, Fault, Stage
from benchmarks.chaos.lanes import Lane
from benchmarks.chaos.pooler import Pooler
from benchmarks.chaos.proxy import Loop, Proxy
from benchmarks.chaos.rows import Evidence, Span, Violation, Window
from benchmarks.chaos.scratch import Scratch, host_time
from benchmarks.chaos.servers import ACCOUNT, BROKERS, Broker, PostgreSQL
from schedules.conf import Conf

if TYPE_CHECKING:
    from benchmarks.chaos.evidence import Clocks

PROGRESS_WITHIN, DRAINS_WITHIN = 90, 600
"""Seconds in which runs must end while any is left, and in which all must be over: a busy machine is slow."""

JOBS_END_WITHIN = 15
"""Seconds after the workers have stopped in which every process of a job must be gone."""

SPOOL_MEGABYTES = 4


@dataclass(frozen=True)
class Options:
    seconds: float
    quiet: float
    calm: float
    seed: int
    scale: float
    broker: str
    only: Sequence[type[Fault]]
    kill_gap: float
    outage_gap: float
    lease: float
    epsilon: float
    clock: bool
    pooled: bool
    keep: bool


class Run:
    """The parts of one run; `close` takes everything down again, whatever happened."""

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self.options, self.say = options, say
        self._stack = ExitStack()
        self.scratch = Scratch(keep=options.keep)
        self._stack.callback(self.scratch.close)
        self.truth = self.scratch.root / "truth"
        self.truth.touch(mode=0o666)
        self.work = self.scratch.directory("work", mode=0o777)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.close()

    def serve(self) -> None:
        """Servers, proxies, an empty database; after this, Django can be asked."""
        options = self.options
        self.postgresql = PostgreSQL(self.scratch, faked_clock=options.clock)
        self._stack.callback(self.postgresql.close)
        self.broker: Broker = BROKERS[options.broker](self.scratch)
        self._stack.callback(self.broker.close)
        starter = threading.Thread(target=self.broker.start)
        starter.start()
        self.postgresql.start()
        self.postgresql.prepare()
        starter.join()
        loop = Loop()
        self._stack.callback(loop.close)
        self.ways = {
            (role, server): Proxy(loop, port)
            for role in ("beats", "workers")
            for server, port in (("database", self._database_port()), ("broker", self.broker.port))
        }
        self._be_django()

    def _database_port(self) -> int:
        """Where the proxies lead: to PostgreSQL, or to a pooler before it."""
        if not self.options.pooled:
            return self.postgresql.port
        pooler = Pooler(self.scratch, self.postgresql)
        self._stack.callback(pooler.close)
        pooler.start()
        return pooler.port

    def _be_django(self) -> None:
        """This process looks at the database directly; it is no part of what is tested."""
        os.environ |= self._environment(self.postgresql.port, self.broker.port)
        os.environ["BEATKEEPER_LOG_LEVEL"] = "ERROR"
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)

    def _environment(self, database: int, broker: int) -> dict[str, str]:
        options = self.options
        return {
            "DJANGO_SETTINGS_MODULE": "scheduler.settings",
            "SECRET_KEY": "only-for-chaos",
            "DATABASE_URL": self.postgresql.url(database, account=ACCOUNT, database=ACCOUNT),
            "CELERY_BROKER_URL": self.broker.url(broker),
            "BEATKEEPER_STATE": str(self.scratch.directory("state")),
            "BEATKEEPER_SPOOL": str(self.scratch.root / "spool"),
            "BEATKEEPER_TASK_MODULES": "benchmarks.chaos.jobs",
            "BEATKEEPER_LEASE_SECONDS": f"{options.lease:g}",
            "BEATKEEPER_HEARTBEAT_SECONDS": f"{options.lease / 8:g}",
            "BEATKEEPER_REDISPATCH_SECONDS": ",".join(map(str, self._redispatch())),
            "BEATKEEPER_DOORBELLS": "500",
            "BEATKEEPER_TIME_ZONE": "UTC",
            "BEATKEEPER_LOG_LEVEL": "INFO",
            **({"BEATKEEPER_CONN_MAX_AGE": "0"} if options.pooled else {}),
        }

    def _redispatch(self) -> list[int]:
        """The usual times, made short as the lease is."""
        usual = Conf()
        return [
            max(1, round(seconds * self.options.lease / usual.lease_seconds))
            for seconds in usual.redispatch_seconds
        ]

    def set_up(self) -> None:
        """The schedules, and the processes that will run them."""
        from benchmarks.chaos import jobs
        from benchmarks.chaos.evidence import Clocks

        script = self.scratch.root / "job.sh"
        jobs.write_script(script, self.truth)
        self.spool = self.scratch.small("spool", SPOOL_MEGABYTES, mode=0o700)
        self.clocks: Clocks = Clocks()
        self.clocks.look()
        environments = {
            role: self._environment(self.ways[role, "database"].port, self.ways[role, "broker"].port)
            for role in ("beats", "workers")
        }
        self.cluster = cluster.Cluster(self.scratch, self._members(), environments, seed=self.options.seed)
        self._stack.callback(self.cluster.kill_leftovers)
        self._stack.callback(self.cluster.stop)
        self.cluster.start()
        self._await_processes()
        before = _now()
        wanted = load.jobs(self.options.scale)
        self.jobs = load.create(wanted, script=script, truth=self.truth, directory=self.work)
        self.created = Span(before, _now())

    def _members(self) -> list[cluster.Member]:
        """Long commands keep a thread each; tasks share a few children."""
        concurrency = max(6, round(26 * self.options.scale))
        return [
            *(cluster.beat(f"beat-{number}") for number in range(3)),
            *(cluster.threads(f"threads-{number}", concurrency) for number in range(2)),
            cluster.prefork("prefork-0", max(4, round(6 * self.options.scale))),
        ]

    def _await_processes(self) -> None:
        from schedules.models import Beat, Worker

        deadline = time.monotonic() + 90
        while Worker.objects.alive().count() < 3 or Beat.objects.alive().count() < 3:
            if time.monotonic() > deadline:
                raise RuntimeError(f"The processes did not register within 90 s. Their logs:\n{self.logs()}")
            time.sleep(0.2)

    def stir(self) -> None:
        """Quiet, faults, calm."""
        from benchmarks.chaos.clients import Clients

        options = self.options
        time.sleep(options.quiet)
        self.quiet_until = host_time()
        stage = Stage(
            self.cluster,
            self.postgresql,
            self.broker,
            self.ways,
            self.spool if self.scratch.is_limited(self.spool) else None,
            options.lease,
            self.clocks.look,
        )
        self.clients = Clients(options.seed)
        self.lanes = [
            Lane(stage, self._kinds(kinds), chance=self._chance(name), gap=gap, note=self._note_fault)
            for name, kinds, gap in (
                ("kills", KILLS, _around(options.kill_gap)),
                ("outages", OUTAGES, _around(options.outage_gap)),
            )
        ]
        self.clients.start()
        for lane in self.lanes:
            lane.start()
        self._wait(options.seconds - options.quiet)
        for lane in self.lanes:
            lane.stop()
        self.clients.stop()
        self.say("the last fault is over")
        time.sleep(options.calm)

    def _note_fault(self, said: str) -> None:
        """In the directory, for those who look into a run that is kept."""
        with (self.scratch.root / "faults").open("a") as file:
            file.write(said + "\n")

    def _kinds(self, kinds: list[type[Fault]]) -> list[type[Fault]]:
        """Those asked for by name; else all."""
        wanted = [kind for kind in self.options.only if (kind in KILLS) == (kinds is KILLS)]
        return wanted if self.options.only else kinds

    def _chance(self, what: str) -> random.Random:
        return random.Random(f"{self.options.seed} {what}")

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 30))
            counts = sum(len(lane.windows) for lane in self.lanes)
            self.say(f"{max(left, 0):.0f} s left, {counts} faults so far")

    def settle(self) -> None:
        """Nothing new falls due, what is waiting ends, the processes stop."""
        from django.db import connection

        from schedules import catalog
        from schedules.models import Schedule

        connection.close()  # it may be of a server that has crashed since
        before = _now()
        catalog.disable(list(Schedule.objects.live().values_list("pk", flat=True)), by="chaos")
        self.disabled = Span(before, self.clocks.latest(_now()))
        self._drain()
        self.cluster.stop()
        self.leftovers = self._leftovers()

    def _drain(self) -> None:
        from benchmarks.chaos import evidence

        began = progress = time.monotonic()
        least = evidence.active()
        while least and time.monotonic() < min(began + DRAINS_WITHIN, progress + PROGRESS_WITHIN):
            time.sleep(0.5)
            if (left := evidence.active()) < least:
                least, progress = left, time.monotonic()
        self.say(f"drained in {time.monotonic() - began:.0f} s")

    def _leftovers(self) -> list[str]:
        deadline = time.monotonic() + JOBS_END_WITHIN
        while (left := self.scratch.job_processes(self.work)) and time.monotonic() < deadline:
            time.sleep(0.2)
        return [*(f"a job's, {pid}" for pid in left), *self.cluster.kill_leftovers()]

    def evidence(self) -> Evidence:
        from benchmarks.chaos import evidence
        from schedules import conf

        with self.truth.open() as file:
            written = truth.read(file)
        return Evidence(
            jobs=self.jobs,
            created=self.created,
            disabled=self.disabled,
            runs=evidence.runs(),
            attempts=evidence.attempts(),
            truth=written,
            windows=self.windows(),
            host_time_of=self.clocks.host_time_of,
            counters=evidence.counters(),
            worker_lost_limit=conf.current().worker_lost_limit,
            epsilon=self.options.epsilon,
            leftovers=self.leftovers,
            complaints=[*self.cluster.complaints, *self.clients.troubles, *evidence.set_aside()],
            audited=evidence.audited(self.clocks),
            was_shown_twice=self.clocks.was_shown_twice,
        )

    def windows(self) -> list[Window]:
        return [window for lane in self.lanes for window in lane.windows]

    def troubles(self) -> list[str]:
        return [said for lane in self.lanes for said in lane.troubles]

    def logs(self, lines: int = 30) -> str:
        parts = []
        for path in sorted((self.scratch.root / "logs").glob("*.log")):
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            parts.append("\n".join([f"--- {path.name}", *tail]))
        return "\n".join(parts)


def run(options: Options) -> int:
    """Exit status: 0 where no invariant was violated, 1 where one was, 2 where the run proves nothing."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:6.1f} s] {text}", file=sys.stderr, flush=True)

    with Run(options, say) as current:
        say(f"seed {options.seed}; everything is in {current.scratch.root}")
        current.serve()
        current.set_up()
        say(f"{len(current.jobs)} schedules; quiet for {options.quiet:.0f} s")
        current.stir()
        current.settle()
        say("stopped; checking")
        evidence = current.evidence()
        violations = check(evidence)
        for line in _report(options, current, evidence, violations):
            print(line, flush=True)
        if violations:
            print(_where(violations, current), flush=True)
        return 2 if current.troubles() else 1 if violations else 0


def _report(
    options: Options, current: Run, evidence: Evidence, violations: Sequence[Violation]
) -> Iterator[str]:
    lasted = timedelta(seconds=round(options.seconds))
    yield f"chaos              seed {options.seed}, {lasted}, scale {options.scale:g}, {options.broker}"
    yield f"processes started  {current.cluster.starts}"
    edits = ", ".join(f"{name} {count}" for name, count in sorted(current.clients.done.items()))
    yield f"edits meanwhile    {sum(current.clients.done.values()):,}: {edits}"
    yield from figures.lines(evidence, violations, quiet_until=current.quiet_until)
    yield from (f"proves nothing: {said}" for said in current.troubles())


def _where(violations: Sequence[Violation], current: Run) -> str:
    """What is needed to look into the first ones, before everything is gone."""
    from benchmarks.chaos import stories

    return stories.tell(violations, current.windows(), current.truth)


def _around(seconds: float) -> tuple[float, float]:
    return 0.5 * seconds, 1.5 * seconds


def steps_the_clock(kinds: Sequence[type[Fault]]) -> bool:
    return any(issubclass(kind, Clock) for kind in kinds)


def _now() -> Any:
    from schedules.querysets import database_now

    return database_now()


__all__ = ["Options", "run", "steps_the_clock"]
