"""A manifest (YAML) becomes the state of the database, and back.

    flow          all of it in one transaction, or nothing: called by the command `apply_schedules`
    plan          what would be done, schedule by schedule
    files         which files make the manifest
    rows          between rows and canonical values, both ways

The file's grammar is in `rules.manifest`.
"""
