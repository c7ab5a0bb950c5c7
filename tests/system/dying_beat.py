"""`celery`, but it dies between the commit that marks runs as queued and the first message."""

import os
import signal
import sys

from celery.__main__ import main

from schedules import events


def _die(bells: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    events.before_publish = _die
    sys.exit(main())
