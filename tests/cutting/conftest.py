"""A crontab that cron would read, in a folder of the test, and a daemon that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schedules.cutting_over import crontab_edit, objections
from tests.commands.conftest import call
from tests.cutting.stage import alive, import_lines, write

__all__ = ["call"]


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool | None]:
    """What is told of the daemon; True: it runs."""
    told: dict[str, bool | None] = {"runs": True}
    monkeypatch.setattr(objections, "daemon_runs", lambda: told["runs"])
    return told


@pytest.fixture
def crons_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any, daemon: Any) -> Path:
    """A file of /etc/cron.d with three lines, their shadows, a beat and a worker."""
    folder = tmp_path / "cron.d"
    folder.mkdir()
    monkeypatch.setattr(crontab_edit, "SYSTEM_DIRECTORY", folder)
    settings.STATE_DIR = tmp_path / "state"
    path = write(folder / "jobs")
    import_lines(path)
    alive()
    return path
