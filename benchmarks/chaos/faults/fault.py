"""What a fault is, and the stage on which it happens."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from benchmarks.chaos.cluster import Cluster
from benchmarks.chaos.proxy import Proxy
from benchmarks.chaos.servers import Broker, Database

AFTERMATH = 90
"""Seconds after an outage in which runs may still be late: what piled up is worked off beside the load."""

EVERYBODY: frozenset[int] = frozenset()
"""As `Window.cut_off`: no worker was heard of."""


@dataclass
class Stage:
    """All that can be hit. `lease` is in seconds; `ways` are proxies by role and server, if any.

    `spool` and `logs` are None where they are not on disks of their own.
    """

    cluster: Cluster
    database: Database
    broker: Broker
    ways: dict[tuple[str, str], Proxy]
    spool: Path | None
    logs: Path | None
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
        self.seconds = self.drawn(chance, stage.lease)

    @classmethod
    def drawn(cls, chance: random.Random, lease: float) -> float:
        """How long it lasts, in seconds: the first thing that is left to `chance`."""
        return chance.uniform(*cls.length) if cls.length else 0.0

    @classmethod
    def is_possible(cls, stage: Stage) -> bool:
        return True

    def inject(self) -> bool:
        """False: there was nothing to hit."""
        raise NotImplementedError

    def heal(self) -> None:
        """Over by itself, unless said otherwise."""
