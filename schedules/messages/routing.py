"""Which queue a message goes to: by the schedule's queue, its exchange and routing key, or Celery's routes.

`publish` asks for the options of a message, `catalog` refuses what no queue would take, and
`production` names schedules whose queue nobody serves. Nothing is sent here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from celery import current_app

from schedules import conf
from schedules.rules import topics
from schedules.rules.definition import Definition, Kind


def options_for(definition: Definition) -> dict[str, Any]:
    """`queue`, `exchange`, `routing_key` and the like: a Celery task goes where Celery would send it.

    A routing key without an exchange goes to the installation's topic exchange, where it has one. Raises
    LookupError where no declared queue takes the message, or the application's routes fail.
    """
    wanted = _given(definition)
    arguments = json.loads(definition.args), json.loads(definition.kwargs)
    found = routed(wanted, definition.task, *arguments)
    if exchange := found.get("exchange"):
        name = getattr(exchange, "name", exchange)
        # The queue that takes the message is declared before it is sent, and with it its exchange.
        found["queue"] = _taker(name, found.get("routing_key") or "", found.get("queue"))
    return found


def routed(options: dict[str, Any], name: str, *arguments: Any) -> dict[str, Any]:
    """What Celery's router makes of `options`. Raises LookupError: `task_routes` may be any function."""
    try:
        found: dict[str, Any] = current_app.amqp.router.route(options, name, *arguments)
    except LookupError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise LookupError(f'task_routes fails for the task "{name}" ({said})') from error
    return found


class QueueRefused(LookupError):
    """The broker does not let us declare a queue."""


def declare(producer: Any, queue: Any) -> None:
    """Once for a connection, on a channel of its own: a broker closes the channel over what it refuses.

    Raises QueueRefused, and what the client raises where the broker is away.
    """
    client, done = producer.channel.connection.client, f"queue {queue.name}"
    if done in client.declared_entities:
        return
    channel = client.channel()
    try:
        queue(channel).declare()
    except client.channel_errors as error:
        raise QueueRefused(
            f'the broker refuses the queue "{queue.name}" ({error}). Let Beatkeeper\'s account declare it '
            "(docs/production.md), or take it out of BEATKEEPER_QUEUES"
        ) from error
    finally:
        with suppress(Exception):  # it is closed already, or the connection is
            channel.close()
    client.declared_entities.add(done)


def queue_named(name: str) -> Any:
    """The declared queue of that name. Raises LookupError, which names those that there are."""
    try:
        return current_app.amqp.queues[name]  # a project may let Celery make what is missing
    except KeyError:
        raise LookupError(f'no queue is named "{name}": declared are {known_queues()}') from None


def queues_of(definition: Definition) -> tuple[str, ...]:
    """Names of the queues that a run's message goes to. Raises LookupError as `options_for` does."""
    if definition.kind == Kind.COMMAND:
        return (definition.queue or conf.current().commands_queue,)
    options = options_for(definition)
    if exchange := options.get("exchange"):
        name = getattr(exchange, "name", exchange)
        taking = tuple(queue.name for queue in _takers(name, options.get("routing_key") or ""))
        if taking:
            return taking
    return (getattr(options["queue"], "name", options["queue"]),)


def known_queues() -> str:
    """The declared queues in words, each with the topics that it takes."""
    return ", ".join(_described(queue) for queue in current_app.amqp.queues.values())


def _given(definition: Definition) -> dict[str, Any]:
    given = {
        "queue": definition.queue,
        "exchange": definition.exchange,
        "routing_key": definition.routing_key,
    }
    wanted: dict[str, Any] = {key: value for key, value in given.items() if value}
    if wanted.keys() == {"routing_key"} and (exchange := conf.current().topic_exchange):
        wanted["exchange"] = exchange
    if definition.queue:
        wanted["queue"] = queue_named(definition.queue)
    return wanted


def _taker(exchange: str, routing_key: str, otherwise: Any) -> Any:
    """The first declared queue that takes the message. `otherwise` where the broker may know more than we."""
    for queue in _takers(exchange, routing_key):
        return queue
    bound = {bound.name for queue in current_app.amqp.queues.values() for bound, _ in _bindings(queue)}
    if exchange not in bound:  # a broker closes the channel over an exchange that it does not know
        raise LookupError(f'no queue is bound to an exchange "{exchange}": declared are {known_queues()}')
    if conf.current().queues:
        raise LookupError(
            f'no queue takes the routing key "{routing_key}" from the exchange "{exchange}": '
            f"declared are {known_queues()}"
        )
    return otherwise


def _takers(exchange: str, routing_key: str) -> Iterator[Any]:
    for queue in current_app.amqp.queues.values():
        bindings = [found for found in _bindings(queue) if found[0].name == exchange]
        if any(_takes(bound.type, key, routing_key) for bound, key in bindings):
            yield queue


def _bindings(queue: Any) -> Iterator[tuple[Any, str]]:
    """Exchanges that hand messages to `queue`, with the key or pattern of each."""
    if queue.exchange is not None:
        yield queue.exchange, queue.routing_key or ""
    for bound in queue.bindings:
        yield bound.exchange, bound.routing_key or ""


def _takes(kind: str, bound: str, routing_key: str) -> bool:
    if kind == "topic":
        return topics.takes(bound, routing_key)
    return kind != "direct" or bound == routing_key  # what a headers exchange does is the broker's to say


def _described(queue: Any) -> str:
    patterns = sorted(key for bound, key in _bindings(queue) if bound.type == "topic")
    return f"{queue.name} (takes {', '.join(patterns)})" if patterns else str(queue.name)
