"""Processes of the product, killed or stopped for a while. A supervisor starts again what died."""

from __future__ import annotations

import random
import signal
from collections.abc import Sequence

from benchmarks.chaos.faults.fault import AFTERMATH, Fault, Stage
from benchmarks.chaos.scratch import send


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
        self._pid = 0

    @classmethod
    def drawn(cls, chance: random.Random, lease: float) -> float:
        return chance.choice(cls.leases) * lease

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
