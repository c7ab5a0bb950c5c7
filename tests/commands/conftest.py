"""Runs commands as a script would: what they print, and how they end."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from schedules import zone_data
from schedules.models import Worker
from tests.commands.findings import FACTS, make_beat
from tests.factories import make_worker

Call = Callable[..., SimpleNamespace]


@pytest.fixture
def call(db) -> Call:
    """call("list_runs", "--json") -> out, err, status, and `json` where that was asked for."""

    def call(*arguments: object) -> SimpleNamespace:
        out, err, status = StringIO(), StringIO(), 0
        try:
            call_command(*map(str, arguments), stdout=out, stderr=err)
        except CommandError as error:
            err.write(str(error))
            status = error.returncode
        text = out.getvalue()
        parsed = json.loads(text) if "--json" in arguments and text else None
        return SimpleNamespace(out=text, err=err.getvalue(), status=status, json=parsed)

    return call


@pytest.fixture
def crontab(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a crontab, the same file at every call, and returns its path."""

    def write(text: str | bytes, name: str = "crontab") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def good_fleet(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """One beat and one worker of commands and tasks, which both say that they are well."""
    monkeypatch.setattr(zone_data, "version", lambda: FACTS["tzdata"])
    monkeypatch.setattr(zone_data, "PACKAGE", FACTS["tzdata"])
    make_beat()
    return make_worker(queues="commands,tasks", facts=FACTS, account="jobs")
