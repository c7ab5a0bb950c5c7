"""The ways between processes and servers: silent, closed, slow, or cut in the middle of a message."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.chaos.faults.fault import AFTERMATH, EVERYBODY, Fault, Stage
from benchmarks.chaos.proxy import Mode, Proxy


class Network(Fault):
    """One role's way to one server."""

    role: ClassVar[str]
    server: ClassVar[str]
    grace = AFTERMATH

    @classmethod
    def is_possible(cls, stage: Stage) -> bool:
        return (cls.role, cls.server) in stage.ways

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

    @classmethod
    def is_possible(cls, stage: Stage) -> bool:
        return bool(stage.proxies)

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
