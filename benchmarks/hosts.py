"""Hosts on one machine: network namespaces on a bridge, each with an address and a host name of its own.

    with Network() as network:
        host = network.host("worker-1")
        process = host.start(["redis-server", ...], environment=os.environ, log=path)

Linux, root and the `ip` program are needed. Hosts share the kernel, the disks, the clock and the processors,
and nothing of the network: what one says to another passes a virtual cable that is counted and can be pulled.
Whatever runs in a host when the network is closed is killed, what it started in turn included; what a run
that was killed itself left behind goes when the next one begins.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PREFIX = "bkh"
"""Of every name that is made here, before the id of the process: a name of a cable has 15 letters at most."""

SUBNETS = range(10, 250)
"""10.213.N.0/24: the first that this machine does not know is taken."""

STOP_SECONDS = 20


def missing() -> str:
    """What stands in the way, as a sentence; "" where hosts can be made."""
    if os.geteuid() != 0:
        return "Network namespaces are root's to make: run this as root, in a virtual machine or container."
    absent = [name for name in ("ip", "unshare", "setpriv") if shutil.which(name) is None]
    return f"{', '.join(absent)} not found: install iproute2 and util-linux." if absent else ""


@dataclass(frozen=True)
class Traffic:
    """Bytes and packets that a host has sent and received since its cable was laid."""

    sent: int = 0
    received: int = 0
    packets: int = 0

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(self.sent - other.sent, self.received - other.received, self.packets - other.packets)

    @property
    def bytes(self) -> int:
        return self.sent + self.received


@dataclass
class Host:
    name: str
    address: str
    namespace: str
    cable: str
    """The end of it that is on the bridge."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        account: str | None = None,
        directory: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Runs `command` in the host until the network is closed, as `account` where one is given.

        The process that is returned is the command itself, which has replaced the ones that led to it. It is
        killed when this process ends, however that happens.
        """
        become = ["setpriv", "--pdeathsig", "KILL"]
        if account is not None:
            become += ["--reuid", account, "--regid", account, "--init-groups"]
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.name]
        with log.open("ab") as file:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, *named, *become, *command],
                env=dict(environment),
                cwd=directory or "/",
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        return process

    def cut_off(self) -> None:
        """Pulls the cable: packets are lost both ways, and nobody is told."""
        _ip("link", "set", self.cable, "down")

    def reconnect(self) -> None:
        _ip("link", "set", self.cable, "up")

    def traffic(self) -> Traffic:
        """As the host sees it: what the bridge's end has received, the host has sent."""
        return Traffic(self._count("rx_bytes"), self._count("tx_bytes"), self._count("rx_packets"))

    def _count(self, name: str) -> int:
        return int(Path(f"/sys/class/net/{self.cable}/statistics/{name}").read_text())

    def stop(self, patience: float = STOP_SECONDS) -> None:
        """SIGTERM to what was started here; SIGKILL to what has not ended after `patience` seconds."""
        for process in self.processes:
            process.terminate()
        end = time.monotonic() + patience
        for process in self.processes:
            try:
                process.wait(max(end - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()


class Network:
    """A bridge with an address of this machine, and the hosts on it. A context manager."""

    def __init__(self) -> None:
        self._mark = f"{PREFIX}{os.getpid()}"
        self.hosts: list[Host] = []
        self.subnet = ""

    def __enter__(self) -> Network:
        if problem := missing():
            raise SystemExit(problem)
        _sweep()
        _end_in_order()
        self.subnet = _unused_subnet()
        try:
            _ip("link", "add", self._mark, "type", "bridge")
            _ip("addr", "add", f"{self.subnet}.1/24", "dev", self._mark)
            _ip("link", "set", self._mark, "up")
        except BaseException:
            _remove(self._mark)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        _remove(self._mark)
        for process in (process for host in self.hosts for process in host.processes):
            process.wait()

    def host(self, name: str) -> Host:
        """A new host. Its addresses count from 10.213.N.11."""
        number = len(self.hosts)
        namespace, cable = f"{self._mark}-{number}", f"{self._mark}x{number}"
        host = Host(name, f"{self.subnet}.{number + 11}", namespace, cable)
        inside = ("-n", namespace)
        _ip("netns", "add", namespace)
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("link", "set", cable, "master", self._mark, "up")
        _ip(*inside, "addr", "add", f"{host.address}/24", "dev", "eth0")
        _ip(*inside, "link", "set", "eth0", "up")
        _ip(*inside, "link", "set", "lo", "up")
        self.hosts.append(host)
        return host


def _remove(mark: str) -> None:
    """All hosts of one network, with what runs in them, and its bridge."""
    for namespace in [name for name in _namespaces() if name.startswith(f"{mark}-")]:
        for _ in range(5):  # what is killed may be starting something
            pids = _ip("netns", "pids", namespace, check=False).split()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            if not pids:
                break
            time.sleep(0.2)
        _ip("netns", "delete", namespace, check=False)  # its cable goes with it
    _ip("link", "delete", mark, check=False)


def _sweep() -> None:
    """Removes what runs left behind whose process is gone."""
    bridges = {path.name for path in Path("/sys/class/net").glob(f"{PREFIX}*") if "x" not in path.name}
    marks = bridges | {name.partition("-")[0] for name in _namespaces() if name.startswith(PREFIX)}
    for mark in marks:
        owner = mark.removeprefix(PREFIX)
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            _remove(mark)


def _end_in_order() -> None:
    """A signal that asks to end becomes an exception, so that `with` blocks are left as they should be."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)


def _leave(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _namespaces() -> list[str]:
    return [line.split()[0] for line in _ip("netns", "list").splitlines() if line.strip()]


def _unused_subnet() -> str:
    known = _ip("-4", "route", "show", "table", "all")
    free = (
        subnet for subnet in (f"10.213.{number}" for number in SUBNETS) if f" {subnet}." not in f" {known}"
    )
    return next(free)


def _ip(*words: str, check: bool = True) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
