"""Disks without a free byte."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from benchmarks.chaos.faults.fault import AFTERMATH, EVERYBODY, Fault, Stage
from benchmarks.chaos.proxy import Mode


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
    """PostgreSQL then ends itself rather than to lose a commit; SQLite refuses what does not fit."""

    name = "database-full"

    @classmethod
    def is_possible(cls, stage: Stage) -> bool:
        return stage.database.is_limited

    @property
    def disk(self) -> Path:
        return self.stage.database.disk

    def inject(self) -> bool:
        self.cut_off = EVERYBODY
        return super().inject()

    def heal(self) -> None:
        super().heal()
        self.stage.database.revive()


class SpoolFull(Full):
    """Where workers keep results while the database is away: and the database goes away too."""

    name = "spool-full"

    @classmethod
    def is_possible(cls, stage: Stage) -> bool:
        return stage.spool is not None and ("workers", "database") in stage.ways

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


class LogFull(Full):
    """Where the processes write their logs: a line that cannot be written must not end anything."""

    name, grace = "log-full", 0

    @classmethod
    def is_possible(cls, stage: Stage) -> bool:
        return stage.logs is not None

    @property
    def disk(self) -> Path:
        assert self.stage.logs is not None
        return self.stage.logs
