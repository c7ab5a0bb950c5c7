"""Histories and rows as values: the right rows are clean; of wrong ones each is found, and only it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.rules.audit import MOST_FINDINGS, Row, Standing, Verdict, Wrong, judge
from schedules.rules.history import History, Version
from schedules.rules.timing import (
    BootTiming,
    CronTiming,
    IntervalTiming,
    MomentTiming,
    NoTiming,
    Timing,
    WindowTiming,
)

BEGIN = datetime(2026, 10, 25, tzinfo=UTC)
END = BEGIN + timedelta(days=1)
MINUTE = timedelta(minutes=1)
HOURLY = CronTiming("0 * * * *", "Europe/Berlin")
HALF_HOURLY = CronTiming("*/30 * * * *", "Europe/Berlin")


def at(hours: float) -> datetime:
    return BEGIN + timedelta(hours=hours)


def version(number: int, hours: float, timing: Timing | None = HOURLY, **more) -> Version:
    given = {"changed_by": "ann", "note": ""} | more
    return Version(number=number, changed_at=at(hours), timing=timing, **given)


def row(run_id: int, hours: float, **more) -> Row:
    moment = at(hours)
    given = {"until": None, "count": 0, "became": "started", "decided_by": "beat", "created_at": moment}
    return Row(run_id=run_id, scheduled_for=moment, **given | more)


def missed(run_id: int, first: float, last: float, count: int) -> Row:
    return row(run_id, first, until=at(last), count=count, became="missed", created_at=at(last + 1))


def verdict(versions: list[Version], rows: list[Row], **more) -> Verdict:
    history = History(versions)
    following = history.next_due(END)
    standing = Standing(
        now=END,
        on_time=MINUTE,
        next_run_at=following.at if following else None,
        timing_error="",
        outside="outside",
    )
    window = {"start": BEGIN, "end": END}
    standing = replace(standing, **{key: value for key, value in more.items() if key not in window})
    window |= {key: value for key, value in more.items() if key in window}
    return judge(history, rows, standing=standing, **window)


ALL_DAY = [row(hour + 1, hour) for hour in range(24)]
SINCE_YESTERDAY = [version(1, -24)]


def found(judged: Verdict) -> list[tuple[Wrong, datetime, int]]:
    return [(finding.wrong, finding.at, finding.count) for finding in judged.findings]


def test_one_row_for_each_instant_is_clean():
    judged = verdict(SINCE_YESTERDAY, ALL_DAY)
    assert (judged.is_clean, judged.due, judged.became) == (True, 24, Counter(started=24))


@given(st.integers(0, 23))
def test_a_row_that_is_gone_is_missing(hour):
    judged = verdict(SINCE_YESTERDAY, ALL_DAY[:hour] + ALL_DAY[hour + 1 :])
    assert found(judged) == [(Wrong.MISSING, at(hour), 1)]


@given(st.integers(0, 23))
def test_a_second_row_is_doubled(hour):
    judged = verdict(SINCE_YESTERDAY, sorted([*ALL_DAY, row(99, hour)], key=by_instant))
    assert found(judged) == [(Wrong.DOUBLED, at(hour), 1)]
    assert set(judged.findings[0].runs) == {hour + 1, 99}


@given(st.integers(0, 23), st.integers(1, 59))
def test_a_row_between_the_instants_is_extra(hour, minutes):
    stray = row(99, hour + minutes / 60)
    judged = verdict(SINCE_YESTERDAY, sorted([*ALL_DAY, stray], key=by_instant))
    assert found(judged) == [(Wrong.EXTRA, stray.scheduled_for, 1)]


@given(st.integers(0, 23), st.integers(1, 59))
def test_a_shifted_row_is_one_missing_and_one_extra(hour, minutes):
    moved = replace(ALL_DAY[hour], scheduled_for=at(hour + minutes / 60))
    judged = verdict(SINCE_YESTERDAY, sorted([*ALL_DAY[:hour], moved, *ALL_DAY[hour + 1 :]], key=by_instant))
    assert Counter(wrong for wrong, _, _ in found(judged)) == {Wrong.MISSING: 1, Wrong.EXTRA: 1}


def by_instant(it: Row) -> tuple[datetime, int]:
    return it.scheduled_for, it.run_id


def test_a_range_of_missed_instants_stands_for_each_of_them():
    rows = [*ALL_DAY[:5], missed(50, 5, 9, 5), *ALL_DAY[10:]]
    judged = verdict(SINCE_YESTERDAY, rows)
    assert (judged.is_clean, judged.due, judged.became["missed"]) == (True, 24, 5)


@pytest.mark.parametrize("count", [4, 6])
def test_a_range_that_counts_wrongly_is_found(count):
    judged = verdict(SINCE_YESTERDAY, [*ALL_DAY[:5], missed(50, 5, 9, count), *ALL_DAY[10:]])
    assert found(judged) == [(Wrong.WRONG_COUNT, at(5), 1)]


def test_a_range_that_begins_beside_an_instant_is_found_though_its_count_is_right():
    judged = verdict(SINCE_YESTERDAY, [*ALL_DAY[:5], missed(50, 4.5, 9, 5), *ALL_DAY[10:]])
    assert found(judged) == [(Wrong.WRONG_COUNT, at(4.5), 1)]


def test_a_row_inside_a_range_is_doubled():
    rows = [*ALL_DAY[:5], missed(50, 5, 9, 5), row(60, 7), *ALL_DAY[10:]]
    assert found(verdict(SINCE_YESTERDAY, rows)) == [(Wrong.DOUBLED, at(7), 1)]


def test_two_ranges_that_overlap_are_doubled_where_they_do():
    rows = [*ALL_DAY[:5], missed(50, 5, 8, 4), missed(51, 7, 9, 3), *ALL_DAY[10:]]
    assert found(verdict(SINCE_YESTERDAY, rows)) == [(Wrong.DOUBLED, at(7), 2)]


def test_a_range_that_reaches_into_the_time_covers_its_part_of_it():
    judged = verdict(SINCE_YESTERDAY, [missed(50, -3, 2, 6), *ALL_DAY[3:]])
    assert (judged.is_clean, judged.due, judged.became["missed"]) == (True, 24, 3)


def test_a_range_that_reaches_beyond_the_time_is_counted_whole():
    judged = verdict(SINCE_YESTERDAY, [*ALL_DAY[:10], missed(50, 10, 15, 6)], end=at(12))
    assert (judged.is_clean, judged.due) == (True, 12)


def test_an_edit_applies_strictly_after_its_moment():
    versions = [version(1, -24), version(2, 12, HALF_HOURLY)]
    rows = [*ALL_DAY[:13], *(row(30 + n, 12 + n / 2) for n in range(1, 24))]
    assert verdict(versions, rows).is_clean


def test_a_row_of_a_revision_that_was_replaced_is_extra_and_says_so():
    versions = [version(1, -24, HALF_HOURLY), version(2, -1, HOURLY)]
    judged = verdict(versions, sorted([*ALL_DAY, row(99, 7.5)], key=by_instant))
    assert found(judged) == [(Wrong.EXTRA, at(7.5), 1)]
    assert "revision 1 has this instant" in judged.findings[0].cause


@pytest.mark.parametrize(
    ("off", "cause"),
    [({"enabled": False}, "disabled"), ({"paused_until": at(20)}, "paused")],
)
def test_nothing_is_due_while_it_is_off(off, cause):
    versions = [version(1, -24), version(2, 5.5, **off), version(3, 9.5)]
    rows = [*ALL_DAY[:6], *ALL_DAY[10:]]
    assert verdict(versions, rows).is_clean
    judged = verdict(versions, [*ALL_DAY[:7], *ALL_DAY[10:]])
    assert found(judged) == [(Wrong.EXTRA, at(6), 1)]
    assert cause in judged.findings[0].cause


def test_the_end_of_a_pause_belongs_to_it_no_more():
    versions = [version(1, -24), version(2, 5.5, paused_until=at(8))]
    assert verdict(versions, [*ALL_DAY[:6], *ALL_DAY[8:]]).is_clean


def test_before_it_existed_nothing_was_due():
    assert verdict([version(1, 5.5)], ALL_DAY[6:]).is_clean
    judged = verdict([version(1, 5.5)], ALL_DAY[5:])
    assert found(judged) == [(Wrong.EXTRA, at(5), 1)]


@pytest.mark.parametrize("hours", [1, 13])
def test_a_moment_fires_once_even_if_it_was_past_when_it_was_set(hours):
    versions = [version(1, 12, MomentTiming(at(hours)))]
    assert verdict(versions, [row(1, hours, created_at=at(13))]).is_clean
    assert found(verdict(versions, [])) == [(Wrong.MISSING, at(hours), 1)]


def test_what_an_edit_settles_is_not_taken_for_the_moment_that_it_sets():
    again = WindowTiming(MomentTiming(at(5)), not_after=at(20))
    versions = [version(1, 2, MomentTiming(at(5))), version(2, 12, again)]
    assert verdict(versions, [row(1, 5, created_at=at(12))]).is_clean


def test_a_past_moment_that_is_set_again_has_its_run_already():
    again = WindowTiming(MomentTiming(at(1)), not_after=at(20))
    versions = [version(1, 2, MomentTiming(at(1))), version(2, 12, again)]
    assert verdict(versions, [row(1, 1, created_at=at(2.1))]).is_clean


@pytest.mark.parametrize("off", [{"enabled": False}, {"paused_until": at(14)}])
def test_a_moment_that_passed_while_it_was_off_is_not_due(off):
    versions = [version(1, 12, MomentTiming(at(1)), **off), version(2, 15, MomentTiming(at(1)))]
    assert verdict(versions, []).is_clean


def test_a_past_moment_may_lie_in_a_range_that_was_missed_before_it_was_set():
    versions = [version(1, -24), version(2, 10, MomentTiming(at(6.5)))]
    rows = [*ALL_DAY[:5], missed(50, 5, 10, 6), row(60, 6.5, created_at=at(10.1))]
    assert verdict(versions, rows).is_clean


def test_runs_by_boot_are_counted_and_not_judged():
    judged = verdict([version(1, -24, BootTiming())], [row(1, 3.123)])
    assert (judged.is_clean, judged.by_boot, judged.due) == (True, 1, 0)


def test_a_run_of_a_schedule_without_a_time_is_extra():
    assert found(verdict([version(1, -24, NoTiming())], [row(1, 3)])) == [(Wrong.EXTRA, at(3), 1)]


def test_what_is_younger_than_on_time_may_still_be_undecided():
    every_ten = [version(1, -24, IntervalTiming(timedelta(seconds=10), BEGIN - timedelta(days=2)))]
    rows = [row(n, n / 360) for n in range(8640 - 6)]
    judged = verdict(every_ten, rows, next_run_at=at((8640 - 6) / 360))
    assert (judged.is_clean, judged.due, judged.pending) == (True, 8634, 6)


def test_what_is_older_is_missing_and_the_cause_is_that_nobody_decides():
    judged = verdict(SINCE_YESTERDAY, ALL_DAY[:20], next_run_at=at(20))
    assert found(judged) == [(Wrong.MISSING, at(20), 4)]
    assert "is a beat running?" in judged.findings[0].cause


def test_a_schedule_that_was_set_aside_says_so():
    judged = verdict(SINCE_YESTERDAY, ALL_DAY[:20], next_run_at=None, timing_error="no such zone")
    assert "no such zone" in judged.findings[0].cause


def test_the_time_before_somebody_disabled_it_elsewhere_is_not_judged():
    versions = [version(1, -24), version(2, 10.5, enabled=False, changed_by="outside")]
    judged = verdict(versions, ALL_DAY[:8])
    assert (judged.is_clean, judged.due, len(judged.unjudged)) == (True, 8, 1)
    moment = [version(1, -24, MomentTiming(at(-30))), replace(versions[1], timing=MomentTiming(at(-30)))]
    assert verdict(moment, [], start=at(-40)).is_clean
    # ... but only from the last row on, and only where the edit came from elsewhere.
    assert found(verdict(versions, [*ALL_DAY[:4], *ALL_DAY[5:8]])) == [(Wrong.MISSING, at(4), 1)]
    ours = [versions[0], replace(versions[1], changed_by="ann")]
    assert found(verdict(ours, ALL_DAY[:8])) == [(Wrong.MISSING, at(8), 3)]


def test_a_revision_that_cannot_be_read_is_not_judged():
    versions = [version(1, -24), version(2, 10.5, None, problem="KeyError: 'timing'")]
    judged = verdict(versions, [*ALL_DAY[:11], row(99, 17.1)])
    assert (judged.is_clean, judged.due) == (True, 11)
    assert "KeyError" in judged.unjudged[0]


@pytest.mark.parametrize("set_to", [None, END + timedelta(hours=3), END + MINUTE])
def test_a_schedule_that_waits_for_the_wrong_instant_is_found_before_it_misses_one(set_to):
    judged = verdict(SINCE_YESTERDAY, ALL_DAY, next_run_at=set_to)
    assert [wrong for wrong, _, _ in found(judged)] == [Wrong.WRONG_NEXT]


def test_a_schedule_that_is_off_and_still_waits_is_found():
    versions = [version(1, -24), version(2, 5.5, enabled=False)]
    judged = verdict(versions, ALL_DAY[:6], next_run_at=END + timedelta(hours=1))
    assert [wrong for wrong, _, _ in found(judged)] == [Wrong.WRONG_NEXT]


def test_memory_is_bounded_however_much_is_wrong():
    every_minute = [version(1, -24, CronTiming("* * * * *", "UTC"))]
    shifted = [row(n, (n + 0.5) / 60) for n in range(1440)]
    judged = verdict(every_minute, shifted)
    assert len(judged.findings) == MOST_FINDINGS
    assert judged.wrong == {Wrong.MISSING: 1440, Wrong.EXTRA: 1440}
    assert verdict(every_minute, []).findings[0].count == 1440
