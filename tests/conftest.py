"""What every test gets: a test database of this run's own, no broker but memory, servers by fixture.

A test that asks for a server which is not there is skipped with the reason; with CI=true it fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import NoReturn

import hypothesis
import pytest
from django.conf import settings
from django.test import TransactionTestCase

from scheduler.celery import app
from tests import services

DATABASE_FIXTURES = {"db", "transactional_db", "django_db_serialized_rollback", "live_server"}
DIRECTORY = pytest.StashKey[TemporaryDirectory[str] | None]()


def pytest_configure(config: pytest.Config) -> None:
    _choose_examples()
    database = settings.DATABASES["default"]
    is_sqlite = database["ENGINE"].endswith("sqlite3")
    # A file, because an SQLite database in memory cannot be opened twice with a file's locking; a name
    # of our own, so that two runs at the same moment do not meet.
    directory = TemporaryDirectory(prefix="beatkeeper-tests-") if is_sqlite else None
    config.stash[DIRECTORY] = directory
    name = f"beatkeeper_tests_{os.getpid()}"
    database.setdefault("TEST", {})["NAME"] = f"{directory.name}/{name}.sqlite3" if directory else name
    # The real one is slow by design, and every test with an account would pay for it.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    app.conf.update(broker_url="memory://", broker_transport=None, broker_transport_options={})


def _choose_examples() -> None:
    """Few and new ones at each run of a developer; many and always the same where a change is judged.

    No example has a deadline: the machine may be busy.
    """
    slow = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large]
    hypothesis.settings.register_profile("quick", deadline=None, max_examples=30, suppress_health_check=slow)
    hypothesis.settings.register_profile("judge", deadline=None, derandomize=True, suppress_health_check=slow)
    hypothesis.settings.load_profile("judge" if os.environ.get("CI") == "true" else "quick")


def pytest_unconfigure(config: pytest.Config) -> None:
    if directory := config.stash.get(DIRECTORY, None):
        directory.cleanup()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """TEST_ONLY=database: what depends on the engine, which is run on both. TEST_ONLY=rest: the others."""
    only = os.environ.get("TEST_ONLY", "")
    if not only:
        return
    chosen = [item for item in items if _touches_the_database(item) == (only == "database")]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def _touches_the_database(item: pytest.Item) -> bool:
    if item.get_closest_marker("django_db") or DATABASE_FIXTURES & set(getattr(item, "fixturenames", ())):
        return True
    test_class = getattr(item, "cls", None)
    return test_class is not None and issubclass(test_class, TransactionTestCase)


@pytest.fixture(autouse=True)
def no_worker_is_left_behind() -> Iterator[None]:
    """Its heartbeat would write into the tests that follow, and keep their database open at the end."""
    from schedules.worker import process  # only now: Django is set up

    yield
    left = process.existing()
    if left is not None and left._thread.is_alive():
        process.stop_current()
        pytest.fail("This test began a worker process and did not stop it: process.stop_current()")


@pytest.fixture(scope="session")
def postgresql_url() -> str:
    """A database on a server where the test may create others."""
    url = os.environ.get("TEST_DATABASE_URL")
    if not url and services.answers_postgresql(services.LOCAL_POSTGRESQL):
        url = services.LOCAL_POSTGRESQL
    return url or _missing("PostgreSQL")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """An empty Redis database of this run's own."""
    server = services.redis_server() or _missing("Redis")
    with services.redis_database(server) as url:
        yield url


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """A vhost of this run's own, where it can be made."""
    server = services.rabbitmq_server() or _missing("RabbitMQ")
    with services.rabbitmq_vhost(server) as url:
        yield url


@pytest.fixture(scope="session")
def chromium() -> str:
    return services.chromium() or _missing("Chromium")


def _missing(service: str) -> NoReturn:
    reason = f"{service} is not there"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI=true", pytrace=False)
    pytest.skip(reason)
