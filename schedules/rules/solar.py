"""Events of the sun at a place: Celery's nine, each instant a function of its solar day alone. Uses PyEphem.

    event_of_day(event, latitude, longitude, day)   the instant; None where the sun stays up, or down

A solar day runs from one lower culmination to the next and is counted from 1970. So an instant does not
depend on where a search began, never drifts, and the same one is never found twice. Called by `timing`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import ModuleType
from typing import Any

from schedules.errors import TimingError

# Degrees that the sun's centre is above the horizon, as Celery has them. Sunrise and sunset are those of
# the upper limb, with the 34 minutes of arc by which air lifts what is at the horizon.
_HORIZONS = {
    "dawn_astronomical": -18.0,
    "dawn_nautical": -12.0,
    "dawn_civil": -6.0,
    "sunrise": -34 / 60,
    "solar_noon": 0.0,
    "sunset": -34 / 60,
    "dusk_civil": -6.0,
    "dusk_nautical": -12.0,
    "dusk_astronomical": -18.0,
}
EVENTS = tuple(_HORIZONS)
"""In the order of a day."""

_OF_THE_LIMB = ("sunrise", "sunset")
_RISING = ("dawn_astronomical", "dawn_nautical", "dawn_civil", "sunrise")

LONGEST_SEARCH = 400
"""Days: at the poles themselves every event but noon comes once a year, nowhere more seldom."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_EPHEM_EPOCH = datetime(1899, 12, 31, 12, tzinfo=UTC)
_PRECISION = 0.1 / 86_400
"""Days: instants are given to the second, and the air moves them by more."""

MISSING = (
    'Solar timings need the package "ephem", which is not installed here. Install it where beat, the workers '
    'and the admin run: pip install "beatkeeper[solar]", or pip install ephem.'
)


def library() -> ModuleType:
    """PyEphem, imported when the first solar timing is. Raises TimingError where it is not installed."""
    try:
        import ephem
    except ImportError as error:
        raise TimingError(MISSING) from error
    module: ModuleType = ephem
    return module


def check(event: str, latitude: float, longitude: float) -> None:
    """Raises TimingError for what names no event or no place, and where PyEphem is missing."""
    if event not in _HORIZONS:
        raise TimingError(f'"{event}" is not an event of the sun. Known are {", ".join(EVENTS)}.')
    for name, value, limit in (("latitude", latitude, 90), ("longitude", longitude, 180)):
        if not -limit <= value <= limit:  # also false for NaN
            raise TimingError(f"the {name} {value:g} is outside -{limit} to {limit} degrees")
    library()


def day_of(moment: datetime, longitude: float) -> int:
    """The mean solar day at the longitude that the moment is in, up to 17 minutes off the true one."""
    return (moment - _EPOCH + timedelta(days=longitude / 360)) // _DAY


@lru_cache(maxsize=4096)
def event_of_day(event: str, latitude: float, longitude: float, day: int) -> datetime | None:
    """Rounded to the second. None: the sun stays above or below, or the day is beyond the calendar."""
    try:
        found = _find(event, latitude, longitude, day)
        return None if found is None else _rounded(_EPHEM_EPOCH + timedelta(days=found))
    except (OverflowError, ValueError):
        return None


def _find(event: str, latitude: float, longitude: float, day: int) -> float | None:
    sun = _Sun(latitude, longitude)
    noon = sun.culmination(day, at_noon=True)
    if event == "solar_noon":
        return noon
    height = sun.height_over(_HORIZONS[event], of_the_limb=event in _OF_THE_LIMB)
    before, after = sun.culmination(day, at_noon=False), sun.culmination(day + 1, at_noon=False)
    # From one culmination to the next the sun rises or sinks. Only at the poles themselves, where the
    # season moves it more than the hour does, may it rise in the second half of a day.
    for start, end in ((before, noon), (noon, after)):
        rises, sinks = height(start) < 0.0 <= height(end), height(end) < 0.0 <= height(start)
        if rises if event in _RISING else sinks:
            return _crossing(height, start, end)
    return None


class _Sun:
    """The sun from one place; times are days since PyEphem's epoch."""

    def __init__(self, latitude: float, longitude: float) -> None:
        ephem = library()
        self._longitude = longitude
        self._body: Any = ephem.Sun()
        self._observer: Any = ephem.Observer()
        # PyEphem reads texts as degrees; at the poles themselves its hour angles are not defined.
        self._observer.lat, self._observer.lon = repr(max(-89.9999, min(89.9999, latitude))), repr(longitude)
        self._observer.elevation = self._observer.pressure = 0

    def culmination(self, day: int, *, at_noon: bool) -> float:
        """The upper one of a solar day, or the lower one at which it begins."""
        began = _EPOCH + day * _DAY - timedelta(days=self._longitude / 360)
        half = timedelta(hours=12)
        start = began if at_noon else began - half
        self._observer.date = (start - _EPHEM_EPOCH) / _DAY
        search = self._observer.next_transit if at_noon else self._observer.next_antitransit
        return float(search(self._body))

    def height_over(self, horizon: float, *, of_the_limb: bool) -> Callable[[float], float]:
        """Of the centre or the upper limb over a horizon in degrees, by time; in radians."""

        def height(time: float) -> float:
            self._observer.date = time
            self._body.compute(self._observer)
            limb = float(self._body.radius) if of_the_limb else 0.0
            return float(self._body.alt) + limb - math.radians(horizon)

        return height


def _crossing(height: Callable[[float], float], start: float, end: float) -> float:
    """Where the height changes its sign; it does so once in between."""
    begins_below = height(start) < 0.0
    while end - start > _PRECISION:
        middle = (start + end) / 2
        if (height(middle) < 0.0) == begins_below:
            start = middle
        else:
            end = middle
    return end


def _rounded(moment: datetime) -> datetime:
    return (moment + timedelta(milliseconds=500)).replace(microsecond=0)
