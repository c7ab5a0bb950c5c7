"""A RabbitMQ node that a test may kill and start: that of the chaos driver. It keeps what is durable."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager

from benchmarks.chaos.scratch import Scratch
from benchmarks.chaos.servers.brokers import RabbitMQ


def program() -> str | None:
    return shutil.which("/usr/lib/rabbitmq/bin/rabbitmq-server")


class Server:
    def __init__(self, node: RabbitMQ) -> None:
        self._node = node
        self.url = node.url(node.port)

    def start(self) -> None:
        self._node.start()

    def stop(self) -> None:
        self._node.kill()


@contextmanager
def server() -> Iterator[Server]:
    with closing(Scratch()) as scratch, closing(RabbitMQ(scratch)) as node:
        made = Server(node)
        made.start()
        yield made
