"""How a server is started: as whom, and until when it has to answer."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable
from pathlib import Path

STARTS_WITHIN = 90
"""Seconds; RabbitMQ on a busy machine takes long."""


def unprivileged() -> str | None:
    """Whom a server runs as that refuses root; None: as we are."""
    if os.geteuid() != 0:
        return None
    names = {account.pw_name for account in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def give(account: str | None, path: Path) -> None:
    if account is not None:
        entry = pwd.getpwnam(account)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def wait_for(answers: Callable[[], bool], name: str, log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while not answers():
        if time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{name} did not start within {STARTS_WITHIN} s. Its log ends with:\n{tail}")
        time.sleep(0.2)
