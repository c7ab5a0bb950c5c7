"""What `manage.py up` finds or makes before anything starts: state directory, tables, the account `admin`.

Faults are `CommandError`s, or errors that `scheduler.faults` explains.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import DEFAULT_DB_ALIAS, IntegrityError, connection, connections, transaction
from django.db.migrations.executor import MigrationExecutor
from kombu.exceptions import OperationalError as BrokerError

ADMIN = "admin"
# Any number that no other program on the same database takes for its advisory lock.
MIGRATION_LOCK = 7_203_118_554


def claim_state(state: Path) -> int:
    """Makes the directory and locks it for this process. Returns the lock's descriptor: keep it open."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(state / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CommandError(
            f"The state directory {state} cannot be written: {error.strerror}. Make it writable, or "
            "name another with --state DIR or BEATKEEPER_STATE."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(lock, 32, 0).decode(errors="replace").strip()
        os.close(lock)
        raise CommandError(
            f"Beatkeeper already runs on {state} (pid {pid or 'unknown'}). Stop that one, or give this "
            "one a directory of its own: --state DIR"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def check_database() -> None:
    """Raises django.db.Error where nothing can be written; on SQLite also where another program holds it."""
    with transaction.atomic():  # on SQLite it takes the write lock at once
        pass


def migrate() -> None:
    """Brings the tables up to date. Does nothing, quickly, where they are."""
    if not _is_behind():
        return
    print("Preparing the database.", flush=True)
    with _one_host_at_a_time():
        call_command("migrate", interactive=False, verbosity=0)


def make_database_file(alias: str = DEFAULT_DB_ALIAS) -> None:
    """SQLite makes its file as the umask says, and there are output and password hashes in it: 0600.

    Those that SQLite puts beside it take its mode. Raises CommandError where the directory is not writable.
    """
    database = connections[alias]
    name = str(database.settings_dict["NAME"])
    if database.vendor != "sqlite" or name.startswith(("file:", ":memory:")):
        return
    path = Path(name)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise CommandError(
            f"The database {path} cannot be written: {error.strerror}. Make it and its directory writable, "
            "or name another directory with --state DIR or BEATKEEPER_STATE."
        ) from error


def _is_behind() -> bool:
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


@contextmanager
def _one_host_at_a_time() -> Iterator[None]:
    """Several hosts may start on one PostgreSQL at once; the second finds the tables made."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])


def create_admin(state: Path, *, password: str) -> str | None:
    """The account of the first start. Returns its password where it was made up here, else None.

    Nothing happens where there are accounts already. An empty `password` asks for a random one.
    """
    users = get_user_model().objects
    if users.exists():
        return None
    chosen = password or secrets.token_urlsafe(12)
    try:
        user = users.create_superuser(ADMIN, email="", password=chosen)
    except IntegrityError:  # another host on the same database was quicker
        return None
    if password:
        return None
    _note(state).write_text(user.password)
    _note(state).chmod(0o600)
    return chosen


def has_own_password(state: Path, *, given: str) -> bool:
    """Whether nobody can log in with a password that was, or will be, made up and printed here.

    `given` is the one that `create_admin` will use where there is no account yet.
    """
    users = get_user_model().objects
    if not users.exists():
        return bool(given)
    try:
        made_up = _note(state).read_text()
    except FileNotFoundError:
        return True
    return not users.filter(username=ADMIN, password=made_up).exists()


def _note(state: Path) -> Path:
    """Holds the hash that `create_admin` stored, to tell whether somebody has changed it since."""
    return state / "generated_password_hash"


def check_broker() -> None:
    """Raises CommandError where the broker does not answer within its connection timeout."""
    from scheduler.celery import app

    with app.connection_for_write() as broker:
        # A refused login is a channel error to amqp.
        refusals: tuple[type[BaseException], ...] = (BrokerError, OSError)
        refusals += (*broker.connection_errors, *broker.channel_errors)
        try:
            broker.ensure_connection(max_retries=1, interval_start=0, timeout=5)
        except refusals as error:
            reason = str(error).rstrip(".")
            raise CommandError(
                f"The broker {broker.as_uri()} does not answer: {reason}. Check CELERY_BROKER_URL, and that "
                "the broker runs and lets this machine in."
            ) from error
