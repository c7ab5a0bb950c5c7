"""The servers of one run: a PostgreSQL cluster and a RabbitMQ or Redis, each its own, on spare ports.
Or none: SQLite and files.

They are started from what is installed, keep their data below the scratch directory, and can be
crashed, started again and filled up. `faults` does that; who talks to them goes through `proxy`.

    postgresql   the database; `clock` moves its time
    brokers      RabbitMQ, Redis
    embedded     SQLite and a directory of messages, which need no server
    starting     as whom a server runs, and how long it may take to answer
"""

from __future__ import annotations

import shutil

from benchmarks.chaos.servers import postgresql
from benchmarks.chaos.servers.brokers import Broker, RabbitMQ, Redis
from benchmarks.chaos.servers.clock import faketime_library
from benchmarks.chaos.servers.embedded import Files, SQLite
from benchmarks.chaos.servers.postgresql import ACCOUNT, PostgreSQL

BROKERS: dict[str, type[Redis] | type[RabbitMQ] | type[Files]] = {
    "redis": Redis,
    "rabbitmq": RabbitMQ,
    "files": Files,
}
Database = PostgreSQL | SQLite


def missing(broker: str, *, faked_clock: bool = False, pooled: bool = False) -> str:
    """What is not installed and would be needed, as a clause; "" where everything is there."""
    if broker == "files":
        return ""
    program = {"redis": "redis-server", "rabbitmq": "/usr/lib/rabbitmq/bin/rabbitmq-server"}[broker]
    if shutil.which(program) is None:
        return f"{program} is not installed"
    if not postgresql.is_installed():
        return "PostgreSQL's own programs (initdb, pg_ctl, postgres) are not installed"
    if faked_clock and faketime_library() is None:
        return "libfaketime is not installed"
    if pooled and shutil.which("pgbouncer") is None:
        return "pgbouncer is not installed"
    return ""


__all__ = ["ACCOUNT", "BROKERS", "Broker", "Database", "PostgreSQL", "SQLite", "missing"]
