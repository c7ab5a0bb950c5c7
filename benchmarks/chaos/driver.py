"""One run from the first server to the verdict. Called by `python -m benchmarks.chaos`.

Quiet time first, to know how late runs are without faults; then faults, edits and load together; then
calm, so that every retry and rescue can end; then all is disabled, drained, stopped, and checked.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

from benchmarks.chaos import figures, truth
from benchmarks.chaos.checker import check
from benchmarks.chaos.lanes import Lane, await_each
from benchmarks.chaos.lateness import bursts
from benchmarks.chaos.load import LASTING_LEASES
from benchmarks.chaos.options import Options
from benchmarks.chaos.rows import Evidence, Span, Violation, Window
from benchmarks.chaos.scratch import host_time
from benchmarks.chaos.site import Site

PROGRESS_WITHIN, DRAINS_WITHIN = 90, 600
"""Seconds in which runs must end while any is left, and in which all must be over: a busy machine is slow.

The first ones beside the time that the longest job takes: what is interrupted at the end counts as lost."""

LONGER = 4
"""Times as long as asked for, at most, that a thorough run goes on."""

DISABLED_AT_ONCE = 500
"""Schedules in one transaction: on a busy machine thousands take longer than the role's limits allow."""

JOBS_END_WITHIN = 15
"""Seconds after the workers have stopped in which every process of a job must be gone."""


def batched(keys: Iterable[int], size: int) -> Iterator[list[int]]:
    left = list(keys)
    for start in range(0, len(left), size):
        yield left[start : start + size]


class Run:
    """What is done with one installation, in this order: `stir`, `settle`, `evidence`."""

    def __init__(self, site: Site, say: Callable[[str], None]) -> None:
        self.site, self.options, self.say = site, site.options, say
        self.missing: set[str] = set()
        """Faults that a thorough run has waited for in vain."""

    def stir(self) -> None:
        """Quiet, faults, calm."""
        from benchmarks.chaos.clients import Clients

        options = self.options
        time.sleep(options.quiet)
        self.quiet_until = host_time()
        self.clients = Clients(options.seed)
        stage = self.site.stage()
        planned = options.plan().lanes().values()
        self.lanes = [Lane(stage, steps, note=self._note_fault) for steps in planned]
        self.clients.start()
        for lane in self.lanes:
            lane.start()
        self._wait(options.seconds - options.quiet)
        if options.thorough:
            possible = {kind.name for kind in options.plan().kinds if kind.is_possible(stage)}
            self.missing = await_each(possible, self.lanes, seconds=LONGER * options.seconds)
        for lane in self.lanes:
            lane.stop()
        self.clients.stop()
        self.say("the last fault is over")
        time.sleep(options.calm)

    def _note_fault(self, said: str) -> None:
        """In the directory, for those who look into a run that is kept."""
        with (self.site.scratch.root / "faults").open("a") as file:
            file.write(said + "\n")

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
        from schedules.querysets import database_now

        connection.close()  # it may be of a server that has crashed since
        before = database_now()
        for keys in batched(Schedule.objects.live().values_list("pk", flat=True), DISABLED_AT_ONCE):
            catalog.disable(keys, by="chaos")
        self.disabled = Span(before, self.site.clocks.latest(database_now()))
        self._drain()
        self.site.cluster.stop()
        self.leftovers = self._leftovers()

    def _drain(self) -> None:
        from benchmarks.chaos import evidence

        began = progress = time.monotonic()
        least = evidence.active()
        patience = PROGRESS_WITHIN + LASTING_LEASES * self.options.lease
        while least and time.monotonic() < min(began + DRAINS_WITHIN, progress + patience):
            time.sleep(0.5)
            if (left := evidence.active()) < least:
                least, progress = left, time.monotonic()
        self.say(f"drained in {time.monotonic() - began:.0f} s")

    def _leftovers(self) -> list[str]:
        scratch, deadline = self.site.scratch, time.monotonic() + JOBS_END_WITHIN
        while (left := scratch.job_processes(self.site.work)) and time.monotonic() < deadline:
            time.sleep(0.2)
        return [*(f"a job's, {pid}" for pid in left), *self.site.cluster.kill_leftovers()]

    def evidence(self) -> Evidence:
        from benchmarks.chaos import evidence, history
        from schedules import conf

        site = self.site
        with site.truth.open() as file:
            written = truth.read(file)
        found = Evidence(
            jobs=site.jobs,
            created=site.created,
            disabled=self.disabled,
            runs=evidence.runs(after=site.remembered),
            attempts=evidence.attempts(after=site.remembered),
            truth=written,
            windows=self._windows(),
            host_time_of=site.clocks.host_time_of,
            counters=evidence.counters(),
            worker_lost_limit=conf.current().worker_lost_limit,
            epsilon=self.options.epsilon,
            on_time=conf.current().on_time,
            cancelled=self.clients.cancelled,
            deleted=self.clients.deleted,
            leftovers=self.leftovers,
            complaints=[
                *(*site.cluster.complaints, *self.clients.troubles),
                *(*evidence.set_aside(), *evidence.oversized(), *history.losses(self.options.history)),
            ],
            audited=evidence.audited(site.clocks, since=site.created.earliest),
            was_shown_twice=site.clocks.was_shown_twice,
        )
        return replace(found, windows=[*found.windows, *bursts(found)])

    def _windows(self) -> list[Window]:
        return [window for lane in self.lanes for window in lane.windows]

    def troubles(self) -> list[str]:
        said = [said for lane in self.lanes for said in lane.troubles]
        return said + [f"{name} did not happen" for name in sorted(self.missing)]

    def left_out(self) -> Counter[str]:
        return sum((lane.left_out for lane in self.lanes), Counter())


def run(options: Options) -> int:
    """Exit status: 0 where no invariant was violated, 1 where one was, 2 where the run proves nothing."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:6.1f} s] {text}", file=sys.stderr, flush=True)

    with closing(Site(options)) as site:
        say(f"seed {options.seed}; everything is in {site.scratch.root}")
        site.serve()
        site.furnish()
        site.start_processes()
        site.load()
        say(f"{len(site.jobs)} schedules; quiet for {options.quiet:.0f} s")
        current = Run(site, say)
        current.stir()
        current.settle()
        say("stopped; checking")
        evidence = current.evidence()
        violations = check(evidence)
        for line in _report(current, evidence, violations):
            print(line, flush=True)
        if violations:
            print(_where(violations, evidence.windows, site), flush=True)
        return 2 if current.troubles() else 1 if violations else 0


def _report(current: Run, evidence: Evidence, violations: Sequence[Violation]) -> Iterator[str]:
    options, cluster = current.options, current.site.cluster
    lasted = timedelta(seconds=round(options.seconds))
    yield f"chaos              seed {options.seed}, {lasted}, scale {options.scale:g}, {options.engine}"
    yield f"processes started  {cluster.starts}"
    yield f"memory at most     {figures.counted(cluster.peaks)} MiB"
    done = current.clients.done
    yield f"edits meanwhile    {done.total():,}: {figures.counted(done)}"
    if left_out := current.left_out():
        yield f"left out           {figures.counted(left_out)}: impossible here, or nothing to hit"
    yield from figures.lines(evidence, violations, quiet_until=current.quiet_until, peaks=cluster.peaks)
    yield from (f"proves nothing: {said}" for said in current.troubles())


def _where(violations: Sequence[Violation], windows: Sequence[Window], site: Site) -> str:
    """What is needed to look into the first ones, before everything is gone."""
    from benchmarks.chaos import stories

    return stories.tell(violations, windows, site.truth)
