"""What a process says of itself in its row: versions, and how far its host's clock is from the database's.

Written by `process` and `beat` when they register, and again every ten minutes; read by `production`.
"""

from __future__ import annotations

import platform
import time
import tomllib
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import celery

from schedules import zone_data
from schedules.querysets import database_now

REFRESH_SECONDS = 600.0


def gather() -> dict[str, Any]:
    """`tzdata`, `python`, `celery`, `beatkeeper`: versions; `skew`: seconds that the host's clock is ahead.

    Asks the database once. Half of the time that the answer took is what `skew` may be wrong by.
    """
    return {
        "tzdata": zone_data.version(),
        "python": platform.python_version(),
        "celery": celery.__version__,
        "beatkeeper": beatkeeper_version(),
        "skew": skew(),
    }


def skew() -> float:
    asked = time.time()
    there = database_now().timestamp()
    return round((asked + time.time()) / 2 - there, 3)


@cache
def beatkeeper_version() -> str:
    """Of the installed package, or of the working copy; "unknown" where neither says."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.version("beatkeeper")
    with suppress(OSError, ValueError, KeyError):
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
        if project["name"] == "beatkeeper":
            return str(project["version"])
    return "unknown"
