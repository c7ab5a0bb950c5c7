"""`check_commands` with workers that are played: what it prints, and when its status is 1."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from schedules.checking import flow as checking
from schedules.checking import work
from schedules.management.commands import check_commands
from schedules.models import Schedule
from tests.factories import make_schedule, make_task_schedule, make_worker

HEARD = {"ok": {"queues": ["commands"], "schedules": 0}}


@pytest.fixture(autouse=True)
def host(monkeypatch):
    """One name for this machine, whatever it is called."""
    monkeypatch.setattr(work.socket, "gethostname", lambda: "web1")
    monkeypatch.setattr(work.connection, "close", lambda: None)


@pytest.fixture
def workers(monkeypatch):
    """What each worker replies; one that hears the request also looks, before it replies."""
    replies = {}

    def broadcast(command, arguments, **options):
        asked = arguments["schedules"]
        for name, reply in replies.items():
            if "ok" in reply and not reply.get("asleep"):
                queues = reply["ok"]["queues"]
                pks = [pk for queue in queues for pk in asked.get(queue, ())]
                work.look_at(pks, worker=name, queues=queues)
        return [{name: reply} for name, reply in replies.items()]

    monkeypatch.setattr(checking.current_app.control, "broadcast", broadcast)
    return replies


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_the_worst_comes_first_with_what_to_do(call, workers):
    make_schedule("broken", command="no-such-program", environment=[["PATH", "/bin"]])
    make_schedule("doubtful", command="echo $NO_SUCH_VARIABLE")
    make_schedule("fine", command="true")
    workers["w@web1"] = HEARD

    done = call("check_commands")

    shown = lines(done.out)
    assert shown[0] == "NAME WORKER RESULT WHAT IS WRONG WHAT TO DO"
    assert shown[1] == (
        'broken w@web1 error "no-such-program" is not found in PATH (/bin) '
        "install it on this machine, or correct the command (no-such-program)"
    )
    assert shown[2].startswith("doubtful w@web1 warning $NO_SUCH_VARIABLE is empty")
    assert "fine" not in done.out
    assert (
        shown[-1]
        == "Checked: 3 schedules by 1 worker: 1 with errors, 1 with warnings, 1 ok (--all lists them)."
    )
    assert (done.status, done.err.strip()) == (1, "1 check found errors.")


def test_what_is_in_order_is_listed_where_it_is_asked_for(call, workers):
    make_schedule("fine"), make_schedule("other")
    workers["w@web1"] = HEARD

    assert "fine" not in call("check_commands").out
    assert "fine w@web1 ok" in lines(call("check_commands", "--all").out)
    named = call("check_commands", "fine")
    assert "fine w@web1 ok" in lines(named.out)
    assert "other" not in named.out
    assert named.status == 0


def test_a_choice_by_tag_and_queue(call, workers):
    make_schedule("a", tags="move nightly"), make_schedule("b", queue="tasks"), make_task_schedule("c")
    workers["w@web1"] = {"ok": {"queues": ["commands", "tasks"], "schedules": 0}}

    def names(*arguments):
        return [each["schedule"] for each in call("check_commands", "--json", *arguments).json["checks"]]

    assert sorted(names()) == ["a", "b"]
    assert names("--tag", "nightly") == ["a"]
    assert names("--queue", "tasks") == ["b"]
    assert names("--tag", "none") == []


def test_json_has_everything(call, workers):
    make_schedule("broken", command="/no/such", run_as="no-such-account")
    workers["w@web1"] = HEARD

    done = call("check_commands", "--json")

    [check] = done.json["checks"]
    assert check.pop("checked_at").endswith("Z")
    assert check == {
        "schedule": "broken",
        "worker": "w@web1",
        "host": "web1",
        "account": "no-such-account",
        "result": "error",
        "findings": check["findings"],
    }
    assert check["findings"][0]["code"] == "account"
    assert set(check["findings"][0]) == {"level", "code", "text", "advice"}
    assert done.json["counts"] == {"error": 1, "warning": 0, "ok": 0}
    assert (done.json["good"], done.status) == (False, 1)


def test_without_a_worker_it_says_how_to_start_one(call, workers):
    make_schedule("a"), make_schedule("b", queue="tasks")

    done = call("check_commands")

    assert done.status == 1
    assert done.err == (
        "No worker is running, so nobody could look at 2 commands. Start one: manage.py up, or "
        "celery -A scheduler worker -P threads -Q commands,tasks"
    )


def test_a_queue_that_nobody_serves_is_told(call, workers):
    make_schedule("a"), make_schedule("b", queue="tasks")
    workers["w@web1"] = HEARD

    done = call("check_commands")

    assert "Schedules in queues that no worker serves (1)" in done.out
    assert "b tasks start a worker: celery -A scheduler worker -P threads -Q tasks" in lines(done.out)
    assert (done.status, done.err) == (1, "1 schedule in a queue that no worker serves.")


def test_workers_that_do_not_answer_are_told(call, workers, monkeypatch):
    make_schedule("a")
    workers["slow@web1"] = HEARD | {"asleep": True}
    workers["old@web1"] = {"error": "KeyError('check_commands')"}
    make_worker("silent@web1", queues="commands")

    done = call("check_commands", "--timeout", "0")

    shown = lines(done.out)
    assert "Workers that did not answer (3)" in shown
    assert "old@web1 it does not know the request: restart it with this version of Beatkeeper" in shown
    assert "silent@web1 1 it did not answer: is it stuck, or gone? (wait longer with --timeout)" in shown
    assert "slow@web1 1 it did not finish in time (wait longer with --timeout)" in shown
    assert (done.status, done.err) == (1, "3 workers did not answer.")


def test_it_waits_for_what_is_under_way(call, workers, monkeypatch):
    make_schedule("a")
    workers["slow@web1"] = HEARD | {"asleep": True}

    def sleep(seconds):
        pks = list(Schedule.objects.values_list("pk", flat=True))
        work.look_at(pks, worker="slow@web1", queues=["commands"])

    # The command's own `time` only: the examination waits, too, for the process that it ends.
    monkeypatch.setattr(check_commands, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))

    assert call("check_commands").status == 0


def test_hostile_text_obeys_no_terminal(call, workers):
    make_schedule("red \x1b[31m", command="'\x1b]0;x\x07'")
    workers["w@web1"] = HEARD

    done = call("check_commands")

    assert "\x1b" not in done.out
    assert "red \\x1b[31m" in done.out


def test_what_all_commands_of_a_host_share_is_said_once(call, workers, monkeypatch):
    note = {"level": "note", "code": "limits", "text": "cron allows 5 open files, the worker 4", "advice": ""}
    monkeypatch.setattr(work, "examine", lambda asked: ((pk, [note]) for pk in asked))
    make_schedule("a"), make_schedule("b")
    workers["w@web1"] = HEARD

    done = call("check_commands")

    assert "  web1: cron allows 5 open files, the worker 4 (2 schedules)" in done.out
    assert done.out.count("open files") == 1
    assert done.status == 0


def test_nothing_to_check_is_no_failure(call, workers):
    make_task_schedule()

    done = call("check_commands")

    assert (done.out.strip(), done.status) == ("No commands to check.", 0)


@pytest.mark.parametrize("arguments", [("--timeout", "-1"), ("nobody-knows-it",)])
def test_a_request_that_makes_no_sense(call, workers, arguments):
    done = call("check_commands", *arguments)

    assert done.status == (2 if "--timeout" in arguments else 1)
    assert done.err


def test_the_host_is_told_where_the_worker_is_not_named_after_it(call, workers):
    make_schedule("fine")
    workers["commands@blue"] = HEARD

    assert "fine commands@blue (web1) ok" in lines(call("check_commands", "--all").out)
