"""The lines that the daemon is asked about, by window, and those that it may refuse."""

import random

from tests.rules.cron_samples import random_expression
from tests.rules.daemon.windows import CALENDARS, HOURS_NEAR_A_CHANGE

# What begins with a star follows real time; the rest is of fixed time.
_CLOCK_LINES = (
    *("* * * * *", "*/5 * * * *", "*/15 2 * * *", "*,30 2 * * *", "30 */2 * * *", "30 * * * *"),
    *("@hourly", "0-59 * * * *", "* 2 * * *", "*x 2 * * *", "*/90 * * * *", "*/7 0-3 * * *"),
    *("30 2 * * *", "0 2-3 * * *", "0 0 * * *", "30,* 2 * * *", "30 2,* * * *", "@daily", "@midnight"),
    *("0 3 * * *", "59 1 * * *", "30 23 * * *", "0 1,2 * * *", "15 0,1,2,3,23 * * *", "30 0-23 * * *"),
    *("0-40/20 0-3 * * *", "30 2 * * sun", "30 2 * * 1", "30 2 */2 * *", "30 2 1-31/2 * 0", "@weekly"),
    *("0 22-2 * * *", "0 2 * * fri-mon", "0~30 2 * * *", "5;6 1-3 * * *", "0 2 * * 5#2", "08 02 * * 0-7"),
)
_CALENDAR_LINES = (
    *("0 12 */2 * 1", "0 12 1 * 1", "0 12 5,* * 1", "0 12 1-31/2 * 1", "0 12 *,5 * 1", "0 12 1-7 * */3"),
    *(
        "0 0 31 * *",
        "0 0 30,31 * *",
        "0 0 29 2 *",
        "0 0 28-31 * *",
        "0 0 31 2 *",
        "* * 29 2 *",
        "0 6 5-1 * 2",
    ),
    *(
        "@monthly",
        "@yearly",
        "@annually",
        "@weekly",
        "@midnight",
        "0 0 1 1 *",
        "0 0 1 */3 *",
        "0 0 1 2-12/10 *",
    ),
    *(
        "0 12 * * 7",
        "0 12 * * 0-7",
        "0 12 * * mon-sun",
        "0 12 * * Sat,SUN",
        "0 12 * * sun-sat",
        "0 12 * * 5-7",
    ),
    *("0 12 * feb,MAR *", "0 12 * dec-jan *", "0 12 29 2 mon", "0 12 * jan-3 1-7/3", "*/30 */6 31-31 1-12 *"),
)
# What these mean, in fields that the model of the daemon reads.
_PLAIN = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "*x 2 * * *": "* 2 * * *",
    "0~30 2 * * *": "0 2 * * *",
    "5;6 1-3 * * *": "5 1-3 * * *",
    "0 2 * * 5#2": "0 2 * * 5",
}
_DAMAGE = "*,-/#~.;x?L%!079"


def lines(name: str) -> list[str]:
    """What is recorded for a window: the same lines at every call."""
    chance = random.Random(f"recorded {name}")
    if name in CALENDARS:
        return [*_CALENDAR_LINES, *(random_expression(chance, hours=range(24)) for _ in range(25))]
    return [*_CLOCK_LINES, *(random_expression(chance, hours=HOURS_NEAR_A_CHANGE) for _ in range(20))]


def plain(line: str) -> str:
    """The line without macros and without text that cron skips."""
    return _PLAIN.get(line, line)


def doubtful_lines() -> list[str]:
    """Expressions with one character put in, not as the first: `#` would make a comment."""
    chance = random.Random("doubtful")
    return [damaged(random_expression(chance), chance) for _ in range(600)]


def damaged(expression: str, chance: random.Random) -> str:
    at = chance.randrange(1, len(expression))
    return expression[:at] + chance.choice(_DAMAGE) + expression[at:]
