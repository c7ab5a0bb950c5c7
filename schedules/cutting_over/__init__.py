"""A line leaves cron and its schedule runs it, from one minute to the next; and back.

    flow          both directions, and what an interruption left: called by the command `cut_over`
    plan          what would be done to each line; `objections` says why not
    crontab_edit  a crontab of this machine, edited under cron's eyes
    going_back    what cron will make of a line that goes back
    still         schedules that run instead of a line, for those who would delete or change them

Whoever ran the line stops first: an interruption leaves nobody who runs it, never both.
"""
