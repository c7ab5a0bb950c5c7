"""`python -m benchmarks.chaos`: reads the options, and runs the driver.

--minutes 10 --seed 1             everything, chosen by the seed
--only database-crash worker-kill only these
--only reset cut --thorough       for as long as it takes to see each of them
--list                            the names of all faults
--scale 0.3                       more load than this machine's usual
--scale 1 --period 20             all schedules, at a tenth of the rate
--sqlite                          the engine of one machine: SQLite and files
--history 1000000 --burst 50000   beside a long past, very many at once
--seed 1 --plan                   what would be done
"""

from __future__ import annotations

import argparse
import inspect
import random
import signal
import sys
import time

from benchmarks.chaos.driver import run
from benchmarks.chaos.faults import BY_NAME
from benchmarks.chaos.load import PERIOD
from benchmarks.chaos.options import Options, steps_the_clock, usual_scale
from benchmarks.chaos.servers import missing


def main() -> int:
    given = _parser().parse_args()
    if given.list:
        for name, kind in BY_NAME.items():
            print(f"{name:28}{(inspect.getdoc(kind) or '').partition(chr(10))[0]}")
        return 0
    options = _options(given)
    if given.plan:
        print(f"seed {options.seed}")
        for line in options.plan().lines(options.seconds - options.quiet, options.lease):
            print(line)
        return 0
    problem = _contradiction(options) or missing(
        options.broker, faked_clock=options.clock, pooled=options.pooled
    )
    if problem:
        print(f"Chaos starts servers of its own, and {problem}.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # everything is taken down
    return run(options)


def _options(given: argparse.Namespace) -> Options:
    seconds = given.minutes * 60
    only = [BY_NAME[name] for name in given.only]
    return Options(
        seconds=seconds,
        quiet=given.quiet if given.quiet is not None else min(60.0, seconds / 5),
        calm=given.calm,
        seed=given.seed if given.seed is not None else random.Random(time.time_ns()).randrange(10**6),
        scale=given.scale,
        broker="files" if given.sqlite else given.broker,
        only=only,
        thorough=given.thorough,
        kill_gap=given.kill_gap,
        outage_gap=given.outage_gap,
        lease=given.lease,
        epsilon=given.epsilon,
        clock=given.clock or steps_the_clock(only),
        pooled=given.pgbouncer,
        keep=given.keep,
        history=given.history,
        period=given.period,
        burst=given.burst,
    )


def _contradiction(options: Options) -> str:
    if options.is_embedded and (options.clock or options.pooled or options.history):
        return "--clock, --pgbouncer and --history need PostgreSQL, which --sqlite leaves out"
    if options.burst and options.seconds < options.quiet + 60:
        return "--burst falls due in the first full minute after the quiet time: give it a minute more"
    return ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__.splitlines()[0])
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    parser.add_argument("--minutes", type=float, default=10, help="of load, quiet time included")
    parser.add_argument("--quiet", type=float, help="seconds without faults at first (a fifth, at most 60)")
    parser.add_argument("--calm", type=float, default=15, help="seconds between the last fault and the end")
    parser.add_argument("--seed", type=int, help="of everything that is left to chance; printed")
    parser.add_argument(
        "--scale",
        type=float,
        default=usual_scale(),
        help="of the load: 1 is 364 schedules, 150 runs a second",
    )
    parser.add_argument(
        "--period", type=int, default=PERIOD, help="seconds between two instants of most of it"
    )
    parser.add_argument("--broker", choices=["rabbitmq", "redis"], default="rabbitmq")
    parser.add_argument(
        "--sqlite", action="store_true", help="the embedded engine: SQLite and files, one beat"
    )
    parser.add_argument("--only", nargs="+", choices=sorted(BY_NAME), default=[], metavar="FAULT")
    parser.add_argument(
        "--thorough", action="store_true", help="go on until each fault has happened that is possible"
    )
    parser.add_argument("--list", action="store_true", help="the faults, and leave")
    parser.add_argument("--plan", action="store_true", help="what the seed will do, and leave")
    parser.add_argument(
        "--history", type=int, default=0, metavar="RUNS", help="on record before the first one"
    )
    parser.add_argument(
        "--burst", type=int, default=0, metavar="JOBS", help="more jobs, all due at one instant"
    )
    parser.add_argument("--clock", action="store_true", help="clock steps too: PostgreSQL is slower then")
    parser.add_argument("--pgbouncer", action="store_true", help="in transaction mode before PostgreSQL")
    parser.add_argument("--kill-gap", type=float, default=3, help="seconds between two kills, on average")
    parser.add_argument(
        "--outage-gap", type=float, default=12, help="seconds between two outages, on average"
    )
    parser.add_argument("--lease", type=float, default=8, help="BEATKEEPER_LEASE_SECONDS")
    parser.add_argument("--epsilon", type=float, default=2, help="seconds that a start may be late in peace")
    parser.add_argument("--keep", action="store_true", help="keep the directory with all logs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
