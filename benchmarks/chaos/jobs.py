"""What the schedules execute: each execution writes one line as it starts, and one as it ends.

The file is the ground truth, outside the system under test: opened for appending, one write a line.
`truth` reads it. Words of a line: S(tart), H (still there), T (ended by SIGTERM) or E(nd), run, attempt,
process, host time, and for an end the exit status.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celery import shared_task

from benchmarks.chaos.scratch import host_time

FLAKY = 3
"""Of ten attempts, as many fail; which ones depends on the run and the attempt alone."""

STEP = 0.5
"""Seconds between two signs of life of a long job."""

NOISES = 6
"""Zeros, colours, one endless line, no text at all, output after the end, a daemon that keeps the pipe."""

FLOOD = 100_000_000
"""Bytes: a command prints as many, and a worker keeps 256 KiB of them."""

SCRIPT = """\
note() {
    read now rest </proc/uptime
    printf "$1 %s %s %s %s %s\\n" "$RUN_ID" "$ATTEMPT" $$ "$now" "$2" >>TRUTH
}
trap 'note T 143; exit 143' TERM
quick() { note S -; echo "run $RUN_ID"; note E 0; }
flaky() {
    note S -
    if [ $(((RUN_ID * 7 + ATTEMPT * 3) % 10)) -lt FLAKY ]; then
        echo "fails on purpose" >&2; note E 3; exit 3
    fi
    note E 0
}
greedy() {
    note S -
    if [ $1 = 1 ]; then kill -KILL $$; fi
    all=0123456789abcdef
    while :; do all=$all$all; done
}
noisy() {
    note S -
    case $1 in
        0) head -c FLOOD /dev/zero ;;
        1) yes "$(printf '\033[31mred\033[0m and \033[2Jgone')" | head -c FLOOD ;;
        2) head -c FLOOD /dev/zero | tr '\0' x ;;
        3) head -c 1000000 /dev/urandom ;;
        4) (sleep 1; echo too late) & ;;
        5) setsid sleep 3600 & ;;
    esac
    note E 0
}
long() {
    note S -
    steps=0
    while [ $steps -lt $1 ]; do sleep STEP; note H -; steps=$((steps + 1)); done
    note E 0
}
"""


def write_script(path: Path, truth: Path) -> None:
    """For the commands: /bin/sh reads it. What is executed often starts no other program but `sleep`."""
    given = {"TRUTH": truth, "FLAKY": FLAKY, "STEP": STEP, "FLOOD": FLOOD}
    text = SCRIPT
    for word, value in given.items():
        text = text.replace(word, str(value))
    path.write_text(text)


def command(script: Path, work: str) -> str:
    return f". {script}; {work}"


class Failed(Exception):
    """On purpose."""


@shared_task(bind=True, name="chaos.quick")
def quick(self: Any, truth: str) -> None:
    _Notes(self, truth).end(0)


@shared_task(bind=True, name="chaos.flaky")
def flaky(self: Any, truth: str) -> None:
    notes = _Notes(self, truth)
    if (notes.run * 7 + notes.attempt * 3) % 10 < FLAKY:
        notes.end(3)
        raise Failed("fails on purpose")
    notes.end(0)


@shared_task(bind=True, name="chaos.long")
def long(self: Any, truth: str, steps: int) -> None:
    notes = _Notes(self, truth)
    try:
        for _ in range(steps):
            time.sleep(STEP)
            notes.write("H", "-")
    except BaseException:  # the worker stops, or somebody cancels
        notes.write("T", "143")
        raise
    notes.end(0)


class _Notes:
    def __init__(self, task: Any, truth: str) -> None:
        self.run = int(str(task.request.origin).removeprefix("run "))
        self.attempt = int(task.request.retries) + 1
        self._truth = truth
        self.write("S", "-")

    def end(self, code: int) -> None:
        self.write("E", str(code))

    def write(self, what: str, rest: str) -> None:
        line = f"{what} {self.run} {self.attempt} {os.getpid()} {host_time():.2f} {rest}\n"
        descriptor = os.open(self._truth, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
