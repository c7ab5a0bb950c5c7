"""What the broker says of its fitness: version, memory policy, queues, and who answers through it.

Called by `production`, in a thread that it gives up after a while: a broker may accept a connection and
then say nothing. Declares nothing that is not there already; needs no database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from amqp.exceptions import NotFound, PreconditionFailed
from celery import current_app
from kombu.utils.url import maybe_sanitize_url

from schedules.production import alarms
from schedules.production.settings import LOOPBACK
from schedules.rules.production import MANAGE, Finding, error, ok, some, version_of, warning

UPGRADE_RABBITMQ = "rabbitmqctl enable_feature_flag all && apt-get install --only-upgrade rabbitmq-server"
CONNECT_SECONDS = 5
ANSWER_SECONDS = 2.0
OLDEST_RABBITMQ, MAINTAINED_RABBITMQ, OLDEST_REDIS = (3, 10), (3, 13), (6,)


@dataclass(frozen=True)
class Fleet:
    """Who is alive according to the tables: names of workers and of beats."""

    workers: frozenset[str] = frozenset()
    beats: frozenset[str] = frozenset()


def look(fleet: Fleet) -> Iterator[Finding]:
    """Raises what the client raises where the broker cannot be reached."""
    if (folder := _missing_folder()) is not None:  # a connection would make it
        yield warning(
            "broker.missing",
            f"There is no directory of messages yet ({folder}).",
            why="Nothing has been started with this state directory.",
            do="Correct BEATKEEPER_STATE; or begin there: python3 manage.py up",
            run="python3 manage.py up",
        )
        return
    with current_app.connection_for_write() as link:
        link.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_SECONDS)
        yield ok("broker.reached", f"The broker answers: {name()}")
        kind = link.transport.driver_type
        if kind == "amqp":
            yield from _rabbitmq(link)
        elif kind == "redis":
            yield from _redis(link)
        if fleet.workers or fleet.beats:
            yield from _answers(link, fleet)


def _missing_folder() -> str | None:
    """Where the broker is a directory of files that nobody has made yet."""
    folder = (current_app.conf.broker_transport_options or {}).get("folder")
    return str(folder) if folder and not Path(folder).is_dir() else None


def name() -> str:
    """The URL without its password."""
    url: Any = current_app.conf.broker_write_url or current_app.conf.broker_url or ""
    urls: list[str] = url.split(";") if isinstance(url, str) else list(url)
    return ", ".join(maybe_sanitize_url(each) for each in urls)


def _rabbitmq(link: Any) -> Iterator[Finding]:
    properties = link.connection.server_properties
    text = str(properties.get("version", "unknown"))
    if version_of(text) < OLDEST_RABBITMQ:
        yield error(
            "broker.version",
            f"RabbitMQ is {text}.",
            why="Its quorum queues lose their limits and some of their speed.",
            do="Upgrade to 3.13 or 4.",
            run=UPGRADE_RABBITMQ,
        )
    elif version_of(text) < MAINTAINED_RABBITMQ:
        yield warning(
            "broker.version",
            f"RabbitMQ is {text}; the oldest series that gets fixes is newer.",
            why="It works, and nobody mends it.",
            do="Upgrade to 3.13 or 4 when you can (enable all feature flags first).",
            run=UPGRADE_RABBITMQ,
        )
    else:
        yield ok("broker.version", f"RabbitMQ {text}.")
    if not properties.get("capabilities", {}).get("publisher_confirms"):
        yield error(
            "broker.confirms",
            "The broker confirms no messages.",
            why="A message that it drops is only sent again when its time is up.",
            do="Use RabbitMQ, and no proxy that speaks AMQP by itself.",
            run="export CELERY_BROKER_URL='amqps://beatkeeper:PASSWORD@mq.example.org:5671/beatkeeper'",
        )
    if not (link.transport_options or {}).get("confirm_publish"):
        yield warning(
            "broker.confirms",
            "Messages are sent without waiting for the broker's confirmation.",
            why="One that the broker refuses is only sent again when its time is up.",
            do='Set CELERY_BROKER_TRANSPORT_OPTIONS = {"confirm_publish": True}.',
            run=f"{MANAGE} diffsettings | grep CELERY_BROKER_TRANSPORT_OPTIONS",
        )
    yield from _queues(link)
    yield from alarms.look(link)


def _queues(link: Any) -> Iterator[Finding]:
    """Each declared queue: is it there, and of the kind that we would make?"""
    missing, right = [], []
    for queue in current_app.amqp.queues.values():
        try:
            _, waiting, consumers = _inspect(link, queue)
        except NotFound:
            missing.append(queue.name)
        except PreconditionFailed as refusal:
            yield error(
                "broker.queue",
                f'RabbitMQ has the queue "{queue.name}" with other arguments ({_reason(refusal)}).',
                why="Neither beat nor a worker can use it.",
                do=f"Stop them, rabbitmqctl delete_queue -p VHOST {queue.name}, start them: no run is lost.",
                run=f"rabbitmqctl delete_queue -p {quote(link.virtual_host)} {quote(queue.name)}",
            )
        else:
            right.append(f"{queue.name} ({waiting} waiting, {consumers} readers)")
    if missing:
        yield warning(
            "broker.missing",
            f"Not declared yet: {some(missing)}.",
            why="A beat or a worker that starts makes them.",
            do="Start a beat, and look again.",
            run="celery -A scheduler beat",
        )
    if right:
        yield ok("broker.queues", f"Queues, by their declaration: {some(right, limit=20)}.")


def _reason(refusal: PreconditionFailed) -> str:
    """What the server said, without the advice that a declaration of ours puts around it."""
    said = refusal.__cause__ if isinstance(refusal.__cause__, PreconditionFailed) else refusal
    return str(said.reply_text).rstrip(".")


def _inspect(link: Any, queue: Any) -> Any:
    """Raises NotFound, and then makes nothing. On channels of its own: a refusal closes them."""
    with link.channel() as channel:
        found = queue.bind(channel).queue_declare(passive=True)
    if queue.queue_arguments:
        with link.channel() as channel:  # it is there, so this only compares
            queue.bind(channel).queue_declare(passive=False)
    return found


def _redis(link: Any) -> Iterator[Finding]:
    client = link.default_channel.client
    server, memory = client.info("server"), client.info("memory")
    text = str(server.get("redis_version", "unknown"))
    if version_of(text) < OLDEST_REDIS:
        yield error(
            "broker.version",
            f"Redis is {text}.",
            why="It has no accounts with rights of their own (ACL), and nobody mends it.",
            do="Upgrade to 6 or later.",
            run="apt-get install --only-upgrade redis-server",
        )
    else:
        yield ok("broker.version", f"Redis {text}.")
    if server.get("redis_mode") == "cluster":
        yield error(
            "broker.cluster",
            "Redis is a cluster.",
            why="Celery moves messages between keys, which a cluster keeps on different nodes.",
            do="Use one server, with a replica and Sentinel where it has to survive.",
            run="export CELERY_BROKER_URL='rediss://beatkeeper:PASSWORD@redis.example.org:6379/3'",
        )
    yield from _doors(client)
    yield from _memory(memory)
    yield from _persistence(client.info("persistence"))
    yield from _lengths(link.default_channel)


def _doors(client: Any) -> Iterator[Finding]:
    """Whether the server lets other machines in without a password, as far as our account may ask."""
    from redis.exceptions import ResponseError  # a project on RabbitMQ need not have it

    if client.connection_pool.connection_kwargs.get("password"):
        return
    try:
        found = client.config_get("bind") | client.config_get("protected-mode")  # Redis 6 takes one name
    except ResponseError:  # no right to CONFIG, which is as it should be; so it has rights, and a password
        return
    listens = {word.lstrip("-") for word in str(found.get("bind", "")).split()}
    if found.get("protected-mode") == "no" and not (listens and listens <= LOOPBACK):
        yield error(
            "broker.open",
            "Redis lets everybody in without a password, from other machines too.",
            why="Whoever reaches its port can send messages to the workers, and so run any registered task.",
            do="Give its default account a password, or let it listen on this machine alone.",
            run="redis-cli CONFIG SET requirepass PASSWORD && redis-cli CONFIG REWRITE",
        )


def _memory(memory: dict[str, Any]) -> Iterator[Finding]:
    policy, limit = str(memory.get("maxmemory_policy", "unknown")), int(memory.get("maxmemory", 0))
    if policy == "noeviction":
        yield ok("broker.memory_policy", "Redis evicts nothing (maxmemory-policy noeviction).")
        return
    make = error if limit else warning
    yield make(
        "broker.memory_policy",
        f"Redis has maxmemory-policy {policy}"
        + (f" and {limit >> 20:,} MiB." if limit else ", and no limit."),
        why="At its limit it deletes keys: queues with every message in them, and their bindings.",
        do="Set maxmemory-policy noeviction (CONFIG SET, and redis.conf).",
        run="redis-cli CONFIG SET maxmemory-policy noeviction && redis-cli CONFIG REWRITE",
    )


def _persistence(found: dict[str, Any]) -> Iterator[Finding]:
    if found.get("rdb_last_bgsave_status", "ok") != "ok" or found.get("aof_last_write_status", "ok") != "ok":
        yield error(
            "broker.persistence",
            "Redis cannot write to its disk.",
            why="By default it then refuses every write, so no message goes out.",
            do="Look at its log; free the disk.",
            run="redis-cli INFO persistence; df -h; redis-cli BGSAVE",
        )
    elif found.get("aof_enabled"):
        yield ok("broker.persistence", "Redis keeps messages through a restart (AOF).")
    else:
        yield ok(
            "broker.persistence",
            "Redis loses recent messages at a restart (no AOF); they are sent again within a minute.",
        )


def _lengths(channel: Any) -> Iterator[Finding]:
    waiting = [f"{name} ({channel._size(name)} waiting)" for name in current_app.amqp.queues]
    yield ok("broker.queues", f"Queues: {some(waiting, limit=20)}.")


def _answers(link: Any, fleet: Fleet) -> Iterator[Finding]:
    """Does remote control reach those who are alive by the tables? A wrong vhost or number shows here."""
    if not current_app.conf.worker_enable_remote_control:
        return
    replies = current_app.control.ping(timeout=ANSWER_SECONDS, connection=link)
    heard = {who for reply in replies or [] for who in reply}
    silent = sorted((fleet.workers | _pinged(fleet.beats)) - heard)
    if silent:
        yield warning(
            "broker.silent",
            f"Alive in the database, and no answer through this broker: {some(silent)}.",
            why="They may use another broker, vhost or database number, or hang.",
            do="Compare CELERY_BROKER_URL there and here; look at their logs; restart them.",
            run="celery -A scheduler inspect ping",
        )
    else:
        yield ok("broker.answers", f"Through the broker answer: {some(sorted(heard), limit=20)}.")


def _pinged(beats: Sequence[str] | frozenset[str]) -> frozenset[str]:
    return frozenset(beats) if current_app.conf.beat_enable_remote_control else frozenset()
