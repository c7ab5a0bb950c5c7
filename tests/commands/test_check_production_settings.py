"""`check_production` on settings and files: doors that are open, secrets that others may read."""

from __future__ import annotations

import platform
from types import SimpleNamespace

import pytest
from celery import current_app

from schedules.production import settings as production_settings
from schedules.rules.production import Level
from tests.commands.findings import error_in, levels, static

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"DEBUG": True}, "web.debug"),
        ({"ALLOWED_HOSTS": ["*"]}, "web.hosts"),
        ({"ALLOWED_HOSTS": ["jobs.example.org"], "SESSION_COOKIE_SECURE": False}, "web.https"),
        ({"SECRET_KEY": "short"}, "secrets.key"),
        ({"SECRET_KEY": "django-insecure-" + "abcdefgh" * 8}, "secrets.key"),
        ({"BEATKEEPER": {"commands": "allow-list", "allowed_commands_file": "/nowhere"}}, "commands.list"),
    ],
)
def test_an_open_door_is_an_error(settings, changes, code):
    for name, value in changes.items():
        setattr(settings, name, value)
    assert static()[code].level == Level.ERROR


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"DEBUG": False}, "versions.software"),
        ({"ALLOWED_HOSTS": ["localhost", "127.0.0.1"]}, "web.hosts"),
        (
            {
                "ALLOWED_HOSTS": ["jobs.example.org"],
                "SESSION_COOKIE_SECURE": True,
                "CSRF_COOKIE_SECURE": True,
            },
            "web.https",
        ),
        ({"BEATKEEPER": {"commands": "off"}}, "commands.off"),
        ({"BEATKEEPER": {"commands": "shell"}}, "commands.shell"),
    ],
)
def test_what_is_closed_is_in_order(settings, changes, code):
    for name, value in changes.items():
        setattr(settings, name, value)
    assert static()[code].level == Level.OK


def test_a_long_random_key_and_no_debugging_are_no_complaint(settings):
    settings.DEBUG, settings.SECRET_KEY = False, "k1l2m3n4o5" * 5
    assert not {"web.debug", "secrets.key"} & static().keys()


@pytest.mark.parametrize(
    ("version", "code", "level"),
    [
        ("3.10.14", "versions.unsupported", Level.ERROR),
        ("3.11.0", "versions.software", Level.OK),
        ("3.13.9", "versions.software", Level.OK),
        ("3.14.0", "versions.unsupported", Level.ERROR),
    ],
)
def test_a_version_that_the_tests_do_not_run_with_is_an_error(monkeypatch, version, code, level):
    monkeypatch.setattr(platform, "python_version", lambda: version)
    assert levels(production_settings.versions()) == {code: level}


@pytest.mark.parametrize(
    ("database", "code"),
    [
        ({"ENGINE": "django.db.backends.sqlite3", "NAME": "x"}, "database.sqlite"),
        ({"ENGINE": "django.db.backends.postgresql", "ATOMIC_REQUESTS": True}, "database.atomic_requests"),
        ({"ENGINE": "django.db.backends.postgresql", "ATOMIC_REQUESTS": False}, None),
    ],
)
def test_a_database_that_serves_some_purposes_only_is_a_warning(monkeypatch, database, code):
    given = SimpleNamespace(DATABASES={"default": database})
    monkeypatch.setattr(production_settings, "settings", given)
    assert levels(production_settings._database()) == ({code: Level.WARNING} if code else {})


def test_a_list_of_commands_that_others_may_write_is_an_error(settings, tmp_path):
    allowed = tmp_path / "allowed"
    allowed.write_text("true\n")
    settings.BEATKEEPER = {"commands": "allow-list", "allowed_commands_file": str(allowed)}
    allowed.chmod(0o644)
    assert static()["commands.list"].level == Level.OK
    allowed.chmod(0o664)
    assert static()["commands.list"].level == Level.ERROR


@pytest.mark.parametrize("name", ["secret_key", "beatkeeper.sqlite3", "spool"])
def test_a_secret_that_others_may_read_is_an_error(settings, tmp_path, name):
    settings.STATE_DIR = tmp_path
    settings.BEATKEEPER = {"spool_directory": str(tmp_path / "spool")}
    tmp_path.chmod(0o700)
    (tmp_path / name).touch(mode=0o600)
    assert static()["secrets.state"].level == Level.OK
    (tmp_path / name).chmod(0o644)
    assert str(tmp_path / name) in error_in(static(), "secrets.files").run


def test_a_state_directory_that_others_may_write_is_an_error(settings, tmp_path):
    settings.STATE_DIR = tmp_path
    tmp_path.chmod(0o777)
    assert static()["secrets.state"].level == Level.ERROR


@pytest.mark.parametrize(
    ("url", "codes"),
    [
        ("filesystem://", {"broker.embedded"}),
        ("memory://", {"broker.memory"}),
        ("amqp://guest:guest@localhost//", {"broker.vhost", "broker.guest"}),
        ("amqp://u:hunter2@localhost/beatkeeper", set()),
        ("amqp://u:hunter2@mq.example.org/beatkeeper", {"broker.tls"}),
        ("amqps://u:hunter2@mq.example.org/beatkeeper", set()),
        ("redis://localhost/1", set()),
        ("redis://r.example.org/1", {"broker.password", "broker.tls"}),
        ("rediss://:hunter2@r.example.org/1", {"broker.account"}),
        ("rediss://default:hunter2@r.example.org/1", {"broker.account"}),
        ("rediss://u:hunter2@r.example.org/1", set()),
        ("sentinel://u:hunter2@localhost:1;sentinel://s.example.org:1", {"broker.password", "broker.tls"}),
    ],
)
def test_what_a_brokers_url_gives_away(monkeypatch, url, codes):
    monkeypatch.setitem(current_app.conf, "broker_url", url)
    found = [each for each in production_settings.look() if each.area == "broker"]
    errors = {"broker.memory", "broker.password"}
    assert levels(found) == {code: Level.ERROR if code in errors else Level.WARNING for code in codes}
    assert "hunter2" not in repr(found)
