"""The kinds of *when* a schedule can have, behind one interface; all frozen, hashable values.

    next_after(moment)   the first instant strictly after it, or None: no more instants
    between(start, end)  every instant of start <= t < end, strictly increasing

Moments must be aware; instants are UTC. A timing that exists is usable: a wrong expression, zone
or length is refused when it is made (CronError, TimingError). How cron expressions are searched is
in `cron`; words for people are in `wording`. Dispatch, preview and audit call this; the edit flow
makes timings from rows, and revisions store them through `to_dict` and `from_dict`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from schedules.errors import InvalidSchedule, TimingError
from schedules.rules import cron, solar
from schedules.rules.cron.clock import gap_named, repeat_named, zone

SHORTEST_INTERVAL = timedelta(seconds=1)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class CronTiming:
    """The instants of a cron expression in a zone, by the rules of a dialect.

    `gap` and `repeat` are the policies for clock changes ("" = the dialect's own rule). `seed` is kept
    only where the expression leaves something to it, so that equal timings compare equal.
    """

    expression: str
    timezone: str
    dialect: str = "cron"
    gap: str = ""
    repeat: str = ""
    seed: str = ""

    def __post_init__(self) -> None:
        plan = cron.parse(self.expression, self.dialect, seed=self.seed)
        if self.seed and not plan.is_seeded:
            object.__setattr__(self, "seed", "")
        zone(self.timezone)
        gap_named(self.gap)
        repeat_named(self.repeat)

    def next_after(self, moment: datetime) -> datetime | None:
        return cron.next_fire(self.expression, self.timezone, moment, self.dialect, **self._choices)

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        return cron.fire_times(self.expression, self.timezone, start, end, self.dialect, **self._choices)

    @property
    def _choices(self) -> dict[str, str]:
        return {"gap": self.gap, "repeat": self.repeat, "seed": self.seed}


@dataclass(frozen=True, slots=True)
class IntervalTiming:
    """`anchor + k * every`, without drift: k counts from 0 with `include_anchor`, else from 1.

    Include the anchor where it is a start time, leave it out where it is the time of creation.
    Raises TimingError for less than a second: no worker could keep up.
    """

    every: timedelta
    anchor: datetime
    include_anchor: bool = False

    def __post_init__(self) -> None:
        if self.every < SHORTEST_INTERVAL:
            raise TimingError(f"an interval of {self.every} is too short; use 1 second or more")
        object.__setattr__(self, "anchor", _utc(self.anchor, "anchor"))

    def next_after(self, moment: datetime) -> datetime | None:
        return self._instant(self._count_from(_utc(moment, "moment") + _INSTANT))

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        end = _utc(end, "end")
        return self._from_count_until(self._count_from(_utc(start, "start")), end)

    def _from_count_until(self, count: int, end: datetime) -> Iterator[datetime]:
        while (instant := self._instant(count)) is not None and instant < end:
            yield instant
            count += 1

    def _count_from(self, moment: datetime) -> int:
        """The k of the first instant at or after the moment."""
        first = 0 if self.include_anchor else 1
        return max(first, -((self.anchor - moment) // self.every))

    def _instant(self, count: int) -> datetime | None:
        try:
            return self.anchor + count * self.every
        except OverflowError:  # past the year 9999
            return None


@dataclass(frozen=True, slots=True)
class MomentTiming:
    """Once, at a moment (django-celery-beat's clocked schedule)."""

    at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", _utc(self.at, "at"))

    def next_after(self, moment: datetime) -> datetime | None:
        return self.at if _utc(moment, "moment") < self.at else None

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        due = _utc(start, "start") <= self.at < _utc(end, "end")
        return iter([self.at] if due else [])


@dataclass(frozen=True, slots=True)
class SolarTiming:
    """An event of the sun at a place, in degrees north and east, rounded to the second.

    Raises TimingError for an unknown event or place, and where PyEphem is not installed.
    """

    event: str
    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        solar.check(self.event, self.latitude, self.longitude)

    def next_after(self, moment: datetime) -> datetime | None:
        """None where no day of the next 400 has the event, which is so only at the end of the calendar."""
        moment = _utc(moment, "moment")
        first = solar.day_of(moment, self.longitude) - 1
        events = (self._event(day) for day in range(first, first + solar.LONGEST_SEARCH))
        return next((event for event in events if event is not None and event > moment), None)

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        start, end = _utc(start, "start"), _utc(end, "end")
        days = range(solar.day_of(start, self.longitude) - 1, solar.day_of(end, self.longitude) + 2)
        events = (self._event(day) for day in days)
        return (event for event in events if event is not None and start <= event < end)

    def _event(self, day: int) -> datetime | None:
        return solar.event_of_day(self.event, self.latitude, self.longitude, day)


@dataclass(frozen=True, slots=True)
class BootTiming:
    """Cron's @reboot: once per boot of the worker's host, never due by the clock."""

    def next_after(self, moment: datetime) -> datetime | None:
        return None

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        return iter(())


@dataclass(frozen=True, slots=True)
class NoTiming:
    """Started by hand or by another schedule only."""

    def next_after(self, moment: datetime) -> datetime | None:
        return None

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        return iter(())


Unbounded = CronTiming | IntervalTiming | MomentTiming | SolarTiming | BootTiming | NoTiming


@dataclass(frozen=True, slots=True)
class WindowTiming:
    """Another timing's instants of `not_before <= t < not_after`; None leaves that side open."""

    timing: Unbounded
    not_before: datetime | None = None
    not_after: datetime | None = None

    def __post_init__(self) -> None:
        for name in ("not_before", "not_after"):
            moment = getattr(self, name)
            if moment is not None:
                object.__setattr__(self, name, _utc(moment, name))

    def next_after(self, moment: datetime) -> datetime | None:
        if self.not_before is not None:
            moment = max(_utc(moment, "moment"), self.not_before - _INSTANT)
        instant = self.timing.next_after(moment)
        if instant is None or (self.not_after is not None and instant >= self.not_after):
            return None
        return instant

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        if self.not_before is not None:
            start = max(start, self.not_before)
        if self.not_after is not None:
            end = min(end, self.not_after)
        return self.timing.between(start, end)


Timing = Unbounded | WindowTiming


def from_cron_text(
    text: str, timezone: str, dialect: str = "cron", *, gap: str = "", repeat: str = "", seed: str = ""
) -> CronTiming | BootTiming:
    """The timing that a line of cron text stands for: @reboot is a BootTiming."""
    if text.strip(" \t") == "@reboot":
        return BootTiming()
    return CronTiming(text, timezone, dialect, gap, repeat, seed)


def within(
    timing: Unbounded, *, not_before: datetime | None = None, not_after: datetime | None = None
) -> Timing:
    """The timing, wrapped in a window only where a bound is given."""
    if not_before is None and not_after is None:
        return timing
    return WindowTiming(timing, not_before, not_after)


def count_between(timing: Timing, start: datetime, end: datetime, *, limit: int) -> int:
    """How many instants lie in start <= t < end; counting stops at `limit`."""
    return sum(1 for _ in islice(timing.between(start, end), limit))


def to_dict(timing: Timing) -> dict[str, Any]:
    """A form for JSON that `from_dict` reads back to an equal timing. Times are ISO 8601, UTC."""
    match timing:
        case CronTiming(expression, timezone, dialect, gap, repeat, seed):
            chosen = {"gap": str(gap), "repeat": str(repeat), "seed": seed}
            return {
                "kind": "cron",
                "expression": expression,
                "timezone": timezone,
                "dialect": str(dialect),
                **{name: value for name, value in chosen.items() if value},
            }
        case IntervalTiming(every, anchor, include_anchor):
            return {
                "kind": "interval",
                "every_seconds": every.total_seconds(),
                "anchor": anchor.isoformat(),
                "include_anchor": include_anchor,
            }
        case MomentTiming(at):
            return {"kind": "moment", "at": at.isoformat()}
        case SolarTiming(event, latitude, longitude):
            return {"kind": "solar", "event": event, "latitude": latitude, "longitude": longitude}
        case BootTiming():
            return {"kind": "boot"}
        case NoTiming():
            return {"kind": "none"}
        case WindowTiming(inner, not_before, not_after):
            return {
                "kind": "window",
                "timing": to_dict(inner),
                "not_before": not_before and not_before.isoformat(),
                "not_after": not_after and not_after.isoformat(),
            }


def from_dict(stored: dict[str, Any]) -> Timing:
    """The timing that `to_dict` stored; raises TimingError for what it did not write."""
    try:
        if stored["kind"] == "window":
            return WindowTiming(
                _unbounded_from_dict(stored["timing"]),
                _moment_from(stored["not_before"]),
                _moment_from(stored["not_after"]),
            )
        return _unbounded_from_dict(stored)
    except InvalidSchedule:
        raise
    except (KeyError, TypeError, ValueError) as problem:
        raise TimingError(f"the stored timing {stored!r} cannot be read: {problem!r}") from problem


def _unbounded_from_dict(stored: dict[str, Any]) -> Unbounded:
    match stored["kind"]:
        case "cron":
            chosen = (stored.get(name, "") for name in ("gap", "repeat", "seed"))
            return CronTiming(stored["expression"], stored["timezone"], stored["dialect"], *chosen)
        case "interval":
            return IntervalTiming(
                timedelta(seconds=stored["every_seconds"]),
                datetime.fromisoformat(stored["anchor"]),
                stored["include_anchor"],
            )
        case "moment":
            return MomentTiming(datetime.fromisoformat(stored["at"]))
        case "solar":
            return SolarTiming(stored["event"], stored["latitude"], stored["longitude"])
        case "boot":
            return BootTiming()
        case "none":
            return NoTiming()
        case other:
            raise TimingError(f"a stored timing has the unknown kind {other!r}")


def _moment_from(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _utc(moment: datetime, name: str) -> datetime:
    if moment.tzinfo is None:
        raise TimingError(
            f'"{name}" is {moment.isoformat()} without a time zone, so it names no instant; '
            "give an aware datetime, such as datetime.now(UTC)"
        )
    return moment.astimezone(UTC)
