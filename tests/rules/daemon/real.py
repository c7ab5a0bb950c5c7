"""Debian's own cron daemon, asked when it starts jobs, under a clock that costs no time.

The daemon runs as it is installed, with `clock.c` preloaded, in a mount namespace of its own where
the only crontab is ours. Needs root, Debian's cron package, a C compiler and unshare(1);
`why_not()` says what is missing.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

DAEMON = Path("/usr/sbin/cron")
_START = re.compile(r"(\d+) \(root\) CMD \(job(\d+)\)")
_REFUSED = re.compile(r"file(\d+)\) ERROR \(Syntax error, this crontab file will be ignored\)")
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
# The daemon deals with no minute that had begun when it was started.
_WARM_UP = timedelta(minutes=10)
_NAMESPACE = """
set -e
mount --make-rprivate /
cd "$1"
mount --bind spool /var/spool/cron
mount --bind cron.d /etc/cron.d
mount --bind crontab /etc/crontab
mount --bind run /run
LD_PRELOAD="$2" timeout 120 /usr/sbin/cron -f
"""


def why_not() -> str:
    """What keeps the daemon from being asked on this machine; "" if nothing does."""
    if os.geteuid() != 0:
        return "the real cron daemon can be run by root only"
    if not DAEMON.exists():
        return f"{DAEMON} is not installed (Debian: apt-get install cron)"
    missing = [tool for tool in ("cc", "unshare", "timeout") if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} not found"
    probe = ["unshare", "--mount", "mount", "--make-rprivate", "/"]
    refused = subprocess.run(probe, capture_output=True, check=False).returncode
    return "no mount namespace may be made here" if refused else ""


class RealCron:
    """One compiled clock and a folder for the daemon's files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clock = folder / "clock.so"
        source = Path(__file__).with_name("clock.c")
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-w", "-o", str(self._clock), str(source)],
            check=True,
        )

    def firings(
        self, expressions: Sequence[str], zone: str, start: datetime, end: datetime
    ) -> list[list[datetime]]:
        """For each line of one crontab the minutes of [start, end) in which it was started, sorted.

        A minute is listed once for each start.
        """
        lines = "".join(f"{line} job{number}\n" for number, line in enumerate(expressions))
        files = {"spool/crontabs/root": lines}
        log = self._run(files, zone, start - _WARM_UP, end)
        if "ERROR" in log:
            raise ValueError(f"cron refuses one of these lines:\n{lines}")
        started: list[list[datetime]] = [[] for _ in expressions]
        for second, job in _START.findall(log):
            minute = datetime.fromtimestamp(int(second) // 60 * 60, UTC)
            if start <= minute < end:
                started[int(job)].append(minute)
        return [sorted(minutes) for minutes in started]

    def refuses(self, expressions: Sequence[str]) -> list[bool]:
        """For each expression, alone in a system crontab: whether cron refuses the file."""
        files = {f"cron.d/file{number}": f"{line} root job\n" for number, line in enumerate(expressions)}
        log = self._run(files, "UTC", _SOME_DAY, _SOME_DAY + timedelta(minutes=2))
        refused = {int(number) for number in _REFUSED.findall(log)}
        return [number in refused for number in range(len(expressions))]

    def _run(self, files: Mapping[str, str], zone: str, start: datetime, end: datetime) -> str:
        """The daemon's log over that time; `files` are its crontabs, by path."""
        home = Path(tempfile.mkdtemp(dir=self._folder))
        _furnish(home, files)
        environment = {
            "PATH": os.environ["PATH"],
            "TZ": zone,
            "CLOCK_START": str(int(start.timestamp())),
            "CLOCK_END": str(int(end.timestamp())),
            "CLOCK_LOG": str(home / "log"),
        }
        # Jobs inherit the output, so the end of the output is the end of the last of them.
        finished = subprocess.run(
            ["unshare", "--mount", "bash", "-c", _NAMESPACE, "cron", str(home), str(self._clock)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode:
            raise RuntimeError(f"the daemon failed: {finished.stderr}")
        log = (home / "log").read_text()
        shutil.rmtree(home)
        return log


def _furnish(home: Path, files: Mapping[str, str]) -> None:
    for folder in ("spool/crontabs", "cron.d", "run"):
        (home / folder).mkdir(parents=True)
    (home / "crontab").touch()
    (home / "run" / "crond.reboot").touch()
    for path, text in files.items():
        (home / path).write_text(text, encoding="utf-8", newline="")
        (home / path).chmod(0o600)
