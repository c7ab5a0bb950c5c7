"""Rows as they come, a few hundred in memory at a time. Called by the reports, within `snapshot`.

Django's `iterator` reads all of them at once on PostgreSQL where server-side cursors are off. They are,
because pgbouncer may give each transaction another connection; within one transaction it does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connections
from django.db.models import QuerySet

CHUNK = 500


def streamed(rows: QuerySet[Any, Any]) -> Iterator[Any]:
    """Within a transaction; outside of one as `iterator` does it."""
    if not connections[rows.db].in_atomic_block:
        return rows.iterator(CHUNK)
    found: Iterator[Any] = rows._iterator(use_chunked_fetch=True, chunk_size=CHUNK)  # type: ignore[attr-defined]
    return found
