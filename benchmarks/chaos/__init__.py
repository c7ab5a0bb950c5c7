"""Chaos: a real installation under load, faults injected on purpose, and a proof of what became of it.

    python -m benchmarks.chaos --minutes 10 --seed 1

One run, in the order of the modules:

    servers, proxy   a PostgreSQL cluster and a broker of its own, each behind a proxy that can misbehave
    cluster          three beats and four workers from this tree, restarted whenever they die
    load, jobs       hundreds of schedules; each execution writes a line when it starts and when it ends
    clients          five people who edit, pause, delete and start schedules meanwhile
    faults           what is done to it, chosen by the seed: kills, pauses, outages, a full disk, clock steps
    evidence, truth  what the tables say afterwards, and what the jobs themselves wrote
    checker          both compared: invariants I1 to I8, each violation with its run
    figures          what was done, how late it made the runs, and how long recovery took

`driver` tells that story, `scratch` holds its directory and clock. Nothing outside is touched: ports,
directories and processes are the run's own, and processes are killed by the ids that it started.
docs/reliability.md says what is promised and what such runs have shown.
"""
