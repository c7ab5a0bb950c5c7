"""Does the schedule of each crontab line start exactly what cron starts, when? Minute by minute, over years.

    flow        the equivalence report: called by the commands `prove_import` and `import_crontab`
    lines       the files, and which schedule each of their lines is
    cases       one line and its schedule, ready to be compared
    edits       who made them differ

cron's side is `rules.daemon`, which shares nothing with `rules.cron`; both meet in `rules.equivalence`.
"""
