"""Celery tasks for the tests with real workers."""

from __future__ import annotations

import os
import signal
import time

from celery import shared_task


@shared_task(name="sample.add")
def add(x: int, y: int) -> int:
    return x + y


@shared_task(name="sample.sleep")
def sleep(seconds: float) -> None:
    time.sleep(seconds)


@shared_task(name="sample.until")
def until(path: str) -> None:
    """Ends when there is a file."""
    while not os.path.exists(path):
        time.sleep(0.1)


@shared_task(name="sample.die")
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(name="sample.stubborn")
def stubborn(seconds: float) -> None:
    """Ignores the polite end of a timeout."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.1)
        except Exception:
            continue
