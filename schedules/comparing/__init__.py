"""What cron's log says it started, beside what the schedules would have started, or did.

    flow          pairs both, schedule by schedule: called by the command `compare_cron`
    instants      the schedules' side, streamed
    log_files     logs as lines; `log_matching` finds the schedule of a start
    notes         what was found, in the words that people read

The grammar of log lines is `rules.cron_log`; what belongs together is decided in `rules.pairing`.
"""
