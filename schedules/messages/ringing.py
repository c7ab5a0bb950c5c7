"""Doorbells one by one, by Celery itself: those that have a way or headers of their own.

Called by `publish`, which sends the others many at a time (`lines`).
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from schedules.messages import envelope, routing
from schedules.querysets import Doorbell
from schedules.rules.definition import Definition

PROTOCOL = frozenset(
    {
        *("id", "task", "lang", "root_id", "parent_id", "group", "eta", "expires", "retries"),
        *("argsrepr", "kwargsrepr", "timelimit", "shadow", "origin", "ignore_result"),
        *("stamps", "stamped_headers"),
    }
)
"""Headers of Celery's messages, which a schedule's own never replace."""

HARD_LIMIT_MARGIN = 5
"""Seconds after which Celery kills a child that even the end of the grace period did not stop."""


class Ringer:
    """Sends genuine Celery messages one by one."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    def __call__(self, bell: Doorbell, definition: Definition | None) -> None:
        options = self._routing(bell, definition) | _hints(bell, definition)
        if (queue := options.get("queue")) is not None:
            routing.declare(self._producer, queue)
            options["declare"] = []
        envelope.send(
            self._producer, run_id=bell.run_id, name=bell.name, message_id=str(uuid.uuid4()), **options
        )

    def _routing(self, bell: Doorbell, definition: Definition | None) -> dict[str, Any]:
        """A Celery task goes where Celery's router would send the task itself."""
        if bell.queue and (definition is None or not (definition.exchange or definition.routing_key)):
            return {"queue": routing.queue_named(bell.queue)}
        if definition is None:
            return {}
        return routing.options_for(definition)


def _hints(bell: Doorbell, definition: Definition | None) -> dict[str, Any]:
    """What Celery's own tools may want to know; the worker reads none of it."""
    if definition is None:
        return {}
    given = {key: value for key, value in json.loads(definition.headers).items() if key not in PROTOCOL}
    json.dumps(given, allow_nan=False)  # raises ValueError: RabbitMQ closes the connection over an infinity
    headers = given | {"periodic_task_name": bell.name}
    hints: dict[str, Any] = {"headers": headers}
    if definition.priority is not None:
        hints["priority"] = definition.priority
    if (limit := time_limit(definition)) is not None:
        hints["time_limit"] = limit
    return hints


def time_limit(definition: Definition) -> float | None:
    if definition.timeout is None:
        return None
    return definition.timeout + definition.kill_grace + HARD_LIMIT_MARGIN
