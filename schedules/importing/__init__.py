"""Crontabs become schedules, byte for byte on record, in one transaction or not at all.

    flow        imports, or says what it would do: called by the command `import_crontab`
    sources     which files are read, and what they are; `files` reads one, bounded, `labels` names it
    reading     what they say: jobs, refusals, remarks
    planning    what is to happen to which schedule; `known` and `copies` ask the database
    values      what these hand to each other

Writing is left to `catalog`, `revisions` and `querysets`; the grammar of crontabs is `rules.crontab`.
"""
