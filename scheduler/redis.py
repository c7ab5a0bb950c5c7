"""kombu's Redis transport, without the second copy that it keeps of each message until its acknowledgement.

That copy costs two round trips and half of a worker's time for each message, and comes back an hour
after a worker was killed. A doorbell needs none of it: the run in the database is rung for again after
`redispatch_seconds`. Every other message is treated as kombu treats it, so a task of your own with
`acks_late` loses nothing here. What a worker has taken and not begun goes back when it stops in order.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis, virtual

from scheduler.topology import EXCHANGE_TYPES

DOORBELL = "schedules.run_attempt"


class QoS(redis.QoS):
    channel: Any

    def append(self, message: Any, delivery_tag: str) -> None:
        if _is_doorbell(message):
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        if _is_doorbell(self._taken.get(delivery_tag)):
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        message = self._taken.get(delivery_tag)
        if not _is_doorbell(message):
            super().reject(delivery_tag, requeue)
            return
        if requeue:
            self._put_back([message])
        virtual.QoS.ack(self, delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:
        """Called once, when the channel closes."""
        self._put_back([message for message in self._taken.values() if _is_doorbell(message)])
        super().restore_unacked(client)

    @property
    def _taken(self) -> dict[str, Any]:
        return self._delivered or {}

    def _put_back(self, messages: list[Any]) -> None:
        with self.pipe_or_acquire() as pipe:
            for message in messages:
                info = message.delivery_info
                self.channel._do_restore_message(
                    message._raw, info["exchange"], info["routing_key"], pipe, leftmost=True
                )
            pipe.execute()


def _is_doorbell(message: Any) -> bool:
    return message is not None and message.headers.get("task") == DOORBELL


class Channel(redis.Channel):
    QoS = QoS
    exchange_types = EXCHANGE_TYPES


class Transport(redis.Transport):
    Channel = Channel
