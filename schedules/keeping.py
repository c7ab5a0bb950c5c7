"""How long the runs of a schedule are kept: its own numbers where it has them, else the installation's.

`retention` deletes by it; what asks the history, such as an audit, looks back no further than this.
"""

from __future__ import annotations

from typing import Protocol

from schedules import conf
from schedules.rules.keeping import Keep


class HasKeep(Protocol):
    """A schedule, or a row with its three columns. None: as the installation says."""

    keep_days: float | None
    keep_failed_days: float | None
    keep_runs: int | None


def keep_of(schedule: HasKeep) -> Keep:
    values = conf.current()
    days, failed, runs = schedule.keep_days, schedule.keep_failed_days, schedule.keep_runs
    return Keep.of(
        days=values.retention_days if days is None else days,
        failed_days=values.retention_failed_days if failed is None else failed,
        runs=values.retention_runs if runs is None else runs,
    )


def keep_of_the_gone() -> Keep:
    """Of runs whose schedule somebody deleted outside Beatkeeper: by age alone."""
    values = conf.current()
    return Keep.of(days=values.retention_days, failed_days=values.retention_failed_days, runs=0)
