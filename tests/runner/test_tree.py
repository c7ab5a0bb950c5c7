"""Nothing of a command survives its end, its cancel, its worker or its runner."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import uuid
from datetime import timedelta
from pathlib import Path

import pytest

from schedules.runner.launcher import IDLE_RUNNERS, Launcher
from schedules.runner.messages import Command, Ending

from .conftest import children_of, kill, pids_with, read, session_of, state_of, wait_until, zygote_of

pytestmark = pytest.mark.system  # kills and waits for real processes

# For a machine at its limit; usually it takes milliseconds.
SOON = timedelta(seconds=60)
SHORT = timedelta(milliseconds=300)
PROJECT = Path(__file__).resolve().parent.parent.parent

# A shell, its child and grandchild, a daemon in a session of its own, and one that has left even
# its directory and streams behind. Four of them are called sleep.
FAMILY = """
sh -c 'sleep 60; :' &
setsid sleep 60 &
(cd /; setsid setsid sleep 60 < /dev/null > /dev/null 2>&1) &
echo ready
sleep 60
"""


def family_of(mark: str) -> list[int]:
    """The command's processes, once all have been started; none until then."""
    pids = pids_with(mark)
    sleeping = [pid for pid in pids if read(f"/proc/{pid}/comm") == b"sleep\n"]
    return pids if len(sleeping) == 4 else []


def kill_and_wait(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    # Its memory goes first; only a zombie can be waited for, and that is how the launcher sees it.
    wait_until(lambda: state_of(pid) in "ZX", within=SOON, what=f"process {pid} is dead")


class Worker:
    """A worker process that runs one command; it can be killed without harm to the test."""

    def __init__(self, text: str, **options: str) -> None:
        self.mark = f"mark-{uuid.uuid4()}"
        settings = "".join(f", {name}={value}" for name, value in options.items())
        code = f"""
            from datetime import timedelta
            from schedules.runner.messages import Command
            from schedules.runner.launcher import Launcher
            environment = (("MARK", {self.mark!r}),)
            with Launcher() as launcher:
                print(launcher.run(Command(text={text!r}, extra_environment=environment{settings})))
        """
        arguments = [sys.executable, "-c", textwrap.dedent(code)]
        self.process = subprocess.Popen(
            arguments, cwd=PROJECT, stdout=subprocess.PIPE, start_new_session=True
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        for pid in pids_with(self.mark):  # what a failed test has left
            kill(pid)

    @property
    def zygote(self) -> int:
        return zygote_of(self.process.pid)

    def wait_for(self, condition, what: str) -> None:
        wait_until(condition, within=SOON, what=what)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def test_death_of_the_worker_ends_the_whole_tree_within_seconds():
    with Worker(FAMILY) as worker:
        worker.wait_for(lambda: family_of(worker.mark), "the family runs")
        zygote = worker.zygote

        worker.kill()

        worker.wait_for(lambda: not pids_with(worker.mark), "the family is gone")
        worker.wait_for(lambda: not read(f"/proc/{zygote}/cmdline"), "the zygote is gone")


def test_death_of_the_worker_ends_a_command_that_ignores_sigterm_despite_a_long_grace():
    text = "trap '' TERM HUP INT; echo ready; while :; do sleep 0.1; done"
    with Worker(text, kill_grace="timedelta(hours=1)") as worker:
        worker.wait_for(lambda: pids_with(worker.mark), "the command runs")

        worker.kill()

        wait_until(lambda: not pids_with(worker.mark), within=SOON, what="the command is gone")


def test_death_of_the_worker_is_noticed_though_another_process_holds_its_channel(tmp_path):
    """A forked child of the worker inherits the socket, so that no end of file ever comes."""
    code = """
        import os, signal, sys, threading
        from schedules.runner.messages import Command
        from schedules.runner.launcher import Launcher
        launcher = Launcher()
        environment = (("MARK", sys.argv[1]),)
        command = Command(text="sleep 60", extra_environment=environment)
        threading.Thread(target=launcher.run, args=(command,), daemon=True).start()
        sys.stdin.readline()
        holder = os.fork()
        if holder == 0:
            signal.pause()
        print(holder, flush=True)
        signal.pause()
    """
    mark = f"mark-{uuid.uuid4()}"
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), mark],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    wait_until(lambda: pids_with(mark), within=SOON, what="the command runs")
    worker.stdin.write(b"\n")
    worker.stdin.flush()
    holder = int(worker.stdout.readline())

    worker.kill()
    worker.wait()

    try:
        wait_until(lambda: not pids_with(mark), within=SOON, what="the command is gone")
        assert read(f"/proc/{holder}/cmdline")
    finally:
        os.kill(holder, signal.SIGKILL)
        worker.stdin.close()
        worker.stdout.close()


def test_death_of_the_runner_is_reported_once_its_tree_is_dead(marked):
    results, alive_at_report = [], []

    def run() -> None:
        results.append(marked.run(FAMILY))
        alive_at_report.extend(marked.alive())

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: family_of(marked.mark), within=SOON, what="the family runs")

    [runner] = children_of(zygote_of(os.getpid()))
    os.kill(runner, signal.SIGKILL)
    thread.join(SOON.total_seconds())

    [result] = results
    assert result.ending is Ending.RUNNER_LOST
    assert "ended by SIGKILL" in result.error
    assert "are gone" in result.error
    assert alive_at_report == []


def test_death_of_one_runner_leaves_the_other_commands_alone(marked):
    other = marked.launcher
    results = []
    thread = threading.Thread(target=lambda: results.append(marked.run("sleep 60")))
    thread.start()
    wait_until(marked.alive, within=SOON, what="the victim runs")
    [victim] = children_of(zygote_of(os.getpid()))
    survivor = []
    second = threading.Thread(
        target=lambda: survivor.append(other.run(Command(text="sleep 0.5 & wait; echo done")))
    )
    second.start()
    wait_until(lambda: len(children_of(zygote_of(os.getpid()))) == 2, within=SOON, what="both runners")

    os.kill(victim, signal.SIGKILL)
    thread.join(SOON.total_seconds())
    second.join(SOON.total_seconds())

    assert results[0].ending is Ending.RUNNER_LOST
    assert survivor[0].succeeded


def _burst(launcher, size, meeting):
    """Commands that all execute at the same moment, so that each needs a runner of its own."""
    meeting.mkdir()
    together = threading.Barrier(size + 1)
    until_all_run = f"touch {meeting}/$$; until [ $(ls {meeting} | wc -l) = {size} ]; do sleep 0.05; done"

    def run():
        launcher.run(Command(text=until_all_run, timeout=SOON))
        together.wait(20)

    for _ in range(size):
        threading.Thread(target=run, daemon=True).start()
    together.wait(20)


def test_runners_of_a_busy_worker_are_used_again(launcher, tmp_path):
    _burst(launcher, 8, tmp_path / "first")
    runners = set(children_of(zygote_of(os.getpid())))
    _burst(launcher, 8, tmp_path / "second")
    assert len(runners) == 8
    assert set(children_of(zygote_of(os.getpid()))) == runners


def test_runners_that_nobody_needs_any_more_go(launcher, monkeypatch, tmp_path):
    _burst(launcher, 8, tmp_path / "meeting")
    monkeypatch.setattr("schedules.runner.launcher.BUSY_SECONDS", 0.0)
    assert launcher.run(Command(text="true")).succeeded
    zygote = zygote_of(os.getpid())
    wait_until(lambda: len(children_of(zygote)) == IDLE_RUNNERS, within=SOON, what="four are left")


def test_death_of_an_idle_runner_goes_unnoticed(launcher):
    assert launcher.run(Command(text="true")).succeeded
    [idle] = children_of(zygote_of(os.getpid()))
    kill_and_wait(idle)
    wait_until(lambda: idle not in children_of(zygote_of(os.getpid())), within=SOON, what="it is reaped")

    assert launcher.run(Command(text="true")).succeeded


def test_death_of_the_zygote_lets_commands_finish_and_another_takes_over(marked):
    results = []
    thread = threading.Thread(target=lambda: results.append(marked.run("sleep 1; echo done")))
    thread.start()
    wait_until(marked.alive, within=SOON, what="the command runs")
    first = zygote_of(os.getpid())
    [runner] = children_of(first)

    kill_and_wait(first)
    assert marked.run("true").succeeded
    thread.join(SOON.total_seconds())

    assert zygote_of(os.getpid()) != first
    assert results[0].succeeded
    assert results[0].output.head[0].text == "done\n"
    wait_until(lambda: not read(f"/proc/{runner}/cmdline"), within=SOON, what="its runner leaves")


def test_commands_never_meet_a_dying_zygote(launcher):
    for _ in range(15):
        os.kill(zygote_of(os.getpid()), signal.SIGKILL)

        result = launcher.run(Command(text="exec true"))

        # An idle runner serves it, or a new one: never one that was ordered from the dead.
        assert result.succeeded, result
        launcher._dismiss_idle()


def test_a_runner_without_its_zygote_takes_no_further_command(launcher):
    assert launcher.run(Command(text="true")).succeeded
    first = zygote_of(os.getpid())
    [idle] = children_of(first)

    kill_and_wait(first)
    assert launcher.run(Command(text="true")).succeeded

    wait_until(lambda: not read(f"/proc/{idle}/cmdline"), within=SOON, what="the runner leaves")
    assert len(children_of(zygote_of(os.getpid()))) == 1


def test_signals_to_everybody_do_not_cost_a_running_command_its_result(marked):
    results = []
    thread = threading.Thread(target=lambda: results.append(marked.run("sleep 0.5; echo done")))
    thread.start()
    wait_until(marked.alive, within=SOON, what="the command runs")
    zygote = zygote_of(os.getpid())

    for pid in (zygote, *children_of(zygote)):
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    thread.join(SOON.total_seconds())

    assert results[0].succeeded


def test_timeout_ends_the_whole_tree(marked):
    result = marked.run(FAMILY, timeout=timedelta(seconds=3))

    assert result.ending is Ending.TIMED_OUT
    assert result.output.head[0].text == "ready\n"
    assert marked.alive() == []


@pytest.mark.parametrize("kill_leftovers", [True, False])
def test_timeout_ends_daemons_whatever_becomes_of_leftovers_otherwise(marked, kill_leftovers):
    result = marked.run(FAMILY, timeout=timedelta(seconds=1), kill_leftovers=kill_leftovers)

    assert result.ending is Ending.TIMED_OUT
    assert marked.alive() == []


def test_processes_that_go_on_forking_are_all_killed(marked):
    text = """
    trap '' TERM
    for n in $(seq 50); do (trap '' TERM; while :; do sleep 0.01; done) & done
    wait
    """

    result = marked.run(text, timeout=timedelta(seconds=1), kill_grace=SHORT)

    assert result.ending is Ending.TIMED_OUT
    assert marked.alive() == []


def test_a_process_that_runs_away_by_forking_faster_than_proc_can_be_read_is_killed(marked):
    result = marked.run("f() { f & }; trap '' TERM; f; sleep 60", timeout=SHORT, kill_grace=SHORT)

    assert result.ending is Ending.TIMED_OUT
    assert result.notes == ()
    assert marked.alive() == []


def test_a_chain_of_processes_that_each_leave_their_session_is_killed(marked):
    # Each link forks the next one into a new session and ends: nobody has a living parent.
    link = 'n=$1; [ $n -gt 0 ] && { setsid sh -c "$0" "$0" $((n-1)) & }; sleep 0.02; [ $n -gt 0 ]'
    text = f"setsid sh -c '{link}' '{link}' 1000 & sleep 60"

    result = marked.run(text, timeout=SHORT, kill_grace=SHORT)

    assert result.ending is Ending.TIMED_OUT
    assert marked.alive() == []


def test_a_child_of_a_double_fork_that_ignores_every_request_is_killed(marked):
    """As daemon(3) leaves them: another session, no terminal, no streams, and deaf."""
    daemon = "trap '' TERM HUP INT; cd /; exec < /dev/null > /dev/null 2>&1; while :; do sleep 0.1; done"

    result = marked.run(f"(setsid sh -c '(setsid sh -c \"{daemon}\" &)' &) ; sleep 0.3", kill_grace=SHORT)

    assert result.ending is Ending.EXITED
    assert result.leftovers >= 1
    assert marked.alive() == []


def test_a_process_whose_first_thread_has_ended_is_no_corpse(marked, tmp_path):
    """The kernel shows it as a zombie, and its other threads go on for ever."""
    script = tmp_path / "headless.py"
    script.write_text(
        "import ctypes, os, threading, time\n"
        "os.setsid()\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "ctypes.CDLL(None).syscall(60, 0)  # exit(2): of this thread only\n"
    )
    ended = "until grep -q ') Z ' /proc/$!/stat; do sleep 0.05; done"

    result = marked.run(
        f"{sys.executable} {script} & {ended}; cat /proc/$!/stat", timeout=SOON, kill_grace=SHORT
    )

    assert result.output.head[0].text.rpartition(")")[2].split()[0] == "Z"
    assert result.leftovers == 1
    assert marked.alive() == []
    assert zombies_of(zygote_of(os.getpid())) == []


def test_children_that_nobody_waits_for_leave_no_zombies(marked):
    """Of orphans, of a parent that does not care, and of one that dies without having cared."""
    orphans = "for n in $(seq 100); do (sh -c 'exit 3' &); done"
    careless = f"{sys.executable} -c 'import os, time; [os.fork() or os._exit(0) for n in range(100)]'"

    for text in (orphans, careless, f"{orphans}; {careless}; kill -9 $$"):
        marked.run(text)

    zygote = zygote_of(os.getpid())
    assert [zombies_of(pid) for pid in (os.getpid(), zygote, *children_of(zygote))] == [[], [], []]
    assert marked.alive() == []


def test_a_runner_killed_in_a_crowd_leaves_the_zygote_without_zombies(marked):
    results = []
    text = "for n in $(seq 50); do sleep 60 & done; (setsid setsid sleep 60 &); echo ready; sleep 60"
    thread = threading.Thread(target=lambda: results.append(marked.run(text)))
    thread.start()
    wait_until(lambda: len(marked.alive()) > 51, within=SOON, what="the crowd runs")
    zygote = zygote_of(os.getpid())
    [runner] = children_of(zygote)

    os.kill(runner, signal.SIGKILL)
    thread.join(SOON.total_seconds())

    assert results[0].ending is Ending.RUNNER_LOST
    assert marked.alive() == []
    wait_until(lambda: not zombies_of(zygote), within=SOON, what="the zygote has waited for all")
    assert marked.run("true").succeeded


def test_a_command_that_kills_its_own_runner_is_ended_by_the_zygote(marked):
    result = marked.run("(setsid sleep 60 &) ; sleep 60 & kill -KILL $PPID; sleep 60")

    assert result.ending is Ending.RUNNER_LOST
    assert "are gone" in result.error
    assert marked.alive() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
@pytest.mark.parametrize("bomb", ["while :; do sleep 60 & done", "f() { f & f; }; f; sleep 60"])
def test_a_fork_bomb_at_its_limit_of_processes_is_ended_to_the_last_of_them(marked, bomb):
    """The limit counts the account's processes; root has none."""
    result = marked.run(
        f"ulimit -p 100 2>&- || ulimit -u 100; {bomb}",  # dash, bash
        run_as="nobody",
        working_directory="/",
        timeout=timedelta(seconds=2),
        kill_grace=SHORT,
    )

    assert "fork" in result.output.head[0].text  # that it could not
    assert not any("not to be killed" in note for note in result.notes)
    assert marked.alive() == []
    assert marked.run("true").succeeded


def zombies_of(parent: int) -> list[int]:
    return [pid for pid in children_of(parent) if state_of(pid) == "Z"]


def test_a_runner_that_serves_many_commands_gathers_no_descriptors(launcher):
    text = "cat; exec 2>&-; echo $$"
    launcher.run(Command(text=text, stdin="x"))
    [runner] = children_of(zygote_of(os.getpid()))
    before = os.listdir(f"/proc/{runner}/fd")

    for _ in range(20):
        assert launcher.run(Command(text=text, stdin="x" * 100_000)).succeeded
        assert launcher.run(Command(text="true", stdin="x" * 100_000)).succeeded

    assert children_of(zygote_of(os.getpid())) == [runner]
    assert os.listdir(f"/proc/{runner}/fd") == before


def test_a_daemon_that_holds_the_pipe_delays_the_end_by_a_second_only(marked):
    result = marked.run("setsid sleep 60 & echo done")

    assert (result.ending, result.exit_code, result.leftovers) == (Ending.EXITED, 0, 1)
    assert result.notes == ("1 process was still in the background, now ended.",)
    assert result.output.head[0].text == "done\n"
    assert result.duration < SOON
    assert marked.alive() == []


def test_background_work_that_ends_within_the_second_is_no_leftover(marked):
    result = marked.run("(sleep 0.1; echo late) & echo early")

    assert (result.leftovers, result.notes) == (0, ())
    assert result.output.head[0].text == "early\nlate\n"


def test_a_silent_daemon_is_found_too(marked):
    result = marked.run("setsid sleep 60 > /dev/null 2>&1 &")

    assert result.leftovers == 1
    assert marked.alive() == []


class TestLeftRunning:
    """With kill_leftovers=False background processes live on, as under cron."""

    @pytest.fixture
    def daemon(self, marked):
        """A daemon that writes on and on, left behind by a command; ended after the test."""
        text = "setsid sh -c 'while echo alive; do sleep 0.05; done' &"
        result = marked.run(text, kill_leftovers=False)
        assert result.succeeded
        yield result
        for pid in pids_with(marked.mark):
            kill(pid)

    def test_they_live_on_outside_the_zygote_and_are_counted(self, marked, daemon):
        zygote = zygote_of(os.getpid())

        assert daemon.leftovers >= 1
        assert "left running in the background" in daemon.notes[0]
        wait_until(lambda: not children_of(zygote), within=SOON, what="the runner is gone")
        assert marked.alive() != []

    def test_they_survive_other_runners_the_launcher_and_writing_on(self, marked, daemon):
        zygote = zygote_of(os.getpid())
        wait_until(lambda: not children_of(zygote), within=SOON, what="the runner is gone")
        shell = _leader_of(marked)
        written = _bytes_written(shell)

        thread = threading.Thread(target=marked.launcher.run, args=(Command(text="sleep 60"),))
        thread.start()
        wait_until(lambda: children_of(zygote), within=SOON, what="another runner")
        os.kill(children_of(zygote)[0], signal.SIGKILL)
        thread.join(SOON.total_seconds())
        marked.launcher.close()

        # It would have died of SIGPIPE, had nobody read on.
        wait_until(lambda: _bytes_written(shell) > written + 50, within=SOON, what="it writes on")

    def test_their_drain_ends_with_them(self, marked, daemon):
        zygote = zygote_of(os.getpid())
        wait_until(lambda: not children_of(zygote), within=SOON, what="the runner is gone")
        shell = _leader_of(marked)
        pipe = os.readlink(f"/proc/{shell}/fd/1")
        [drain] = [pid for pid in _holders_of(pipe) if b"runner.zygote" in read(f"/proc/{pid}/cmdline")]

        for pid in marked.alive():
            kill(pid)

        wait_until(lambda: not read(f"/proc/{drain}/cmdline"), within=SOON, what="no drain")


def _leader_of(marked):
    """The daemon's shell. What it forks bears its name, too, for an instant."""
    [leader] = [pid for pid in marked.alive() if session_of(pid) == pid]
    return leader


def test_a_command_without_leftovers_may_leave_some_and_leaves_none(marked):
    result = marked.run("echo done", kill_leftovers=False)

    assert (result.leftovers, result.notes) == (0, ())


def test_zygote_loads_no_package_and_knows_no_secret(monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "leaked")

    with Launcher():
        zygote = zygote_of(os.getpid())
        wait_until(lambda: b"_json" in read(f"/proc/{zygote}/maps"), within=SOON, what="warm")
        assert b"site-packages" not in read(f"/proc/{zygote}/maps")
        assert b"leaked" not in read(f"/proc/{zygote}/environ")


def _bytes_written(pid: int) -> int:
    fields = dict(line.split(b": ") for line in read(f"/proc/{pid}/io").splitlines())
    return int(fields[b"wchar"])


def _holders_of(pipe: str) -> set[int]:
    holders = set()
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(entry) == pipe:
                holders.add(int(entry.parts[2]))
        except OSError:  # the process has ended
            continue
    return holders
