"""The engine of one machine in the driver's hands: what locks its database, and what empties its queues."""

from __future__ import annotations

import sqlite3

import pytest
from kombu import Connection, Queue

from benchmarks.chaos.scratch import Scratch
from benchmarks.chaos.servers import missing
from benchmarks.chaos.servers.embedded import Files, SQLite
from scheduler.filesystem import Transport


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Without a disk of its own: mounting is not what is tested."""
    monkeypatch.setattr("benchmarks.chaos.scratch.os.geteuid", lambda: 1000)
    scratch = Scratch()
    yield scratch
    scratch.close()


def test_nobody_else_writes_while_it_is_locked(scratch):
    database = SQLite(scratch)
    with sqlite3.connect(database.path) as other:
        other.execute("CREATE TABLE t (n)")
    database.lock()
    impatient = sqlite3.connect(database.path, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        impatient.execute("INSERT INTO t VALUES (1)")

    database.unlock()

    impatient.execute("INSERT INTO t VALUES (1)")
    impatient.close()
    database.close()


def test_a_purge_empties_the_queues_that_the_product_reads(scratch):
    SQLite(scratch)
    folder = scratch.root / "state" / "queue"
    with Connection("filesystem://", transport=Transport, transport_options={"folder": str(folder)}) as given:
        queue = given.SimpleQueue(Queue("commands", routing_key="commands"))
        queue.put({"run": 1})
        assert queue.qsize() == 1
        Files(scratch).purge()
        assert queue.qsize() == 0


def test_it_needs_nothing_that_is_not_there():
    assert missing("files") == ""
