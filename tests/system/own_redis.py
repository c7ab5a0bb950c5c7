"""A Redis server that a test may stop and start. It keeps nothing: what was in it is lost when it stops."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.services import free_port
from tests.system.cluster import wait_for


def program() -> str | None:
    return shutil.which("redis-server")


class Server:
    def __init__(self, directory: Path) -> None:
        found = program()
        assert found is not None
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._command = [found, "--port", str(self._port), "--bind", "127.0.0.1", "--save", ""]
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, cwd=self._directory, stdout=quiet, stderr=quiet)
        wait_for(self._answers, "Redis answers")

    def _answers(self) -> bool:
        try:
            return bool(redis.Redis.from_url(self.url).ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


@contextmanager
def server(directory: Path) -> Iterator[Server]:
    made = Server(directory)
    try:
        made.start()
        yield made
    finally:
        made.stop()
