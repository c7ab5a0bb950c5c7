"""How a command ends, and that the result says so."""

import os
import signal
import threading
import time
from datetime import timedelta

import pytest

from schedules.runner.conversation import Cancel
from schedules.runner.launcher import Launcher
from schedules.runner.messages import Command, Ending

from .conftest import children_of, read, wait_until, zygote_of

pytestmark = pytest.mark.system  # kills and waits for real processes

# For a machine at its limit; usually it takes milliseconds.
SOON = timedelta(seconds=60)
SHORT = timedelta(milliseconds=300)
# For a command that has to have begun before its time is over.
ENOUGH = timedelta(seconds=2)


def in_background(launcher: Launcher, command: Command, cancel: Cancel | None = None):
    """Run in a thread; returns the thread and the list that its result will be in."""
    results = []
    thread = threading.Thread(target=lambda: results.append(launcher.run(command, cancel=cancel)))
    thread.start()
    return thread, results


def test_exit_code_is_reported(launcher):
    result = launcher.run(Command(text="exit 75"))

    assert (result.ending, result.exit_code, result.signal) == (Ending.EXITED, 75, None)
    assert not result.succeeded


def test_signal_is_reported_by_name(launcher):
    result = launcher.run(Command(text="kill -SEGV $$"))

    assert (result.ending, result.exit_code, result.signal) == (Ending.SIGNALLED, None, 11)
    assert result.error == "The command was ended by SIGSEGV."


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("no-such-program", 127, "did not find"),
        ("/etc/passwd", 126, "could not execute"),
        ("sh -c 'kill -KILL $$'; exit $?", 137, "out of memory"),
    ],
)
def test_the_shell_s_own_exit_codes_are_explained(launcher, text, code, hint):
    result = launcher.run(Command(text=text))

    assert (result.ending, result.exit_code) == (Ending.EXITED, code)
    assert hint in result.error


def test_cost_is_that_of_the_whole_tree_and_of_this_run_only(launcher):
    burn = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"
    allocate = "head -c 60M /dev/zero | tail -c 60M > /dev/null"  # tail keeps all of it

    first = launcher.run(Command(text=f"sh -c '{burn}'; {allocate}"))
    second = launcher.run(Command(text="true"))

    assert first.cpu_seconds > 0.1
    assert first.peak_memory_bytes > 60_000_000
    assert first.duration.total_seconds() > 0.1
    assert second.cpu_seconds < 0.1
    assert second.peak_memory_bytes < 30_000_000


def test_timeout_ends_the_command_and_is_an_ending_of_its_own(marked):
    result = marked.run("echo begun; sleep 60", timeout=ENOUGH)

    assert (result.ending, result.signal) == (Ending.TIMED_OUT, 15)
    assert result.error == "The command did not end within its limit of 0:00:02."
    assert result.output.head[0].text == "begun\n"
    assert marked.alive() == []


def test_a_command_that_tidies_up_within_its_grace_may_do_so(marked, tmp_path):
    witness = tmp_path / "tidied"
    text = f"trap 'touch {witness}; exit 3' TERM; echo ready; while :; do sleep 0.05; done"

    result = marked.run(text, timeout=ENOUGH)

    assert (result.ending, result.exit_code) == (Ending.TIMED_OUT, 3)
    assert witness.exists()


def test_a_command_that_ignores_sigterm_is_killed_after_its_grace(marked):
    text = "trap '' TERM; while :; do sleep 0.1; done"

    result = marked.run(text, timeout=ENOUGH, kill_grace=SHORT)

    assert (result.ending, result.signal) == (Ending.TIMED_OUT, 9)
    assert result.duration < SOON
    assert marked.alive() == []


def test_a_stopped_command_is_ended_too(marked):
    result = marked.run("kill -STOP $$", timeout=SHORT, kill_grace=SOON)

    assert (result.ending, result.signal) == (Ending.TIMED_OUT, 15)
    assert marked.alive() == []


def test_cancel_ends_a_running_command(marked):
    cancel = Cancel()
    thread, results = in_background(marked.launcher, marked.command("sleep 60"), cancel)
    wait_until(marked.alive, within=SOON, what="the command runs")

    cancel.set()
    cancel.set()
    thread.join(SOON.total_seconds())

    [result] = results
    assert (result.ending, result.signal) == (Ending.CANCELLED, 15)
    assert marked.alive() == []


def test_cancel_before_the_start_starts_nothing(marked, tmp_path):
    witness = tmp_path / "witness"
    cancel = Cancel()
    cancel.set()

    result = marked.run(f"touch {witness}", cancel=cancel)

    assert result.ending is Ending.CANCELLED
    assert not witness.exists()


def test_cancel_after_the_end_touches_no_later_command(marked):
    cancel = Cancel()
    assert marked.run("true", cancel=cancel).succeeded

    cancel.set()

    assert marked.run("true").succeeded


def test_cancel_at_any_moment_hits_its_own_command_only(launcher):
    endings = set()
    for delay in range(60):
        cancel = Cancel()
        timer = threading.Timer(delay / 10_000, cancel.set)
        timer.start()
        endings.add(launcher.run(Command(text="exec true"), cancel=cancel).ending)
        assert launcher.run(Command(text="true")).succeeded
        timer.join()

    assert endings <= {Ending.EXITED, Ending.CANCELLED}


def test_an_exit_just_before_the_timeout_stays_an_exit(marked):
    # The daemon keeps the run busy for a second, past the deadline; the command itself was in time.
    result = marked.run("sleep 60 & exit 4", timeout=timedelta(milliseconds=900))

    assert (result.ending, result.exit_code, result.leftovers) == (Ending.EXITED, 4, 1)


def test_twenty_threads_at_once_each_get_their_own_result(launcher):
    results = {}

    def run(number: int) -> None:
        results[number] = launcher.run(Command(text=f"echo {number}; exit {number}"))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for number in range(20):
        assert results[number].exit_code == number
        assert results[number].output.head[0].text == f"{number}\n"


def test_many_commands_leave_neither_descriptors_nor_processes_in_the_worker(launcher):
    launcher.run(Command(text="true"))
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(250):  # more than one runner serves
        assert launcher.run(Command(text="true")).succeeded

    assert len(os.listdir("/proc/self/fd")) == before


def test_a_closed_launcher_begins_anew():
    launcher = Launcher()
    assert launcher.run(Command(text="true")).succeeded
    launcher.close()

    assert launcher.run(Command(text="true")).succeeded
    launcher.close()


def test_a_launcher_refuses_to_work_after_a_fork(launcher):
    launcher.run(Command(text="true"))
    readable, writable = os.pipe()

    pid = os.fork()
    if pid == 0:
        os.write(writable, launcher.run(Command(text="true")).error.encode())
        os._exit(0)
    os.close(writable)
    os.waitpid(pid, 0)

    assert b"make one in each process" in os.read(readable, 1000)
    os.close(readable)


def test_close_does_not_wait_for_a_command_and_does_not_end_it(marked):
    thread, results = in_background(marked.launcher, marked.command("sleep 0.5; echo done"))
    wait_until(marked.alive, within=SOON, what="the command runs")

    begun = time.monotonic()
    marked.launcher.close()
    thread.join(SOON.total_seconds())

    assert results[0].succeeded
    assert time.monotonic() - begun < SOON.total_seconds()


def test_a_stuck_zygote_is_replaced_and_its_command_never_begins(launcher, monkeypatch, tmp_path):
    witness = tmp_path / "witness"
    os.kill(zygote_of(os.getpid()), signal.SIGSTOP)

    with monkeypatch.context() as impatient:
        impatient.setattr("schedules.runner.conversation.START_LIMIT", SHORT)
        stuck = launcher.run(Command(text=f"touch {witness}"))

    assert stuck.ending is Ending.NOT_STARTED
    assert "No runner began within" in stuck.error
    assert launcher.run(Command(text="true")).succeeded
    assert not witness.exists()


def test_a_command_that_reaches_its_runner_too_late_does_not_begin(marked, monkeypatch, tmp_path):
    witness = tmp_path / "witness"
    assert marked.run("true").succeeded
    [idle] = children_of(zygote_of(os.getpid()))
    monkeypatch.setattr("schedules.runner.conversation.START_LIMIT", SHORT)
    os.kill(idle, signal.SIGSTOP)

    late = marked.run(f"touch {witness}")
    os.kill(idle, signal.SIGCONT)

    assert late.ending is Ending.RUNNER_LOST
    assert "not known whether the command began" in late.error
    wait_until(lambda: not read(f"/proc/{idle}/cmdline"), within=SOON, what="the runner leaves")
    assert not witness.exists()


def test_a_runner_that_stops_answering_counts_as_lost_and_ends_its_command(marked, monkeypatch):
    monkeypatch.setattr("schedules.runner.conversation.ANSWER_ALLOWANCE", SHORT)
    monkeypatch.setattr(
        "schedules.runner.conversation.START_LIMIT", 5 * ENOUGH
    )  # it may have said nothing yet
    command = marked.command("sleep 60", timeout=ENOUGH, kill_grace=SHORT)
    thread, results = in_background(marked.launcher, command)
    wait_until(marked.alive, within=SOON, what="the command runs")
    [runner] = children_of(zygote_of(os.getpid()))

    os.kill(runner, signal.SIGSTOP)
    thread.join(SOON.total_seconds())
    os.kill(runner, signal.SIGCONT)

    assert results[0].ending is Ending.RUNNER_LOST
    wait_until(lambda: not marked.alive(), within=SOON, what="the command is gone")


def test_a_failure_inside_the_runner_is_told_with_its_traceback(launcher):
    result = launcher.run(Command(text=None))

    assert result.ending is Ending.RUNNER_LOST
    assert "Traceback" in result.error


def test_a_missing_interpreter_is_told_in_the_result(monkeypatch):
    monkeypatch.setattr("sys.executable", "/no/such/python")

    result = Launcher().run(Command(text="true"))

    assert result.ending is Ending.NOT_STARTED
    assert "/no/such/python" in result.error
