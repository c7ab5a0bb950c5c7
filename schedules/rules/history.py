"""What a schedule was at any moment, from its revisions: the definition in force, and every due instant.

An edit applies strictly after its moment: revision n decides the instants after `changed_at` up to and
including the moment of revision n + 1. Called by `audit` and `explaining`; dispatch does not use it, so
that what they find out does not depend on the code that they judge.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from schedules.rules.timing import BootTiming, MomentTiming, Timing, WindowTiming

TICK = timedelta(microseconds=1)
_LOOKS_BACK = tuple(timedelta(minutes=minutes) for minutes in (5, 120, 2880, 86_400))


@dataclass(frozen=True, slots=True)
class Version:
    """One revision, as far as time goes. `timing` is None where it cannot be read; `problem` says why."""

    number: int
    changed_at: datetime
    changed_by: str
    note: str
    timing: Timing | None
    enabled: bool = True
    paused_until: datetime | None = None
    problem: str = ""

    @property
    def plain_timing(self) -> Timing | None:
        """Without its window."""
        return self.timing.timing if isinstance(self.timing, WindowTiming) else self.timing

    @property
    def is_by_boot(self) -> bool:
        return isinstance(self.plain_timing, BootTiming)

    def is_paused(self, at: datetime) -> bool:
        return self.paused_until is not None and at < self.paused_until


@dataclass(frozen=True, slots=True)
class Instant:
    """A due instant, and the revision by which it is due."""

    at: datetime
    version: Version


@dataclass(frozen=True, slots=True)
class _Span:
    """The instants of `after < at <= until` that `version` decides; `until` None: to this day.

    `is_new` says that the timing differs from that of the revision before.
    """

    version: Version
    after: datetime
    until: datetime | None
    is_new: bool

    def due(self, start: datetime, end: datetime) -> Iterator[Instant]:
        """Those of start <= at < end."""
        version = self.version
        if version.timing is None or not version.enabled:
            return
        begin, stop = max(start, self.begins_at), end if self.until is None else min(end, self.until + TICK)
        if begin < stop:
            for at in version.timing.between(begin, stop):
                yield Instant(at, version)

    @property
    def begins_at(self) -> datetime:
        """No instant is due earlier, but for a moment that was past when it was set."""
        begin, resume = self.after + TICK, self.version.paused_until
        return begin if resume is None else max(begin, resume)

    def past_moment(self) -> Instant | None:
        """A moment that was past when it was set, and fires once; not one that was set while paused."""
        version, moment = self.version, self.version.plain_timing
        if not (self.is_new and version.enabled and version.timing and isinstance(moment, MomentTiming)):
            return None
        if moment.at > self.after or version.is_paused(self.after):
            return None
        in_window = any(version.timing.between(moment.at, moment.at + TICK))
        return Instant(moment.at, version) if in_window else None


class History:
    """All revisions of one schedule, in the order of their numbers."""

    def __init__(self, versions: Iterable[Version]) -> None:
        self.versions = list(versions)
        self._spans = list(self._cut())
        self.past_moments = [moment for span in self._spans if (moment := span.past_moment())]
        """Due, although they lie before the revision that has them: in no order, and not part of `due`."""

    def _cut(self) -> Iterator[_Span]:
        after = None
        for index, version in enumerate(self.versions):
            following = self.versions[index + 1 : index + 2]
            before = self.versions[index - 1] if index else None
            # Where the clock stepped back between two edits, what was decided stays decided.
            after = version.changed_at if after is None else max(after, version.changed_at)
            is_new = before is None or before.timing != version.timing
            yield _Span(version, after, following[0].changed_at if following else None, is_new)

    @property
    def created_at(self) -> datetime | None:
        """None: it never had a definition that could be used."""
        return self.versions[0].changed_at if self.versions else None

    @property
    def last(self) -> Version | None:
        return self.versions[-1] if self.versions else None

    def in_force(self, at: datetime) -> Version | None:
        """The revision that decides the instant; None before the first one."""
        found = None
        for span in self._spans:
            if span.after < at:
                found = span.version
        return found

    def follower(self, version: Version) -> Version | None:
        index = self.versions.index(version) + 1
        return self.versions[index] if index < len(self.versions) else None

    def due(self, start: datetime, end: datetime) -> Iterator[Instant]:
        """The due instants of start <= at < end, strictly increasing."""
        return (instant for span in self._spans for instant in span.due(start, end))

    def due_at(self, at: datetime) -> Instant | None:
        """The instant, if something is due at the moment."""
        past = (moment for moment in self.past_moments if moment.at == at)
        return next(self.due(at, at + TICK), None) or next(past, None)

    def next_due(self, after: datetime) -> Instant | None:
        """The first due instant strictly after the moment, as far as the revisions tell today."""
        for span in self._spans:
            if span.until is not None and span.until <= after:
                continue
            at = _first_from(span, max(after + TICK, span.begins_at))
            if at is not None and (span.until is None or at <= span.until):
                return Instant(at, span.version)
        return None

    def last_due(self, before: datetime) -> Instant | None:
        """The last due instant before the moment."""
        for span in reversed(self._spans):
            if span.begins_at < before and (found := _last_in(span, before)):
                return found
        return None


def _first_from(span: _Span, moment: datetime) -> datetime | None:
    timing = span.version.timing
    return timing.next_after(moment - TICK) if timing is not None and span.version.enabled else None


def _last_in(span: _Span, before: datetime) -> Instant | None:
    """Looks back in ever longer steps, so that a dense timing costs no more than a sparse one."""
    end = before if span.until is None else min(before, span.until + TICK)
    for step in _LOOKS_BACK:
        start = max(span.begins_at, end - step)
        found = deque(span.due(start, end), maxlen=1)
        if found:
            return found[0]
        end = start
    return next(iter(deque(span.due(span.begins_at, end), maxlen=1)), None)
