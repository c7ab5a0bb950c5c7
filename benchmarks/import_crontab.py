"""What it costs to read and to import a crontab of N lines, beside reading it with python-crontab.

    python -m benchmarks.import_crontab [--lines 5000]

Reading is the best of three in this process. The imports are commands as an operator types them, start
of the interpreter included, into an empty SQLite database; the second and third find the schedules of
the first. python-crontab has no counterpart to an import, so only reading is compared: it rewrites
what it reads, and refuses some of what cron accepts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import timeit
from pathlib import Path

import crontab as python_crontab  # type: ignore[import-untyped]

from schedules.rules import crontab

ROOT = Path(__file__).parents[1]
SHELL_WORDS = ("/opt/app/report", "/usr/local/bin/backup --full", "cd /srv/www && php artisan queue:work")


def text_of(lines: int) -> str:
    """Settings and jobs as a grown server has them: no two alike, some with standard input or noise."""
    jobs = [
        f"{number % 60} {number // 60 % 24} * * {('*', '1-5', 'sun', '*/2')[number % 4]} "
        f"{SHELL_WORDS[number % 3]} --shard {number}{(' > /dev/null 2>&1', '', '%input')[number % 3]}"
        for number in range(lines)
    ]
    return "\n".join(["SHELL=/bin/sh", "MAILTO=ops@example.org", *jobs, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=5000)
    lines = parser.parse_args().lines
    text = text_of(lines)
    ours = _best(lambda: crontab.parse(text))
    theirs = _best(lambda: python_crontab.CronTab(tab=text))
    print(f"Reading {lines:,} lines")
    print(f"  {'beatkeeper':<28}{ours:8.2f} s")
    print(f"  {'python-crontab':<28}{theirs:8.2f} s (x{theirs / ours:.1f})")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "crontab"
        path.write_text(text)
        _run(folder, "migrate", "-v0")
        print(f"import_crontab, {lines:,} lines")
        for name, options in (("--dry-run", ["--dry-run"]), ("first", []), ("second, unchanged", [])):
            seconds = timeit.timeit(lambda: _run(folder, "import_crontab", str(path), *options), number=1)  # noqa: B023
            print(f"  {name:<28}{seconds:8.2f} s", flush=True)


def _best(call: object) -> float:
    return min(timeit.repeat(call, number=1, repeat=3))  # type: ignore[arg-type]  # any callable


def _run(state: str, *arguments: str) -> None:
    environment = {**os.environ, "BEATKEEPER_STATE": state, "DATABASE_URL": ""}
    command = [sys.executable, "manage.py", *arguments]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
