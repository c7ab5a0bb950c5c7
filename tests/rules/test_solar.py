"""Events of the sun: as Celery has them, each once, in order, from wherever a search begins."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import ephem
import pytest
from celery.schedules import solar as celery_solar
from hypothesis import given
from hypothesis import strategies as st

from schedules.errors import TimingError
from schedules.rules import solar, wording
from schedules.rules.timing import SolarTiming, from_dict, to_dict, within

BERLIN, TROMSO, MCMURDO = (52.52, 13.405), (69.65, 18.96), (-77.85, 166.67)
BEFORE_THE_DATE_LINE, QUITO = (-18.1, 179.99), (-0.18, -78.47)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def theirs(event: str, place: tuple[float, float], after: datetime) -> datetime:
    """What Celery finds after the moment."""
    celerys: Any = celery_solar
    found = celerys(event, *place)._next_event(ephem.Date(after.replace(tzinfo=None)))  # type: ignore[attr-defined]
    moment: datetime = found.datetime().replace(tzinfo=UTC)
    return moment


# A year in steps that meet each season, each time of day and the ends of polar days and nights.
SAMPLES = [at("2026-01-03") + number * timedelta(days=23, hours=7) for number in range(16)]


@pytest.mark.parametrize("place", [BERLIN, TROMSO, MCMURDO, BEFORE_THE_DATE_LINE, QUITO])
@pytest.mark.parametrize("event", solar.EVENTS)
def test_it_is_the_event_that_celery_finds(event, place):
    """To the second: Celery searches from the moment it asks at, and is off by tenths of one."""
    timing = SolarTiming(event, *place)
    for sample in SAMPLES:
        ours = timing.next_after(sample)
        assert abs(ours - theirs(event, place, sample)) <= timedelta(seconds=1), sample


def test_every_event_of_celery_is_known_and_has_words():
    assert set(solar.EVENTS) == celery_solar._all_events
    assert set(wording.SOLAR) == celery_solar._all_events


@pytest.mark.parametrize(
    ("event", "expected"),
    # The almanac of Berlin, 2026-06-21 (UTC+2): 04:43 and 21:33, noon at 13:08.
    [("sunrise", "02:43"), ("sunset", "19:33"), ("solar_noon", "11:08")],
)
def test_it_is_what_the_almanac_says(event, expected):
    found = SolarTiming(event, *BERLIN).next_after(at("2026-06-21"))
    assert abs(found - at(f"2026-06-21T{expected}")) <= timedelta(minutes=1)


def test_no_sun_rises_in_the_polar_night_and_the_search_goes_on_until_it_does():
    sunrise = SolarTiming("sunrise", *TROMSO)
    last = sunrise.next_after(at("2026-11-27"))
    first = sunrise.next_after(at("2026-12-05"))
    assert last.date().isoformat() <= "2026-11-28"
    assert first.date().isoformat() >= "2027-01-14"
    assert list(sunrise.between(at("2026-12-05"), at("2027-01-10"))) == []


@pytest.mark.parametrize("latitude", [90, -90])
@pytest.mark.parametrize("event", ["sunrise", "dusk_civil"])
def test_at_a_pole_every_event_comes_once_a_year(event, latitude):
    """Where Celery, after 366 days without one, runs the task although nothing happened."""
    timing = SolarTiming(event, latitude, 0)
    found = list(timing.between(at("2026-01-01"), at("2029-01-01")))
    assert len(found) == 3
    assert timing.next_after(found[0]) == found[1]


@given(
    event=st.sampled_from(solar.EVENTS),
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 180),
    day=st.integers(0, 365 * 60),
    second=st.integers(0, 86_399),
)
def test_a_walk_meets_each_event_once_and_it_does_not_matter_where_it_began(
    event, latitude, longitude, day, second
):
    timing = SolarTiming(event, latitude, longitude)
    start = at("2000-01-01") + timedelta(days=day, seconds=second)
    end = start + timedelta(days=40)
    listed = list(timing.between(start, end))
    walked, moment = [], start - timedelta(microseconds=1)
    while (moment := timing.next_after(moment)) is not None and moment < end:
        walked.append(moment)
    assert walked == listed
    assert all(later - earlier > timedelta(hours=12) for earlier, later in pairwise(listed))
    for earlier, later in pairwise(listed):
        assert timing.next_after(later - timedelta(microseconds=1)) == later
        assert timing.next_after(earlier + (later - earlier) / 2) == later


def test_the_end_of_the_calendar_ends_a_search():
    assert SolarTiming("sunset", *BERLIN).next_after(at("9999-12-31T23:00")) is None
    assert SolarTiming("sunset", *BERLIN).next_after(datetime(1, 1, 1, tzinfo=UTC)) is not None


def test_it_is_stored_and_read_back():
    timing = within(SolarTiming("dawn_civil", *BERLIN), not_before=at("2026-01-01"))
    assert from_dict(to_dict(timing)) == timing
    assert to_dict(SolarTiming("sunset", 1.5, -2)) == {
        "kind": "solar",
        "event": "sunset",
        "latitude": 1.5,
        "longitude": -2,
    }


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (("moonrise", 0, 0), "not an event of the sun"),
        (("sunset", 90.1, 0), "latitude 90.1 is outside"),
        (("sunset", 0, -181), "longitude -181 is outside"),
        (("sunset", float("nan"), 0), "latitude nan is outside"),
    ],
)
def test_what_is_no_event_or_no_place_is_refused(given, complaint):
    with pytest.raises(TimingError, match=complaint):
        SolarTiming(*given)


def test_without_pyephem_the_timing_is_refused_and_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ephem", None)
    with pytest.raises(TimingError, match=r'pip install "beatkeeper\[solar\]", or pip install ephem'):
        SolarTiming("sunset", *BERLIN)


@pytest.mark.parametrize(
    ("timing", "words"),
    [
        (SolarTiming("sunset", 52.52, 13.405), "at sunset, 52.52° N 13.405° E"),
        (SolarTiming("dawn_civil", -33.9, -70), "at civil dawn, 33.9° S 70° W"),
    ],
)
def test_it_is_said_in_words(timing, words):
    assert wording.describe(timing) == words
