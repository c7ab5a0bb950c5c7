"""What the ORM cannot say, or not in one round trip, for PostgreSQL and SQLite alike.

    statements    the writes of every attempt (T3, T5, T6)
    due, opening  a beat's batch: rows claimed, runs inserted and schedules moved on (T1)
    taking        runs marked for a message (T2)
    instants      the clock, and instants as each engine keeps them
    bulk          many rows in one statement
    source_keys   the fingerprint of what decides a definition
    indexed       conditions in the letters of the partial indexes
    prepared      statements that PostgreSQL plans once for a connection
    snapshot      many reads of one consistent state
  streamed      rows of such a read, a few hundred in memory at a time

Called by `querysets`, and by the flows that read at size.
"""
