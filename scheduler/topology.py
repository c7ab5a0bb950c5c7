"""The queues of an installation: which there are, which topics they take, and how a broker is told.

`scheduler.settings` reads them here, `scheduler.redis` and `scheduler.filesystem` match topics as here.
Beat and workers declare these queues and no others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from amqp.exceptions import PreconditionFailed
from celery.app import amqp
from django.core.exceptions import ImproperlyConfigured
from kombu import Exchange, Queue, binding
from kombu.transport.virtual import exchange as emulated

from schedules.rules import topics

Wanted = Mapping[str, tuple[str, ...]]
"""Topic patterns by the name of the queue that takes them; most queues have none."""

AMQP = ("amqp:", "amqps:", "pyamqp:")

DELIVERY_LIMIT = 5
"""Times that RabbitMQ hands out a message whose workers vanish before it drops it. Beat sends another."""


def read(words: Iterable[str], *, always: Iterable[str]) -> Wanted:
    """`NAME` or `NAME:PATTERN` each; a queue with several patterns is named several times.

    `always` are queues that exist whatever is written. Raises ImproperlyConfigured.
    """
    found: dict[str, tuple[str, ...]] = dict.fromkeys(always, ())
    for word in words:
        name, colon, pattern = (part.strip() for part in word.partition(":"))
        if not name or len(name.encode()) > topics.LONGEST:
            raise ImproperlyConfigured(f'BEATKEEPER_QUEUES has "{word}": a queue needs a name, of 255 bytes.')
        if colon and (why := topics.problem(pattern)):
            raise ImproperlyConfigured(
                f'BEATKEEPER_QUEUES has the pattern "{pattern}" for the queue "{name}": {why}. '
                "Write it as in reports:reports.# or reports:*.daily"
            )
        found[name] = (*found.get(name, ()), *([pattern] if colon else []))
    return found


def queues(wanted: Wanted, *, broker_url: str, default: str, topic_exchange: str) -> list[Queue]:
    """What Celery's `task_queues` needs. Through the exchange `default` a queue is reached by its name."""
    direct = Exchange(default, type="direct")
    topic = Exchange(topic_exchange, type="topic")
    return [_queue(name, patterns, direct, topic, broker_url) for name, patterns in wanted.items()]


def _queue(name: str, patterns: Iterable[str], direct: Exchange, topic: Exchange, broker_url: str) -> Queue:
    taken = [binding(topic, routing_key=pattern) for pattern in patterns]
    # kombu forgets the exchange of a queue that has bindings, so its own name becomes one of them.
    named = [binding(direct, routing_key=name)] if taken else []
    return DeclaredQueue(
        name,
        exchange=direct,
        routing_key=name,
        bindings=[*named, *taken],
        queue_arguments=arguments(broker_url),
    )


def arguments(broker_url: str) -> dict[str, Any] | None:
    """RabbitMQ keeps quorum queues through the loss of a node; other brokers have no such choice."""
    if not broker_url.startswith(AMQP):
        return None
    return {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}


class DeclaredQueue(Queue):
    """A queue whose declaration says what to do where the broker has it in another form."""

    def queue_declare(self, nowait: bool = False, passive: bool = False, channel: Any = None) -> Any:
        try:
            return super().queue_declare(nowait=nowait, passive=passive, channel=channel)
        except PreconditionFailed as error:
            text = str(error.reply_text)
            vhost = re.search(r"in vhost '([^']+)'", text)
            raise PreconditionFailed(
                f'RabbitMQ has the queue "{self.name}" with other arguments than Beatkeeper declares '
                f"({text}). Arguments of a queue never change: stop beat and the workers, "
                f"rabbitmqctl delete_queue -p {vhost[1] if vhost else 'VHOST'} {self.name}, and start them "
                "again. No run is lost with its messages: beat sends them again.",
                error.method_sig,
                error.method_name,
                error.reply_code,
            ) from error


class UnknownQueue(KeyError):
    """Celery puts it into its own sentence about `-Q`, which tells nobody what there is."""

    def __str__(self) -> str:
        return str(self.args[0])


class Queues(amqp.Queues):
    """Celery's, whose errors say which queues there are. For `task_create_missing_queues = False` alone."""

    def __missing__(self, name: str) -> Queue:
        raise UnknownQueue(f'"{name}" (declared are {", ".join(self)}; BEATKEEPER_QUEUES declares more)')


class TopicExchange(emulated.TopicExchange):
    """kombu's, with the patterns of AMQP. They are kept in the broker, so every kombu publisher obeys."""

    def key_to_pattern(self, rkey: str) -> str:
        return topics.expression(rkey)


EXCHANGE_TYPES = {**emulated.STANDARD_EXCHANGE_TYPES, "topic": TopicExchange}
