"""What is done to the installation. Each fault is a small class: a name, `inject`, `heal`.

Kills are over at once, and a supervisor starts again what died; the others last, and are healed.
`lanes` chooses among them.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from benchmarks.chaos.cluster import Cluster, Member
from benchmarks.chaos.proxy import Mode, Proxy
from benchmarks.chaos.scratch import send
from benchmarks.chaos.servers import Broker, PostgreSQL

AFTERMATH = 90
"""Seconds after an outage in which runs may still be late: what piled up is worked off beside the load."""

EVERYBODY: frozenset[int] = frozenset()
"""As `Window.cut_off`: no worker was heard of."""


@dataclass
class Stage:
    """All that can be hit. `lease` is in seconds; `ways` are proxies by role and server."""

    cluster: Cluster
    postgresql: PostgreSQL
    broker: Broker
    ways: dict[tuple[str, str], Proxy]
    spool: Path | None
    lease: float
    clock_stepped: Callable[[], None]
    proxies: list[Proxy] = field(init=False)

    def __post_init__(self) -> None:
        self.proxies = list(self.ways.values())


class Fault:
    """One kind of harm. An instance is used once: `inject`, then `heal` after `seconds`."""

    name: ClassVar[str]
    grace: ClassVar[float]
    """Seconds after the end in which runs may still be late."""
    length: ClassVar[tuple[float, float] | None] = None
    """The shortest and the longest, in seconds; None: over at once."""

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self.stage, self.chance = stage, chance
        self.cut_off: frozenset[int] | None = None
        self.seconds = chance.uniform(*self.length) if self.length else 0.0

    @classmethod
    def is_possible(cls, stage: Stage) -> bool:
        return True

    def inject(self) -> bool:
        """False: there was nothing to hit."""
        raise NotImplementedError

    def heal(self) -> None:
        """Over by itself, unless said otherwise."""


class Kill(Fault):
    """SIGKILL, to one process of a kind."""

    def inject(self) -> bool:
        targets = sorted(self.targets())
        return bool(targets) and send(self.chance.choice(targets), signal.SIGKILL)

    def targets(self) -> Sequence[int]:
        raise NotImplementedError


class KillBeat(Kill):
    """Any of the beats: the others go on."""

    name, grace = "beat-kill", 30

    def targets(self) -> Sequence[int]:
        return [member.pid for member in self.stage.cluster.beats if member.pid]


class KillWorker(Kill):
    """A main process; its children and commands must not outlive it for long."""

    name, grace = "worker-kill", 30

    def targets(self) -> Sequence[int]:
        return [member.pid for member in self.stage.cluster.workers if member.pid]


class KillChild(Kill):
    """One that executes tasks."""

    name, grace = "child-kill", 30

    def targets(self) -> Sequence[int]:
        cluster = self.stage.cluster
        return [
            pid for member in cluster.workers if member.pool == "prefork" for pid in cluster.children(member)
        ]


class KillRunner(Kill):
    """The one process between a command and nobody."""

    name, grace = "runner-kill", 30

    def targets(self) -> Sequence[int]:
        return self.stage.cluster.runners()


class KillZygote(Kill):
    """That which starts runners."""

    name, grace = "zygote-kill", 30

    def targets(self) -> Sequence[int]:
        return self.stage.cluster.zygotes()


class Pause(Fault):
    """SIGSTOP for half a lease, one and a half, or five."""

    leases = (0.5, 1.5, 5.0)

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        super().__init__(stage, chance)
        self.seconds = chance.choice(self.leases) * stage.lease
        self._pid = 0

    def inject(self) -> bool:
        targets = self.targets()
        if not targets:
            return False
        self._pid, self.cut_off = self.chance.choice(targets)
        return send(self._pid, signal.SIGSTOP)

    def heal(self) -> None:
        send(self._pid, signal.SIGCONT)

    def targets(self) -> list[tuple[int, frozenset[int] | None]]:
        """Processes, and those whose work goes on unheard meanwhile."""
        raise NotImplementedError


class PauseBeat(Pause):
    name, grace = "beat-pause", AFTERMATH

    def targets(self) -> list[tuple[int, frozenset[int] | None]]:
        return [(member.pid, None) for member in self.stage.cluster.beats if member.pid]


class PauseWorker(Pause):
    name, grace = "worker-pause", AFTERMATH

    def targets(self) -> list[tuple[int, frozenset[int] | None]]:
        cluster = self.stage.cluster
        return [(member.pid, cluster.executing(member)) for member in cluster.workers if member.pid]


class PauseChild(Pause):
    name, grace = "child-pause", AFTERMATH

    def targets(self) -> list[tuple[int, frozenset[int] | None]]:
        cluster = self.stage.cluster
        members = [member for member in cluster.workers if member.pool == "prefork"]
        return [(pid, frozenset({pid})) for member in members for pid in cluster.children(member)]


class CrashBroker(Fault):
    """Killed, and back after a while; Redis has then lost every message."""

    name, grace, length = "broker-crash", AFTERMATH, (3, 20)

    def inject(self) -> bool:
        self.stage.broker.kill()
        return True

    def heal(self) -> None:
        self.stage.broker.start()


class LongBrokerOutage(CrashBroker):
    """An hour, compressed."""

    name, length = "broker-outage", (60, 60)


class Purge(Fault):
    """Somebody empties the queues."""

    name, grace = "purge", AFTERMATH

    def inject(self) -> bool:
        try:
            self.stage.broker.purge()
        except Exception:  # the broker is away: there is nothing in it
            return False
        return True


class CrashDatabase(Fault):
    """`pg_ctl stop -m immediate`, and back after a while."""

    name, grace, length = "database-crash", AFTERMATH, (2, 20)

    def inject(self) -> bool:
        self.cut_off = EVERYBODY
        self.stage.postgresql.crash()
        return True

    def heal(self) -> None:
        self.stage.postgresql.start()


class LongDatabaseOutage(CrashDatabase):
    """Ten minutes, compressed: several leases."""

    name, length = "database-outage", (45, 45)


class Network(Fault):
    """One role's way to one server."""

    role: ClassVar[str]
    server: ClassVar[str]
    grace = AFTERMATH

    @property
    def way(self) -> Proxy:
        return self.stage.ways[self.role, self.server]

    def inject(self) -> bool:
        self.cut_off = EVERYBODY if (self.role, self.server) == ("workers", "database") else None
        self.spoil()
        return True

    def spoil(self) -> None:
        """Silence: nothing arrives, and nobody says so. Afterwards connections go on, or are found dead."""
        self.way.set(Mode.BLACKHOLE)

    def heal(self) -> None:
        if self.chance.random() < 0.5:
            self.way.reset()
        self.way.set(Mode.PASS)


class SilenceWorkersDatabase(Network):
    """Workers hear nothing of the database, and are not told so. Likewise below."""

    name, role, server, length = "silence-workers-database", "workers", "database", (5, 40)


class SilenceBeatsDatabase(Network):
    name, role, server, length = "silence-beats-database", "beats", "database", (5, 25)


class SilenceWorkersBroker(Network):
    name, role, server, length = "silence-workers-broker", "workers", "broker", (5, 25)


class SilenceBeatsBroker(Network):
    name, role, server, length = "silence-beats-broker", "beats", "broker", (5, 25)


class RefuseWorkersDatabase(Network):
    """Nobody listens, and what was open is reset."""

    name, role, server, length = "refuse-workers-database", "workers", "database", (3, 20)

    def spoil(self) -> None:
        self.way.set(Mode.REFUSE)


class RefuseBeatsBroker(RefuseWorkersDatabase):
    name, role, server = "refuse-beats-broker", "beats", "broker"


class Everywhere(Fault):
    """Every connection of everybody."""

    grace: ClassVar[float] = AFTERMATH

    def inject(self) -> bool:
        self.cut_off = EVERYBODY
        for proxy in self.stage.proxies:
            self.spoil(proxy)
        return True

    def spoil(self, proxy: Proxy) -> None:
        raise NotImplementedError

    def heal(self) -> None:
        for proxy in self.stage.proxies:
            proxy.set(Mode.PASS)


class Delay(Everywhere):
    """Half a second each way."""

    name, length = "delay", (5, 15)

    def spoil(self, proxy: Proxy) -> None:
        proxy.set(Mode.DELAY, delay=0.5)


class Reset(Everywhere):
    name = "reset"

    def spoil(self, proxy: Proxy) -> None:
        proxy.reset()


class Cut(Everywhere):
    """In the middle of a message: each connection breaks after some thousand bytes, again and again."""

    name, length = "cut", (3, 10)

    def spoil(self, proxy: Proxy) -> None:
        proxy.set(Mode.CUT, cut_after=self.chance.randint(500, 20_000))


class Clock(Fault):
    """The database host's clock steps, and stays where it is."""

    seconds_of_step: ClassVar[float]
    grace: ClassVar[float] = AFTERMATH

    @classmethod
    def is_possible(cls, stage: Stage) -> bool:
        return stage.postgresql.clock is not None

    def inject(self) -> bool:
        assert self.stage.postgresql.clock is not None
        self.cut_off = EVERYBODY
        self.stage.postgresql.clock.step(self.seconds_of_step)
        self.stage.clock_stepped()
        return True


class ClockForward(Clock):
    name, seconds_of_step = "clock-forward", 7200


class ClockBack(Clock):
    """Further than the clock guard tolerates; nothing is due until the old time is reached again."""

    name, seconds_of_step, grace = "clock-back", -45, 120


class Full(Fault):
    """A disk without a free byte."""

    grace: ClassVar[float] = AFTERMATH
    length: ClassVar[tuple[float, float] | None] = (3, 15)

    @property
    def disk(self) -> Path:
        raise NotImplementedError

    @property
    def _ballast(self) -> Path:
        return self.disk / "ballast"

    def inject(self) -> bool:
        with suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            for piece in (1 << 20, 1 << 12, 1):
                with suppress(OSError):
                    while file.write(bytes(piece)):
                        pass
        return True

    def heal(self) -> None:
        self._ballast.unlink(missing_ok=True)


class DatabaseFull(Full):
    """PostgreSQL then ends itself rather than to lose a commit."""

    name = "database-full"

    @classmethod
    def is_possible(cls, stage: Stage) -> bool:
        return stage.postgresql.is_limited

    @property
    def disk(self) -> Path:
        return self.stage.postgresql.disk

    def inject(self) -> bool:
        self.cut_off = EVERYBODY
        return super().inject()

    def heal(self) -> None:
        super().heal()
        self.stage.postgresql.revive()


class SpoolFull(Full):
    """Where workers keep results while the database is away: and the database goes away too."""

    name = "spool-full"

    @classmethod
    def is_possible(cls, stage: Stage) -> bool:
        return stage.spool is not None

    @property
    def disk(self) -> Path:
        assert self.stage.spool is not None
        return self.stage.spool

    def inject(self) -> bool:
        self.cut_off = EVERYBODY
        self.stage.ways["workers", "database"].set(Mode.REFUSE)
        return super().inject()

    def heal(self) -> None:
        super().heal()
        self.stage.ways["workers", "database"].set(Mode.PASS)


class Deploy(Fault):
    """Every worker in turn is told to stop, is waited for, and starts again."""

    name, grace = "rolling-restart", AFTERMATH

    def inject(self) -> bool:
        for member in self._members():
            self.stage.cluster.restart(member)
        return True

    def _members(self) -> list[Member]:
        return self.stage.cluster.workers


class DeployBeats(Deploy):
    """Every beat in turn."""

    name, grace = "rolling-restart-of-beats", AFTERMATH

    def _members(self) -> list[Member]:
        return self.stage.cluster.beats


KILLS: list[type[Fault]] = [KillBeat, KillWorker, KillChild, KillRunner, KillZygote]
OUTAGES: list[type[Fault]] = [
    *(PauseBeat, PauseWorker, PauseChild),
    *(CrashBroker, Purge, CrashDatabase),
    *(SilenceWorkersDatabase, SilenceBeatsDatabase, SilenceWorkersBroker, SilenceBeatsBroker),
    *(RefuseWorkersDatabase, RefuseBeatsBroker, Delay, Reset, Cut),
    *(DatabaseFull, SpoolFull, Deploy, DeployBeats, ClockForward, ClockBack),
]
LONG: list[type[Fault]] = [LongBrokerOutage, LongDatabaseOutage]
"""Chosen by name only."""

BY_NAME: dict[str, type[Fault]] = {kind.name: kind for kind in [*KILLS, *OUTAGES, *LONG]}
