"""What Debian's daemon did when it was asked, kept in recorded.json for machines where it cannot run.

    python -m tests.rules.daemon.recorded        asks it again and writes the file (root, about a minute)

Starts are kept as the daemon made them, in minutes from the window's begin: repeated where it started
a line twice, late where it was busy. `instants` makes of them what the engine promises.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise, takewhile
from pathlib import Path

from tests.rules.daemon import cases, real
from tests.rules.daemon.model import Job
from tests.rules.daemon.windows import CALENDARS, CHANGES, Window, wall_minute, window

FILE = Path(__file__).with_name("recorded.json")
_MINUTE = timedelta(minutes=1)


def load() -> dict[str, dict[str, str]]:
    """Per window the starts of each line, packed; under "refused" the lines that the daemon refuses."""
    found: dict[str, dict[str, str]] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def starts(cron: real.RealCron, name: str, of: Sequence[str]) -> dict[str, str]:
    """Asks the daemon about lines in a window.

    Over a gap each line has a crontab of its own: the daemon pauses ten seconds after each missed
    minute that it makes up for, which delays the other lines of a crontab.
    """
    asked = window(name)
    crontabs = [[line] for line in of] if asked.jump > 0 else [of]
    found = [one for crontab in crontabs for one in cron.firings(crontab, asked.zone, asked.start, asked.end)]
    return {line: packed(asked, moments) for line, moments in zip(of, found, strict=True)}


def refused(cron: real.RealCron) -> dict[str, str]:
    """Asks the daemon about the doubtful lines: "refused" or "accepted"."""
    of = cases.doubtful_lines()
    answers = cron.refuses(of)
    return {line: "refused" if no else "accepted" for line, no in zip(of, answers, strict=True)}


def instants(name: str, line: str, started: Sequence[datetime]) -> list[datetime]:
    """The starts, once each; those that were made up for late are moved to the end of the gap.

    A start is made up for if the line does not match the wall clock at which it happened.
    """
    of = window(name)
    if of.jump <= 0:
        return sorted(set(started))
    job = Job(cases.plain(line))
    on_time = {moment for moment in started if job.matches(wall_minute(of.zone, moment))}
    late = {of.change for moment in started if moment not in on_time and of.change}
    return sorted(on_time | late)


def packed(of: Window, moments: Sequence[datetime]) -> str:
    """ "10 20+5*3 60+0*2" for the minutes 10, 20, 25, 30, 60, 60 of the window."""
    minutes = [(moment - of.start) // _MINUTE for moment in moments]
    return " ".join(_runs(minutes))


def unpacked(of: Window, text: str) -> list[datetime]:
    moments: list[datetime] = []
    for run in text.split():
        first, _, rest = run.partition("+")
        step, _, count = rest.partition("*")
        minutes = (int(first) + number * int(step or 0) for number in range(int(count or 1)))
        moments += [of.start + minute * _MINUTE for minute in minutes]
    return moments


def _runs(minutes: Sequence[int]) -> Iterator[str]:
    """Three or more minutes at equal distances are written as one run."""
    at = 0
    while at < len(minutes):
        count = _evenly_spaced(minutes[at:])
        if count < 3:
            yield str(minutes[at])
            at += 1
        else:
            yield f"{minutes[at]}+{minutes[at + 1] - minutes[at]}*{count}"
            at += count


def _evenly_spaced(minutes: Sequence[int]) -> int:
    """How many of the minutes, from the first on, have the distance of the first two."""
    distances = [later - earlier for earlier, later in pairwise(minutes)]
    return 1 + len(list(takewhile(lambda distance: distance == distances[0], distances)))


def main() -> None:
    if missing := real.why_not():
        raise SystemExit(f"The daemon cannot be asked here: {missing}.")
    with tempfile.TemporaryDirectory() as folder:
        cron = real.RealCron(Path(folder))
        found = {name: starts(cron, name, cases.lines(name)) for name in (*CHANGES, *CALENDARS)}
        found["refused"] = refused(cron)
    FILE.write_text(json.dumps(found, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
