"""What the next instant of a cron expression costs, beside croniter, cronsim and Celery's crontab.

    python -m benchmarks.next_fire

Prints microseconds for each call and how many times as long each library takes as Beatkeeper; then
the same for a year of instants, one by one and (`fire_days`) a day at a time, as the equivalence report
reads them. Every figure is the best of several runs in this process. Each
library does what its users do: croniter and cronsim build an iterator for the moment and take one
step; Celery estimates with a `crontab` that exists. Their answers differ near clock changes (see
tests/rules); the moment here is an ordinary one.
"""

import timeit
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import takewhile
from zoneinfo import ZoneInfo

from celery import Celery
from celery.schedules import crontab
from croniter import croniter
from cronsim import CronSim

from schedules.rules.cron import fire_days, fire_times, next_fire

ZONE = "Europe/Berlin"
AFTER = datetime(2026, 5, 19, 12, 3, 4, tzinfo=UTC)
EXPRESSIONS = (
    "* * * * *",
    "*/5 * * * *",
    "30 2 * * *",
    "0 9-17 * * 1-5",
    "0 0 * * 1",
    "0 0 1 * *",
    "0 0 1 1 *",
    "0 12 13 * 5",
    "0 0 29 2 *",
    "0 0 31 2 *",
)
YEARS = ("* * * * *", "*/5 * * * *", "0 * * * *", "0 9-17 * * 1-5", "30 2 * * *")
NEXT_COLUMNS = ("beatkeeper", "croniter", "cronsim", "celery")
YEAR_COLUMNS = ("beatkeeper", "fire_days", "croniter", "cronsim")
Call = Callable[[], object]


def main() -> None:
    print(f"The next instant after {AFTER:%Y-%m-%d %H:%M:%S} UTC in {ZONE}, microseconds a call")
    _table({expression: _next_calls(expression) for expression in EXPRESSIONS}, NEXT_COLUMNS, 1e6)
    print("\nEvery instant of one year, milliseconds")
    _table({expression: _year_calls(expression) for expression in YEARS}, YEAR_COLUMNS, 1e3)


def _next_calls(expression: str) -> dict[str, Call]:
    local = AFTER.astimezone(ZoneInfo(ZONE))
    return {
        "beatkeeper": lambda: next_fire(expression, ZONE, AFTER),
        "croniter": lambda: croniter(expression, local).get_next(datetime),
        "cronsim": lambda: next(CronSim(expression, local)),
        **_celery_call(expression),
    }


def _celery_call(expression: str) -> dict[str, Call]:
    minute, hour, day, month, weekday = expression.split()
    app = Celery("benchmark", set_as_current=False)
    app.conf.update(timezone=ZONE)
    try:
        schedule = crontab(
            minute=minute,
            hour=hour,
            day_of_month=day,
            month_of_year=month,
            day_of_week=weekday,
            nowfun=lambda: AFTER,
            app=app,
        )
    except ValueError as refusal:  # dates that never occur
        return {"celery": partial(_raise, refusal)}
    return {"celery": lambda: schedule.remaining_estimate(AFTER)}


def _raise(refusal: Exception) -> None:
    raise refusal


def _year_calls(expression: str) -> dict[str, Call]:
    local = AFTER.astimezone(ZoneInfo(ZONE))
    end = AFTER + timedelta(days=365)
    return {
        "beatkeeper": lambda: _count(fire_times(expression, ZONE, AFTER, end)),
        "fire_days": lambda: sum(len(day) for _, day in fire_days(expression, ZONE, AFTER, end)),
        "croniter": lambda: _count(
            takewhile(lambda moment: bool(moment < end), croniter(expression, local, ret_type=datetime))
        ),
        "cronsim": lambda: _count(takewhile(lambda moment: bool(moment < end), CronSim(expression, local))),
    }


def _count(moments: Iterable[datetime]) -> int:
    return sum(1 for _ in moments)


def _table(rows: dict[str, dict[str, Call]], columns: Sequence[str], unit: float) -> None:
    print(f"{'expression':<18}" + "".join(f"{column:>20}" for column in columns))
    for expression, calls in rows.items():
        costs = {library: _cost(call) for library, call in calls.items()}
        cells = "".join(f"{_cell(costs, library, unit):>20}" for library in columns)
        print(f"{expression:<18}{cells}", flush=True)


def _cell(costs: dict[str, float | None], library: str, unit: float) -> str:
    if library not in costs:
        return "-"
    cost, ours = costs[library], costs["beatkeeper"]
    if cost is None or ours is None:
        return "refused"
    digits = 1 if cost >= ours else 3
    return f"{cost * unit:,.{digits}f} (x{cost / ours:,.{digits}f})"


def _cost(call: Call) -> float | None:
    """Seconds of one call, the best of three runs of about a tenth of a second; None if it fails."""
    try:
        count, seconds = timeit.Timer(call).autorange()
    except Exception:  # each library has its own way to refuse
        return None
    if seconds > 2:
        return seconds / count
    return min(seconds, *timeit.repeat(call, number=count, repeat=2)) / count


if __name__ == "__main__":
    main()
