"""Which queue a message goes to, and what is refused when a schedule is saved."""

from __future__ import annotations

import pytest
from celery import current_app

from scheduler import topology
from schedules import publish
from schedules.errors import InvalidSchedule
from schedules.messages import routing
from schedules.models import Run
from schedules.querysets import database_now
from schedules.revisions import definition_of
from tests.factories import make_run, make_schedule, make_task_schedule

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def declared(settings):
    """As BEATKEEPER_QUEUES=reports:reports.# declares them."""
    amqp = current_app.amqp
    before = amqp.queues
    wanted = topology.read(["reports:reports.#"], always=("commands", "tasks"))
    amqp.queues = topology.queues(wanted, broker_url="memory://", default="tasks", topic_exchange="topics")
    amqp.__dict__.pop("router", None)
    amqp._rtable = None
    settings.BEATKEEPER = {"queues": tuple(wanted), "topic_exchange": "topics"}
    yield
    amqp.queues = before
    amqp.__dict__.pop("router", None)


def queues(**columns):
    return routing.queues_of(definition_of(make_task_schedule(task="a.b", **columns)))


def test_a_task_without_any_goes_to_celerys_default_queue():
    assert queues() == ("tasks",)


def test_a_routing_key_goes_to_the_queue_that_takes_it():
    assert queues(routing_key="reports.daily") == ("reports",)


def test_an_exchange_may_be_named():
    assert queues(exchange="topics", routing_key="reports.daily.eu") == ("reports",)
    assert queues(name="other", exchange="tasks", routing_key="commands") == ("commands",)


def test_the_message_names_exchange_and_key_and_declares_the_queue_that_takes_it():
    schedule = make_task_schedule(task="a.b", routing_key="reports.daily")
    options = routing.options_for(definition_of(schedule))
    assert (options["exchange"], options["routing_key"]) == ("topics", "reports.daily")
    assert options["queue"].name == "reports"


@pytest.mark.parametrize(
    "columns",
    [
        {"routing_key": "invoices.daily"},
        {"exchange": "topics", "routing_key": "invoices.daily"},
        {"exchange": "nowhere", "routing_key": "reports.daily"},
    ],
)
def test_a_key_that_no_queue_takes_is_refused_and_told_which_there_are(columns):
    with pytest.raises(InvalidSchedule, match=r"reports \(takes reports\.#\)") as refusal:
        make_task_schedule(task="a.b", **columns)
    assert "BEATKEEPER_QUEUES" in str(refusal.value)


def test_a_command_has_no_routing_key():
    with pytest.raises(InvalidSchedule, match="by its name"):
        make_schedule(routing_key="reports.daily")


def test_a_queue_with_a_typo_is_refused_and_told_which_there_are():
    with pytest.raises(InvalidSchedule, match="commands, tasks, reports"):
        make_task_schedule(task="a.b", queue="report")


def test_a_run_in_a_queue_that_is_not_declared_says_which_are(caplog):
    make_run(make_schedule(), queue="comands")
    publish.publish_due(database_now())
    assert Run.objects.get().state == "pending"
    assert "declared are commands, tasks, reports (takes reports.#)" in caplog.text
