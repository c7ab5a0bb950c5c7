"""The real cron daemon and a real installation, minute by minute: none is doubled, none is missed.

The daemon runs in a mount namespace of its own, where the only crontabs are ours. Takes three minutes:
both sides follow the real clock.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scheduler.bootstrap import ROOT
from tests.rules.daemon import real
from tests.system.installation import Installation, wait_for

WHY_NOT = real.why_not() or ("" if shutil.which("nsenter") else "nsenter not found")
pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]

NAMESPACE = """
set -e
mount --make-rprivate /
cd "$1"
mount --bind spool /var/spool/cron
mount --bind cron.d /etc/cron.d
mount --bind crontab /etc/crontab
mount --bind run /run
exec /usr/sbin/cron -f
"""
JOB = "echo $(date +\\%s) ${{RUN_ID:-cron}} >>{file}"
"""Who started it: a run of Beatkeeper has a number."""


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with Installation(tmp_path) as made:
        made.start()
        made.wait_until_ready()
        yield made


@pytest.fixture
def cron(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon, with one line in /etc/cron.d and one in root's crontab."""
    for folder in ("spool/crontabs", "cron.d", "run"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "crontab").touch()
    (tmp_path / "run" / "crond.reboot").touch()
    (tmp_path / "cron.d" / "jobs").write_text(f"* * * * * root {JOB.format(file=tmp_path / 'system')}\n")
    spool = tmp_path / "spool" / "crontabs" / "root"
    spool.write_text(f"# mine\n* * * * * {JOB.format(file=tmp_path / 'user')}\n")
    spool.chmod(0o600)
    process = subprocess.Popen(["unshare", "--mount", "bash", "-c", NAMESPACE, "cron", str(tmp_path)])
    try:
        wait_for((tmp_path / "run" / "crond.pid").exists, lambda: "the daemon does not start")
        yield process
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def manage(installation: Installation, cron: subprocess.Popen[bytes]) -> Callable[..., str]:
    """A command of the installation where the daemon's files are."""

    def manage(*arguments: str) -> str:
        done = subprocess.run(
            [
                "nsenter",
                f"--mount=/proc/{cron.pid}/ns/mnt",
                sys.executable,
                str(ROOT / "manage.py"),
                *arguments,
            ],
            env={"PATH": os.environ["PATH"], "BEATKEEPER_STATE": str(installation.state)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return manage


def test_no_minute_is_doubled_or_missed_on_the_way_there_and_back(
    tmp_path: Path, manage: Callable[..., str]
) -> None:
    files = ("/etc/cron.d/jobs", "/var/spool/cron/crontabs/root")
    before = [(tmp_path / name).read_bytes() for name in ("cron.d/jobs", "spool/crontabs/root")]
    manage("import_crontab", "--shadow", *files)
    wait_for_run(tmp_path, "cron")

    for file in files:
        manage("cut_over", file)
    wait_for_run(tmp_path, "beatkeeper")
    for file in files:
        manage("cut_over", "--undo", file)
    wait_for_run(tmp_path, "cron")

    assert [(tmp_path / name).read_bytes() for name in ("cron.d/jobs", "spool/crontabs/root")] == before
    for name in ("system", "user"):
        started = runs(tmp_path / name)
        minutes = [minute for minute, _ in started]
        assert minutes == list(range(minutes[0], minutes[0] + len(minutes))), started
        who = [by for _, by in started]
        assert "beatkeeper" in who
        assert (who[0], who[-1]) == ("cron", "cron")


def runs(path: Path) -> list[tuple[int, str]]:
    """The minutes in which the job was started, and by whom, in the order of the starts."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    found = (line.split() for line in lines)
    return [(int(second) // 60, "cron" if by == "cron" else "beatkeeper") for second, by in found]


def wait_for_run(folder: Path, by: str) -> None:
    """Until both jobs have been started by this side in a minute that begins after now."""
    since = time.time() // 60

    def started() -> bool:
        newest = [runs(folder / name)[-1:] for name in ("system", "user")]
        return all(found and found[0][0] > since and found[0][1] == by for found in newest)

    wait_for(started, lambda: str([runs(folder / name) for name in ("system", "user")]), seconds=240)
