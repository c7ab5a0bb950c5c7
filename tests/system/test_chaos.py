"""A short chaos run: real processes, load, edits and faults, and every invariant holds afterwards.

`python -m benchmarks.chaos` is the same for longer, and with more: docs/reliability.md.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.chaos.servers import missing

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 900
"""Seconds: the run takes about 100 on an idle machine, and waits for what is slow rather than to guess."""

pytestmark = pytest.mark.system


@dataclass(frozen=True)
class Form:
    """Options, and the faults that must have happened: the machine decides how long they take."""

    options: str
    faults: tuple[str, ...]

    @property
    def arguments(self) -> list[str]:
        return [*self.options.split(), "--only", *self.faults]


KILLS = ("beat-kill", "worker-kill", "child-kill", "runner-kill")
SERVERS = Form(
    "--minutes 1 --seed 20264985 --kill-gap 4",
    (*KILLS, "database-crash", "broker-crash", "purge", "cut", "worker-pause", "rolling-restart"),
)
EMBEDDED = Form(
    "--minutes 0.5 --seed 20262714 --kill-gap 3 --sqlite",
    (*KILLS, "purge", "database-locked", "worker-pause", "rolling-restart"),
)
"""Seeds that draw outages of 4 to 8 seconds: longer than a lease, and over soon. Others draw 20."""

COMMON = "--thorough --quiet 8 --calm 5 --scale 0.08 --lease 4 --outage-gap 3 --epsilon 60"
"""A loaded machine is late in peace too: hence a large epsilon. Lateness is for longer runs to judge."""


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def form(request: pytest.FixtureRequest) -> Form:
    """Both, whichever engine the tests run on: the driver starts servers of its own."""
    if request.param == "SQLite":
        return EMBEDDED
    return Form(f"{SERVERS.options} --broker {_broker()}", SERVERS.faults)


def _broker() -> str:
    problems = {name: missing(name) for name in ("rabbitmq", "redis")}
    found = next((name for name, problem in problems.items() if not problem), None)
    if found is None:
        reason = f"chaos starts servers of its own: {'; '.join(problems.values())}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return found


def number(said: str, line: str) -> int:
    """The first of the figures in that line."""
    found = re.search(rf"^{line} +([\d,]+)", said, re.MULTILINE)
    assert found is not None, said
    return int(found[1].replace(",", ""))


def test_a_minute_of_kills_outages_and_edits_violates_no_invariant(form, tmp_path):
    with (tmp_path / "output").open("w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.chaos", *COMMON.split(), *form.arguments],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            status = process.wait(PATIENCE)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)  # it takes down what it started
                process.wait(PATIENCE)
        output.seek(0)
        said = output.read()

    print(said)
    assert status == 0, said
    assert number(said, "violations") == 0
    assert number(said, "executions seen") > 100
    happened = re.findall(r"[\w-]+(?= \d)", said.partition("\nfaults ")[2].partition("\n")[0])
    assert set(happened) == set(form.faults)
