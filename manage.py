#!/usr/bin/env python3
"""Beatkeeper's command line. On a machine with nothing but Python it sets itself up first."""

import os
import sys

# The only line that an older Python reads before it is turned away: keep this file free of new syntax.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        "Beatkeeper needs Python 3.11 or newer, and this is Python %d.%d. Start it with a newer one, "  # noqa: UP031
        "for example: python3.11 manage.py %s"
        % (sys.version_info[0], sys.version_info[1], " ".join(sys.argv[1:]) or "up")
    )


def main():
    # type: () -> None
    from scheduler import bootstrap

    bootstrap.prepare(sys.argv)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler.settings")
    from scheduler import faults

    faults.run(sys.argv)


if __name__ == "__main__":
    main()
