"""The supervisor with small children of its own: prefixes, restarts, and the three ways to end."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from scheduler import supervisor as module
from scheduler.supervisor import Console, Role, Supervisor, describe
from tests.system.installation import wait_for

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(module, "STOP_GRACE", 0.5)
    monkeypatch.setattr(module, "ONE_KEYSTROKE", 0.0)


def run(program: str, until: Callable[[str, Supervisor], bool], *, interrupts: int = 1) -> str:
    """Runs one child until its output satisfies `until`, then interrupts. Returns what was shown."""
    stream = io.StringIO()
    made: list[Supervisor] = []

    async def watch() -> None:
        while not until(stream.getvalue(), made[0]):
            await asyncio.sleep(0.02)
        for number in range(interrupts):  # the first one ends this coroutine
            threading.Timer(0.1 * number, os.kill, (os.getpid(), signal.SIGINT)).start()

    async def main() -> None:
        role = Role("web", [sys.executable, "-c", program])
        made.append(Supervisor([role], Console(["web", "commands"], stream)))
        watcher: Callable[[], Awaitable[None]] = watch
        await asyncio.wait_for(made[0].run(watcher), 120)

    asyncio.run(main())
    return stream.getvalue()


def is_up(shown: str, _: Supervisor) -> bool:
    return "up" in shown


def test_each_line_says_when_and_whose_it_is() -> None:
    shown = run("print('first\\n\\nup', flush=True); import time; time.sleep(60)", is_up)

    lines = [line[9:] for line in shown.splitlines() if "|" in line]
    assert lines[:2] == ["web      | first", "web      | up"]


def test_a_line_without_an_end_and_a_very_long_one_are_shown() -> None:
    shown = run("print('#' * 200_000); print('up', end='', flush=True)", is_up)

    assert shown.count("#") == 200_000


def test_a_child_that_ends_is_started_again_and_the_reason_is_shown() -> None:
    shown = run("print('up'); raise SystemExit(3)", lambda shown, _: shown.count("| up") >= 3)

    assert "ended (exit status 3); starts again in 0.01 s" in shown
    assert "starts again in 0.02 s" in shown


def test_a_child_that_keeps_crashing_is_started_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.04)

    shown = run("raise SystemExit(1)", lambda shown, _: shown.count("0.04 s") >= 2)

    pauses = [line.split("again in ")[1] for line in shown.splitlines() if "again in" in line]
    assert pauses[:4] == ["0.01 s", "0.02 s", "0.04 s", "0.04 s"]


def test_one_interrupt_ends_a_child_in_order() -> None:
    shown = run(SLEEPER, is_up)

    assert "Stopping." in shown
    assert "killed" not in shown


def test_a_child_that_does_not_end_is_killed_after_the_grace() -> None:
    shown = run(STUBBORN, is_up)

    assert "Still there after 0.5 s, killed: web" in shown


def test_a_second_interrupt_kills_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_GRACE", 20.0)

    shown = run(STUBBORN, is_up, interrupts=2)

    assert "Killing what is left." in shown
    assert "Still there" not in shown


def test_one_keystroke_that_arrives_twice_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ONE_KEYSTROKE", 5.0)

    shown = run(STUBBORN, is_up, interrupts=2)

    assert "Killing" not in shown
    assert "Still there after 0.5 s" in shown


def test_what_a_crashed_child_leaves_in_its_group_is_killed() -> None:
    orphan = f"subprocess.Popen([sys.executable, '-c', {SLEEPER!r}])"
    crash = f"import os, subprocess, sys; print({orphan}.pid, flush=True); os.kill(os.getpid(), 9)"

    shown = run(crash, lambda shown, _: "SIGKILL" in shown)

    pid = int(shown.splitlines()[0].rpartition(" ")[2])
    wait_for(lambda: not is_alive(pid))


def is_alive(pid: int) -> bool:
    """A zombie, which whoever is process 1 has not buried yet, is dead."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.parametrize(("status", "words"), [(0, "exit status 0"), (-9, "SIGKILL"), (-99, "signal 99")])
def test_an_exit_status_is_put_into_words(status: int, words: str) -> None:
    assert describe(status) == words


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_colours_and_no_color_takes_them_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain = Terminal(), Terminal()

    Console(["web"], coloured).line("web", "hello")
    monkeypatch.setenv("NO_COLOR", "1")
    Console(["web"], plain).line("web", "hello")

    assert "\033[36m" in coloured.getvalue()
    assert "\033" not in plain.getvalue()
