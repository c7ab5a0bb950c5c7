"""Which schedule a start in cron's log belongs to: by its account and its command, as cron writes them.

Schedules with the same of both are one group: a log cannot tell them apart. Called by `comparing`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from schedules.models import Schedule
from schedules.rules.cron_log import Start, logged, without_pid

MOST_UNKNOWN = 200
"""Commands of no schedule that are kept."""

Times = list[datetime]


def groups(schedules: Iterable[Schedule]) -> list[list[Schedule]]:
    """Those that are compared, by group. `@reboot` is not: no instant of it is known."""
    found: dict[tuple[str, str], list[Schedule]] = defaultdict(list)
    for row in schedules:
        if is_compared(row):
            found[_key(row)].append(row)
    return list(found.values())


def is_compared(row: Schedule) -> bool:
    return row.cron.strip() != "@reboot" and row.has_own_timing


def by_group(
    starts: Iterable[Start], schedules: Sequence[Schedule]
) -> tuple[dict[int, Times], dict[tuple[str, str], Times]]:
    """Times by the first schedule of their group; and those of no schedule, by account and command."""
    finder = Finder(sorted(schedules, key=lambda row: not is_compared(row)))
    known: dict[int, Times] = defaultdict(list)
    unknown: dict[tuple[str, str], Times] = defaultdict(list)
    for start in starts:
        key = finder.find(start)
        if key is not None:
            known[key].append(start.at)
        elif (start.account, start.command) in unknown or len(unknown) < MOST_UNKNOWN:
            unknown[start.account, start.command].append(start.at)
    return known, unknown


class Finder:
    """From an account and a logged command to the first of the schedules that have both."""

    def __init__(self, schedules: Iterable[Schedule]) -> None:
        self._exact: dict[tuple[str, str], int] = {}
        for row in schedules:
            self._exact.setdefault(_key(row), row.pk)
        self._found: dict[tuple[str, str, bool], int | None] = {}

    def find(self, start: Start) -> int | None:
        asked = (start.account, start.command, start.is_cut)
        if asked not in self._found:
            self._found[asked] = self._search(start)
        return self._found[asked]

    def _search(self, start: Start) -> int | None:
        for command in (start.command, without_pid(start.command)):
            for account in (start.account, ""):  # "": the worker's own account, whichever that is
                if (pk := self._exact.get((account, command))) is not None:
                    return pk
        if not start.is_cut:
            return None
        accounts = (start.account, "")
        heads = [
            pk
            for (account, command), pk in self._exact.items()
            if account in accounts and command.startswith(start.command)
        ]
        return heads[0] if len(heads) == 1 else None


def _key(row: Schedule) -> tuple[str, str]:
    return row.run_as, logged(row.command)
