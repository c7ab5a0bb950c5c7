"""A worker's side of an attempt, below `execute`: this process, and what it executes with.

    process       its row, heartbeat and launcher, and what it executes just now; `facts` describe its host
    commands      a definition's command, by the runner; `task_calls` a Celery task, in this process
    work          how either ended; `closing` how that is written down
    patterns      patterns of retry rules, searched under a time limit
    pool          a few database connections for many threads
    spool         results that could not be recorded yet

`execute` decides what is done with these; none of them moves a run.
"""
