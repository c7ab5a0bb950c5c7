"""Between the *when* box and the columns that hold a timing: ours, or rows of django-celery-beat.

Rows of intervals, crontabs and moments are shared by schedules: one is found or made for what was
typed, none is ever edited. Called by the schedule form and the list; the text itself is read and
written by `rules.when`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from django.conf import settings
from django_celery_beat.models import ClockedSchedule, IntervalSchedule, SolarSchedule

from schedules.admin import words
from schedules.errors import BeatkeeperError
from schedules.models import Schedule
from schedules.models.schedule import reserved_interval
from schedules.rules import cron, timing, wording
from schedules.rules import when as whens
from schedules.rules.cron import CronExpression
from schedules.rules.cron.clock import zone
from schedules.rules.timing import CronTiming
from schedules.rules.when import ByHand, CronText, Every, Once, Sun, When

SHOWN = 5
_OFTEN = timedelta(seconds=10)


@dataclass(frozen=True)
class Typed:
    """The inputs that say when; `gap` and `repeat` are "" where clock changes are left to the dialect."""

    when: str
    dialect: str
    timezone: str
    gap: str = ""
    repeat: str = ""


def shown(schedule: Schedule) -> Typed:
    """What the inputs hold for the row as it is."""
    own_zone = schedule.timezone or settings.TIME_ZONE
    if schedule.crontab is not None:
        row = schedule.crontab
        fields = (row.minute, row.hour, row.day_of_month, row.month_of_year, row.day_of_week)
        return Typed(" ".join(fields), "celery", str(row.timezone))
    text = whens.write(_when(schedule), timezone=words.zone_or_viewers(own_zone).key)
    return Typed(text.strip(), schedule.dialect, own_zone, schedule.gap, schedule.repeat)


def _when(schedule: Schedule) -> When:
    if schedule.clocked is not None:
        return Once(schedule.clocked.clocked_time)
    if schedule.solar is not None:
        row = schedule.solar
        return Sun(row.event, float(row.latitude), float(row.longitude))
    if schedule.interval is not None and not schedule.has_own_timing:
        return Every(schedule.interval.every, schedule.interval.period)
    return CronText(schedule.cron) if schedule.cron else ByHand()


def put(schedule: Schedule, when: When, typed: Typed) -> None:
    """Sets the columns of the instance; makes the shared row where there is none yet. In a transaction.

    A moment is one-off by nature; a timing that takes its place is not.
    """
    was_moment = schedule.clocked_id is not None
    schedule.crontab = schedule.clocked = schedule.solar = None
    schedule.cron = schedule.gap = schedule.repeat = ""
    schedule.timezone, schedule.dialect = typed.timezone, typed.dialect
    match when:
        case Every(count, unit):
            schedule.interval = _interval(count, unit)
        case Once(at):
            schedule.interval = None
            schedule.clocked = _moment(at)
        case Sun():
            schedule.interval = None
            schedule.solar = _sun(when)
        case CronText(text):
            schedule.interval, schedule.cron = reserved_interval(), text
            schedule.gap, schedule.repeat = typed.gap, typed.repeat
        case ByHand():
            schedule.interval = reserved_interval()
    if was_moment or schedule.clocked is not None:
        schedule.one_off = schedule.clocked is not None


def _interval(count: int, unit: str) -> IntervalSchedule:
    """Rows of equal values may exist more than once: the oldest will do."""
    found = IntervalSchedule.objects.filter(every=count, period=unit).order_by("pk").first()
    return found or IntervalSchedule.objects.create(every=count, period=unit)


def _moment(at: datetime) -> ClockedSchedule:
    found = ClockedSchedule.objects.filter(clocked_time=at).order_by("pk").first()
    return found or ClockedSchedule.objects.create(clocked_time=at)


def _sun(sun: Sun) -> SolarSchedule:
    """django-celery-beat keeps them unique."""
    place = {name: Decimal(f"{getattr(sun, name):.6f}") for name in ("latitude", "longitude")}
    return SolarSchedule.objects.get_or_create(event=sun.event, **place)[0]


@dataclass(frozen=True)
class Due:
    """One of the next instants, in the schedule's zone and in the viewer's ("" where that is the same)."""

    relative: str
    absolute: str
    viewers: str
    mark: str


@dataclass(frozen=True)
class Preview:
    """What a timing means: words, the next instants, what was chosen for it, what may not be as intended."""

    words: str
    due: list[Due]
    remarks: list[str]
    warnings: list[str]


def preview(
    when: When,
    typed: Typed,
    *,
    now: datetime,
    anchor: datetime,
    name: str = "",
    start: datetime | None = None,
    end: datetime | None = None,
) -> Preview:
    """`name` is the schedule's: it chooses the values of `H` and `~`. Raises InvalidSchedule."""
    plain = whens.timing_for(
        when,
        timezone=typed.timezone,
        dialect=typed.dialect,
        anchor=start or anchor,
        include_anchor=start is not None,
        gap=typed.gap,
        repeat=typed.repeat,
        seed=name,
    )
    plan = _plan(plain)
    whole = timing.within(plain, not_before=start, not_after=end)
    instants = list(_next(whole, now))
    return Preview(
        words=wording.describe(whole),
        due=[_due(at, before, typed.timezone, now) for before, at in pairwise([now, *instants])],
        remarks=list(_remarks(plan)),
        warnings=list(_warnings(when, typed, plan, whole, instants, now)),
    )


def _next(whole: timing.Timing, now: datetime) -> Iterator[datetime]:
    at: datetime | None = now
    for _ in range(SHOWN):
        at = whole.next_after(at) if at is not None else None
        if at is None:
            return
        yield at


def _due(at: datetime, before: datetime, zone_name: str, now: datetime) -> Due:
    here, viewers = zone(zone_name), words.viewer_zone()
    changed = at.astimezone(here).utcoffset() != before.astimezone(here).utcoffset()
    return Due(
        relative=words.relative(at, now),
        absolute=words.absolute(at, here),
        viewers="" if viewers.key == here.key else words.absolute(at, viewers),
        mark="the clocks change before this one" if changed else "",
    )


def _plan(plain: timing.Unbounded) -> CronExpression | None:
    """The expression as it was read; None where the timing is no cron text."""
    if not isinstance(plain, CronTiming):
        return None
    return cron.parse(plain.expression, plain.dialect, seed=plain.seed)


def _remarks(plan: CronExpression | None) -> Iterator[str]:
    """What the schedule's name chose."""
    for choice in plan.choices if plan else ():
        yield f"{choice[:1].upper()}{choice[1:]}."


def _warnings(
    when: When,
    typed: Typed,
    plan: CronExpression | None,
    whole: timing.Timing,
    instants: list[datetime],
    now: datetime,
) -> Iterator[str]:
    if plan is not None:
        yield from (f"{note[:1].upper()}{note[1:]}." for note in plan.notes)
        if plan.either_day and len(plan.days) < 31 and len(plan.weekdays) < 7:
            yield "Both day fields are set: a day counts if either of them matches."
        if plan.never_fires:
            yield f"It never fires: {plan.why_never}."
            return
    if isinstance(when, Once) and when.at <= now:
        yield "This moment is past: it fires once, as soon as the schedule is saved."
    elif not instants and not isinstance(when, ByHand) and typed.when.strip() != "@reboot":
        yield "It is never due between its start and its end."
    if (typed.gap or typed.repeat) and not isinstance(when, CronText):
        yield "The rules for clock changes are for cron fields only: this one follows real time."
    if isinstance(when, Every) and when.length < _OFTEN:
        yield "That is very often: each run is kept in the history."


def in_words(schedule: Schedule) -> str:
    """The timing of the revision in force, as a phrase; "" where there is none."""
    if schedule.revision is None:
        return ""
    try:
        return wording.describe(timing.from_dict(schedule.revision.definition["timing"]))
    except (BeatkeeperError, KeyError):
        return ""
