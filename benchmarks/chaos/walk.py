"""Both clock changes of a zone, walked through by a real installation on a faked clock.

    python -m benchmarks.chaos.walk            # about two minutes, and two times the start of an installation

PostgreSQL's clock stands shortly before the change when beat and workers start; what became of each schedule
is compared with a table written by hand after cron(8). Other zones and years are in the tests of the rules.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.chaos.cluster import ROOT
from benchmarks.chaos.options import Options
from benchmarks.chaos.servers import missing
from benchmarks.chaos.site import Site

ZONE = "Europe/Berlin"
BEFORE, AFTER = timedelta(seconds=30), timedelta(seconds=25)
"""The schedules are made so long before the change, and disabled so long after it."""

ENDS_WITHIN = 60
"""Seconds in which what is due must have ended."""

OPTIONS = Options(clock=True, broker="redis", scale=0.05)

RUNS, RUNS_NOT = True, False


@dataclass(frozen=True)
class Change:
    """One change of clocks. `cron` says for each expression whether a run of that very instant is due."""

    name: str
    at: datetime
    cron: dict[str, bool]


SPRING = Change(
    "spring, 02:00 becomes 03:00",
    datetime(2027, 3, 28, 1, 0, tzinfo=UTC),
    {
        "* * * * *": RUNS,
        "0 * * * *": RUNS,
        "30 2 * * *": RUNS,  # its time is skipped: once, right after
        "0 3 * * *": RUNS,
        "*/10 2 * * *": RUNS_NOT,  # follows real time, in which there is no such hour
        "30 3 * * *": RUNS_NOT,
        "0 1 * * *": RUNS_NOT,
    },
)
AUTUMN = Change(
    "autumn, 03:00 becomes 02:00",
    datetime(2027, 10, 31, 1, 0, tzinfo=UTC),
    {
        "* * * * *": RUNS,
        "0 * * * *": RUNS,
        "*/10 2 * * *": RUNS,  # follows real time, in which the hour comes again
        "0 2 * * *": RUNS_NOT,  # has had its run when it was two for the first time
        "0 3 * * *": RUNS_NOT,  # is due in an hour
    },
)
CHANGES = {"spring": SPRING, "autumn": AUTUMN}


def problems(change: Change, found: dict[str, list[datetime]]) -> list[str]:
    """What differs from the table. `found` are the instants that started a run, by expression."""
    said = []
    for cron, runs in change.cron.items():
        expected = [change.at] if runs else []
        if found.get(cron, []) != expected:
            said.append(f"{change.name}: {cron}: {_times(found.get(cron, []))}, and not {_times(expected)}")
    return said


def _times(moments: Sequence[datetime]) -> str:
    return ", ".join(f"{moment:%H:%M:%S} UTC" for moment in moments) or "nothing"


def walk(change: Change) -> list[str]:
    """What went wrong in an installation of its own."""
    with closing(Site(OPTIONS)) as site:
        site.serve()
        site.furnish()
        site.start_processes()
        found, audited = _gone_through(change, site)
        site.cluster.stop()
    return [*problems(change, found), *audited]


def _gone_through(change: Change, site: Site) -> tuple[dict[str, list[datetime]], list[str]]:
    """The instants of runs that succeeded, by expression; and what the product's own audit finds."""
    from schedules import auditing, catalog
    from schedules.models import Run, Schedule
    from schedules.querysets import database_now

    assert site.database.clock is not None
    began = change.at - BEFORE
    site.database.clock.step((began - database_now()).total_seconds())
    rows = [Schedule(name=cron, cron=cron, timezone=ZONE, command="true") for cron in change.cron]
    keys = [row.pk for row in catalog.create_many(rows, by="walk")]
    while database_now() < change.at + AFTER:
        time.sleep(0.5)
    catalog.disable(keys, by="walk")
    deadline = time.monotonic() + ENDS_WITHIN
    while Run.objects.active().exists() and time.monotonic() < deadline:
        time.sleep(0.5)
    found: dict[str, list[datetime]] = {}
    for name, at in Run.objects.filter(state="succeeded").order_by("pk").values_list("name", "scheduled_for"):
        found.setdefault(name, []).append(at)
    return found, [
        f"audit: {it.name}: {finding.what}" for it, finding in auditing.audit(start=began).findings()
    ]


def main() -> int:
    """Each change in a process and an installation of its own. Exit status: 0 if all is right."""
    if problem := missing(OPTIONS.broker, faked_clock=True):
        print(f"The walk starts servers of its own, and {problem}.", file=sys.stderr)
        return 2
    if sys.argv[1:]:
        said = walk(CHANGES[sys.argv[1]])
        for line in said or [f"{CHANGES[sys.argv[1]].name}: as cron does it"]:
            print(line, flush=True)
        return 1 if said else 0
    command = [sys.executable, "-m", "benchmarks.chaos.walk"]
    return max(subprocess.run([*command, name], cwd=ROOT, check=False).returncode for name in CHANGES)


if __name__ == "__main__":
    sys.exit(main())
