"""The process side of `manage.py up`: one role of Beatkeeper that ends when its supervisor does.

    python -m scheduler.child web FD            serve the site on the listening socket FD
    python -m scheduler.child celery ARGUMENT…  what the `celery` command does

Standard input is a pipe whose other end only the supervisor holds, so its end means that the
supervisor is gone, even by SIGKILL. Which roles there are is decided in `scheduler.up`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import warnings

# Seconds between the request to stop and SIGKILL, once the supervisor is gone.
GRACE = 4.0


def main(role: str, *arguments: str) -> None:
    threading.Thread(target=_end_with_the_supervisor, name="lifeline", daemon=True).start()
    if role == "web":
        _serve(int(arguments[0]))
    else:
        _celery(*arguments)


def _end_with_the_supervisor() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    # This process leads its own group, in which the children of a prefork worker are too.
    os.killpg(0, signal.SIGKILL)


def _serve(descriptor: int) -> None:
    import waitress
    from django.conf import settings

    from scheduler.wsgi import application

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    proxy = {"trusted_proxy": "*", "trusted_proxy_headers": "x-forwarded-proto x-forwarded-for"}
    waitress.serve(
        application,
        sockets=[socket.socket(fileno=descriptor)],
        threads=8,
        ident=None,
        _quiet=True,
        **(proxy if settings.HTTPS_ONLY else {}),
    )


def _celery(*arguments: str) -> None:
    from celery.__main__ import main as celery
    from celery.exceptions import SecurityWarning

    # Root is what cron runs as, too; a worker that serves several accounts has to be root.
    warnings.simplefilter("ignore", SecurityWarning)
    sys.argv[:] = ["celery", *arguments]
    celery()


if __name__ == "__main__":
    main(*sys.argv[1:])
