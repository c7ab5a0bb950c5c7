"""The database host's clock, moved by libfaketime."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from benchmarks.chaos.scratch import Scratch, is_alive
from benchmarks.chaos.servers.starting import give


class Clock:
    """The database host's clock, as libfaketime lets one move it while the server runs."""

    def __init__(self, scratch: Scratch, account: str | None) -> None:
        self.library = faketime_library()
        self._file = scratch.directory("clock") / "offset"
        give(account, self._file.parent)
        self.offset = 0.0
        self._write()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",  # or each server process would see the step at another moment
        }

    def step(self, seconds: float) -> None:
        self.offset += seconds
        self._write()

    def _write(self) -> None:
        fresh = self._file.with_name("fresh")
        fresh.write_text(f"{self.offset:+.0f}s\n")
        fresh.chmod(0o644)
        fresh.replace(self._file)

    def close(self) -> None:
        """The library leaves shared memory behind, named by the ids of processes that are gone."""
        for path in (*Path("/dev/shm").glob("faketime_shm_*"), *Path("/dev/shm").glob("sem.faketime_sem_*")):
            owner = path.name.rpartition("_")[2]
            if owner.isdecimal() and not is_alive(int(owner)):
                with suppress(OSError):
                    path.unlink()


def faketime_library() -> Path | None:
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
