"""Days that only a calendar can name: the last one, the nearest working day, the second Friday.

A rule is asked for one month at a time and answers with a mask: bit n stands for day n. It needs to
know the month's length and the weekday (0 = Sunday) of its day 0, the day before the first. Made by
`cron.extended`, asked by `cron.expression`.
"""

from dataclasses import dataclass

_SATURDAY, _SUNDAY = 6, 0


@dataclass(frozen=True, slots=True)
class FromTheEnd:
    """`L`, `L-3`: so many days before the last; a month that is too short has none."""

    days_before: int = 0

    def mask(self, length: int, day_zero: int) -> int:
        day = length - self.days_before
        return 1 << day if day >= 1 else 0


@dataclass(frozen=True, slots=True)
class NearestWorkingDay:
    """`15W`, `LW`, `L-3W`: the day from Monday to Friday of the same month that is nearest to it.

    Saturday gives the Friday before, Sunday the Monday after, unless that is another month. A month
    without the day has none.
    """

    target: int | FromTheEnd

    def mask(self, length: int, day_zero: int) -> int:
        day = self.target if isinstance(self.target, int) else length - self.target.days_before
        return 1 << self._moved(day, length, day_zero) if 1 <= day <= length else 0

    @staticmethod
    def _moved(day: int, length: int, day_zero: int) -> int:
        weekday = (day_zero + day) % 7
        if weekday == _SATURDAY:
            return day - 1 if day > 1 else day + 2
        if weekday == _SUNDAY:
            return day + 1 if day < length else day - 2
        return day


@dataclass(frozen=True, slots=True)
class NthWeekday:
    """`5#2`: the second Friday; a month without a fifth one has none."""

    weekday: int
    number: int

    def mask(self, length: int, day_zero: int) -> int:
        first = (self.weekday - day_zero - 1) % 7 + 1
        day = first + 7 * (self.number - 1)
        return 1 << day if day <= length else 0


@dataclass(frozen=True, slots=True)
class LastWeekday:
    """`5L`: the last Friday."""

    weekday: int

    def mask(self, length: int, day_zero: int) -> int:
        return 1 << length - (day_zero + length - self.weekday) % 7


DateRule = FromTheEnd | NearestWorkingDay
WeekdayRule = NthWeekday | LastWeekday
