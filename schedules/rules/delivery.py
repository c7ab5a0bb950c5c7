"""What a schedule that delivers by message cannot have: policies that only our own workers can keep.

Another codebase's workers execute its task, so nobody here can retry it, end it, or know that it still
runs. Refused rather than ignored: who asks for three retries must not find out later that there are none.
Called by `revisions`, which refuses, and by the form and the manifest, which say where.
"""

from __future__ import annotations

from collections.abc import Iterator

from schedules.rules.definition import Definition, Delivery, Kind, OnWorkerLost, Overlap

NOT_OURS = "the task is sent once, to workers of another codebase"


def misfits(
    *,
    kind: str,
    retries: bool,
    overlap: str,
    timeout: bool,
    on_worker_lost: str,
    exchange: str = "",
    routing_key: str = "",
) -> Iterator[tuple[str, str]]:
    """Fields, as the form and the manifest name them, each with a sentence. For delivery by message."""
    if kind != Kind.TASK:
        yield "delivery", "Only a Celery task can be sent as a message; a command is run by a worker of ours."
        return
    if retries:
        yield "retry_policy", f"No retries: {NOT_OURS}. Use autoretry_for or self.retry() there."
    if overlap != Overlap.ALLOW:
        yield "overlap", f"Always allowed: {NOT_OURS}, and nobody here knows how long it runs."
    if timeout:
        yield "timeout", f"No timeout: {NOT_OURS}. Give the task a time_limit there."
    if on_worker_lost != OnWorkerLost.LOST:
        yield "on_worker_lost", f"Not to be repeated: {NOT_OURS}. Give the task acks_late there."
    if exchange and not routing_key:
        yield "exchange", "An exchange needs a routing key: without one Celery ignores the exchange."


def problem(definition: Definition) -> str:
    """What is wrong, the first of it; "" where it can be sent, or is not to be."""
    if definition.delivery != Delivery.MESSAGE:
        return ""
    found = misfits(
        kind=definition.kind,
        retries=definition.retry.max_attempts > 1,
        overlap=definition.overlap,
        timeout=definition.timeout is not None,
        on_worker_lost=definition.on_worker_lost,
        exchange=definition.exchange,
        routing_key=definition.routing_key,
    )
    return next((f'Delivery is "message", but {field} does not fit: {text}' for field, text in found), "")
