"""Which time zone database this process reads: the machine's or the package's, and of which version.

Python prefers the machine's, however old, as cron does; an empty PYTHONTZPATH makes it read the package.
Called by `facts`, `zones` and `production.fleet`. Knows nothing of schedules.
"""

from __future__ import annotations

import re
import zoneinfo
from functools import cache
from pathlib import Path

import tzdata  # type: ignore[import-untyped]

PACKAGE: str = tzdata.IANA_VERSION
_VERSION = re.compile(r"\b(\d{4}[a-z]{1,2})\b")
_BYTES = 200


@cache
def version() -> str:
    """Such as "2026a"; "" where the data do not say. What is installed later counts after a restart."""
    return PACKAGE if _folder() is None else of_machine() or ""


def of_machine() -> str | None:
    """The version of the folder that Python reads first; None where there is none, or it does not say."""
    folder = _folder()
    if folder is None:
        return None
    for name in ("+VERSION", "tzdata.zi", "version"):
        try:
            with (folder / name).open("rb") as file:
                found = _VERSION.search(file.read(_BYTES).decode("ascii", "replace"))
        except OSError:
            continue
        if found:
            return found[1]
    return None


def _folder() -> Path | None:
    """The one that serves the usual zones; None: the package does."""
    folders = (Path(folder) for folder in zoneinfo.TZPATH)
    return next((folder for folder in folders if (folder / "Europe" / "London").exists()), None)
