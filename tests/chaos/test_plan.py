"""One seed is one plan of faults, whatever the machine is like on which it is carried out."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from itertools import islice
from typing import Any, ClassVar

from benchmarks.chaos.faults import BY_NAME, KILLS, OUTAGES, Fault
from benchmarks.chaos.lanes import Lane, await_each
from benchmarks.chaos.plan import Plan, Step, steps

PATIENCE = 60


def plan(seed: int = 7, only: Sequence[type[Fault]] = ()) -> Plan:
    return Plan(seed, only, kill_gap=3.0, outage_gap=12.0)


def drawn(plan: Plan, count: int = 100) -> dict[str, list[tuple[Step, float]]]:
    return {
        name: [(step, step.seconds(8)) for step in islice(lane, count)] for name, lane in plan.lanes().items()
    }


def test_the_same_seed_gives_the_same_faults_pauses_and_lengths():
    assert drawn(plan()) == drawn(plan())
    assert list(plan().lines(600, 8)) == list(plan().lines(600, 8))


def test_another_seed_gives_another_plan():
    first, second = drawn(plan(1)), drawn(plan(2))
    for lane in first:
        assert [step.kind for step, _ in first[lane]] != [step.kind for step, _ in second[lane]]


def test_each_kind_comes_once_before_any_comes_again():
    for name, kinds in (("kills", KILLS), ("outages", OUTAGES)):
        seen = [step.kind for step in islice(plan().lanes()[name], 2 * len(kinds))]
        assert set(seen[: len(kinds)]) == set(seen[len(kinds) :]) == set(kinds)


def test_only_what_is_asked_for_is_planned():
    lanes = drawn(plan(only=[BY_NAME["beat-kill"]]))
    assert {step.kind.name for step, _ in lanes["kills"]} == {"beat-kill"}
    assert lanes["outages"] == []


def test_pauses_are_those_asked_for_on_average():
    pauses = [step.pause for step in islice(steps(KILLS, seed="s", gap=4), 400)]
    assert 2 <= min(pauses) < max(pauses) <= 6
    assert 3.5 < sum(pauses) / len(pauses) < 4.5


class Noted(Fault):
    """Harmless. It draws as often as it has targets, as a choice among processes may."""

    grace: ClassVar[float] = 0
    length = (0.0, 0.001)
    targets: ClassVar[int] = 0
    done: ClassVar[list[tuple[str, float]]]
    enough: ClassVar[threading.Event]

    def inject(self) -> bool:
        for _ in range(self.targets):
            self.chance.random()
        self.done.append((self.name, self.seconds))
        if len(self.done) >= 30:
            self.enough.set()
        return True


class Calm(Noted):
    name = "calm"


class Wild(Noted):
    name = "wild"


class Impossible(Noted):
    name = "impossible"

    @classmethod
    def is_possible(cls, stage: Any) -> bool:
        return False


class NoStage:
    lease = 8.0


def carried_out(*, targets: int) -> list[tuple[str, float]]:
    Noted.targets, Noted.done, Noted.enough = targets, [], threading.Event()
    kinds = [Calm, Wild, Impossible]
    stage: Any = NoStage()
    lane = Lane(stage, steps(kinds, seed="7", gap=0.001), note=lambda said: None)
    lane.start()
    assert Noted.enough.wait(PATIENCE)
    lane.stop()
    assert lane.troubles == []
    assert lane.left_out["impossible"] > 0
    return Noted.done[:30]


def test_what_there_is_to_hit_does_not_change_what_comes_next():
    assert carried_out(targets=0) == carried_out(targets=random.randrange(2, 50))


def test_what_is_impossible_here_changes_nothing_else():
    seen = islice(steps([Calm, Wild, Impossible], seed="7", gap=0.001), 90)
    expected = [(step.kind.name, step.seconds(8)) for step in seen if step.kind is not Impossible]
    assert carried_out(targets=1) == expected[:30]


def test_the_kinds_of_a_plan_are_those_asked_for_else_all():
    asked_for = [BY_NAME["purge"], BY_NAME["beat-kill"]]
    assert set(plan(only=asked_for).kinds) == set(asked_for)
    assert plan().kinds == [*KILLS, *OUTAGES]


def test_a_thorough_run_waits_until_each_fault_has_happened_and_says_which_one_never_did():
    Noted.targets, Noted.done, Noted.enough = 1, [], threading.Event()
    stage: Any = NoStage()
    lane = Lane(stage, steps([Calm, Wild, Impossible], seed="7", gap=0.001), note=lambda said: None)
    lane.start()
    assert await_each({"calm", "wild"}, [lane], seconds=PATIENCE) == set()
    assert await_each({"calm", "impossible"}, [lane], seconds=0) == {"impossible"}
    lane.stop()


def test_a_lane_of_which_nothing_is_possible_can_be_stopped():
    stage: Any = NoStage()
    lane = Lane(stage, steps([Impossible], seed="7", gap=3600), note=lambda said: None)
    lane.start()
    lane.stop()
    assert lane.windows == []
