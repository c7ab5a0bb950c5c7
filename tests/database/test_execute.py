"""One attempt from claim to record, with real commands and real task functions."""

from __future__ import annotations

import json
import logging
import uuid
from datetime import timedelta

import pytest
from celery import shared_task
from celery.exceptions import Ignore, Reject
from django.db import DataError, IntegrityError, OperationalError, connection
from django.test.utils import CaptureQueriesContext

from schedules import execute, finishing, operate
from schedules.models import Attempt, Revision, Run, Worker
from schedules.querysets import database_now
from schedules.rules.states import Outcome
from schedules.worker import patterns, process, task_calls
from schedules.worker.work import Ended
from tests.factories import make_policy, make_run, make_schedule, make_task_schedule
from tests.system.cluster import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def worker_process():
    yield
    process.stop_current()


def executed(run: Run) -> Run:
    execute.execute(run.pk)
    return Run.objects.get(pk=run.pk)


def last_attempt(run: Run) -> Attempt | None:
    return run.attempts.order_by("number").last()


def test_a_command_is_recorded_with_its_output_and_cost():
    run = executed(make_run(make_schedule(command="echo out; echo err >&2")))

    attempt = last_attempt(run)
    assert (run.state, run.attempt, run.token) == ("succeeded", 1, None)
    assert (attempt.outcome, attempt.exit_code, attempt.number) == ("succeeded", 0, 1)
    assert attempt.cpu_seconds is not None
    assert attempt.peak_memory > 0
    assert sorted(attempt.output.head) == [["stderr", "err\n"], ["stdout", "out\n"]]
    assert run.started_at <= run.finished_at
    assert attempt.finished_at is not None


def test_a_command_sees_crons_environment_and_its_occurrence():
    command = 'echo "$RUN_ID $ATTEMPT $SCHEDULED_FOR $A"; env | grep -c DJANGO; cat'
    schedule = make_schedule(command=command, environment=[["A", "$HOME"]], stdin="from cron\n")
    run = executed(make_run(schedule))

    lines = last_attempt(run).output.text.splitlines()
    scheduled_for = run.scheduled_for.isoformat()
    assert lines[0] == f"{run.pk} 1 {scheduled_for} $HOME"
    assert lines[1:] == ["0", "from cron"]


def test_three_attempts_of_a_job_that_exits_75():
    run = make_run(make_schedule(command="exit 75", retry_policy=make_policy(max_attempts=3)))
    for _ in range(5):
        run = executed(run)

    assert (run.state, run.attempt) == ("failed", 3)
    attempts = list(run.attempts.order_by("number"))
    assert [attempt.exit_code for attempt in attempts] == [75, 75, 75]
    assert [attempt.decision for attempt in attempts] == ["retry", "retry", "give_up"]
    assert attempts[0].decision_text == "Attempt 2 of 3 follows after 0 s."
    assert attempts[2].decision_text == "Not retried: all 3 attempts are used."
    assert len({attempt.fingerprint for attempt in attempts}) == 1


def test_a_retry_waits_until_it_is_due():
    run = executed(make_run(make_schedule(command="exit 1", retry_policy=make_policy(delays=[600]))))
    assert (run.state, run.label) == ("pending", "retrying")
    assert executed(run).attempt == 1

    assert operate.retry_now(run)
    assert executed(run).attempt == 2


def test_a_second_message_for_the_same_run_starts_nothing():
    run = executed(make_run(make_schedule()))
    executed(run)
    assert run.attempts.count() == 1


def test_a_message_for_a_run_that_does_not_exist_is_no_error():
    execute.execute(424242)


def test_a_timeout_ends_the_command_and_is_recorded_as_such():
    run = executed(make_run(make_schedule(command="sleep 60", timeout=0.3, kill_grace=0.2)))
    assert run.state == "timed_out"
    assert last_attempt(run).outcome == "timed_out"


def test_output_with_nul_and_bad_utf8_is_kept_readable():
    run = executed(make_run(make_schedule(command=r"printf 'a\000b\377c'")))
    assert last_attempt(run).output.text == "a\ufffdb\ufffdc"


def test_a_run_starts_in_the_very_millisecond_in_which_it_is_due():
    schedule, worker = make_schedule(), still_process().worker
    assert all(execute.claim(make_run(schedule).pk, worker) for _ in range(30))


def test_a_run_within_its_start_deadline_starts():
    assert executed(make_run(make_schedule(expire_seconds=10))).state == "succeeded"


def test_claim_and_record_cost_a_fixed_number_of_statements():
    schedule, worker = make_schedule(command="true"), still_process().worker
    run = make_run(schedule)
    printed = Ended(outcome=Outcome.SUCCEEDED, exit_code=0, head=(("stdout", "x"),), bytes_seen=1)
    for _ in range(2):  # PostgreSQL prepares
        finishing.finish(execute.claim(make_run(schedule).pk, worker), printed)

    with CaptureQueriesContext(connection) as claiming:
        claim = execute.claim(run.pk, worker)
    with CaptureQueriesContext(connection) as recording:
        assert finishing.finish(claim, printed)

    # SQLite: begin, two or three writes, commit.
    expected = (1, 1) if connection.vendor == "postgresql" else (4, 5)
    assert (len(claiming), len(recording)) == expected


def test_what_a_claim_returns_is_what_the_table_holds():
    claim = execute.claim(make_run(make_schedule()).pk, still_process().worker)
    for row in (claim.run, claim.attempt):
        stored = type(row).objects.get(pk=row.pk)
        names = [field.attname for field in row._meta.concrete_fields]
        assert [getattr(row, name) for name in names] == [getattr(stored, name) for name in names]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no such planner")
def test_a_claim_never_reads_the_index_of_all_active_runs():
    schedule, worker = make_schedule(), still_process().worker
    for _ in range(2):  # the second time they are prepared
        with CaptureQueriesContext(connection) as sent:
            claim = execute.claim(make_run(schedule).pk, worker)
            finishing.finish(claim, Ended(outcome=Outcome.SUCCEEDED, exit_code=0))
    statements_sent = [query["sql"] for query in sent if query["sql"].startswith("EXECUTE")]
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        for statement in statements_sent:
            cursor.execute("EXPLAIN " + statement)
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "run_active" not in plan
            assert "schedules_run_pkey" in plan
        cursor.execute("RESET enable_seqscan")
    assert len(statements_sent) == 2


def test_the_start_deadline_skips_a_late_run_but_not_its_retry():
    schedule = make_schedule(expire_seconds=10, command="exit 1", retry_policy=make_policy())
    late = make_run(schedule, scheduled_for=database_now() - timedelta(seconds=20))
    assert (executed(late).state, executed(late).reason) == ("skipped", "too_late")

    retried = executed(make_run(schedule))
    Run.objects.filter(pk=retried.pk).update(scheduled_for=database_now() - timedelta(seconds=20))
    assert executed(retried).attempt == 2


@pytest.mark.parametrize(
    ("settings_given", "outcome"),
    [
        ({"commands": "off"}, "failed"),
        ({"commands": "allow-list"}, "failed"),
        ({"commands": "shell"}, "succeeded"),
    ],
)
def test_the_worker_itself_decides_whether_commands_run(settings, settings_given, outcome):
    settings.BEATKEEPER = settings_given
    attempt = last_attempt(executed(make_run(make_schedule(retry_policy=make_policy()))))
    assert attempt.outcome == outcome
    assert attempt.decision in ("", "give_up")


def test_the_allow_list_lets_whole_commands_pass(settings, tmp_path):
    (tmp_path / "allowed").write_text("echo ok\n")
    settings.BEATKEEPER = {"commands": "allow-list", "allowed_commands_file": str(tmp_path / "allowed")}
    assert executed(make_run(make_schedule("a", command="echo ok"))).state == "succeeded"
    assert executed(make_run(make_schedule("b", command="echo ok; id"))).state == "failed"


def test_a_run_keeps_the_definition_it_was_opened_with():
    from schedules import catalog

    schedule = make_schedule(command="echo old")
    run = make_run(schedule)
    catalog.change([schedule.pk], by="me", command="echo new")
    assert last_attempt(executed(run)).output.text == "old\n"


@shared_task(name="tests.add")
def add(x, y):
    print("adding")
    logging.getLogger("tests").warning("careful")
    return x + y


@shared_task(name="tests.fail", bind=True, autoretry_for=(OSError,), max_retries=5)
def fail(self, kind):
    fail.seen.append((self.request.retries, self.request.id, self.request.called_directly))
    if kind == "retry":
        self.retry(exc=ValueError("again"), countdown=1)
    raise {"ignore": Ignore(), "reject": Reject("no"), "os": ConnectionError("no route")}[kind]


@shared_task(name="tests.log")
def log(message, *args):
    logging.getLogger("tests").warning(message, *args)


@shared_task(name="tests.print")
def print_long(characters):
    print("begin" + "x" * characters + "end")


def test_a_bad_call_of_a_logger_fails_no_task(monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)  # or pytest's own handler complains
    run = executed(make_run(make_task_schedule(task="tests.log", args='["%d orders", "three"]')))
    assert run.state == "succeeded"


@pytest.mark.parametrize(
    ("task", "args"),
    [("tests.print", [task_calls.OUTPUT_LIMIT]), ("tests.log", ["y" * task_calls.OUTPUT_LIMIT + "end"])],
)
def test_of_what_a_task_says_at_once_the_end_is_kept(task, args):
    attempt = last_attempt(executed(make_run(make_task_schedule(task=task, args=json.dumps(args)))))
    text = attempt.output.text
    assert text.endswith("end\n")
    assert len(text) >= task_calls.OUTPUT_LIMIT
    assert "begin" not in text
    assert 0 < attempt.output.bytes_dropped < 100


def test_a_task_is_called_with_its_arguments_and_what_it_says_is_kept():
    run = executed(make_run(make_task_schedule(task="tests.add", args="[1]", kwargs='{"y": 2}')))
    attempt = last_attempt(run)
    assert (attempt.outcome, attempt.result) == ("succeeded", "3")
    assert "adding" in attempt.output.text
    assert "careful" in attempt.output.text


@pytest.mark.parametrize(
    ("kind", "state", "attempts", "error"),
    [
        ("os", "failed", 3, "no route"),  # autoretry_for publishes nothing: the policy decides
        ("retry", "failed", 3, "again"),
        ("ignore", "succeeded", 1, ""),
        ("reject", "failed", 1, "no"),
    ],
)
def test_what_a_task_raises_has_a_defined_outcome(kind, state, attempts, error):
    fail.seen = []
    run = make_run(make_task_schedule(task="tests.fail", args=f'["{kind}"]', retry_policy=make_policy()))
    for _ in range(4):
        run = executed(run)

    assert (run.state, run.attempt) == (state, attempts)
    assert error in last_attempt(run).error
    assert [retries for retries, _, _ in fail.seen] == list(range(attempts))
    assert len({request_id for _, request_id, _ in fail.seen}) == attempts


def test_hooks_and_signals_of_a_task_fire():
    from celery import signals

    seen = []

    def note(sender, **kwargs):
        seen.append(kwargs.get("state") or "prerun")

    signals.task_prerun.connect(note, sender=add)
    signals.task_postrun.connect(note, sender=add)
    try:
        executed(make_run(make_task_schedule(task="tests.add", args="[1, 2]")))
    finally:
        signals.task_prerun.disconnect(note, sender=add)
        signals.task_postrun.disconnect(note, sender=add)
    assert seen == ["prerun", "SUCCESS"]


def test_a_task_that_the_worker_does_not_know_says_so():
    attempt = last_attempt(executed(make_run(make_task_schedule(task="nowhere.task"))))
    assert attempt.error_class == "NotRegistered"
    assert 'knows no task "nowhere.task"' in attempt.error


def test_run_again_repeats_the_same_revision_and_leaves_the_old_run():
    old = executed(make_run(make_schedule(command="exit 3")))
    new = operate.run_again(old, by="me")

    assert (new.trigger, new.rerun_of_id, new.revision_id) == ("rerun", old.pk, old.revision_id)
    assert executed(new).state == "failed"
    assert Run.objects.get(pk=old.pk).attempt == 1


def test_a_result_survives_an_outage_of_the_database(monkeypatch):
    run = make_run(make_schedule(command="echo kept"))
    real, outages = finishing.finish, [OperationalError("gone"), OperationalError("gone")]
    monkeypatch.setattr(finishing, "waits", lambda: iter([0, 0, 0, 0]))

    def finish(claimed, ended):
        if outages:
            raise outages.pop()
        return real(claimed, ended)

    monkeypatch.setattr(finishing, "finish", finish)
    run = executed(run)
    assert (run.state, last_attempt(run).output.text) == ("succeeded", "kept\n")


def test_a_result_that_the_database_refuses_is_replaced_by_one_that_says_so(monkeypatch):
    run = make_run(make_schedule(command="exit 3"))
    real = finishing.finish

    def finish(claimed, ended):
        if not ended.error:
            raise DataError("value too long")
        return real(claimed, ended)

    monkeypatch.setattr(finishing, "finish", finish)
    run = executed(run)
    attempt = last_attempt(run)
    assert (run.state, attempt.exit_code) == ("failed", 3)
    assert "could not be recorded in full: value too long" in attempt.error


def still_process() -> process.Process:
    """A process whose heartbeat thread is not started: the test looks in its stead."""
    return process.Process(name="still@tests", queues="", pool="solo", parent_pid=None)


def test_a_process_gives_up_runs_that_it_does_not_know_but_not_those_it_holds(monkeypatch):
    here = still_process()
    lost, held = make_run(make_schedule("a")), make_run(make_schedule("b"))
    for run in (lost, held):
        assert execute.claim(run.pk, here.worker)
    disowned = []
    monkeypatch.setattr(here, "on_disowned", disowned.extend)

    with here.holding(held.pk):
        here._disown()
        assert disowned == []  # a claim may be under way
        here._disown()

    assert disowned == [lost.pk]


@pytest.mark.parametrize("change", [{"initial_interval": "often"}, {"delays": [None]}, {"max_attempts": "3"}])
def test_a_policy_that_cannot_be_applied_does_not_lose_the_result(change):
    run = make_run(make_schedule(command="exit 3", retry_policy=make_policy(delays=[])))
    definition = run.revision.definition
    definition["retry"] |= change
    Revision.objects.filter(pk=run.revision_id).update(definition=definition)
    run = executed(run)
    assert (run.state, last_attempt(run).decision_rule) == ("failed", "policy_error")


def test_a_rule_may_have_a_number_for_its_value():
    """As somebody writes it in Python or in a fixture, where no form looks at it."""
    rules = [
        {"condition": "exit_code", "value": 75, "verdict": "retry"},
        {"condition": "any", "verdict": "give_up"},
    ]
    policy = make_policy(rules=rules)
    policy.clean()
    assert executed(make_run(make_schedule(command="exit 75", retry_policy=policy))).state == "pending"


def test_a_pattern_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr(patterns, "LIMIT_SECONDS", 0.5)
    assert patterns.found(["(a+)+$"], "a" * 40 + "b") == frozenset()


def test_an_output_rule_looks_at_the_output():
    rules = [
        {"condition": "output", "value": r"disk\s+full", "verdict": "give_up"},
        {"condition": "any", "verdict": "retry"},
    ]
    policy = make_policy(rules=rules)
    full = executed(make_run(make_schedule("a", command="echo disk  full; exit 1", retry_policy=policy)))
    busy = executed(make_run(make_schedule("b", command="echo busy; exit 1", retry_policy=policy)))
    assert (full.state, busy.state) == ("failed", "pending")
    assert last_attempt(full).decision_rule == "rule:output"


def test_a_run_whose_definition_is_gone_is_skipped_and_not_rung_for_ever():
    run = make_run(make_schedule())
    Run.objects.filter(pk=run.pk).update(revision=None)
    assert (executed(run).state, executed(run).reason) == ("skipped", "no_definition")


def test_a_definition_of_a_later_version_fails_the_run_and_does_not_stop_the_worker():
    run = make_run(make_schedule())
    Revision.objects.filter(pk=run.revision_id).update(definition={"kind": "from the future"})

    run = executed(run)

    assert (run.state, run.reason, run.attempt) == ("failed", "no_definition", 1)
    assert "cannot be read by this worker" in run.detail
    assert last_attempt(run).error == run.detail


@pytest.mark.parametrize("overlap", ["allow", "skip"])
def test_a_deleted_worker_row_is_no_overlap(overlap):
    here = process.current()
    run = make_run(make_schedule(overlap=overlap))
    Worker.objects.filter(pk=here.worker.pk).delete()
    with pytest.raises(IntegrityError):
        execute.execute(run.pk)
    run.refresh_from_db()
    assert run.state == "pending"
    assert executed(run).state == "succeeded"


def test_a_run_that_was_taken_away_is_ended():
    here = still_process()
    ended = []
    execution = process.Execution(uuid.uuid4(), lambda: ended.append(True))
    with here.executing(execution):
        here._honour_the_table()
    assert (ended, execution.ended_by) == ([True], process.End.INTERRUPT)


def test_a_worker_that_starts_before_its_database_registers_later(monkeypatch, settings):
    settings.BEATKEEPER = {"heartbeat_seconds": 0.05}
    real, outages = process.Process._register, [OperationalError("not yet")]

    def register(self):
        if outages:
            raise outages.pop()
        return real(self)

    monkeypatch.setattr(process.Process, "_register", register)
    here = process.current()
    wait_for(lambda: Worker.objects.filter(heartbeat_seq__gt=0).exists(), "a heartbeat")
    assert here.worker.pk
