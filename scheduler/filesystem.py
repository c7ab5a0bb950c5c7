"""The embedded broker: a Celery transport over one directory, for any number of processes of one host.

A message is the file of a `Folder`, and never the reason why a worker stops. An acknowledgement means
nothing here: what a killed worker had taken is lost. That suits messages which are doorbells for rows in
the database (docs/architecture.md) and nothing else. kombu's own filesystem transport writes in place,
reads without a lock and sorts the whole directory for each message; nothing of it is used.

The one transport option is `folder`, and `polling_interval` in seconds as in every polling transport.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty
from typing import Any

from celery.worker import state as worker_state
from kombu.exceptions import ChannelError
from kombu.transport import virtual

from scheduler.folder import Binding, Folder
from scheduler.topology import EXCHANGE_TYPES

logger = logging.getLogger(__name__)

# An idle worker looks this often: listing its nearly empty directories costs about one percent of a core.
POLLING_SECONDS = 0.05
# Broadcasts kept for a worker that does not come to read them.
BROADCASTS_KEPT = 50
# So long a worker rests before it connects anew to a directory in trouble: what persists fills no log.
REST_SECONDS = 1.0


class Channel(virtual.Channel):
    """kombu's channel over a `Folder`. Only the methods that the virtual base leaves open."""

    supports_fanout = True
    exchange_types = EXCHANGE_TYPES

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self.folder = Folder(connection.client.transport_options["folder"])
        # What the last listing found and nobody has asked for yet: a listing serves many messages.
        self._listed: dict[str, deque[str]] = {}
        with _as_channel_error():
            self.folder.make()

    def get_table(self, exchange: str) -> list[tuple[str, str, str]]:
        return [*self.folder.bindings(exchange)]

    def queue_bind(
        self, queue: str, exchange: str | None = None, routing_key: str = "", *args: Any, **kwargs: Any
    ) -> None:
        known = self.state.has_binding(queue, exchange or "amq.direct", routing_key)
        super().queue_bind(queue, exchange, routing_key, *args, **kwargs)
        if known:  # the base remembers it, but the table on disk may have been emptied since
            exchange = exchange or "amq.direct"
            meta = self.typeof(exchange).prepare_bind(queue, exchange, routing_key, None)
            self._queue_bind(exchange, *meta)

    def _queue_bind(self, exchange: str, *meta: Any) -> None:
        routing_key, pattern, queue = meta
        binding = Binding(routing_key or "", pattern or "", queue or "")
        with _as_channel_error(), self.folder.changing(exchange) as rows:
            if binding not in rows:
                rows[:] = [row for row in rows if not self.folder.is_abandoned(row.queue)]
                rows.append(binding)

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        with _as_channel_error():
            directory = self.folder.queue(queue)
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.utime(directory)

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return self.folder.queue(queue).is_dir()

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        with _as_channel_error():
            self.folder.add(queue, json.dumps(message).encode())

    def _put_fanout(self, exchange: str, message: dict[str, Any], routing_key: str, **kwargs: Any) -> None:
        for _, _, queue in self.get_table(exchange):
            if self._size(queue) < BROADCASTS_KEPT:
                self._put(queue, message)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        names = self._listed.get(queue)
        if not names:
            names = self._listed[queue] = deque(self.folder.waiting(queue))
        while names:
            message = self._read(queue, names.popleft())
            if message is not None:
                return message
        raise Empty

    def _read(self, queue: str, name: str) -> dict[str, Any] | None:
        """The message, or None where it is another reader's or was set aside."""
        try:
            taken = self.folder.take(queue, name)
        except OSError as error:
            logger.error("Message %s of queue %s cannot be taken: %s", name, queue, error)
            return None
        if taken is None:
            return None
        try:
            message: dict[str, Any] = json.loads(taken.read_bytes())
            self.Message(message, channel=self)  # what is no message must fail here, not in the worker
            taken.unlink()
        except Exception as error:
            self.folder.set_aside(taken, error)
            return None
        return message

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        super().basic_ack(delivery_tag, multiple)
        transport: Any = self.connection
        transport.look_soon()

    def _size(self, queue: str) -> int:
        return len(self.folder.waiting(queue))

    def _purge(self, queue: str) -> int:
        self._listed.pop(queue, None)
        return self.folder.purge(queue)

    def _delete(self, queue: str, exchange: str, *meta: Any, **kwargs: Any) -> None:
        routing_key, pattern, _ = meta
        binding = Binding(routing_key or "", pattern or "", queue or "")
        with _as_channel_error(), self.folder.changing(exchange) as rows:
            rows[:] = [row for row in rows if row != binding]
        self.folder.remove_queue(queue)


class Interrupted(ConnectionError):
    """The directory cannot be used."""


class Transport(virtual.Transport):
    """Named by the setting CELERY_BROKER_TRANSPORT."""

    Channel = Channel
    # With an event loop each child of a prefork worker has a pipe of its own. Without one they read from one
    # pipe, under a lock that a child takes with it when it is killed while it waits: the worker stays, and
    # executes nothing any more.
    implements = virtual.Transport.implements.extend(
        asynchronous=True, exchange_type=frozenset(["direct", "topic", "fanout"])
    )
    connection_errors = (*virtual.Transport.connection_errors, Interrupted)
    can_parse_url = True  # the URL says nothing but "filesystem:"
    driver_type = driver_name = "filesystem"
    polling_interval = POLLING_SECONDS
    # What this process has declared: exchange types are not on disk, each process declares its own.
    global_state = virtual.BrokerState()

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.state = self.global_state
        self._loop: Any = None
        self._looks_soon = False

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """A worker's loop looks for messages as often as `drain_events` does in other processes."""
        self._loop = loop
        loop.call_repeatedly(self.polling_interval, self._deliver_what_is_there)

    def look_soon(self) -> None:
        """A message was begun: the next one does not wait for the next look. From any thread."""
        if self._loop is not None and not self._looks_soon:
            self._looks_soon = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._looks_soon = False
        if self.cycle is not None:  # not closed meanwhile
            self._deliver_what_is_there()

    def _deliver_what_is_there(self) -> None:
        """Raises Interrupted, upon which Celery connects anew: the loop would pass by any other error."""
        try:
            while True:
                self.cycle.get(self._deliver, timeout=0)  # type: ignore[union-attr]
        except Empty:
            return
        except (OSError, ChannelError) as error:
            time.sleep(REST_SECONDS)
            raise Interrupted(f"The queue directory cannot be used: {error}") from error

    def _deliver(self, message: Any, queue: Any) -> None:
        """A message that its reader chokes on is dropped: the run that it rings for is rung for again.

        Kept, it would count against the prefetch limit for good: after a few of them the worker would live,
        and take nothing more.
        """
        try:
            super()._deliver(message, queue)
        except Exception:
            logger.exception("A message of queue %s could not be handled, and is dropped.", queue)
            tag = message["properties"]["delivery_tag"]
            for channel in self.channels or ():
                if tag in (channel.qos._delivered or ()):
                    channel.basic_reject(tag, requeue=False)

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:
        """As the base's, but a worker that is told to stop need not wait for the timeout, twice."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                self.cycle.get(  # type: ignore[union-attr]
                    self._deliver, timeout=timeout
                )
                return
            except Empty:
                is_over = deadline is not None and time.monotonic() >= deadline
                if is_over or _is_stopping():
                    raise TimeoutError from None
                time.sleep(self.polling_interval)

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        options: dict[str, Any] = self.client.transport_options or {}  # type: ignore[union-attr]
        return f"filesystem:{options['folder']}"

    def driver_version(self) -> str:
        return "1"


def _is_stopping() -> bool:
    # Annotated as a constant None; an exit status, 0 included, once there is a decision.
    stop: object = worker_state.should_stop
    return stop is not None and stop is not False


@contextmanager
def _as_channel_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ChannelError(f"The queue directory cannot be used: {error}") from error
