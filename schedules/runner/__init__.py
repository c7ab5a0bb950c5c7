"""Runs one OS command as cron would, to the end of its last process. Knows nothing of Django or of runs.

    launcher    the worker's side: `Launcher` and its `run`, called by `worker.commands`
    conversation  one command handed to a runner, cancelled, answered
    zygote      the warm process that each worker starts once, and that forks its runners
    child       the runner: looks after one command; `watch` hears, `tree` finds processes and signals them
    planning    account, environment, directory; `start` makes it a process, by `spawn`, `linux`, `cgroup`
    messages    what worker and runner say to each other; `output`, `limits`, `sentences` are values in it

Nothing is imported here, so that the small processes load no more than they need.
"""
