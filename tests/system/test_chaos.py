"""A short chaos run: real processes, load, edits and faults, and every invariant holds afterwards.

`python -m benchmarks.chaos` is the same for longer, and with more: docs/reliability.md.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from benchmarks.chaos.servers import missing

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 600
"""Seconds: the run takes about 100 on an idle machine, and waits for what is slow rather than to guess."""

pytestmark = pytest.mark.system


@pytest.fixture
def engine() -> list[str]:
    """Options that choose the engine on which the tests run, so that each has its turn."""
    return ["--sqlite"] if connection.vendor == "sqlite" else ["--broker", _broker()]


def _broker() -> str:
    problems = {name: missing(name) for name in ("redis", "rabbitmq")}
    found = next((name for name, problem in problems.items() if not problem), None)
    if found is None:
        reason = f"chaos starts servers of its own: {'; '.join(problems.values())}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return found


OPTIONS = """
    --minutes 0.7 --quiet 8 --calm 5 --seed 20261121 --scale 0.12
    --lease 4 --kill-gap 2.5 --outage-gap 3 --epsilon 60
"""
"""A loaded machine is late in peace too: hence a large epsilon. Lateness is for longer runs to judge."""


def test_a_minute_of_kills_outages_and_edits_violates_no_invariant(engine, tmp_path):
    with (tmp_path / "output").open("w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.chaos", *OPTIONS.split(), *engine],
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

    assert status == 0, said
    assert "violations         0" in said
    assert "kills              0" not in said
    assert "executions seen    0 " not in said
