"""The broker and the database: crashed, emptied, away for long, and with a clock that steps."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.chaos.faults.fault import AFTERMATH, EVERYBODY, Fault, Stage


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
