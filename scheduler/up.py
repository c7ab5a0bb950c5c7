"""What `manage.py up` does: prepare the installation, then keep web, beat and workers running.

Two halves: `start` checks and prepares, so that every fault is one sentence before anything runs;
then the supervisor runs `roles` until it is told to stop.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import sys
from dataclasses import dataclass
from time import monotonic

from django.conf import settings
from django.db import DatabaseError, connections

from scheduler import environment, folder, further, health, installation, listening
from scheduler.bootstrap import ROOT
from scheduler.listening import Address
from scheduler.supervisor import Console, Role, Supervisor
from schedules import conf

# Seconds between two looks whether everything is up, and until we say what is still missing.
LOOK, SLOW = 0.2, 30.0
# Seconds for the workers to end what their drain time was too short for, before they are killed: the grace
# that a command has unless its schedule says another, and some for its record.
AFTER_DRAIN = 10 + 4.5


@dataclass(frozen=True, kw_only=True)
class Plan:
    address: Address
    command_slots: int
    task_slots: int


def start(plan: Plan) -> None:
    """Returns when everything has ended after Ctrl-C or SIGTERM. Raises CommandError before anything runs."""
    lock = installation.claim_state(settings.STATE_DIR)
    environment.make_secret_key(settings.STATE_DIR)
    listening_socket = listening.listen(plan.address)
    if settings.EMBEDDED_BROKER:
        folder.tidy(settings.CELERY_BROKER_TRANSPORT_OPTIONS["folder"])
    installation.check_broker()
    installation.make_database_file()
    installation.check_database()
    installation.migrate()
    _refuse_if_open(plan.address)
    _create_admin()
    connections.close_all()
    try:
        _supervise(plan, listening_socket)
    finally:
        os.close(lock)


def _refuse_if_open(address: Address) -> None:
    listening.refuse_if_open(
        address,
        own_password=installation.has_own_password(settings.STATE_DIR, given=settings.FIRST_ADMIN_PASSWORD),
        debug=settings.DEBUG,
        named_hosts=settings.HOSTS_ARE_NAMED,
    )


def _create_admin() -> None:
    password = installation.create_admin(settings.STATE_DIR, password=settings.FIRST_ADMIN_PASSWORD)
    if password:
        print(f"username: {installation.ADMIN}\npassword: {password}", flush=True)


def _supervise(plan: Plan, listening_socket: socket.socket) -> None:
    children = roles(plan, listening_socket.fileno())
    stop_grace = conf.current().drain_seconds + AFTER_DRAIN
    supervisor = Supervisor(children, Console([role.name for role in children]), stop_grace=stop_grace)
    asyncio.run(supervisor.run(lambda: _watch(supervisor, plan)))


async def _watch(supervisor: Supervisor, plan: Plan) -> None:
    await _announce(supervisor, plan.address)
    await further.serve(supervisor, lambda name, queue, pool: _further_role(plan, name, queue, pool))


def _further_role(plan: Plan, name: str, queue: str, pool: str) -> Role:
    slots = plan.task_slots if pool == "prefork" else plan.command_slots
    return _role(name, *_celery_worker(name, pool, slots, queue=queue))


def roles(plan: Plan, listening_descriptor: int) -> list[Role]:
    """The children. Worker names are stable, so that what a broker keeps by name does not pile up."""
    return [
        _role("web", "web", str(listening_descriptor), descriptors=(listening_descriptor,)),
        _role("beat", *_celery("beat", "--pidfile=")),
        _role("commands", *_celery_worker("commands", "threads", plan.command_slots)),
        _role("tasks", *_celery_worker("tasks", "prefork", plan.task_slots)),
    ]


def _role(name: str, *arguments: str, descriptors: tuple[int, ...] = ()) -> Role:
    environment = {
        "PYTHONUNBUFFERED": "1",
        # The working directory stays the operator's, for the paths that their settings hold.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "BEATKEEPER_STATE": str(settings.STATE_DIR),
    }
    command = [sys.executable, "-m", "scheduler.child", *arguments]
    return Role(name, command, environment, descriptors)


def _celery(subcommand: str, *options: str) -> list[str]:
    return ["celery", "--quiet", "-A", "scheduler", subcommand, "--loglevel=INFO", *options]


def _celery_worker(name: str, pool: str, slots: int, *, queue: str = "") -> list[str]:
    """`queue` where it is not the name's."""
    served, quiet_start = f"--queues={queue or name}", ("--without-gossip", "--without-mingle")
    return _celery("worker", "-n", f"{name}@%h", served, "-P", pool, "-c", str(slots), *quiet_start)


async def _announce(supervisor: Supervisor, address: Address) -> None:
    """Says once that the site is served and that beat and both workers are at work."""
    begun, complained = monotonic(), False
    while missing := await asyncio.to_thread(_missing, supervisor, address):
        if not complained and monotonic() - begun > SLOW:
            supervisor.console.say(f"Still waiting for: {', '.join(missing)}. Their lines above say why.")
            complained = True
        await asyncio.sleep(LOOK)
    supervisor.console.say(f"Beatkeeper is ready: {address.url}")


def _missing(supervisor: Supervisor, address: Address) -> list[str]:
    """Roles that are not at work yet. Rows of an earlier start do not count: the processes must match."""
    try:
        beats, workers = _processes()
    except DatabaseError:
        beats, workers = set(), set()
    at_work = {
        "web": _serves_login(address),
        "beat": supervisor.pid("beat") in beats,
        "commands": supervisor.pid("commands") in workers,
        "tasks": supervisor.pid("tasks") in workers,
    }
    return [name for name, is_there in at_work.items() if not is_there]


def _processes() -> tuple[set[int | None], set[int | None]]:
    """Process ids of beats, and of workers and their parents, that the tables know as alive."""
    try:
        found = health.report()
    finally:
        connections.close_all()  # the thread that asks is another each time
    workers = found["workers"]
    pids = {row["pid"] for row in workers} | {row["parent_pid"] for row in workers}
    return {row["pid"] for row in found["beats"]}, pids


def _serves_login(address: Address) -> bool:
    connection = http.client.HTTPConnection(*address.to_reach_it, timeout=10)
    headers = {"Host": _own_name(), **({"X-Forwarded-Proto": "https"} if settings.HTTPS_ONLY else {})}
    try:
        connection.request("GET", "/admin/login/", headers=headers)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _own_name() -> str:
    """A name that ALLOWED_HOSTS lets in; it may not contain the address that we listen on."""
    name = str(settings.ALLOWED_HOSTS[0]) if settings.ALLOWED_HOSTS else "localhost"
    return "localhost" if name == "*" else name.lstrip(".")
