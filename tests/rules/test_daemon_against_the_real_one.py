"""The daemon's side of the equivalence report against Debian's own cron, where it can be run.

The lines are random: nothing can have been fitted to them.
"""

import random

import pytest

from tests.rules.cron_samples import random_expression
from tests.rules.daemon import cases, real, recorded
from tests.rules.daemon.windows import HOURS_NEAR_A_CHANGE, window
from tests.rules.test_daemon import instants, judged

WHY_NOT = real.why_not()
pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]

PLACES = (
    *("Berlin, spring, +1 h", "Berlin, autumn, -1 h", "Lord Howe, spring, +30 min", "Troll, -2 h"),
    *(
        "Havana, autumn, -1 h back to midnight",
        "Apia, a day skipped",
        "Casey, -3 h, just near enough to hold back",
    ),
)


@pytest.fixture(scope="module")
def cron(tmp_path_factory):
    return real.RealCron(tmp_path_factory.mktemp("cron"))


@pytest.mark.parametrize("name", PLACES)
def test_lines_start_in_the_same_minutes(cron, name):
    of, chance = window(name), random.Random(f"daemon {name}")
    for _ in range(4):
        line = random_expression(chance, hours=HOURS_NEAR_A_CHANGE)
        [started] = cron.firings([line], of.zone, of.start, of.end)

        assert instants(line, of.zone, of.start, of.end) == recorded.instants(name, line, started), line


def test_the_same_lines_are_refused(cron):
    chance = random.Random(11)
    lines = [cases.damaged(random_expression(chance), chance) for _ in range(300)]

    assert [judged(line) == "refused" for line in lines] == cron.refuses(lines)
