"""An alarm of a real RabbitMQ, on a node of its own: what AMQP tells of it, and what its management API."""

from __future__ import annotations

import os
import subprocess

import pytest
from kombu import Connection

from benchmarks.chaos import servers
from benchmarks.chaos.scratch import Scratch
from benchmarks.chaos.servers.brokers import RabbitMQ
from schedules.production import alarms
from schedules.rules.production import Level
from tests.services import free_port
from tests.system.cluster import wait_for

pytestmark = pytest.mark.system


class Node(RabbitMQ):
    """With the management API."""

    def __init__(self, scratch: Scratch) -> None:
        super().__init__(scratch)
        self.api_port = free_port()
        (self._home / "plugins").write_text("[rabbitmq_management].\n")
        (self._home / "none.conf").write_text(
            f"management.tcp.port = {self.api_port}\nmanagement.tcp.ip = 127.0.0.1\n"
        )

    def control(self, *arguments: str) -> None:
        name = self._environment["RABBITMQ_NODENAME"]
        command = ["/usr/lib/rabbitmq/bin/rabbitmqctl", "-q", "-n", name, *arguments]
        subprocess.run(command, env=self._environment, check=True, timeout=60)


@pytest.fixture
def node():
    if why := servers.missing("rabbitmq"):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)
    scratch = Scratch()
    node = Node(scratch)
    try:
        node.start()
        yield node
    finally:
        node.close()
        scratch.close()


def test_a_server_without_memory_is_an_error_and_is_none_afterwards(node, settings):
    def level() -> Level:
        with Connection(node.url(node.port)) as link:
            [found] = alarms.look(link)
        assert found.code == "broker.alarm", found
        return found.level

    assert level() == Level.OK
    node.control("set_vm_memory_high_watermark", "0.00001")
    wait_for(lambda: level() == Level.ERROR, "AMQP tells that no message is taken")

    settings.BEATKEEPER = {"rabbitmq_api": f"http://guest:guest@127.0.0.1:{node.api_port}"}
    with Connection(node.url(node.port)) as link:
        [found] = alarms.look(link)
    assert "memory on chaos" in found.what
    node.control("set_vm_memory_high_watermark", "0.4")
    wait_for(lambda: level() == Level.OK, "the API says that it is over")
    settings.BEATKEEPER = {}
    wait_for(lambda: level() == Level.OK, "and messages are taken")
