"""The accounts of docs/production.md on a real RabbitMQ: beat and workers do with theirs, each with its."""

from __future__ import annotations

import os
import re
import socket
from contextlib import ExitStack

import pytest

from schedules.models import Run
from tests import services
from tests.factories import make_manual, make_run, make_task_schedule
from tests.system.cluster import ROOT, Cluster, wait_for
from tests.system.test_messages import Shop, make_message, wait_for_state

pytestmark = [pytest.mark.system, pytest.mark.django_db(transaction=True)]

GUIDE = (ROOT / "docs" / "production.md").read_text()
ALL = {f"{name}:" for name in (f"celerybeat@{socket.gethostname()}", "commands@tests", "tasks@tests")}
REFUSED = ("ACCESS_REFUSED", "access to ", "refused for user")


def documented(account: str) -> list[str]:
    """The patterns for configure, write and read in the guide's command for that account."""
    found = re.search(rf"set_permissions -p beatkeeper {account} ((?:\\\n|.)+?)\n(?!  )", GUIDE)
    assert found, f"docs/production.md does not say what {account} may do"
    return re.findall(r"'([^']+)'", found[1])


@pytest.fixture
def accounts(rabbitmq_url):
    """The broker's address for beat, and for workers."""
    if not services.may_make_rabbitmq_users():
        why = "rabbitmqctl does not reach the server"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)
    with ExitStack() as made:
        yield [
            made.enter_context(services.rabbitmq_user(rabbitmq_url, *documented(name)))
            for name in ("beat", "worker")
        ]


@pytest.fixture
def clusters(accounts, tmp_path):
    made = []
    for name, broker in zip(("beat", "worker"), accounts, strict=True):
        (tmp_path / name).mkdir()
        made.append(Cluster(broker, tmp_path / name))
    yield made
    for cluster in made:
        cluster.close()
        print(cluster.logs())


@pytest.fixture
def shop(rabbitmq_url, tmp_path):
    """The other codebase has an account of its own, which this is not about."""
    shop = Shop(rabbitmq_url, tmp_path)
    yield shop
    shop.close()


def test_beat_and_workers_do_with_the_rights_of_the_guide(clusters, shop):
    beat, worker = clusters
    shop.start("-E")
    runs = [make_run(make_manual()), make_run(make_task_schedule(task="sample.add", args="[1, 2]"))]
    runs.append(make_message("theirs", "shop.note", str(shop.note), "hello"))
    beat.beat(), worker.commands(), worker.tasks()

    for run in runs:
        wait_for_state(run, "succeeded")

    wait_for(lambda: set(worker.celery("inspect", "ping").split()) >= ALL, "all answer")
    assert not [word for word in REFUSED if word in beat.logs() + worker.logs()]
    assert Run.objects.filter(state="succeeded").count() == 3


@pytest.mark.parametrize("account", ["beat", "worker"])
def test_the_guide_gives_an_account_no_more_than_its_own_names(account):
    for pattern in documented(account):
        assert pattern.startswith("^(")
        assert pattern.endswith(")$")
        assert not re.search(pattern, "somebody.elses")
        assert not re.search(pattern, "amq.topic")
