"""An explanation as a value: a verdict first, then facts; and the question that it answers. No reads here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from schedules.models import Schedule
from schedules.rules.asked import Asked
from schedules.rules.cron.clock import zone
from schedules.rules.explaining import ClockChange, clock_change
from schedules.rules.history import History, Version
from schedules.rules.timing import CronTiming

_STEPS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class Verdict(StrEnum):
    """What became, or will become, of the moment. For scripts; people read the sentence."""

    RAN = "ran"
    FAILED = "failed"
    SENT = "sent"  # to the workers of another codebase
    RUNNING = "running"
    RETRYING = "retrying"
    WAITING = "waiting"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    WILL_RUN = "will_run"
    UNDECIDED = "undecided"
    FORGOTTEN = "forgotten"  # older than retention
    MISSING = "missing"
    NOT_DUE = "not_due"
    NEVER_DUE = "never_due"
    NOT_BY_CLOCK = "not_by_clock"
    PAUSED = "paused"
    DISABLED = "disabled"
    DELETED = "deleted"
    SET_ASIDE = "set_aside"
    NOT_YET_CREATED = "not_yet_created"


@dataclass(frozen=True)
class Fact:
    """`label` is a word such as "decided"; `run_id` names the run that the sentence is about, if any."""

    label: str
    text: str
    run_id: int | None = None


@dataclass
class Explanation:
    """`at` is the moment that was asked about, or the instant that was chosen; `zone` is the schedule's."""

    name: str
    at: datetime
    zone: ZoneInfo
    verdict: Verdict
    sentence: str
    run_id: int | None = None
    facts: list[Fact] = field(default_factory=list)
    before: datetime | None = None
    after: datetime | None = None

    def say(self, label: str, text: str, run_id: int | None = None) -> None:
        self.facts.append(Fact(label, text, run_id))


@dataclass(frozen=True)
class Question:
    """What was asked of which schedule; `here` is its zone, on whose clock times are said."""

    schedule: Schedule
    history: History
    asked: Asked
    now: datetime
    here: ZoneInfo

    def tell(self, at: datetime, verdict: Verdict, sentence: str) -> Explanation:
        return Explanation(self.schedule.given_name, at, self.here, verdict, sentence)

    def when(self, at: datetime) -> str:
        return moment(at, self.here)

    def ago(self, at: datetime) -> str:
        return length(abs(self.now - at))

    @property
    def version(self) -> Version | None:
        """The revision that decides the moment."""
        is_now = self.asked.at >= self.now
        return self.history.last if is_now else self.history.in_force(self.asked.at)

    def wall(self, timing: CronTiming) -> datetime:
        """The moment on the clock of the timing; an older revision may have been in another zone."""
        if timing.timezone == str(self.here):
            return self.asked.wall
        return self.asked.at.astimezone(zone(timing.timezone)).replace(tzinfo=None)

    def change(self, timing: CronTiming) -> ClockChange | None:
        """The change of the clock that makes the moment missing or ambiguous."""
        return clock_change(timing.timezone, self.wall(timing))

    def by(self, version: Version) -> str:
        note = f": {version.note}" if version.note else ""
        return f"{self.when(version.changed_at)} by {version.changed_by or 'unknown'}{note}"


def moment(at: datetime, zone: ZoneInfo) -> str:
    """ "Sat 2026-11-21 02:30 CET", with seconds where there are any."""
    try:
        local = at.astimezone(zone)
    except OverflowError:  # within hours of the end of the calendar
        local = at.astimezone(UTC)
    return f"{local:%a %Y-%m-%d} {local:{'%H:%M:%S' if local.second else '%H:%M'}} {local:%Z}"


def length(span: timedelta) -> str:
    """ "340 ms", "28 s", "4 min 10 s", "3 h 5 min", "12 d 4 h"."""
    seconds = max(0.0, span.total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    whole = round(seconds)
    parts = []
    for size, unit in _STEPS:
        count, whole = divmod(whole, size)
        parts.append((count, unit))
    first = next(index for index, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)
