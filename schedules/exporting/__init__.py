"""Schedules become crontabs again.

    flow          the file that was imported, or one made for the purpose: called by `export_crontab`
    wants         what a schedule asks of cron, or why cron cannot run it

Where lines stand and how they are written is in `rules.crontab`.
"""
