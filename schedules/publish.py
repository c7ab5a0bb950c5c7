"""Runs become messages: doorbells that carry a run id. Called by `beat`.

First the row is marked and committed (T2), then the message goes out; a message that fails puts its
run back (T2e), and one that is lost is sent again when `redispatch_at` has passed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import Any

from celery import current_app

from schedules import conf, events
from schedules.models import Revision, Run
from schedules.querysets import Doorbell
from schedules.rules.definition import Definition, Kind

RUN_ATTEMPT = "schedules.run_attempt"
"""Sent by name: this module does not import the tasks."""

PROTOCOL = frozenset(
    {
        *("id", "task", "lang", "root_id", "parent_id", "group", "eta", "expires", "retries"),
        *("argsrepr", "kwargsrepr", "timelimit", "shadow", "origin", "ignore_result"),
        *("stamps", "stamped_headers"),
    }
)
"""Headers of Celery's messages, which a schedule's own never replace."""

CONFIRM_SECONDS = 5
"""How long a broker with confirms may take for one; py-amqp would wait for ever."""

HARD_LIMIT_MARGIN = 5
"""Seconds after which Celery kills a child that even the end of the grace period did not stop."""


def connect() -> None:
    """Opens the connection and declares the queues, so that the first doorbell need not wait for it."""
    with current_app.producer_or_acquire() as producer:
        for queue in current_app.amqp.queues.values():
            producer.maybe_declare(queue)


def publish_due(now: datetime, *, limit: int = 500) -> int:
    """Sends messages for at most `limit` runs; returns how many went out.

    Raises what the broker's client raises where it cannot be reached; the runs then wait in the table.
    """
    values = conf.current()
    full = [queue for queue, count in Run.objects.outstanding().items() if count >= values.doorbells]
    bells = Run.objects.take_for_publishing(now, limit=limit, full=full, delays=values.redispatch_seconds)
    if not bells:
        return 0
    events.before_publish(bells)
    sent = _send_all(bells, now)
    events.published(sent)
    return sent


def _send_all(bells: Sequence[Doorbell], now: datetime) -> int:
    """All or none where the broker fails: a run that is rung twice is claimed once.

    A run whose own message is refused waits longer and does not stop the others.
    """
    definitions = _definitions(bells)
    refused: list[tuple[Doorbell, Exception]] = []
    try:
        with current_app.producer_or_acquire() as producer, _batch(producer):
            ring = Ringer(producer)
            for bell in bells:
                try:
                    ring(bell, definitions.get(bell.revision_id))
                except (LookupError, ValueError, TypeError) as error:
                    refused.append((bell, error))
    except Exception as error:
        _give_back(bells, error, now, conf.current().publish_retry_seconds)
        raise
    for bell, refusal in refused:
        _give_back([bell], refusal, now, conf.current().redispatch_seconds[-1])
    return len(bells) - len(refused)


def _batch(producer: Any) -> AbstractContextManager[Any]:
    """One round trip for all messages, where the transport can do that (Redis)."""
    return producer.batch() if producer.supports_batch_publish else nullcontext()


class Ringer:
    """Sends genuine Celery messages, without what `send_task` works out anew for each."""

    def __init__(self, producer: Any) -> None:
        self._producer, self._amqp = producer, current_app.amqp
        self._declared: set[str] = set()

    def __call__(self, bell: Doorbell, definition: Definition | None) -> None:
        options = self._routing(bell, definition) | _hints(bell, definition)
        if (queue := options.get("queue")) is not None:
            self._declare(queue)
            options["declare"] = []
        message = self._amqp.as_task_v2(
            str(uuid.uuid4()),
            RUN_ATTEMPT,
            args=(bell.run_id,),
            argsrepr=f"({bell.run_id},)",
            kwargsrepr="{}",
            shadow=bell.name,
            ignore_result=True,
            time_limit=options.pop("time_limit", None),
            origin="beat",
        )
        self._amqp.send_task_message(
            self._producer, RUN_ATTEMPT, message, retry=False, confirm_timeout=CONFIRM_SECONDS, **options
        )

    def _routing(self, bell: Doorbell, definition: Definition | None) -> dict[str, Any]:
        """A Celery task goes where Celery's router would send the task itself."""
        if bell.queue and (definition is None or not (definition.exchange or definition.routing_key)):
            return {"queue": self._amqp.queues[bell.queue]}
        if definition is None:
            return {}
        given = {
            "queue": definition.queue,
            "exchange": definition.exchange,
            "routing_key": definition.routing_key,
        }
        wanted = {key: value for key, value in given.items() if value}
        arguments = json.loads(definition.args), json.loads(definition.kwargs)
        found: dict[str, Any] = self._amqp.router.route(wanted, definition.task, *arguments)
        self._check_exchange(found.get("exchange"))
        return found

    def _check_exchange(self, exchange: Any) -> None:
        """A broker closes the channel over an exchange that it does not know, for everybody."""
        name = getattr(exchange, "name", exchange)
        if name and name not in {queue.exchange.name for queue in self._amqp.queues.values()}:
            raise LookupError(f'no queue is bound to an exchange "{name}"')

    def _declare(self, queue: Any) -> None:
        if queue.name not in self._declared:
            self._producer.maybe_declare(queue)
            self._declared.add(queue.name)


def _hints(bell: Doorbell, definition: Definition | None) -> dict[str, Any]:
    """What Celery's own tools may want to know; the worker reads none of it."""
    if definition is None:
        return {}
    given = {key: value for key, value in json.loads(definition.headers).items() if key not in PROTOCOL}
    headers = given | {"periodic_task_name": bell.name}
    hints: dict[str, Any] = {"headers": headers}
    if definition.priority is not None:
        hints["priority"] = definition.priority
    if definition.timeout is not None:
        hints["time_limit"] = definition.timeout + definition.kill_grace + HARD_LIMIT_MARGIN
    return hints


def _definitions(bells: Sequence[Doorbell]) -> dict[int | None, Definition]:
    """By revision, for those whose messages need more than their queue."""
    wanted = {bell.revision_id for bell in bells if bell.revision_id}
    rows = Revision.objects.filter(pk__in=wanted, definition__kind=Kind.TASK.value)
    return {row.pk: Definition.from_dict(row.definition) for row in rows}


def _give_back(bells: Sequence[Doorbell], error: Exception, now: datetime, seconds: float) -> None:
    Run.objects.unpublish(bells, available_at=now + timedelta(seconds=seconds))
    events.publish_failed(len(bells), error)
