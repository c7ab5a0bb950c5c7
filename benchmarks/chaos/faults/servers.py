"""The broker and the database: crashed, emptied, away for long, and with a clock that steps."""

from __future__ import annotations

import random
from typing import ClassVar

from benchmarks.chaos.faults.fault import AFTERMATH, EVERYBODY, Fault, Stage
from benchmarks.chaos.servers import PostgreSQL, SQLite


class CrashBroker(Fault):
    """Killed, and back after a while; Redis has then lost every message."""

    name, grace, length = "broker-crash", AFTERMATH, (3, 20)

    @classmethod
    def is_possible(cls, stage: Stage) -> bool:
        return stage.broker.port is not None

    def inject(self) -> bool:
        self.stage.broker.kill()
        return True

    def heal(self) -> None:
        self.stage.broker.start()


class LongBrokerOutage(CrashBroker):
    """An hour, compressed: 45 leases, which is six minutes at a lease of 8 s."""

    name = "broker-outage"

    @classmethod
    def drawn(cls, chance: random.Random, lease: float) -> float:
        return 45 * lease


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

    @classmethod
    def is_possible(cls, stage: Stage) -> bool:
        return isinstance(stage.database, PostgreSQL)

    def inject(self) -> bool:
        assert isinstance(self.stage.database, PostgreSQL)
        self.cut_off = EVERYBODY
        self.stage.database.crash()
        return True

    def heal(self) -> None:
        self.stage.database.start()


class LongDatabaseOutage(CrashDatabase):
    """Ten minutes, compressed as the lease is: ten leases."""

    name = "database-outage"

    @classmethod
    def drawn(cls, chance: random.Random, lease: float) -> float:
        return 10 * lease


class LockDatabase(Fault):
    """SQLite: somebody's transaction is not ended, and nobody else can write."""

    name, grace, length = "database-locked", AFTERMATH, (2, 25)

    @classmethod
    def is_possible(cls, stage: Stage) -> bool:
        return isinstance(stage.database, SQLite)

    def inject(self) -> bool:
        assert isinstance(self.stage.database, SQLite)
        self.cut_off = EVERYBODY
        self.stage.database.lock()
        return True

    def heal(self) -> None:
        assert isinstance(self.stage.database, SQLite)
        self.stage.database.unlock()


class Clock(Fault):
    """The database host's clock steps, and stays where it is."""

    seconds_of_step: ClassVar[float]
    grace: ClassVar[float] = AFTERMATH

    @classmethod
    def is_possible(cls, stage: Stage) -> bool:
        return stage.database.clock is not None

    def inject(self) -> bool:
        assert self.stage.database.clock is not None
        self.cut_off = EVERYBODY
        self.stage.database.clock.step(self.seconds_of_step)
        self.stage.clock_stepped()
        return True


class ClockForward(Clock):
    name, seconds_of_step = "clock-forward", 7200


class ClockFarBack(Clock):
    """Two hours back, for half a minute. What is edited then is edited before it was made."""

    name, seconds_of_step, length = "clock-far-back", -7200, (30, 30)

    def heal(self) -> None:
        assert self.stage.database.clock is not None
        self.stage.database.clock.step(-self.seconds_of_step)
        self.stage.clock_stepped()


class ClockBack(Clock):
    """Further than the clock guard tolerates; nothing is due until the old time is reached again."""

    name, seconds_of_step, grace = "clock-back", -45, 120
