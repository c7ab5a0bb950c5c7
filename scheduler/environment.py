"""How environment variables become settings: parsing, engines, the stored key.

Only `scheduler.settings` uses it. Errors are `ImproperlyConfigured` with a sentence that names the
variable and says what to do.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import SimpleLazyObject

SECRET_KEY = "secret_key"
TRUE, FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


def flag(name: str, *, default: bool) -> bool:
    value = os.environ.get(name)
    if value is None:
        return default
    if value.lower() in TRUE | FALSE:
        return value.lower() in TRUE
    raise ImproperlyConfigured(f'{name} is "{value}". Set it to 1 or 0.')


LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def log_level(name: str) -> str:
    value = os.environ.get(name, "").strip().upper() or "INFO"
    if value in LOG_LEVELS:
        return value
    raise ImproperlyConfigured(f'{name} is "{os.environ[name]}". Set it to one of {", ".join(LOG_LEVELS)}.')


def number(name: str, *, default: float) -> float:
    value = os.environ.get(name)
    if value is None or not value.strip():
        return default
    try:
        return float(value)
    except ValueError:
        raise ImproperlyConfigured(f'{name} is "{value}", which is not a number.') from None


def words(name: str, *, default: str) -> list[str]:
    """A comma-separated list; blanks and empty entries do not count."""
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


# Keys of schedules.conf.Conf that operators may set from the environment, with their reader.
OVERRIDES: dict[str, Callable[[str], Any]] = {
    "commands": str,
    "allowed_commands_file": str,
    "rabbitmq_api": str,
    "heartbeat_seconds": float,
    "lease_seconds": float,
    "drain_seconds": float,
    "retention_days": float,
    "retention_failed_days": float,
    "retention_runs": int,
    "on_time_seconds": float,
    "doorbells": int,
    "redispatch_seconds": lambda text: tuple(int(part) for part in text.split(",")),
}


def overrides(prefix: str) -> dict[str, Any]:
    """The keys of `schedules.conf.Conf` that the environment sets, such as BEATKEEPER_LEASE_SECONDS."""
    found: dict[str, Any] = {}
    for key, reader in OVERRIDES.items():
        name = prefix + key.upper()
        value = os.environ.get(name)
        if value is None or not value.strip():
            continue
        try:
            found[key] = reader(value)
        except ValueError:
            raise ImproperlyConfigured(f'{name} is "{value}", which is not a number.') from None
    return found


def stored_secret_key(state: Path) -> Any:
    """The key that `make_secret_key` has written there, read when it is first needed.

    Where there is none it is a new one, good for this process alone: a command leaves nothing behind in a
    directory that a typing error names.
    """
    return SimpleLazyObject(lambda: _read_secret_key(state / SECRET_KEY) or secrets.token_urlsafe(50))


def make_secret_key(state: Path) -> None:
    """For the first start of a server; readable by its owner only. Not where the environment has one."""
    path = state / SECRET_KEY
    if os.environ.get("SECRET_KEY") or _read_secret_key(path) is not None:
        return
    with suppress(OSError):  # an empty one, of a disk that was full
        path.unlink()
    _write_secret_key(path)


def _read_secret_key(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ImproperlyConfigured(_no_key(path, error)) from error


def _write_secret_key(path: Path) -> None:
    key = secrets.token_urlsafe(50)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(key + "\n")
        try:
            os.link(temporary, path)
        except FileExistsError:  # another first start was quicker: its key stands
            pass
        finally:
            temporary.unlink()
    except OSError as error:
        raise ImproperlyConfigured(_no_key(path, error)) from error


def _no_key(path: Path, error: OSError) -> str:
    if isinstance(error, PermissionError) and path.parent.exists():
        return (
            f"The secret key {path} is not yours to read or write: this installation belongs to another "
            "account. Run the command as that account, or name a directory of your own with "
            "BEATKEEPER_STATE."
        )
    return (
        f"The secret key cannot be kept in {path}: {error.strerror}. Make the directory writable, name "
        "another with --state DIR or BEATKEEPER_STATE, or set SECRET_KEY."
    )


def database(url: str, state: Path) -> dict[str, Any]:
    """Django's DATABASES entry: PostgreSQL from `url`, or SQLite in the state directory."""
    if not url:
        return _sqlite(state / "beatkeeper.sqlite3")
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        return _sqlite(Path(dj_database_url.parse(url)["NAME"]))
    if scheme not in ("postgres", "postgresql"):
        raise ImproperlyConfigured(
            f'DATABASE_URL begins with "{scheme}:". Beatkeeper runs on PostgreSQL '
            "(postgres://user:password@host:5432/name) or, without DATABASE_URL, on SQLite."
        )
    return _postgresql(url)


def _sqlite(path: Path) -> dict[str, Any]:
    return {
        "ENGINE": "scheduler.sqlite3",
        "NAME": path,
        "OPTIONS": {
            # IMMEDIATE: a transaction that reads and then writes would otherwise fail with
            # "database is locked" whatever the timeout.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


def _postgresql(url: str) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = dict(
            dj_database_url.parse(url, conn_max_age=_age(), conn_health_checks=True)
        )
    except (ValueError, dj_database_url.ParseError) as error:
        # The URL holds a password, so it is not repeated here.
        raise ImproperlyConfigured(
            f"DATABASE_URL cannot be read ({type(error).__name__}). "
            "Its form is postgres://user:password@host:5432/name; escape special characters with %XX."
        ) from None
    if not parsed.get("NAME"):
        raise ImproperlyConfigured("DATABASE_URL names no database: add /name after the host.")
    parsed["DISABLE_SERVER_SIDE_CURSORS"] = True  # pgbouncer in transaction mode
    given: dict[str, Any] = dict(parsed.get("OPTIONS") or {})
    parsed["OPTIONS"] = {
        "connect_timeout": 5,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,  # milliseconds: a server that vanished silently is given up
        **given,
    }
    return parsed


def _age() -> int:
    """Seconds for which a connection is kept for its next use. 0 behind pgbouncer."""
    return int(number("BEATKEEPER_CONN_MAX_AGE", default=600))


BROKERS = ("amqp", "amqps", "pyamqp", "redis", "rediss", "redis+socket", "sentinel", "filesystem", "memory")


def broker(url: str) -> str:
    """`url`, or the embedded broker where it is empty."""
    scheme = (url or "filesystem://").partition(":")[0]
    if scheme in BROKERS:
        return url or "filesystem://"
    raise ImproperlyConfigured(
        f'CELERY_BROKER_URL begins with "{scheme}:". Beatkeeper runs on RabbitMQ '
        "(amqp://user:password@host/vhost), on Redis (redis://host:6379/0) or, without "
        "CELERY_BROKER_URL, on files in the state directory."
    )


REDIS = ("redis:", "rediss:", "redis+socket:", "sentinel:")


def transport_options(broker_url: str, queue_dir: Path) -> dict[str, Any]:
    """kombu's options for the broker in use; docs/production.md says why."""
    if broker_url.startswith("filesystem:"):
        return {"folder": str(queue_dir)}
    if broker_url.startswith(REDIS):
        return REDIS_OPTIONS | redis_prefix(os.environ.get("BEATKEEPER_REDIS_PREFIX", ""))
    return {"confirm_publish": True}


REDIS_OPTIONS: dict[str, Any] = {
    # Seconds after which a message that a worker took and did not acknowledge goes to another one. It
    # concerns tasks of your own with `acks_late`; a doorbell is rung for again much sooner.
    "visibility_timeout": 3600,
    # Without it a publish waits for ever on a connection that broke silently. Longer than the second for
    # which a worker waits for a message.
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 25,
    # Connections of one process. A worker needs few, and a leak must not use up the server's.
    "max_connections": 50,
    # Every ten seconds, not every hundred: what a killed worker had taken comes back that much sooner.
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
}


def redis_prefix(prefix: str) -> dict[str, Any]:
    """Nothing by default: a task that another codebase executes has to lie where its workers look."""
    return {"global_keyprefix": prefix} if prefix else {}


def zone(name: str) -> str:
    """The zone in the environment variable `name`, or this machine's."""
    value = os.environ.get(name) or machine_zone()
    if _is_zone(value):
        return value
    raise ImproperlyConfigured(
        f'{name} is "{value}", which is no time zone. Set it to a name such as Europe/Zurich or UTC.'
    )


def machine_zone() -> str:
    """The IANA name of this machine's zone, "UTC" where it cannot be told."""
    candidates = (os.environ.get("TZ", "").lstrip(":"), _zone_of_localtime(), _zone_in_file())
    return next(filter(_is_zone, candidates), "UTC")


def _is_zone(name: str) -> bool:
    try:
        return bool(name and ZoneInfo(name))
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return False


def _zone_of_localtime() -> str:
    _, _, name = os.path.realpath("/etc/localtime").partition("/zoneinfo/")
    return name


def _zone_in_file() -> str:
    try:
        return Path("/etc/timezone").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
