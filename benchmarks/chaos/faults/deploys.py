"""Orderly restarts, as a deployment does them."""

from __future__ import annotations

from benchmarks.chaos.cluster import Member
from benchmarks.chaos.faults.fault import AFTERMATH, Fault


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
