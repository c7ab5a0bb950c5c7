"""Celery tasks for `benchmarks.start`: what a project without Beatkeeper would have for its commands."""

from __future__ import annotations

import os
import subprocess
import time

from celery import shared_task


@shared_task(name="benchmarks.shell")
def shell(command: str, ends: str = "") -> None:
    """Runs a command as a plain Celery task does; notes its end in the file `ends`."""
    subprocess.run(["/bin/sh", "-c", command], check=True, capture_output=True)
    _note(ends)


@shared_task(name="benchmarks.noop")
def noop(ends: str = "") -> None:
    _note(ends)


def _note(ends: str) -> None:
    if ends:
        descriptor = os.open(ends, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(descriptor, f"{time.time()}\n".encode())
        os.close(descriptor)
