"""What is going to happen: each lane's faults, in order, with their pauses and lengths. Drawn from the seed.

Nothing of the machine enters: neither how long a step took nor how many processes there were to choose from,
for each fault has chances of its own. So one seed is one plan, wherever and however often it is carried out.
`lanes` does that, and leaves out what is impossible there.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

from benchmarks.chaos.faults import KILLS, OUTAGES, Fault


@dataclass(frozen=True)
class Step:
    """After a pause of `pause` seconds, one fault. `seed` decides its length and what it hits."""

    pause: float
    kind: type[Fault]
    seed: str

    def chance(self) -> random.Random:
        return random.Random(self.seed)

    def seconds(self, lease: float) -> float:
        return self.kind.drawn(self.chance(), lease)


def steps(kinds: Sequence[type[Fault]], *, seed: str, gap: float) -> Iterator[Step]:
    """Without end, and with `gap` seconds between two on average.

    Each kind once, in random order, and then again: a short run has seen many kinds.
    """
    if not kinds:
        return
    chance = random.Random(seed)
    bag: list[type[Fault]] = []
    for number in count(1):
        bag = bag or chance.sample(kinds, len(kinds))
        yield Step(chance.uniform(0.5 * gap, 1.5 * gap), bag.pop(), f"{seed} {number}")


@dataclass(frozen=True)
class Plan:
    """Two lanes side by side: quick kills, and whatever takes its time. `only`: these kinds, else all."""

    seed: int
    only: Sequence[type[Fault]]
    kill_gap: float
    outage_gap: float

    @property
    def kinds(self) -> list[type[Fault]]:
        return [*self._kinds(KILLS), *self._kinds(OUTAGES)]

    def lanes(self) -> dict[str, Iterator[Step]]:
        return {
            "kills": steps(self._kinds(KILLS), seed=f"{self.seed} kills", gap=self.kill_gap),
            "outages": steps(self._kinds(OUTAGES), seed=f"{self.seed} outages", gap=self.outage_gap),
        }

    def _kinds(self, kinds: list[type[Fault]]) -> list[type[Fault]]:
        """Those asked for by name; else all."""
        wanted = [kind for kind in self.only if (kind in KILLS) == (kinds is KILLS)]
        return wanted if self.only else kinds

    def lines(self, seconds: float, lease: float) -> Iterator[str]:
        """The steps that begin within `seconds` of faults, if each took no longer than it is meant to."""
        for name, lane in self.lanes().items():
            at = 0.0
            for step in islice(lane, 10_000):
                at += step.pause
                if at > seconds:
                    break
                length = step.seconds(lease)
                yield f"{name:8}{at:8.1f} s  {step.kind.name}" + (f" for {length:.1f} s" if length else "")
                at += length
