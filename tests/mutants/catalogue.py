"""The safeguards, each taken away once, and the directed tests that have to notice.

Where the code was rewritten and an edit no longer matches: find the safeguard in the new code, and edit
it away there. Where there is none any more, ask why before its mutant goes.
"""

from __future__ import annotations

from tests.mutants.fault import POSTGRESQL, Edit, Mutant

OCCURRENCES = "tests/database/test_races.py"
MESSAGES = "tests/database/test_races_of_messages.py"
ATTEMPTS = "tests/database/test_races_of_attempts.py"
LOSSES = "tests/database/test_races_of_rescue.py"

RUNS = "schedules/querysets/runs.py"
SENT = "schedules/querysets/sent.py"
SCHEDULES = "schedules/querysets/schedules.py"
STATEMENTS = "schedules/sql/statements.py"
DUE = "schedules/sql/due.py"
OPENING = "schedules/sql/opening.py"
TAKING = "schedules/sql/taking.py"
PROCESS = "schedules/worker/process.py"
TABLES = "schedules/migrations/0001_tables.py"

ATTEMPT_MUTANTS = (
    Mutant(
        without="the token in the final write of a worker",
        edits=[
            Edit(
                STATEMENTS,
                "WHERE id = %(run_id)s AND token = %(token)s AND state || '' = 'running'{unless}",
                "WHERE id = %(run_id)s AND state || '' = 'running'{unless}",
            )
        ],
        tests=[
            f"{LOSSES}::test_the_fence_holds_when_a_lost_worker_comes_back",
            f"{LOSSES}::test_the_fence_holds_against_a_retry_too",
        ],
    ),
    Mutant(
        without="the state in a claim",
        edits=[
            Edit(
                STATEMENTS,
                "state || '' IN ('pending', 'queued') AND available_at",
                "state || '' IN ('pending', 'queued', 'running') AND available_at",
            )
        ],
        tests=[
            f"{ATTEMPTS}::test_two_workers_and_one_run_make_one_attempt",
            f"{ATTEMPTS}::test_a_doubled_message_starts_nothing_whenever_it_comes",
        ],
    ),
    Mutant(
        without="the due time in a claim",
        edits=[Edit(STATEMENTS, " AND available_at <= {now}", "")],
        tests=[
            f"{ATTEMPTS}::test_hasten_against_claim_makes_one_attempt",
            f"{ATTEMPTS}::test_a_doubled_message_starts_nothing_whenever_it_comes",
        ],
    ),
    Mutant(
        without="the cancel request in the guard of a claim",
        edits=[Edit(STATEMENTS, "AND NOT cancel_requested AND (SELECT", "AND (SELECT")],
        tests=[f"{ATTEMPTS}::test_a_run_that_is_to_be_cancelled_is_not_started"],
    ),
    Mutant(
        without="the cancel request in the guard of a retry",
        edits=[Edit(RUNS, "closing, unless_cancelled=True)", "closing, unless_cancelled=False)")],
        tests=[
            f"{ATTEMPTS}::test_retry_against_cancel_ends_cancelled",
            f"{LOSSES}::test_cancel_against_rescue_never_repeats_the_run",
        ],
    ),
    Mutant(
        without="the second look of a cancel",
        edits=[Edit("schedules/operate.py", "CANCEL_TRIES = 5", "CANCEL_TRIES = 1")],
        tests=[f"{ATTEMPTS}::test_a_run_that_fails_between_the_two_looks_of_a_cancel_is_cancelled"],
    ),
    Mutant(
        without="the state when what waits is cancelled",
        edits=[
            Edit(
                RUNS,
                "return self.filter(state__in=WAITING).update(\n            state=State.CANCELLED,",
                "return self.filter().update(\n            state=State.CANCELLED,",
            )
        ],
        tests=[
            f"{ATTEMPTS}::test_finish_against_cancel_never_reopens_a_finished_run",
            f"{ATTEMPTS}::test_final_states_are_never_left",
        ],
    ),
    Mutant(
        without="the index of exclusive executions",
        edits=[
            Edit(TABLES, "('exclusive', True), ('state', 'running')", "('exclusive', True), ('state', '')")
        ],
        tests=[
            f"{ATTEMPTS}::test_two_runs_of_a_schedule_that_may_not_overlap",
            f"{ATTEMPTS}::test_a_retry_that_is_due_against_a_manual_run",
        ],
    ),
    Mutant(
        without="the waiting of a retry that may not overlap",
        edits=[
            Edit(
                "schedules/execute.py",
                "    if run.attempt > 0:\n        Run.objects.wait(",
                "    if run.attempt < 0:\n        Run.objects.wait(",
            )
        ],
        tests=[f"{ATTEMPTS}::test_a_retry_that_is_due_against_a_manual_run"],
    ),
)

LOSS_MUTANTS = (
    Mutant(
        without="the token in the verdict of a rescuer",
        edits=[
            Edit(
                RUNS,
                "self.filter(pk=run_id, token=token, state=State.RUNNING)",
                "self.filter(pk=run_id, state=State.RUNNING)",
            )
        ],
        tests=[f"{LOSSES}::test_a_rescuer_that_was_stopped_leaves_the_run_to_its_next_worker"],
    ),
    Mutant(
        without="the rescuer's own time: rescue by age",
        edits=[
            Edit(
                "schedules/rescue.py",
                "if now - since >= lease:",
                "if (database_now() - worker.seen_at).total_seconds() >= lease:",
            )
        ],
        tests=[
            f"{LOSSES}::test_a_rescuer_that_starts_late_waits_a_whole_lease",
            "tests/database/test_rescue.py::test_times_in_the_database_do_not_count",
        ],
    ),
    Mutant(
        without="a lease of grace after the database came back",
        edits=[
            Edit(
                "schedules/beat.py",
                'Part("rescue", self._rescue, on_trouble=self.watch.forget)',
                'Part("rescue", self._rescue)',
            )
        ],
        tests=[f"{LOSSES}::test_a_rescuer_that_gets_its_database_back_waits_a_whole_lease"],
    ),
    Mutant(
        without="a lease of grace after the rescuer was paused",
        edits=[
            Edit(
                "schedules/rescue.py",
                "if now - self._looked_at > lease * LONGEST_DEAFNESS:",
                "if now < self._looked_at:",
            )
        ],
        tests=[f"{LOSSES}::test_a_rescuer_that_was_paused_waits_a_whole_lease"],
    ),
    Mutant(
        without="the look at the heartbeat under its lock",
        edits=[
            Edit(
                "schedules/rescue.py",
                "return found is None or found.heartbeat_seq == worker.heartbeat_seq",
                "return True",
            )
        ],
        tests=[
            f"{LOSSES}::test_a_heartbeat_that_comes_before_the_verdict_saves_the_run",
            f"{LOSSES}::test_a_heartbeat_against_the_verdict",
        ],
    ),
    Mutant(
        without="the clock guard of claims",
        edits=[
            Edit("schedules/beat.py", "if not self.guard.agrees(now):", "if self.guard.agrees(now) is None:")
        ],
        tests=[f"{LOSSES}::test_nothing_is_claimed_while_the_clock_is_in_doubt"],
    ),
    Mutant(
        without="the clock guard of rescues",
        edits=[Edit("schedules/beat.py", "if not self.guard.is_suspended:", "if self.guard:")],
        tests=[f"{LOSSES}::test_a_rescuer_rescues_nobody_while_the_clock_is_in_doubt"],
    ),
    Mutant(
        without="the second heartbeat before a run is disowned",
        edits=[Edit(PROCESS, "if lost := unknown & self._unknown:", "if lost := unknown:")],
        tests=[
            f"{LOSSES}::test_a_claim_that_comes_between_the_two_looks_of_a_heartbeat_is_not_disowned",
            f"{LOSSES}::test_a_claim_whose_answer_never_came_is_disowned_at_the_second_heartbeat",
        ],
    ),
    Mutant(
        without="what a process holds when it disowns",
        edits=[Edit(PROCESS, "executed_by(self.worker)) - held", "executed_by(self.worker))")],
        tests=[f"{LOSSES}::test_a_claim_whose_answer_is_late_is_not_disowned"],
    ),
    Mutant(
        without="the lock of a run that is repeated, against retention",
        edits=[
            Edit(
                "schedules/operate.py",
                'if not Run.objects.select_for_update(no_key=True).filter(pk=run.pk).values_list("pk"):',
                "if run.pk is None:",
            )
        ],
        tests=[f"{LOSSES}::test_pruning_against_run_again_loses_no_request"],
    ),
)

OCCURRENCE_MUTANTS = (
    Mutant(
        without="the lock of due rows",
        edits=[Edit(DUE, '" FOR NO KEY UPDATE OF schedule, parent SKIP LOCKED"', '""')],
        tests=[
            f"{OCCURRENCES}::test_two_beats_and_one_due_row_make_one_run",
            f"{OCCURRENCES}::test_a_row_that_another_beat_holds_is_passed_by_and_not_waited_for",
        ],
        engines=[POSTGRESQL],
    ),
    Mutant(
        without="SKIP LOCKED among beats",
        edits=[
            Edit(
                DUE,
                "FOR NO KEY UPDATE OF schedule, parent SKIP LOCKED",
                "FOR NO KEY UPDATE OF schedule, parent",
            )
        ],
        tests=[f"{OCCURRENCES}::test_a_row_that_another_beat_holds_is_passed_by_and_not_waited_for"],
        engines=[POSTGRESQL],
    ),
    Mutant(
        without="the unique instant of a schedule, and the lock: two beats",
        edits=[
            Edit(DUE, '" FOR NO KEY UPDATE OF schedule, parent SKIP LOCKED"', '""'),
            Edit(TABLES, "('trigger__in', ['catch_up', 'schedule'])", "('trigger__in', [''])"),
            Edit(OPENING, "WHERE trigger IN ('catch_up', 'schedule')", "WHERE trigger IN ('')"),
        ],
        tests=[f"{OCCURRENCES}::test_two_beats_and_one_due_row_make_one_run"],
        engines=[POSTGRESQL],
    ),
    Mutant(
        without="the unique instant of a schedule",
        edits=[
            Edit(TABLES, "('trigger__in', ['catch_up', 'schedule'])", "('trigger__in', [''])"),
            Edit(OPENING, "WHERE trigger IN ('catch_up', 'schedule')", "WHERE trigger IN ('')"),
            Edit(RUNS, "WHERE trigger IN ('catch_up', 'schedule')", "WHERE trigger IN ('')"),
        ],
        tests=[
            f"{OCCURRENCES}::test_the_table_itself_refuses_two_runs_of_one_instant",
            f"{OCCURRENCES}::test_opening_the_same_instant_twice_returns_it_once",
        ],
    ),
    Mutant(
        without="the lock of an edit",
        edits=[
            Edit(
                SCHEDULES,
                '.select_for_update(no_key=True, of=("self", "periodictask_ptr"))',
                ".all()",
            )
        ],
        tests=[
            f"{OCCURRENCES}::test_beat_against_edit_accounts_for_the_instant_under_the_old_revision",
            f"{OCCURRENCES}::test_two_edits_of_one_schedule_both_stay",
        ],
        engines=[POSTGRESQL],
    ),
    Mutant(
        without="the second look at a row that was waited for",
        edits=[
            Edit(
                SCHEDULES,
                'list(mine.only("name", "next_run_at").select_for_update('
                'no_key=True, of=("self", "periodictask_ptr")))',
                'mine = mine.select_for_update(no_key=True, of=("self", "periodictask_ptr"))',
            )
        ],
        tests=[
            "tests/database/test_locked_rows.py::test_a_lock_that_waited_for_an_edit_returns_what_the_edit_wrote"
        ],
        engines=[POSTGRESQL],
    ),
    Mutant(
        without="the clock read after the lock",
        edits=[
            Edit(
                "schedules/occurrences.py",
                "    rows = Schedule.objects.lock(pks)\n    now = database_now()\n",
                "    now = database_now()\n    rows = Schedule.objects.lock(pks)\n",
            )
        ],
        tests=[f"{OCCURRENCES}::test_an_edit_reads_the_clock_when_it_has_the_lock"],
        engines=[POSTGRESQL],
    ),
    Mutant(
        without="the settling of what is due before an edit",
        edits=[
            Edit("schedules/occurrences.py", "    while due := [row for", "    while due := [] and [row for")
        ],
        tests=[
            f"{OCCURRENCES}::test_beat_against_edit_accounts_for_the_instant_under_the_old_revision",
            f"{OCCURRENCES}::test_beat_against_what_stops_a_schedule_accounts_for_what_was_due",
        ],
    ),
    Mutant(
        without="the end of a one-off in the transaction of its run",
        edits=[Edit("schedules/occurrences.py", "    _disable(batch.used_up, now)\n", "")],
        tests=[f"{OCCURRENCES}::test_two_beats_give_a_one_off_its_one_run"],
    ),
    Mutant(
        without="the cancelling of what waits when its schedule is deleted",
        edits=[
            Edit(
                "schedules/catalog.py",
                "Run.objects.filter(schedule__in=rows).cancel_waiting(",
                "Run.objects.none().cancel_waiting(",
            )
        ],
        tests=[
            f"{ATTEMPTS}::test_delete_against_claim_cancels_only_what_waits",
            f"{OCCURRENCES}::test_beat_against_what_stops_a_schedule_accounts_for_what_was_due",
        ],
    ),
    Mutant(
        without="the first sight of a boot",
        edits=[Edit("schedules/operate.py", "queue=queue, now=now)", "queue=queue, now=now) or queue")],
        tests=[f"{OCCURRENCES}::test_two_workers_that_see_one_boot_start_one_run"],
    ),
)

MESSAGE_MUTANTS = (
    Mutant(
        without="redispatch",
        edits=[Edit(RUNS, "silent = \"state = 'queued' AND", "silent = \"state = '' AND")],
        tests=[
            f"{MESSAGES}::test_a_beat_that_dies_before_the_message_leaves_it_to_redispatch",
            f"{MESSAGES}::test_a_beat_that_dies_with_bells_unrung_leaves_them_to_redispatch",
        ],
    ),
    Mutant(
        without="the mark committed before the message: publish in the transaction",
        edits=[
            Edit("schedules/publish.py", "def publish_due(", "@transaction.atomic\ndef publish_due("),
            Edit(
                "schedules/publish.py",
                "from celery import current_app\n",
                "from celery import current_app\nfrom django.db import transaction\n",
            ),
        ],
        tests=[f"{MESSAGES}::test_a_message_goes_out_only_when_its_mark_is_committed"],
    ),
    Mutant(
        without="the commit of a run before its bell is left for the publisher",
        edits=[
            Edit(
                "schedules/dispatch.py",
                "    if outbox is not None and settled.bells:\n        outbox.put(settled.bells)\n",
                "        if outbox is not None and settled.bells:\n            outbox.put(settled.bells)\n",
            )
        ],
        tests=[f"{MESSAGES}::test_a_bell_is_left_for_the_publisher_only_when_its_run_is_committed"],
    ),
    Mutant(
        without="the lock of what is published",
        edits=[Edit(TAKING, '" FOR NO KEY UPDATE SKIP LOCKED"', '""')],
        tests=[f"{MESSAGES}::test_runs_that_another_publisher_holds_are_passed_by"],
        engines=[POSTGRESQL],
    ),
    Mutant(
        without="SKIP LOCKED among publishers",
        edits=[Edit(TAKING, '" FOR NO KEY UPDATE SKIP LOCKED"', '" FOR NO KEY UPDATE"')],
        tests=[f"{MESSAGES}::test_runs_that_another_publisher_holds_are_passed_by"],
        engines=[POSTGRESQL],
    ),
    Mutant(
        without="the number of the dispatch when a message is taken back",
        edits=[Edit(RUNS, "state=State.QUEUED, dispatches=number)", "state=State.QUEUED)")],
        tests=[
            f"{MESSAGES}::test_a_later_dispatch_is_not_taken_back_by_an_earlier_failure",
            f"{MESSAGES}::test_a_bell_unrung_for_long_takes_back_nothing_that_another_beat_rang",
        ],
    ),
    Mutant(
        without="the state when a message is taken back",
        edits=[Edit(RUNS, "state=State.QUEUED, dispatches=number)", "dispatches=number)")],
        tests=[
            f"{MESSAGES}::test_giving_back_against_cancel_never_revives_a_run",
            f"{MESSAGES}::test_a_run_that_is_cancelled_before_its_bell_rings_starts_nothing",
        ],
    ),
    Mutant(
        without="the way back of what a broker refused",
        edits=[
            Edit(
                "schedules/publish.py",
                "    Run.objects.unpublish(bells, available_at=now + timedelta(seconds=seconds))\n",
                "",
            )
        ],
        tests=[
            f"{MESSAGES}::test_bells_that_a_broker_refused_wait_in_the_table_again",
            "tests/database/test_publish.py::test_a_broker_that_is_away_leaves_everything_pending",
        ],
    ),
    Mutant(
        without="the cap of messages that are outstanding",
        edits=[
            Edit("schedules/messages/outbox.py", "if count >= doorbells]", "if count < 0]"),
        ],
        tests=[
            "tests/database/test_publish.py::test_a_full_queue_takes_no_new_message_but_repeats_lost_ones",
            f"{MESSAGES}::test_what_a_full_queue_cannot_take_is_opened_as_pending",
        ],
    ),
    Mutant(
        without="the state when a message to another codebase is recorded",
        edits=[
            Edit(SENT, "(pk__in=by_run, state=State.QUEUED)", "(pk__in=by_run)"),
            Edit(
                SENT,
                "self.filter(pk__in=pks, state=State.QUEUED).update(",
                "self.filter(pk__in=pks).update(",
            ),
        ],
        tests=[
            f"{MESSAGES}::test_the_record_of_a_message_against_cancel_leaves_one_truth",
            f"{MESSAGES}::test_two_beats_that_sent_one_message_record_it_once",
        ],
    ),
    Mutant(
        without="the state when the end of another codebase's task is heard",
        edits=[
            Edit(
                SENT,
                "self.filter(pk=run_id, state=State.SENT).update(",
                "self.filter(pk=run_id).update(",
            )
        ],
        tests=[f"{MESSAGES}::test_two_beats_that_hear_of_one_end_record_one"],
        engines=[POSTGRESQL],
    ),
)

RESULT_MUTANTS = (
    Mutant(
        without="the spool of a worker that has to stop",
        edits=[Edit("schedules/finishing.py", "if keeping.keep():", "if not keeping:")],
        tests=[
            "tests/worker/test_delivering.py::test_the_next_worker_records_what_the_last_one_could_not",
            "tests/worker/test_delivering.py::test_a_failure_from_the_spool_is_retried_by_its_policy",
        ],
    ),
    Mutant(
        without="the next try when the database is away at the end of a job",
        edits=[
            Edit(
                "schedules/finishing.py",
                "            if here.is_stopping.is_set():  # that was the last try\n",
                "            if here:\n",
            )
        ],
        tests=["tests/database/test_execute.py::test_a_result_survives_an_outage_of_the_database"],
    ),
)

MUTANTS = (
    *OCCURRENCE_MUTANTS,
    *MESSAGE_MUTANTS,
    *ATTEMPT_MUTANTS,
    *RESULT_MUTANTS,
    *LOSS_MUTANTS,
)
