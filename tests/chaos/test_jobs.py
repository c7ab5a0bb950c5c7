"""What the commands of the load do, and that they tell the truth about it, where a shell runs them."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from benchmarks.chaos import jobs, load, truth
from benchmarks.chaos.truth import Truth

FLOOD = 100_000


@pytest.fixture
def script(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(jobs, "FLOOD", FLOOD)
    path: Path = tmp_path / "job.sh"
    (tmp_path / "truth").touch()
    jobs.write_script(path, tmp_path / "truth")
    return path


def executed(script: Path, work: str, *, before: str = "") -> tuple[int, bytes, Truth]:
    """Exit status, output, and what it wrote down. What is left in its session is killed."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", f"{before}{jobs.command(script, work)}"],
        env={"RUN_ID": "7", "ATTEMPT": "1", "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=script.parent,
    )
    assert process.stdout is not None
    with process.stdout:
        said = process.stdout.read()
    status = process.wait()
    with script.with_name("truth").open() as file:
        return status, said, truth.read(file)


@pytest.mark.parametrize(("noise", "least"), [(0, FLOOD), (1, FLOOD), (2, FLOOD), (3, 1_000_000), (4, 9)])
def test_what_is_noisy_prints_what_it_should_and_ends_well(script, noise, least):
    status, said, written = executed(script, f"noisy {noise}")
    assert (status, len(said) >= least) == (0, True)
    assert [(it.run, it.attempt, it.succeeded) for it in written.executions] == [(7, 1, True)]
    assert written.unreadable == []


def test_every_noise_is_one_that_the_script_knows(script):
    cases = [line.split(")")[0].strip() for line in script.read_text().splitlines() if line.endswith(";;")]
    assert cases == [str(number) for number in range(jobs.NOISES)]


def test_what_is_greedy_ends_at_its_limit_and_does_not_call_that_success(script):
    limit = f"ulimit -v {load.GREEDY_MEGABYTES * 1024}; "
    status, _, written = executed(script, "greedy 0", before=limit)
    assert status != 0
    assert [it.ended for it in written.executions] == [None]


def test_what_is_killed_as_the_kernel_kills_leaves_no_end(script):
    status, _, written = executed(script, "greedy 1")
    assert status == -signal.SIGKILL
    assert [it.ended for it in written.executions] == [None]
