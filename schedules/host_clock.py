"""The clock of this host, which cron follows, beside the database's, which Beatkeeper follows."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from schedules.querysets import database_now

CLOCKS_AGREE = 1.0
"""Seconds by which the two may differ from the database's."""


class Clock:
    """This host's clock. Tests bring one of their own."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def apart(self) -> float:
        """Seconds between this clock and the database's, whatever a round trip to it takes."""
        before = self.now()
        theirs = database_now()
        after = self.now()
        return max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
