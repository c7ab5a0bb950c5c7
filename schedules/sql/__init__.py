"""What the ORM cannot say, or not in one round trip, for PostgreSQL and SQLite alike.

    statements    the writes of every attempt (T3, T5, T6)
    dispatching   the statements of a burst: claimed, opened (T1), taken for publishing (T2)
    bulk          many rows in one statement
    source_keys   the fingerprint of what decides a definition
    indexed       conditions in the letters of the partial indexes
    prepared      statements that PostgreSQL plans once for a connection
    snapshot      many reads of one consistent state

Called by `querysets`, and by the flows that read at size.
"""
