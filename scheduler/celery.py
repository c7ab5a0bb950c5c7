"""The Celery application: `celery -A scheduler beat`, `celery -A scheduler worker -Q commands -P threads`."""

import os
from typing import Any

from celery import Celery, signals

from scheduler.topology import Queues

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler.settings")

app = Celery("beatkeeper")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@app.on_after_configure.connect
def say_which_queues_there_are(sender: Celery, **_: object) -> None:
    sender.amqp.queues_cls = Queues


@signals.celeryd_after_setup.connect
def take_nothing_ahead(instance: Any, conf: Any, **_: object) -> None:
    """On Redis a prefork worker takes a message when a child is free for it, not one ahead for each child.

    A pool of threads must not: a thread that ends does not wake the loop that takes messages, and each
    would wait for up to a second. What such a worker holds back is rung for again, and others take it.
    """
    pool = instance.pool_cls
    is_prefork = "prefork" in (pool if isinstance(pool, str) else pool.__module__)
    if is_prefork and instance.app.connection_for_read().transport.driver_type == "redis":
        conf.worker_disable_prefetch = True
