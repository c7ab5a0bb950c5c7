"""Beatkeeper: schedules in the database, every run and retry on record. The path of an occurrence:

    Schedule row (next_run_at, indexed)                          models.schedule
      -> beat       repeats the steps below, each in a thread     beat, parts
      -> dispatch   due rows locked, decided, run rows inserted   dispatch > occurrences > rules.admission
      -> publish    marked queued, committed, then a message      publish > lines
      -> worker     wakes up with a run id                        tasks
      -> claim      compare-and-set, token, attempt row           execute.claim
      -> work       a shell command, or a Celery task             commands > runner, or task_calls
      -> finish     outcome recorded, retry decided               finishing.finish > rules.retry
      -> rescue     what a vanished worker executed               rescue
      -> deliver    what one could not record before it stopped   spool > delivering
      -> pages      run list, run page, retry history             admin

The database row is the job; the message is a doorbell. Edits come in through `catalog`, edits by
others through `reconcile`; both write revisions, and a run carries the revision it runs. States move
in `querysets` alone, in the SQL of `sql` where it is hot; the rules are in `rules`, which know
neither Django nor Celery nor a clock.

Beside the path, each a package whose `flow` is the entry: the move off cron (`importing`, `proving`,
`checking`, `comparing`, `cutting_over`, `exporting`, and `applying` for YAML), and questions (`explaining`,
`production`, and the module `auditing`). docs/architecture.md names every module.
"""
