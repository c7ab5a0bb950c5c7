"""Rows of what workers found: who is asked, what is written, what becomes old and goes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schedules import catalog, control, retention
from schedules.checking import flow as checking
from schedules.checking import work
from schedules.checking.process import examine
from schedules.checking.subject import by_queue, command_definition, digest_of
from schedules.errors import NotPossible
from schedules.models import CommandCheck, Schedule, Worker
from schedules.querysets import database_now
from schedules.worker import process
from tests.factories import make_schedule, make_task_schedule, make_worker

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def kept_connection(monkeypatch):
    """A worker's thread closes its own connection; here it is the test's, with its transaction."""
    monkeypatch.setattr(work.connection, "close", lambda: None)


@pytest.fixture
def broadcast(monkeypatch):
    """What the workers reply; `asked` is what they were asked."""

    class Broadcast:
        def __init__(self):
            self.replies, self.asked, self.error = [], [], None

        def __call__(self, command, arguments, **options):
            self.asked.append((command, arguments["schedules"], options))
            if self.error:
                raise self.error
            return self.replies if options["reply"] else None

    found = Broadcast()
    monkeypatch.setattr(checking.current_app.control, "broadcast", found)
    return found


def look(*schedules: Schedule, worker: str = "w@tests", queues: tuple[str, ...] = ("commands",)) -> int:
    return work.look_at([row.pk for row in schedules], worker=worker, queues=queues)


def digest(schedule: Schedule) -> str:
    definition = command_definition(Schedule.objects.select_related("revision").get(pk=schedule.pk))
    assert definition is not None
    return digest_of(definition)


def test_each_worker_has_one_row_for_each_schedule_of_its_queues():
    good, bad = make_schedule("good"), make_schedule("bad", command="no-such-program")
    other, task = make_schedule("other", queue="tasks"), make_task_schedule()

    assert look(good, bad, other, task) == 2
    assert look(good, bad, worker="v@tests") == 2
    look(good, bad)

    rows = CommandCheck.objects.order_by("schedule__name", "worker_name")
    assert [(row.schedule.name, row.worker_name, row.is_ok) for row in rows] == [
        ("bad", "v@tests", False),
        ("bad", "w@tests", False),
        ("good", "v@tests", True),
        ("good", "w@tests", True),
    ]
    finding = next(each for each in rows[0].findings if each["level"] == "error")
    assert finding["code"] == "not_in_path"
    assert "no-such-program" in finding["text"]


def test_what_is_no_longer_in_its_queues_is_forgotten():
    schedule = make_schedule()
    look(schedule)
    schedule.queue = "tasks"
    catalog.save(schedule, by="tests")

    assert look(schedule) == 0
    assert not CommandCheck.objects.exists()


def test_a_worker_that_would_refuse_a_command_does_not_look_at_its_files(settings, tmp_path, monkeypatch):
    looked_at = []
    monkeypatch.setattr(work, "examine", lambda asked: looked_at.extend(asked) or examine(asked))
    allowed = tmp_path / "allowed"
    allowed.write_text("true\n")
    good, bad = make_schedule("good"), make_schedule("bad", command="cat < /etc/shadow")

    settings.BEATKEEPER = {"commands": "allow-list", "allowed_commands_file": str(allowed)}
    look(good, bad)

    assert looked_at == [good.pk]
    [finding] = CommandCheck.objects.get(schedule=bad).findings
    assert (finding["code"], "allow-list" in finding["text"]) == ("refused", True)
    settings.BEATKEEPER = {"commands": "off"}
    look(good)
    [finding] = CommandCheck.objects.get(schedule=good).findings
    assert finding["text"] == "This worker runs no commands: BEATKEEPER_COMMANDS is off"


def test_a_check_stays_valid_until_what_it_looked_at_changes():
    schedule = make_schedule()
    look(schedule)
    checked = CommandCheck.objects.get().digest

    catalog.pause([schedule.pk], by="tests")
    catalog.change([schedule.pk], by="tests", cron="0 5 * * *")
    assert digest(schedule) == checked
    for column, value in (("command", "false"), ("environment", [["A", "1"]]), ("run_as", "nobody")):
        catalog.change([schedule.pk], by="tests", **{column: value})
        assert digest(schedule) != checked
        checked = digest(schedule)


@pytest.mark.django_db(transaction=True)
def test_a_schedule_that_was_deleted_meanwhile_does_not_cost_the_others_their_rows(monkeypatch):
    gone, kept = make_schedule("gone"), make_schedule("kept")

    def examine_and_delete(asked):
        Schedule.objects.filter(pk=gone.pk).delete()
        return examine(asked)

    monkeypatch.setattr(work, "examine", examine_and_delete)
    look(gone, kept)

    assert [row.schedule_id for row in CommandCheck.objects.all()] == [kept.pk]


def test_schedules_are_asked_about_by_queue():
    first, second = make_schedule("first"), make_schedule("second", queue="tasks")
    make_task_schedule("third")

    rows = Schedule.objects.live().select_related("revision")

    assert by_queue(rows) == {"commands": [first.pk], "tasks": [second.pk]}


def test_a_request_knows_who_heard_who_is_too_old_and_who_is_silent(broadcast):
    for name in ("old@tests", "silent@tests", "heard@tests"):
        make_worker(name, queues="commands")
    make_worker("gone@tests", queues="commands", seen_at=database_now() - timedelta(hours=1))
    broadcast.replies = [
        {"heard@tests": {"ok": {"queues": ["commands"], "schedules": 1}}},
        {"old@tests": {"error": "KeyError('check_commands')"}},
        {"odd@tests": "nonsense"},
    ]

    request = checking.ask({"commands": [1], "nobody's": [2]})

    answers = {each.worker: each for each in request.answers}
    assert set(answers) == {"heard@tests", "old@tests", "silent@tests", "odd@tests"}
    assert "restart it" in answers["old@tests"].problem
    assert not answers["silent@tests"].heard
    assert set(request.expected()) == {("heard@tests", 1), ("silent@tests", 1)}
    assert request.unserved == {"nobody's": [2]}


def test_beat_is_not_asked(broadcast):
    """Its mailbox knows pings only, and it would log an error."""
    checking.ask_without_waiting({"commands": [1]})

    [(_, _, options)] = broadcast.asked
    assert options["matcher"] == "pcre"
    assert options["pattern"] == r"(?!celerybeat@)"


def test_without_a_broker_nobody_can_be_asked(broadcast):
    broadcast.error = ConnectionRefusedError("refused")

    with pytest.raises(NotPossible, match="broker does not answer"):
        checking.ask({"commands": [1]})


def test_only_what_was_written_since_the_request_is_its_answer(broadcast):
    schedule = make_schedule()
    look(schedule)
    before = database_now() - timedelta(seconds=1)  # clearly: SQLite's clock counts milliseconds
    CommandCheck.objects.update(checked_at=before)
    request = checking.ask({"commands": [schedule.pk]})

    assert checking.arrived(request) == []
    look(schedule)
    assert [row.schedule_id for row in checking.arrived(request)] == [schedule.pk]


def test_checks_go_with_the_workers_that_made_them():
    here, gone = make_schedule("here"), make_schedule("gone")
    look(here, worker="here@tests"), look(gone, worker="gone@tests")
    old = database_now() - timedelta(days=8)
    make_worker("here@tests")
    make_worker("gone@tests", seen_at=old)
    CommandCheck.objects.update(checked_at=old)

    retention.forget_processes(database_now())

    assert [row.worker_name for row in CommandCheck.objects.all()] == ["here@tests"]
    assert Worker.objects.count() == 1


class Handler:
    """The remote-control command, with what would run in a thread."""

    def __init__(self, monkeypatch):
        self.asked = []
        monkeypatch.setattr(process.identity, "queues", "commands,other")
        monkeypatch.setattr(
            control.looker, "look_at", lambda pks, **given: self.asked.append((sorted(pks), given))
        )

    def __call__(self, schedules):
        state = type("State", (), {"hostname": "w@tests"})
        return control.check_commands(state, schedules=schedules)


def test_a_worker_answers_at_once_and_without_the_database(monkeypatch, django_assert_num_queries):
    handler = Handler(monkeypatch)

    with django_assert_num_queries(0):
        reply = handler({"commands": [1, 2], "tasks": [3]})

    assert reply == {"ok": {"queues": ["commands", "other"], "schedules": 2}}
    assert handler.asked == [([1, 2, 3], {"worker": "w@tests", "queues": ["commands", "other"]})]


@pytest.mark.parametrize("given", [None, [1], {"commands": 1}, {"commands": ["1"]}, {"commands": [True]}])
def test_a_worker_refuses_what_is_no_request(monkeypatch, given):
    handler = Handler(monkeypatch)

    assert "error" in handler(given)
    assert handler.asked == []


def test_what_is_asked_while_a_worker_looks_is_looked_at_afterwards_once(monkeypatch):
    looker, seen = control.Looker(), []

    def look_at(pks, **_):
        seen.append(sorted(pks))
        if len(seen) == 1:
            for asked in ({2}, {3}, {2, 4}):
                looker.look_at(asked, worker="w", queues=[])

    monkeypatch.setattr(control.work, "look_at", look_at)
    monkeypatch.setattr(control.threading.Thread, "start", lambda thread: thread.run())

    looker.look_at({1}, worker="w", queues=[])
    looker.look_at({5}, worker="w", queues=[])

    assert seen == [[1], [2, 3, 4], [5]]
