"""What is done to the installation. Each fault is a small class: a name, `inject`, `heal`.

Kills are over at once, and a supervisor starts again what died; the others last, and are healed.
`plan` chooses among them, `lanes` carries it out.

    fault     what a fault is, and the stage on which it happens
    kills     processes killed, or stopped for a while
    servers   the broker and the database: crashed, emptied, locked, away for long, with a clock that steps
    network   the ways between processes and servers
    disks     full ones
    deploys   orderly restarts
"""

from __future__ import annotations

from benchmarks.chaos.faults.deploys import Deploy, DeployBeats
from benchmarks.chaos.faults.disks import DatabaseFull, LogFull, SpoolFull
from benchmarks.chaos.faults.fault import Fault, Stage
from benchmarks.chaos.faults.kills import (
    KillBeat,
    KillChild,
    KillRunner,
    KillWorker,
    KillZygote,
    PauseBeat,
    PauseChild,
    PauseWorker,
)
from benchmarks.chaos.faults.network import (
    Cut,
    Delay,
    RefuseBeatsBroker,
    RefuseWorkersDatabase,
    Reset,
    SilenceBeatsBroker,
    SilenceBeatsDatabase,
    SilenceWorkersBroker,
    SilenceWorkersDatabase,
)
from benchmarks.chaos.faults.servers import (
    Clock,
    ClockBack,
    ClockFarBack,
    ClockForward,
    CrashBroker,
    CrashDatabase,
    LockDatabase,
    LongBrokerOutage,
    LongDatabaseOutage,
    Purge,
)

KILLS: list[type[Fault]] = [KillBeat, KillWorker, KillChild, KillRunner, KillZygote]
OUTAGES: list[type[Fault]] = [
    *(PauseBeat, PauseWorker, PauseChild),
    *(CrashBroker, Purge, CrashDatabase),
    *(SilenceWorkersDatabase, SilenceBeatsDatabase, SilenceWorkersBroker, SilenceBeatsBroker),
    *(RefuseWorkersDatabase, RefuseBeatsBroker, Delay, Reset, Cut),
    *(DatabaseFull, SpoolFull, LogFull, LockDatabase),
    *(Deploy, DeployBeats, ClockForward, ClockBack),
]
LONG: list[type[Fault]] = [LongBrokerOutage, LongDatabaseOutage, ClockFarBack]
"""Chosen by name only."""

BY_NAME: dict[str, type[Fault]] = {kind.name: kind for kind in [*KILLS, *OUTAGES, *LONG]}

__all__ = ["BY_NAME", "KILLS", "OUTAGES", "Clock", "Fault", "Stage"]
