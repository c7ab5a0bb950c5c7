"""Has RabbitMQ stopped taking messages, for lack of memory or disk? Called by `broker`.

AMQP tells only a connection that has published, and not which of the two it is. The management API tells all,
where `rabbitmq_api` names its address.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any, NoReturn
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPErrorProcessor, HTTPRedirectHandler, Request, build_opener

from amqp import Message

from schedules import conf
from schedules.rules.production import Finding, error, ok, some, warning

API_SECONDS = 5
NOWHERE = "beatkeeper.check_production"
"""The routing key of a message that no queue takes: RabbitMQ drops it."""

WHY = "Until it has room again no message goes out: runs wait in the database, and nothing is lost."
DO = "Free memory or disk there; or change vm_memory_high_watermark or disk_free_limit (rabbitmq.conf)."
RUN = "rabbitmq-diagnostics alarms; rabbitmq-diagnostics memory_breakdown; df -h /var/lib/rabbitmq"


def look(link: Any) -> Iterator[Finding]:
    api = conf.current().rabbitmq_api
    if api:
        yield from _told(api)
    elif is_blocked(link):
        yield error("broker.alarm", "RabbitMQ has an alarm, and takes no messages.", why=WHY, do=DO, run=RUN)
    else:
        yield ok("broker.alarm", "RabbitMQ takes messages: no alarm for memory or disk.")


class _Blocked(Exception):
    pass


def is_blocked(link: Any) -> bool:
    """Publishes one message to nowhere, on a connection of its own, and asks for an answer.

    A server with an alarm says `connection.blocked` to a message and reads nothing that comes after it.
    """
    own = link.clone(transport_options={})
    try:
        own.ensure_connection(max_retries=1, interval_start=0, timeout=API_SECONDS)
        channel = own.channel()
        own.connection.on_blocked = _refuse
        channel.basic_publish(Message(""), exchange="", routing_key=NOWHERE)
        channel.basic_qos(0, 1, False)
    except _Blocked:
        return True
    finally:
        own.collect()  # the end of a conversation, which a blocked connection never hears, is not waited for
    return False


def _refuse(reason: str) -> NoReturn:
    raise _Blocked(reason)


def _told(api: str) -> Iterator[Finding]:
    """The address may hold a password: it is never repeated."""
    try:
        found = _get(api)
    except HTTPError as problem:
        yield _unknown(f"status {problem.code}")
    except (OSError, ValueError, HTTPException) as problem:
        yield _unknown(_kind(problem))
    else:
        alarms = _alarms(found)
        if found.get("status") == "ok":
            yield ok("broker.alarm", "RabbitMQ has no alarm on any node (management API).")
        else:
            what = some(alarms) if alarms else "it does not say for what"
            said = f"RabbitMQ has an alarm, and takes no messages: {what}."
            yield error("broker.alarm", said, why=WHY, do=DO, run=RUN)


def _kind(problem: Exception) -> str:
    """What a library says of an address may repeat it."""
    reason = getattr(problem, "reason", None)
    return str(reason.strerror or reason) if isinstance(reason, OSError) else type(problem).__name__


def _alarms(found: dict[str, Any]) -> list[str]:
    listed = found.get("alarms")
    rows = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return [f"{each.get('resource')} on {each.get('node')}" for each in rows]


def _get(api: str) -> dict[str, Any]:
    """Raises OSError, HTTPException, or ValueError for what is no answer of this API."""
    parts = urlsplit(api)
    host = parts.hostname or ""
    place = f"[{host}]" if ":" in host else host
    url = f"{parts.scheme}://{place}{f':{parts.port}' if parts.port else ''}{parts.path.rstrip('/')}"
    request = Request(f"{url}/api/health/checks/alarms")  # an operator's setting
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    with build_opener(_AlarmsAreAnswers, _NowhereElse).open(request, timeout=API_SECONDS) as answer:
        found = json.loads(answer.read(1_000_000))
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


class _AlarmsAreAnswers(HTTPErrorProcessor):
    """503 is how the API says that there are some."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response if response.code == 503 else super().http_response(request, response)

    https_response = http_response


class _NowhereElse(HTTPRedirectHandler):
    """A redirect is an error: the password is for the address that was given."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _unknown(reason: str) -> Finding:
    return warning(
        "broker.api",
        f"RabbitMQ's management API does not tell of alarms: {reason}.",
        why="Whether the server is short of memory or disk is then seen only when it takes no messages.",
        do="Correct BEATKEEPER_RABBITMQ_API (http://USER:PASSWORD@HOST:15672); its user is for monitoring.",
        run="rabbitmq-plugins enable rabbitmq_management && rabbitmqctl set_user_tags beatkeeper monitoring",
    )
