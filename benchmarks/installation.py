"""A throw-away installation for one measurement: its own database, and real beats and workers."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2

ROOT = Path(__file__).parent.parent
STOP_SECONDS = 20


@dataclass
class Installation:
    """Environment for processes; `run` executes Python in it, `start` keeps a process until the end."""

    environment: dict[str, str]
    directory: Path
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, code: str) -> str:
        """Executes `code` in Django and returns what it printed."""
        prelude = "import django; django.setup()\n"
        done = subprocess.run(
            [sys.executable, "-c", prelude + code],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"The measurement could not be set up:\n{done.stderr}")
        return done.stdout

    def number(self, query: str) -> int:
        """What `query` finds, asked of the database itself: at no cost to what is measured."""
        url = self.environment["DATABASE_URL"]
        connection: Any = (
            psycopg2.connect(url) if url else sqlite3.connect(self.directory / "beatkeeper.sqlite3")
        )
        with closing(connection):
            cursor = connection.cursor()
            cursor.execute(query)
            found: int = cursor.fetchone()[0]
            return found

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`celery -A scheduler …`; its log is in the installation's directory."""
        log = (self.directory / f"{len(self._processes)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "scheduler", *arguments],
            env=self.environment,
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        self._processes.append(process)
        return process

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()


@contextmanager
def installed(*, postgresql: str = "", broker: str = "", **environment: str) -> Iterator[Installation]:
    """On PostgreSQL and a broker where their addresses are given, else on the embedded default."""
    directory = Path(tempfile.mkdtemp(prefix="beatkeeper-benchmark-"))
    name = f"beatkeeper_benchmark_{os.getpid()}_{directory.name[-6:].lower()}"
    given = os.environ | {
        "BEATKEEPER_STATE": str(directory),
        "DJANGO_SETTINGS_MODULE": "scheduler.settings",
        "BEATKEEPER_LOG_LEVEL": "WARNING",
        "DATABASE_URL": "",
        "CELERY_BROKER_URL": broker,
    }
    if postgresql:
        _administrate(postgresql, f'CREATE DATABASE "{name}"')
        given["DATABASE_URL"] = urlsplit(postgresql)._replace(path=f"/{name}").geturl()
    installation = Installation(given | environment, directory)
    try:
        installation.run(
            "from django.core.management import call_command; call_command('migrate', verbosity=0)"
        )
        yield installation
    finally:
        installation.stop()
        if postgresql:
            _administrate(postgresql, f'DROP DATABASE "{name}" WITH (FORCE)')
        shutil.rmtree(directory, ignore_errors=True)


def _administrate(url: str, statement: str) -> None:
    connection: Any = psycopg2.connect(url)
    connection.autocommit = True
    try:
        connection.cursor().execute(statement)
    finally:
        connection.close()
