"""Doorbells to the broker, many at a time: pipelined to Redis; to RabbitMQ, with the confirms of all at once.

`line` finds the fast way of a producer's connection, or none; `publish` then goes the long way. What fails
raises what the broker's client raises, and the whole batch counts as not sent: a run rung twice is
claimed once.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from amqp import spec
from amqp.exceptions import NotFound, RecoverableConnectionError
from amqp.method_framing import frame_writer
from kombu.transport import pyamqp

from schedules.messages.envelope import CONFIRM_SECONDS, AmqpTemplate, RedisTemplate, Route

PUSHED_AT_ONCE = 500
"""Messages of one LPUSH: half a megabyte."""

WRITTEN_AT_ONCE = 1 << 18
"""Bytes; each write lets another thread take the interpreter, and waits to get it back."""


class Ring(NamedTuple):
    """One doorbell to send."""

    route: Route
    run_id: int
    name: str


class Returned(LookupError):
    """No queue took the message."""


class Refused(Returned):
    """A queue would not take the message."""


class Line(Protocol):
    def send(self, channel: Any, rings: Sequence[Ring]) -> dict[int, Returned]:
        """Sends all; returns those that no queue took, by run id."""
        ...

    def length(self, channel: Any, queue: str) -> int:
        """How many messages wait in the queue of that name; 0 where there is none."""
        ...


_lines: WeakKeyDictionary[Any, Line] = WeakKeyDictionary()
"""By channel: one that breaks takes its line with it."""


def line(channel: Any) -> Line | None:
    """The fast way to the broker of `channel`; None where there is none."""
    if channel not in _lines:
        made = _redis_line(channel) or _amqp_line(channel)
        if made is None:
            return None
        _lines[channel] = made
    return _lines[channel]


def forget(channel: Any) -> None:
    """Something failed: what is known of the channel may not hold any more."""
    found = _lines.pop(channel, None)
    if isinstance(found, AmqpLine):
        found.abandon()


def _redis_line(channel: Any) -> Line | None:
    if not any(base.__module__ == "kombu.transport.redis" for base in type(channel).__mro__):
        return None
    from kombu.transport import redis  # here: a project on another broker may not have the client

    own = ("basic_publish", "prepare_message", "_put", "_q_for_pri", "_inplace_augment_message")
    if any(getattr(type(channel), name) is not getattr(redis.Channel, name) for name in own):
        return None
    return None if channel._expires else RedisLine()


def _amqp_line(channel: Any) -> Line | None:
    return AmqpLine(channel.connection.channel()) if type(channel) is pyamqp.Channel else None


class RedisLine:
    def __init__(self) -> None:
        self._templates: dict[Route, RedisTemplate] = {}

    def send(self, channel: Any, rings: Sequence[Ring]) -> dict[int, Returned]:
        by_key: dict[str, list[str]] = {}
        for ring in rings:
            template = self._templates.get(ring.route)
            if template is None:
                template = self._templates[ring.route] = RedisTemplate(channel, ring.route)
            by_key.setdefault(template.key, []).append(template.fill(ring.run_id, ring.name))
        with channel.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            for key, values in by_key.items():
                for start in range(0, len(values), PUSHED_AT_ONCE):
                    pipe.lpush(key, *values[start : start + PUSHED_AT_ONCE])
            pipe.execute()
        return {}

    def length(self, channel: Any, queue: str) -> int:
        return int(channel._size(queue))


class AmqpLine:
    """A channel of its own, on which the broker confirms each message and hands back what no queue takes.

    `waiting` are the messages without a confirm: run ids by delivery tag, which counts from 1.
    """

    def __init__(self, confirmed: Any) -> None:
        self._confirmed = confirmed
        self._templates: dict[Route, AmqpTemplate] = {}
        self._sent = 0
        self._waiting: dict[int, int] = {}
        self._returned: dict[int, Returned] = {}
        confirmed.confirm_select()
        confirmed.events["basic_ack"].add(self._on_ack)
        confirmed.events["basic_nack"].add(self._on_nack)
        confirmed.events["basic_return"].add(self._on_return)

    def send(self, channel: Any, rings: Sequence[Ring]) -> dict[int, Returned]:
        self._waiting.clear()
        self._returned = {}
        connection = channel.connection
        templates = {route: self._template(channel, route) for route in {ring.route for ring in rings}}
        buffer = _Buffer()
        write = frame_writer(connection, buffer)
        with connection.transport.having_timeout(CONFIRM_SECONDS):
            for ring in rings:
                template = templates[ring.route]
                self._sent += 1
                self._waiting[self._sent] = ring.run_id
                frame = template.fill(ring.run_id, ring.name)
                write(1, self._confirmed.channel_id, spec.Basic.Publish, template.arguments, frame)
                if len(buffer.written) >= WRITTEN_AT_ONCE:
                    buffer.flush(connection.transport)
            buffer.flush(connection.transport)
        self._await_confirms(connection)
        if any(type(each) is Returned for each in self._returned.values()):
            connection.client.declared_entities.clear()  # so that the queue is declared anew
        return self._returned

    def length(self, channel: Any, queue: str) -> int:
        asking = channel.connection.channel()  # its own: RabbitMQ closes it where there is no such queue
        try:
            return int(asking.queue_declare(queue, passive=True).message_count)
        except NotFound:
            return 0
        finally:
            if asking.is_open:
                asking.close()

    def _template(self, channel: Any, route: Route) -> AmqpTemplate:
        if route not in self._templates:
            self._templates[route] = AmqpTemplate(channel, route)
        return self._templates[route]

    def _await_confirms(self, connection: Any) -> None:
        while self._waiting:
            if not connection.connected or not self._confirmed.is_open:
                raise RecoverableConnectionError("the broker closed the channel before it had confirmed all")
            try:
                connection.drain_events(timeout=CONFIRM_SECONDS)
            except TimeoutError as error:
                raise RecoverableConnectionError(
                    f"the broker confirmed nothing for {CONFIRM_SECONDS} s; {len(self._waiting)} wait"
                ) from error

    def abandon(self) -> None:
        """The connection as a whole: half a message may be on its way, and channels are few."""
        if (connection := self._confirmed.connection) is not None:
            with contextlib.suppress(Exception):  # it is lost already
                connection.collect()

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self._settled(tag, multiple)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        for run_id in self._settled(tag, multiple):
            self._returned[run_id] = Refused(
                "the broker refused it: its queue is full, or the broker is in trouble"
            )

    def _settled(self, tag: int, multiple: bool) -> list[int]:
        tags = [tag] if not multiple else [each for each in self._waiting if each <= tag]
        return [self._waiting.pop(each) for each in tags if each in self._waiting]

    def _on_return(self, error: Exception, exchange: str, routing_key: str, message: Any) -> None:
        """Before its confirm."""
        run_id = json.loads(message.body)[0][0]
        self._returned[run_id] = Returned(f'the broker has no queue "{routing_key}"; it is declared again')


class _Buffer:
    """What py-amqp's writer of frames takes for a socket."""

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, data: Any) -> None:
        self.written += data

    def flush(self, transport: Any) -> None:
        if self.written:
            transport.write(bytes(self.written))
            self.written.clear()
