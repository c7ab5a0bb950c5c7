"""One consistent state of the database for many reads: nothing that is written meanwhile is seen.

For reports that compare tables with each other. No lock is taken, so beat, workers and editors go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import connections, transaction

from schedules.querysets import database_now


@contextmanager
def snapshot(using: str = "default") -> Iterator[datetime]:
    """Yields the database's time, which is not before the state that is seen. Nothing may be written.

    Inside a transaction of the caller it is that transaction that decides what is seen.
    """
    connection = connections[using]
    if connection.in_atomic_block:
        yield database_now(using)
    elif connection.vendor == "postgresql":
        with transaction.atomic(using):
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield database_now(using)
    else:
        # Not `atomic`, which takes SQLite's write lock at once. A first read fixes what is seen.
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                cursor.execute("SELECT count(*) FROM sqlite_master")
                yield database_now(using)
            finally:
                cursor.execute("ROLLBACK")
