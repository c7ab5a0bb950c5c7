"""pgbouncer before PostgreSQL, in transaction mode: each transaction may meet another server connection."""

from __future__ import annotations

import subprocess
from contextlib import suppress

import psycopg2

from benchmarks.chaos.scratch import Scratch, free_port
from benchmarks.chaos.servers.postgresql import ACCOUNT, PostgreSQL
from benchmarks.chaos.servers.starting import give, wait_for

SETTINGS = """\
[databases]
* = host=127.0.0.1 port={server} user={account}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 12
max_client_conn = 500
server_login_retry = 1
query_wait_timeout = 10
logfile = {home}/pgbouncer.log
"""


class Pooler:
    """One process. Processes of the product come to it through the proxies, and it goes to the server."""

    def __init__(self, scratch: Scratch, server: PostgreSQL) -> None:
        self.port = free_port()
        self._server = server
        self._home = scratch.directory("pgbouncer")
        give(server.account, self._home)
        self._log = self._home / "pgbouncer.log"
        self._settings = self._home / "pgbouncer.ini"
        self._settings.write_text(
            SETTINGS.format(server=server.port, account=ACCOUNT, port=self.port, home=self._home)
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["pgbouncer", "-q", str(self._settings)],
            user=self._server.account,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._answers, "pgbouncer", self._log)

    def _answers(self) -> bool:
        url = self._server.url(self.port, account=ACCOUNT, database=ACCOUNT)
        try:
            psycopg2.connect(url, connect_timeout=3).close()
        except psycopg2.OperationalError:
            return False
        return True

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            self._process.kill()
            self._process.wait()
