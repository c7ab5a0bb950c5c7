"""The brokers of one run: a RabbitMQ or a Redis, on a spare port, which can be killed and emptied."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import suppress
from typing import Any, Protocol

import redis
from kombu import Connection

from benchmarks.chaos.scratch import Scratch, free_port, send
from benchmarks.chaos.servers.starting import wait_for


class Broker(Protocol):
    """`port` is None where nobody listens."""

    @property
    def port(self) -> int | None: ...

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def purge(self) -> None: ...
    def close(self) -> None: ...
    def url(self, port: Any) -> str: ...


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
