"""What a stored schedule starts in a window, as a set of minutes, and how that differs from cron's.

A set of minutes is an `int` as in `daemon`: bit k stands for minute k of the window. The stored side
is computed by the engine (`cron`, `timing`), the other one by `daemon`; they meet here and only here.
Pure. Called by `proving`; the words for a difference are in `equivalence.causes`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from schedules.rules import cron
from schedules.rules.daemon import Window, minutes_of
from schedules.rules.definition import Definition
from schedules.rules.timing import CronTiming, Timing, Unbounded, WindowTiming, from_dict

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_DAY_SECONDS = 86_400
_BYTES_OF_A_DAY = 1440 // 8
_EMPTY_DAY = bytes(_BYTES_OF_A_DAY)
# A local day can begin more than a day before the first of its instants that lies in the window.
_MARGIN = 2 * 1440
MOST_SHOWN = 3
"""First instants that differ, of each schedule."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What decides when a schedule starts something; equal values start alike.

    `resumes_at` is the end of a pause. `timing` None: the definition's timing cannot be used.
    """

    timing: Timing | None
    enabled: bool = True
    resumes_at: datetime | None = None
    once: bool = False

    @classmethod
    def of(cls, definition: Definition) -> "Stored":
        """Raises TimingError for a stored timing that cannot be read."""
        paused = definition.paused_until
        return cls(
            timing=from_dict(definition.timing),
            enabled=definition.enabled,
            resumes_at=datetime.fromisoformat(paused) if paused else None,
            once=definition.one_off,
        )


@dataclass(frozen=True, slots=True)
class Minutes:
    """The minutes in which something starts. `off_minute` is the first start within a minute.

    Cron starts at full minutes only; after such a start nothing more is counted.
    """

    bits: int
    off_minute: datetime | None = None


@dataclass(frozen=True, slots=True)
class Differing:
    """An instant at which only one of the two starts the job."""

    at: datetime
    by_cron: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Numbers of instants: by cron, and those that only one of the two has."""

    instants: int
    only_cron: int = 0
    only_stored: int = 0
    first: tuple[Differing, ...] = ()

    @property
    def is_identical(self) -> bool:
        return not self.first


def compare(by_cron: int, stored: Minutes, window: Window) -> Comparison:
    instants = by_cron.bit_count()
    if by_cron == stored.bits and stored.off_minute is None:
        return Comparison(instants)
    first = [
        Differing(window.instant(bit), bool(by_cron >> bit & 1))
        for bit in islice(minutes_of(by_cron ^ stored.bits), MOST_SHOWN)
    ]
    if stored.off_minute:
        first.append(Differing(stored.off_minute, by_cron=False))
    return Comparison(
        instants,
        only_cron=(by_cron & ~stored.bits).bit_count(),
        only_stored=(stored.bits & ~by_cron).bit_count() + (stored.off_minute is not None),
        first=tuple(sorted(first, key=lambda it: it.at)[:MOST_SHOWN]),
    )


def stored_minutes(stored: Stored, window: Window) -> Minutes:
    """What the engine makes of the schedule in the window. Raises InvalidSchedule for an unusable timing."""
    if stored.timing is None or not stored.enabled:
        return Minutes(0)
    minutes = _of_timing(stored.timing, window)
    if stored.resumes_at is not None:
        minutes = _cut(minutes, window, stored.resumes_at, None)
    return Minutes(minutes.bits & -minutes.bits, minutes.off_minute) if stored.once else minutes


def _of_timing(timing: Timing, window: Window) -> Minutes:
    if isinstance(timing, WindowTiming):
        return _cut(_of_unbounded(timing.timing, window), window, timing.not_before, timing.not_after)
    return _of_unbounded(timing, window)


def _of_unbounded(timing: Unbounded, window: Window) -> Minutes:
    if isinstance(timing, CronTiming):
        return _of_cron(timing, window)
    return _of_instants(timing.between(window.start, window.end), window)


def _cut(minutes: Minutes, window: Window, begin: datetime | None, end: datetime | None) -> Minutes:
    """The starts at `begin` or later and before `end`."""
    bits = minutes.bits
    if begin is not None and begin > window.start:
        before = -((window.start - begin) // _MINUTE)
        bits = bits >> before << before
    if end is not None and end < window.end:
        bits &= (1 << max(-((window.start - end) // _MINUTE), 0)) - 1
    off = minutes.off_minute
    outside = off is not None and ((begin and off < begin) or (end and off >= end))
    return Minutes(bits, None if outside else off)


def _of_instants(instants: Iterator[datetime], window: Window) -> Minutes:
    found = bytearray(window.minutes // 8 + 1)
    for instant in instants:
        minute, rest = divmod(instant - window.start, _MINUTE)
        if rest:
            return Minutes(int.from_bytes(found, "little"), instant)
        found[minute >> 3] |= 1 << (minute & 7)
    return Minutes(int.from_bytes(found, "little"))


def _of_cron(timing: CronTiming, window: Window) -> Minutes:
    """Days of one UTC offset are laid side by side as bytes, and brought to their place at once."""
    canvas = _Canvas(window)
    chosen = {"gap": timing.gap, "repeat": timing.repeat, "seed": timing.seed}
    days = cron.fire_days(
        timing.expression, timing.timezone, window.start, window.end, timing.dialect, **chosen
    )
    for midnight, seconds in days:
        canvas.draw(midnight, seconds)
        if canvas.off_minute is not None:
            break
    return Minutes(canvas.bits(), canvas.off_minute)


class _Canvas:
    """Collects the days of `cron.fire_days`, which are sorted and of which most share one tuple."""

    def __init__(self, window: Window) -> None:
        self._origin = (window.first - _MARGIN) * 60
        self._found = 0
        self._row: list[bytes] = []
        self._row_begins = 0
        self._seconds: tuple[int, ...] = ()
        self._pattern = _EMPTY_DAY
        self.off_minute: datetime | None = None

    def draw(self, midnight: int, seconds: tuple[int, ...]) -> None:
        if seconds is not self._seconds:
            self._seconds, self._pattern = seconds, self._pattern_of(midnight, seconds)
        day, rest = divmod(midnight - self._row_begins, _DAY_SECONDS)
        idle = day - len(self._row)
        if not self._row or rest or idle < 0:
            self._finish_row()
            self._row_begins = midnight
        else:
            self._row.extend([_EMPTY_DAY] * idle)
        self._row.append(self._pattern)

    def bits(self) -> int:
        self._finish_row()
        return self._found >> _MARGIN

    def _finish_row(self) -> None:
        if self._row:
            place = (self._row_begins - self._origin) // 60
            self._found |= int.from_bytes(b"".join(self._row), "little") << place
        self._row = []

    def _pattern_of(self, midnight: int, seconds: tuple[int, ...]) -> bytes:
        pattern = bytearray(_BYTES_OF_A_DAY)
        for second in seconds:
            minute, rest = divmod(second, 60)
            if rest:
                self.off_minute = _EPOCH + timedelta(seconds=midnight + second)
                break
            pattern[minute >> 3] |= 1 << (minute & 7)
        return bytes(pattern)
