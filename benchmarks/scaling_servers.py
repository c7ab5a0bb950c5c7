"""A PostgreSQL and a Redis of their own, each on a host of `hosts`. Called by `scaling_site`."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg2
import redis

from benchmarks.hosts import Host

READY_SECONDS = 90
ACCOUNT = "postgres"
"""PostgreSQL refuses to run as root."""


def start_postgresql(host: Host, directory: Path, subnet: str) -> int:
    """A cluster with the server's defaults, durable commits included. Only the bridge's subnet reaches it."""
    programs = _postgresql_programs()
    assert programs is not None, "see missing_programs()"
    home = directory / "postgresql"
    home.mkdir()
    shutil.chown(home, ACCOUNT)
    data, log = home / "data", directory / "postgresql.log"
    make = [str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres"]
    subprocess.run(make, user=ACCOUNT, cwd="/", check=True, capture_output=True)
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {subnet}.0/24 trust\n")
    settings = (f"listen_addresses={host.address}", f"unix_socket_directories={home}", "max_connections=200")
    words = [word for setting in settings for word in ("-c", setting)]
    command = [str(programs / "postgres"), "-D", str(data), *words]
    process = host.start(command, environment=os.environ, log=log, account=ACCOUNT)
    url = f"postgres://postgres@{host.address}/postgres"

    def answers() -> bool:
        with suppress(psycopg2.OperationalError):
            psycopg2.connect(url, connect_timeout=3).close()
            return True
        return False

    wait_for(answers, "PostgreSQL did not start")
    return process.pid


def start_redis(host: Host, directory: Path) -> int:
    command = ["redis-server", "--bind", host.address, "--port", "6379", "--protected-mode", "no"]
    command += ["--save", "", "--appendonly", "no", "--dir", str(directory)]
    process = host.start(command, environment=os.environ, log=directory / "redis.log")
    client = redis.Redis(host=host.address, socket_timeout=5)

    def answers() -> bool:
        with suppress(redis.RedisError):
            return bool(client.ping())
        return False

    wait_for(answers, "Redis did not start")
    return process.pid


def missing_programs() -> str:
    absent = [] if shutil.which("redis-server") else ["redis-server"]
    absent += [] if _postgresql_programs() else ["PostgreSQL's own programs (initdb, postgres)"]
    return f"{' and '.join(absent)} not found: install them." if absent else ""


def _postgresql_programs() -> Path | None:
    """The directory of the newest of Debian's versions, or of what is on the PATH; None: there is none."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = versions[-1] if versions else shutil.which("initdb")
    return Path(found).parent if found else None


def wait_for(condition: Callable[[], bool], problem: str, patience: float = READY_SECONDS) -> None:
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"{problem} within {patience:.0f} s.")
        time.sleep(0.1)
