"""Runs a command and turns the faults that an operator can mend into one sentence. manage.py calls it.

Everything else keeps its traceback: it is a fault of ours. `--traceback` shows all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import Error as DatabaseError
from django.db import connection


def run(argv: Sequence[str]) -> None:
    """Raises SystemExit(1) with a sentence on stderr where `explain` knows one."""
    try:
        execute_from_command_line(list(argv))
    except KeyboardInterrupt:
        sys.exit(130)  # what shells report for Ctrl-C
    except Exception as error:
        sentence = None if "--traceback" in argv else explain(error)
        if sentence is None:
            raise
        sys.exit(sentence)


def explain(error: BaseException) -> str | None:
    """What happened and what to do. None: not a fault of the surroundings."""
    if isinstance(error, ImproperlyConfigured):
        return str(error)
    if isinstance(error, DatabaseError):
        return _explain_database(error)
    return None


def _explain_database(error: DatabaseError) -> str | None:
    reason = " ".join(str(error).split())
    place = _place(connection.settings_dict)
    if "locked" in reason:
        return (
            f"The database {place} is locked: another process has been writing for longer than 20 s. "
            "End that process (fuser names it), then try again."
        )
    if "readonly" in reason or "read-only" in reason:
        return f"The database {place} cannot be written ({reason}). Make the file and its directory writable."
    if "no such table" in reason or ("relation" in reason and "does not exist" in reason):
        return (
            f"The database {place} lacks tables of this version ({reason.partition(' LINE ')[0]}). "
            "Run: python3 manage.py migrate"
        )
    if type(error).__name__ != "OperationalError":
        return None
    if connection.vendor == "sqlite" and not _is_there(Path(place)):
        return (
            f"There is no installation: the database {place} does not exist. Correct BEATKEEPER_STATE; or "
            "make a new one there: python3 manage.py up, or python3 manage.py migrate, which starts nothing."
        )
    if connection.vendor == "sqlite":
        return (
            f"The database {place} cannot be used: {reason}. Look at the directory's rights and the "
            "free space, or name another directory with --state DIR or BEATKEEPER_STATE."
        )
    return (
        f"The database {place} does not answer: {reason.rstrip('.')}. "
        "Check DATABASE_URL, and that PostgreSQL runs and lets this machine in."
    )


def _is_there(path: Path) -> bool:
    """Also where it is not ours to see: then its rights are what is wrong."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _place(settings: dict[str, Any]) -> str:
    """Host, port and name. Never the password."""
    if connection.vendor == "sqlite":
        return str(settings["NAME"])
    port = f":{settings['PORT']}" if settings.get("PORT") else ""
    return f'"{settings["NAME"]}" on {settings.get("HOST") or "the local socket"}{port}'
