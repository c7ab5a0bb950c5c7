"""What settings and files say of an installation's fitness for production. Asks no server.

Called by `production`, and by `checks`, so that `manage.py check --deploy` says it too.
"""

from __future__ import annotations

import os
import platform
import stat
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from shlex import quote
from urllib.parse import urlsplit

import django
from celery import __version__ as celery_version
from celery import current_app
from django.conf import settings

from schedules import conf
from schedules.rules.production import Finding, error, ok, version_of, warning

LOOPBACK = {"localhost", "127.0.0.1", "::1", "[::1]"}
GUIDE = "docs/production.md"
SHORTEST_KEY = 50
MAKE_ACCOUNT = "redis-cli ACL SETUSER beatkeeper on '>PASSWORD' '~*' '&*' +@all -@dangerous +info"
SET_BROKER = "export CELERY_BROKER_URL='amqps://beatkeeper:PASSWORD@mq.example.org:5671/beatkeeper'"

SUPPORTED = {
    "Python": ((3, 11), (3, 14), "3.11 to 3.13"),
    "Django": ((5, 2), (5, 3), "5.2"),
    "Celery": ((5, 7), (5, 8), "5.7"),
    "kombu": ((5, 7), (5, 8), "5.7"),
    "django-celery-beat": ((2, 9), (2, 10), "2.9"),
}
"""From, below, and in words: those that the tests run with."""


def look() -> Iterator[Finding]:
    yield from versions()
    yield from web()
    yield from secrets()
    yield from commands()
    yield from _database()
    yield from _broker()


def versions() -> Iterator[Finding]:
    found = {
        "Python": platform.python_version(),
        "Django": django.get_version(),
        "Celery": celery_version,
        "kombu": metadata.version("kombu"),
        "django-celery-beat": metadata.version("django-celery-beat"),
    }
    wrong = [name for name, text in found.items() if not _is_supported(name, text)]
    for name in wrong:
        yield error(
            "versions.unsupported",
            f"{name} is {found[name]}.",
            why=f"Beatkeeper is tested with {SUPPORTED[name][2]}, and uses details of it that change.",
            do="Install what deploy/requirements.txt names, in an environment of its own.",
            run="pip install -r deploy/requirements.txt",
        )
    if not wrong:
        yield ok("versions.software", ", ".join(f"{name} {text}" for name, text in found.items()) + ".")


def _is_supported(name: str, text: str) -> bool:
    lowest, above, _ = SUPPORTED[name]
    return lowest <= version_of(text) < above


def web() -> Iterator[Finding]:
    """The admin: who reaches it, and how."""
    if settings.DEBUG:
        yield error(
            "web.debug",
            "DEBUG is on.",
            why="Every error page shows settings, code and variables, and every query stays in memory.",
            do="Unset BEATKEEPER_DEBUG (DEBUG in another project's settings) and restart.",
            run="unset BEATKEEPER_DEBUG",
        )
    hosts = set(settings.ALLOWED_HOSTS)
    if "*" in hosts:
        yield error(
            "web.hosts",
            "The admin answers to any host name.",
            why="A forged Host header ends up in links and caches.",
            do="Name the hosts that people type, in BEATKEEPER_ALLOWED_HOSTS (ALLOWED_HOSTS).",
            run="export BEATKEEPER_ALLOWED_HOSTS=jobs.example.org",
        )
    elif hosts <= LOOPBACK:
        yield ok("web.hosts", "The admin answers on this machine only (BEATKEEPER_ALLOWED_HOSTS).")
    elif not (settings.SESSION_COOKIE_SECURE and settings.CSRF_COOKIE_SECURE):
        yield error(
            "web.https",
            "The admin is reached by name, and its cookies travel without HTTPS.",
            why="Whoever reads the network takes over a session, and a session may edit commands.",
            do="Put a proxy that ends TLS before it and set BEATKEEPER_HTTPS=1 (SESSION_COOKIE_SECURE, "
            f"CSRF_COOKIE_SECURE): {GUIDE}#the-admin",
            run="export BEATKEEPER_HTTPS=1 BEATKEEPER_TRUSTED_ORIGINS=https://jobs.example.org",
        )
    else:
        yield ok("web.https", f"The admin answers to {', '.join(sorted(hosts))}; cookies by HTTPS only.")


def secrets() -> Iterator[Finding]:
    """The key, and the files that hold it, password hashes, and what commands printed."""
    key = str(settings.SECRET_KEY)
    if len(key) < SHORTEST_KEY or len(set(key)) < 5 or key.startswith("django-insecure-"):
        yield error(
            "secrets.key",
            "SECRET_KEY is short, or one that a tool generated for development.",
            why="It signs sessions: whoever guesses it is logged in as anybody.",
            do="Unset SECRET_KEY to have one written to the state directory, or set at least 50 random "
            "characters, the same on every host.",
            run="export SECRET_KEY=$(python3 -c 'import secrets; print(secrets.token_urlsafe(50))')",
        )
    state = getattr(settings, "STATE_DIR", None)
    if state is not None:
        yield from _state_directory(Path(state))


def _state_directory(state: Path) -> Iterator[Finding]:
    open_to_others = [path for path in _private(state) if _others_may(path, stat.S_IRWXG | stat.S_IRWXO)]
    if _others_may(state, stat.S_IWGRP | stat.S_IWOTH):
        yield error(
            "secrets.state",
            f"The state directory {state} can be written by other accounts.",
            why="They could replace the secret key, or put messages into the queue.",
            do="Let its owner alone in; it belongs to the account of beat and workers.",
            run=f"chmod 700 {quote(str(state))}",
        )
    elif open_to_others:
        files = " ".join(quote(str(path)) for path in open_to_others)
        yield error(
            "secrets.files",
            f"Other accounts may read {' '.join(map(str, open_to_others))}.",
            why="There are the secret key, password hashes, and what commands printed.",
            do="Take the rights of group and others away.",
            run=f"chmod go= {files}",
        )
    elif state.is_dir():
        yield ok("secrets.state", f"The state directory {state} keeps its secrets from other accounts.")


def _private(state: Path) -> Iterator[Path]:
    yield from (state / "secret_key", state / "generated_password_hash")
    yield from sorted(state.glob("*.sqlite3*"))
    yield from (state / "queue", Path(conf.current().spool_directory or state / "spool"))


def _others_may(path: Path, what: int) -> bool:
    try:
        return bool(path.stat().st_mode & what)
    except OSError:  # not there, or not ours to see, which is as good
        return False


def commands() -> Iterator[Finding]:
    values = conf.current()
    if values.commands == "allow-list":
        yield from _allow_list(values.allowed_commands_file)
    elif values.commands == "off":
        yield ok("commands.off", "Workers with these settings run no commands (BEATKEEPER_COMMANDS=off).")
    else:
        yield ok(
            "commands.shell",
            "Workers with these settings run any command that a schedule holds; allow-list and off narrow "
            "that (BEATKEEPER_COMMANDS).",
        )


def _allow_list(name: str) -> Iterator[Finding]:
    path = Path(name)
    if not name or not os.access(path, os.R_OK):
        yield error(
            "commands.list",
            f'The list of allowed commands "{name}" cannot be read.',
            why="A worker that cannot read it refuses every command.",
            do="Name a readable file in BEATKEEPER_ALLOWED_COMMANDS_FILE, one command a line.",
            run="export BEATKEEPER_ALLOWED_COMMANDS_FILE=/etc/beatkeeper/commands",
        )
    elif _others_may(path, stat.S_IWGRP | stat.S_IWOTH):
        yield error(
            "commands.list",
            f"The list of allowed commands {path} can be written by other accounts.",
            why="It is what stops a stolen admin session from running anything.",
            do="Let its owner alone write it.",
            run=f"chmod go-w {quote(str(path))}",
        )
    else:
        yield ok("commands.list", f"Workers with these settings run the commands in {path} only.")


def _database() -> Iterator[Finding]:
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        yield warning(
            "database.sqlite",
            f"The database is SQLite ({database['NAME']}).",
            why="It serves one machine, and one writer at a time; with the disk the schedules are gone.",
            do=f"For more than one machine, or for backups while it runs: PostgreSQL, {GUIDE}#postgresql",
            run="export DATABASE_URL='postgres://beatkeeper:PASSWORD@127.0.0.1:5432/beatkeeper'",
        )
    elif database.get("ATOMIC_REQUESTS"):
        yield warning(
            "database.atomic_requests",
            "ATOMIC_REQUESTS is on.",
            why="A slow page keeps the locks of its edit, and beat passes those schedules by.",
            do="Set ATOMIC_REQUESTS to False for this database.",
            run="sed -i '/ATOMIC_REQUESTS/d' settings.py",
        )


def _broker() -> Iterator[Finding]:
    """What the URL says. No password is repeated."""
    url = str(current_app.conf.broker_write_url or current_app.conf.broker_url or "")
    kind = url.partition(":")[0]
    if kind == "memory":
        yield error(
            "broker.memory",
            "The broker is this process's memory.",
            why="No other process sees a message: nothing runs.",
            do=f"Set CELERY_BROKER_URL: {GUIDE}#rabbitmq or {GUIDE}#redis",
            run=SET_BROKER,
        )
    elif kind == "filesystem":
        yield warning(
            "broker.embedded",
            "The broker is a directory of files.",
            why="It serves one machine, and few messages at a time.",
            do=f"For more than one machine set CELERY_BROKER_URL: {GUIDE}#rabbitmq or {GUIDE}#redis",
            run=SET_BROKER,
        )
    elif kind.startswith(("amqp", "pyamqp")):
        yield from _rabbitmq(url)
    elif kind.startswith(("redis", "sentinel")) and "+socket" not in kind:
        for each in url.split(";"):  # several are sentinels
            yield from _redis(each)


def _rabbitmq(url: str) -> Iterator[Finding]:
    parts = urlsplit(url)
    if parts.path in ("", "/", "//", "/%2F", "/%2f"):
        yield warning(
            "broker.vhost",
            'The broker\'s vhost is the default one, "/".',
            why="Every other application on that server can take messages from these queues, or fill them.",
            do=f"Make a vhost of its own: {GUIDE}#rabbitmq",
            run="rabbitmqctl add_vhost beatkeeper",
        )
    if (parts.username or "guest") == "guest":
        yield warning(
            "broker.guest",
            'The broker\'s user is "guest".',
            why="Its password is known to everybody, and it may do everything.",
            do=f"Make a user of its own, then delete guest: {GUIDE}#rabbitmq",
            run="rabbitmqctl add_user beatkeeper && rabbitmqctl delete_user guest",
        )
    if not _is_encrypted(parts.scheme, "amqps") and not _is_here(parts.hostname):
        yield _clear("amqps", str(parts.hostname))


def _redis(url: str) -> Iterator[Finding]:
    parts = urlsplit(url)
    if _is_here(parts.hostname):
        return
    if not parts.password:
        yield error(
            "broker.password",
            f"Redis on {parts.hostname} is used without a password.",
            why="Whoever reaches its port can send messages to the workers, or delete them.",
            do=f"Make an ACL user of its own: {GUIDE}#redis",
            run=MAKE_ACCOUNT,
        )
    elif parts.username in (None, "", "default"):
        yield warning(
            "broker.account",
            f"Redis on {parts.hostname} is used by its default account.",
            why="Everybody who knows its password may empty every database there, and change the server.",
            do=f"Make an ACL user of its own: {GUIDE}#redis",
            run=MAKE_ACCOUNT,
        )
    if not _is_encrypted(parts.scheme, "rediss"):
        yield _clear("rediss", str(parts.hostname))


def _is_encrypted(scheme: str, wanted: str) -> bool:
    return scheme == wanted or bool(current_app.conf.broker_use_ssl)


def _clear(scheme: str, host: str) -> Finding:
    return warning(
        "broker.tls",
        f"Messages and the broker's password travel to {host} unencrypted.",
        why="Whoever reads the network can send messages to the workers.",
        do=f"Use {scheme}:// in CELERY_BROKER_URL, or a private network that nobody else reads.",
        run=f"export CELERY_BROKER_URL='{scheme}://USER:PASSWORD@{host}/NAME'",
    )


def _is_here(host: str | None) -> bool:
    return host is None or host in LOOPBACK
