"""Is this installation fit for production? Each part looks at one side and says what to do.

    flow          asks all of them, whatever one of them does: called by the command `check_production`
    settings, database, broker, fleet, waiting, runs

Findings, and what they make of an installation, are in `rules.production`.
"""
