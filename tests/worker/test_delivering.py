"""A result whose worker had to stop while the database was away, recorded by the next one."""

from __future__ import annotations

import logging
import threading
import time
from types import SimpleNamespace

import pytest
from django.db import DataError, InternalError, OperationalError, ProgrammingError

from schedules import delivering, finishing, rescue
from schedules.models import Attempt, Revision, Run, Worker
from schedules.rules.states import Outcome
from schedules.worker import process, spool
from schedules.worker.work import Ended
from tests.factories import claimed, make_policy, make_run, make_schedule

pytestmark = pytest.mark.django_db(transaction=True)

PRINTED = Ended(outcome=Outcome.SUCCEEDED, exit_code=0, head=(("stdout", "kept\n"),), bytes_seen=5)


@pytest.fixture(autouse=True)
def directory(settings, tmp_path):
    settings.BEATKEEPER = {"spool_directory": str(tmp_path / "spool")}
    return tmp_path / "spool"


@pytest.fixture
def here():
    """A process whose heartbeat thread is not started."""
    return process.Process(name="still@tests", queues="", pool="solo", parent_pid=None)


@pytest.fixture
def outage(monkeypatch):
    """The database refuses every result until `end` is called."""
    return Outage(monkeypatch)


class Outage:
    def __init__(self, monkeypatch):
        self.error = OperationalError("the database is away")
        self.tries = 0
        self._monkeypatch = monkeypatch
        self._real = finishing.finish
        monkeypatch.setattr(finishing, "finish", self._finish)

    def _finish(self, claimed, ended):
        self.tries += 1
        raise self.error

    def end(self):
        self._monkeypatch.setattr(finishing, "finish", self._real)


def stopped_with_a_result(claim, here, ended=PRINTED):
    """The worker that executed `claim` is told to stop while the database is away."""
    here.is_stopping.set()
    finishing.record(claim, ended, here)


def a_claim(**columns):
    return claimed(make_run(make_schedule(**columns)))


def files(directory):
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def test_the_next_worker_records_what_the_last_one_could_not(here, outage, directory):
    claim = a_claim()
    stopped_with_a_result(claim, here)
    assert len(files(directory)) == 1
    outage.end()

    assert delivering.deliver() == 1

    run, attempt = Run.objects.get(), Attempt.objects.get()
    assert (run.state, attempt.outcome, attempt.exit_code) == ("succeeded", "succeeded", 0)
    assert attempt.output.text == "kept\n"
    assert files(directory) == []
    assert delivering.deliver() == 0


def test_a_failure_from_the_spool_is_retried_by_its_policy(here, outage):
    claim = a_claim(retry_policy=make_policy(max_attempts=2))
    stopped_with_a_result(claim, here, Ended(outcome=Outcome.FAILED, exit_code=1))
    outage.end()
    delivering.deliver()
    assert Run.objects.get().state == "pending"
    assert Attempt.objects.get().decision == "retry"


def test_a_run_that_was_rescued_meanwhile_gets_a_note_and_nothing_else(here, outage, directory):
    claim = a_claim(on_worker_lost="retry")
    stopped_with_a_result(claim, here)
    outage.end()
    rescue.rescue_worker(Worker.objects.get(), what="it is gone")

    delivering.deliver()

    run, attempt = Run.objects.get(), Attempt.objects.get()
    assert (run.state, attempt.outcome) == ("pending", "worker_lost")
    assert "succeeded, exit code 0" in attempt.late_result
    assert files(directory) == []


def test_a_result_that_was_delivered_first_wins_over_the_rescue(here, outage):
    claim = a_claim()
    stopped_with_a_result(claim, here)
    outage.end()
    delivering.deliver()
    assert rescue.rescue_worker(Worker.objects.get(), what="it is gone") == 0
    assert Run.objects.get().state == "succeeded"


def test_while_the_database_is_away_the_files_stay(here, outage, directory):
    stopped_with_a_result(a_claim(), here)
    with pytest.raises(OperationalError):
        delivering.deliver()
    assert len(files(directory)) == 1
    outage.end()
    assert delivering.deliver() == 1


@pytest.mark.parametrize("error", [InternalError("read-only"), ProgrammingError("no such column")])
def test_a_standby_or_a_half_migrated_database_costs_no_output(here, outage, directory, error):
    outage.error = error
    stopped_with_a_result(a_claim(), here)
    outage.end()
    delivering.deliver()
    assert Attempt.objects.get().output.text == "kept\n"


def test_a_worker_that_lives_delivers_by_itself_and_leaves_no_file(here, outage, directory, monkeypatch):
    monkeypatch.setattr(finishing, "waits", lambda: iter([0.05] * 1000))
    claim = a_claim()
    recording = threading.Thread(target=finishing.record, args=(claim, PRINTED, here))
    recording.start()
    wait_until(lambda: outage.tries > 2)
    assert len(files(directory)) == 1
    assert delivering.deliver() == 0  # another worker of the same host: not its business

    outage.end()
    recording.join(60)

    assert (Run.objects.get().state, files(directory)) == ("succeeded", [])
    assert Attempt.objects.get().late_result == ""


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_last_try_comes_after_the_request_to_stop(here, monkeypatch, directory):
    monkeypatch.setattr(finishing, "waits", lambda: iter([3600]))
    here.is_stopping.set()
    finishing.record(a_claim(), PRINTED, here)
    assert (Run.objects.get().state, files(directory)) == ("succeeded", [])


def test_without_a_spool_a_worker_that_stops_says_what_it_loses(here, outage, settings, caplog):
    settings.BEATKEEPER = {}
    with caplog.at_level(logging.ERROR, "beatkeeper"):
        stopped_with_a_result(a_claim(), here)
    assert "result_given_up" in caplog.text


def test_a_broken_file_is_set_aside_and_keeps_nothing_waiting(here, outage, directory, caplog):
    first, second = a_claim(name="a"), a_claim(name="b")
    for claim in (first, second):
        here.is_stopping.clear()
        stopped_with_a_result(claim, here)
    outage.end()
    (directory / files(directory)[0]).write_text("{")

    with caplog.at_level(logging.ERROR, "beatkeeper"):
        assert delivering.deliver() == 2

    assert [name.endswith(".json.bad") for name in files(directory)] == [True]
    assert "spool_set_aside" in caplog.text
    assert sorted(Run.objects.values_list("state", flat=True)) == ["running", "succeeded"]


@pytest.mark.parametrize("gone", ["attempt", "revision", "definition"])
def test_a_result_that_nobody_can_record_any_more_is_set_aside(here, outage, directory, gone):
    claim = a_claim()
    stopped_with_a_result(claim, here)
    outage.end()
    if gone == "attempt":
        Run.objects.all().delete()
    elif gone == "revision":
        Run.objects.update(revision=None)
    else:
        Revision.objects.update(definition={"kind": "from the future"})
    assert delivering.deliver() == 1
    assert [name.endswith(".json.bad") for name in files(directory)] == [True]


def test_a_result_that_the_database_refuses_is_delivered_without_its_text(here, outage, monkeypatch):
    stopped_with_a_result(a_claim(), here)
    outage.end()
    real = finishing.finish

    def finish(claimed, ended):
        if ended.bytes_seen:
            raise DataError("too long")
        return real(claimed, ended)

    monkeypatch.setattr(finishing, "finish", finish)
    delivering.deliver()
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.exit_code) == ("succeeded", 0)
    assert "could not be recorded in full: too long" in attempt.error


def test_the_attempt_says_how_late_its_end_was_recorded(here, outage, monkeypatch):
    clock = SimpleNamespace(seconds=time.time())
    monkeypatch.setattr(finishing, "time", SimpleNamespace(time=lambda: clock.seconds))
    stopped_with_a_result(a_claim(), here)
    outage.end()
    clock.seconds += 600
    delivering.deliver()
    assert "It ended 600 s before this could be recorded" in Attempt.objects.get().notes


def test_a_result_that_went_in_although_its_answer_was_lost_is_not_reported_late(here, outage):
    claim = a_claim()
    stopped_with_a_result(claim, here)
    outage.end()
    finishing.finish(claim, PRINTED)
    delivering.deliver()
    assert (Run.objects.get().state, Attempt.objects.get().late_result) == ("succeeded", "")


def test_the_file_is_locked_as_long_as_the_result_is_being_recorded(here, outage, directory):
    stopped_with_a_result(a_claim(), here)
    [kept] = spool.left_behind(limit=1)
    assert delivering.deliver() == 0
    kept.release()
    outage.end()
    assert delivering.deliver() == 1


def test_a_worker_that_leaves_a_result_is_silent_and_does_not_say_that_it_stopped(here, outage):
    """Its run would be lost at once, and the next worker deliver too late."""
    claim = claimed(make_run(make_schedule()), here.worker)
    stopped_with_a_result(claim, here)
    here.stop()
    assert rescue.rescue_lost(rescue.Watch()) == 0
    outage.end()
    delivering.deliver()
    assert Run.objects.get().state == "succeeded"


def test_a_worker_that_leaves_nothing_says_that_it_stopped(here):
    finishing.record(claimed(make_run(make_schedule()), here.worker), PRINTED, here)
    here.stop()
    assert not Worker.objects.alive().exists()
