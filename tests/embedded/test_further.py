"""Which queues `up` serves beside its own two, and what it says where it must not."""

from __future__ import annotations

import asyncio
import io

import pytest

from scheduler import further
from scheduler.supervisor import Console, Role, Supervisor
from tests.factories import make_schedule, make_task_schedule

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def declared(settings):
    settings.BEATKEEPER = {}
    settings.QUEUES = {"commands": (), "tasks": (), "big": (), "reports": ()}
    return settings


@pytest.fixture
def asked(monkeypatch):
    """One look."""

    async def end(seconds):
        raise asyncio.CancelledError

    monkeypatch.setattr(further.asyncio, "sleep", end)


class Kept(Supervisor):
    def __init__(self):
        super().__init__([], Console(["web"], io.StringIO()))
        self.added = []

    def add(self, role):
        self.added.append(role.name)


def serve():
    async def main():
        supervisor = Kept()
        with pytest.raises(asyncio.CancelledError):
            await further.serve(supervisor, lambda name, queue, pool: Role(f"{name} {queue} {pool}", []))
        return supervisor.added, supervisor.console.stream.getvalue()

    return asyncio.run(main())


def test_a_queue_of_tasks_has_processes_and_one_of_commands_threads(declared):
    make_schedule("a", queue="big")
    make_schedule("b", queue="tasks")
    make_task_schedule("c", task="x.y", queue="tasks")
    make_schedule("d")
    assert further.wanted() == {"big": "threads", "tasks": "prefork"}


@pytest.mark.parametrize(
    "columns",
    [{"enabled": False}, {"mode": "shadow"}, {"kind": "task", "task": "a.b", "delivery": "message"}],
)
def test_a_queue_from_which_nothing_is_run_here_is_not_wanted(declared, columns):
    make_schedule("a", queue="big", **columns)
    assert further.wanted() == {}


def test_a_worker_is_started_for_a_queue_on_a_broker_of_files(declared, asked):
    declared.EMBEDDED_BROKER = True
    make_schedule("a", queue="reports")
    added, said = serve()
    assert added == ["queue-2 reports threads"]
    assert 'the queue "reports"' in said


def test_a_queue_of_commands_that_gets_tasks_too_says_that_up_has_to_begin_anew(declared, monkeypatch):
    """Tasks in threads have no timeout."""
    declared.EMBEDDED_BROKER = True
    looks = iter([{"reports": "threads"}, {"reports": "prefork"}, {"reports": "prefork"}])
    revisions = iter(range(3))

    async def next_look(seconds):
        if revisions.__length_hint__() == 0:
            raise asyncio.CancelledError

    monkeypatch.setattr(further.asyncio, "sleep", next_look)
    monkeypatch.setattr(further, "wanted", lambda: next(looks))
    monkeypatch.setattr(further, "_latest_revision", lambda: next(revisions))

    added, said = serve()

    assert added == ["queue-2 reports threads"]
    assert said.count("no timeout ends a task") == 1


def test_on_a_broker_of_many_hosts_the_command_is_said_and_nothing_started(declared, asked):
    """The queue may be there so that its runs go to another host, or to another account."""
    declared.EMBEDDED_BROKER = False
    make_schedule("a", queue="reports")
    added, said = serve()
    assert added == []
    assert "celery -A scheduler worker -Q 'reports' -P threads" in said


def test_without_further_queues_nothing_is_asked(declared, monkeypatch):
    declared.QUEUES = {"commands": (), "tasks": ()}
    monkeypatch.setattr(further.asyncio, "to_thread", None)
    asyncio.run(further.serve(Kept(), lambda *_: Role("none", [])))
