"""Is the database fit: are its tables there, and is the engine set up well? Reads only. Called by `flow`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from schedules.production import postgresql
from schedules.production.settings import GUIDE
from schedules.rules.production import MANAGE, Finding, error, ok, some

NETWORKED = {"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"}


def look() -> Iterator[Finding]:
    """Raises django.db.Error where the database does not answer."""
    if connection.vendor == "sqlite" and not Path(connection.settings_dict["NAME"]).exists():
        yield _nothing_there()  # a connection would make the file
        return
    yield from _migrations()
    if connection.vendor == "postgresql":
        yield from postgresql.look()
    else:
        yield from _sqlite()


def _nothing_there() -> Finding:
    return error(
        "database.migrations",
        f"There is no database yet ({connection.settings_dict['NAME']}).",
        why="Nothing was ever started here, or its processes have another BEATKEEPER_STATE.",
        do="manage.py migrate, or set BEATKEEPER_STATE or DATABASE_URL as the processes have it.",
        run=f"{MANAGE} migrate",
    )


def _migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        yield error(
            "database.migrations",
            f"The tables are not those of this version: {some([str(step) for step, _ in missing])}.",
            why="Beat and workers of this version fail on them.",
            do="manage.py migrate",
            run=f"{MANAGE} migrate",
        )
    else:
        yield ok("database.migrations", "The tables are those of this version.")


def _sqlite() -> Iterator[Finding]:
    path = Path(settings.DATABASES["default"]["NAME"])
    kind = _filesystem(path)
    if kind in NETWORKED:
        yield error(
            "database.network",
            f"The SQLite database lies on a network file system ({kind}).",
            why="Its locks do not hold there, and the file is damaged sooner or later.",
            do=f"Keep it on a local disk, or use PostgreSQL: {GUIDE}#postgresql",
            run="export BEATKEEPER_STATE=/var/lib/beatkeeper",
        )
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        mode = cursor.fetchone()[0]
    if mode != "wal":
        yield error(
            "database.journal",
            f"SQLite's journal mode is {mode}.",
            why="Readers and the writer then wait for each other.",
            do='Set OPTIONS["init_command"] = "PRAGMA journal_mode=WAL" in DATABASES.',
            run=f"sqlite3 {quote(str(path))} 'PRAGMA journal_mode=WAL'",
        )
    else:
        yield ok("database.journal", "SQLite writes ahead (WAL), so readers do not wait.")


def _filesystem(path: Path) -> str:
    """The type of the file system that holds `path`, "" where it cannot be told."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
        target = path.resolve()
    except OSError:
        return ""
    holding = [(point, kind) for point, kind in mounts if target.is_relative_to(point)]
    return max(holding, key=lambda mount: len(mount[0]), default=("", ""))[1]
