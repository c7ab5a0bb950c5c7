"""Another codebase: a stock Celery application that knows neither Django nor Beatkeeper."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery

app = Celery("shop", broker=os.environ.get("SHOP_BROKER_URL"))
app.conf.update(task_default_queue="shop", broker_connection_retry_on_startup=True)


@app.task(name="shop.note", bind=True)
def note(self, path, text, seconds=0):
    """Leaves a trace that does not depend on anything that a worker tells."""
    time.sleep(seconds)
    header = getattr(self.request, "periodic_task_name", None) or (self.request.headers or {}).get(
        "periodic_task_name"
    )
    with Path(path).open("a") as file:
        file.write(f"{text} {self.request.id} {header}\n")
    return len(text)


@app.task(name="shop.fail")
def fail():
    raise KeyError("no such customer\x00")
