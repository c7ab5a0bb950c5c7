"""Could this command run here? Asked by people, answered by workers, each for its own machine.

    flow        asks, and gathers what was written: called by the command `check_commands` and by pages
    work        the worker's side: looks at the commands of its queues, called by `control`
    process     a small process for each account, `child`, which becomes it and looks; `files` is what it sees
    cron        what this machine's cron gives its jobs and a run does not get
    subject     which schedules are looked at, and by which workers

What is judged, and in which words, is in `rules.command`.
"""
