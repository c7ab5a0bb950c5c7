"""What `check_production` says of RabbitMQ's alarms: by AMQP, and by the management API."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from kombu import Connection

from schedules.production import alarms
from schedules.rules.production import Level


@contextmanager
def api(status, body, **headers):
    """The management API, as far as it is asked. Yields its address and the headers that it was sent."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("Authorization")))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://ops:hunter%402@127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


ALARM = {
    "status": "failed",
    "reason": "There are alarms in effect in the cluster",
    "alarms": [{"node": "rabbit@a", "resource": "disk"}],
}


@pytest.mark.parametrize(
    ("status", "body", "code", "level", "words"),
    [
        (200, '{"status":"ok"}', "broker.alarm", Level.OK, "no alarm on any node"),
        (503, json.dumps(ALARM), "broker.alarm", Level.ERROR, "disk on rabbit@a"),
        (401, '{"error":"not_authorized"}', "broker.api", Level.WARNING, "status 401"),
        (200, "<html>", "broker.api", Level.WARNING, "JSONDecodeError"),
        (200, "[]", "broker.api", Level.WARNING, "ValueError"),
        (503, '{"status":"failed","alarms":["x",{"node":"a"}]}', "broker.alarm", Level.ERROR, "None on a"),
        (503, '{"status":"failed","alarms":5}', "broker.alarm", Level.ERROR, "does not say for what"),
    ],
)
def test_what_the_management_api_says(settings, status, body, code, level, words):
    with api(status, body) as (address, asked):
        settings.BEATKEEPER = {"rabbitmq_api": address}
        [found] = alarms.look(None)

    assert (found.code, found.level) == (code, level)
    assert words in found.what
    assert "hunter" not in repr(found)
    assert asked == [("/api/health/checks/alarms", "Basic b3BzOmh1bnRlckAy")]  # ops:hunter@2


def test_an_api_that_is_away_is_a_warning_without_its_password(settings):
    settings.BEATKEEPER = {"rabbitmq_api": "http://ops:hunter2@127.0.0.1:1"}
    [found] = alarms.look(None)
    assert (found.code, found.level) == ("broker.api", Level.WARNING)
    assert "hunter2" not in repr(found)


def test_a_redirect_gets_no_password(settings):
    with api(200, '{"status":"ok"}') as (elsewhere, heard), api(302, "", Location=elsewhere) as (address, _):
        settings.BEATKEEPER = {"rabbitmq_api": address}
        [found] = alarms.look(None)
    assert (found.code, heard) == ("broker.api", [])
    assert "status 302" in found.what


def test_an_address_that_is_no_web_server_is_not_repeated(settings):
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        link, _ = listener.accept()
        link.recv(65536)
        link.sendall(b"AMQP\x00\x00\t\x01")
        link.close()

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    with listener:
        settings.BEATKEEPER = {"rabbitmq_api": f"http://ops:hunter2@127.0.0.1:{listener.getsockname()[1]}"}
        [found] = alarms.look(None)
        thread.join(10)
    assert (found.code, found.level) == ("broker.api", Level.WARNING)

    settings.BEATKEEPER = {"rabbitmq_api": "http://ops:12/hunter 2@127.0.0.1:1"}
    [found] = alarms.look(None)
    assert (found.code, "hunter" in repr(found)) == ("broker.api", False)


def test_a_server_without_an_alarm_answers(rabbitmq_url):
    with Connection(rabbitmq_url, transport_options={"confirm_publish": True}) as link:
        [found] = alarms.look(link)
    assert (found.code, found.level) == ("broker.alarm", Level.OK)


def test_a_server_that_blocks_what_is_published_has_an_alarm():
    """The real one is in tests/system: an alarm of the shared server would stop everybody."""
    closed = []
    connection = SimpleNamespace(on_blocked=None)
    channel = SimpleNamespace(
        basic_publish=lambda *_, **__: None, basic_qos=lambda *_: connection.on_blocked("blocked")
    )
    own = SimpleNamespace(
        ensure_connection=lambda **_: None,
        connection=connection,
        channel=lambda: channel,
        collect=lambda: closed.append(1),
    )
    [found] = alarms.look(SimpleNamespace(clone=lambda **_: own))
    assert (found.code, found.level, closed) == ("broker.alarm", Level.ERROR, [1])
