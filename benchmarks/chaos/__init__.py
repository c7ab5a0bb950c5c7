"""Chaos: a real installation under load, faults injected on purpose, and a proof of what became of it.

    python -m benchmarks.chaos --minutes 10 --seed 1

One run, in the order of the modules:

    options, plan    what is asked for, and what the seed will do
    servers, proxy   PostgreSQL and a broker of its own, each behind a proxy that can misbehave; or SQLite
    site, cluster    the installation: beats and workers from this tree, restarted whenever they die
    history, load    the past, and hundreds of schedules; `jobs` writes a line when it starts and when it ends
    clients          five people who edit, pause, delete and start schedules meanwhile
    lanes, faults    what is done to it: kills, pauses, outages, full disks, clock steps
    evidence, truth  what the tables say afterwards, and what the jobs themselves wrote; `rows` holds both
    checker          both compared: invariants I1 to I8, each violation with its run; `causes` for I7,
                     `lateness` for I8
    figures, aims    what was done, how late it made the runs, how long recovery took, and how good that is

`driver` tells that story, `scratch` holds its directory and clock; `walk` is another one, through both clock
changes of a year. Nothing outside is touched: ports,
directories and processes are the run's own, and processes are killed by the ids that it started.
docs/reliability.md says what is promised and what such runs have shown.
"""
