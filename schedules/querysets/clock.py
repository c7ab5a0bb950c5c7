"""The one clock of an installation: the database's. Hosts may disagree."""

from __future__ import annotations

from datetime import datetime

from django.db import connections


def database_now(using: str = "default") -> datetime:
    """The one clock. Costs a round trip on PostgreSQL and a function call on SQLite."""
    with connections[using].cursor() as cursor:
        if connections[using].vendor == "postgresql":
            cursor.execute("SELECT clock_timestamp()")
            moment: datetime = cursor.fetchone()[0]
            return moment
        cursor.execute("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")
        return datetime.fromisoformat(cursor.fetchone()[0] + "+00:00")
