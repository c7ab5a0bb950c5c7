"""How long the runs of a schedule are kept: three numbers, and the moments that follow from them.

A run that is over may be deleted once it is old enough, unless it is one of the last of its schedule.
Which rows those are is found in `retention`; whose numbers are whose, in `keeping`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

LEAST_DAYS = 1.0
"""Nothing younger is deleted, whatever was asked for. The row of an instant is what keeps it from being
run twice when somebody edits the schedule or a clock is set back, and a nightly audit reads it."""

MOST_DAYS = 36_500.0
"""A century: more means for ever, and dates further back are none."""


@dataclass(frozen=True, slots=True)
class Keep:
    """`days` and `failed_days` are ages since the end of a run; `runs` are kept at any age."""

    days: float
    failed_days: float
    runs: int

    @classmethod
    def of(cls, *, days: float, failed_days: float | None, runs: int) -> Keep:
        """What failed is never kept for less long than the rest; None: for as long as the rest."""
        kept = _within(days)
        return cls(kept, max(kept, _within(failed_days or 0)), max(runs, 0))

    def before(self, now: datetime) -> datetime:
        """What ended earlier, and did not fail, is old."""
        return now - timedelta(days=self.days)

    def failed_before(self, now: datetime) -> datetime:
        return now - timedelta(days=self.failed_days)


def _within(days: float) -> float:
    return min(max(days, LEAST_DAYS), MOST_DAYS)
