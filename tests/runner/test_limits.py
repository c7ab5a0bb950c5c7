"""What a command may use: processor time, memory, the size of a file; and what is said of its end by them."""

import os
import resource
import signal
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from schedules.runner import limits as runner_limits
from schedules.runner import tree
from schedules.runner.launcher import Launcher
from schedules.runner.limits import ProcessorTime
from schedules.runner.messages import Command, Ending
from schedules.runner.tree import Process

from .conftest import children_of, read, zygote_of

pytestmark = pytest.mark.system  # burns processor time and waits for real processes

SOON = timedelta(seconds=60)
BURN = "while :; do :; done"
PYTHON = sys.executable


def test_processor_time_of_one_process_is_limited(marked):
    result = marked.run(BURN, cpu_limit=1, timeout=SOON)

    assert (result.ending, result.signal) == (Ending.OVER_LIMIT, signal.SIGTERM)
    assert result.error == "Ended by its limit of 1 s of processor time."
    assert result.cpu_seconds >= 1
    assert not result.succeeded
    assert marked.alive() == []


def test_processor_time_of_the_whole_tree_counts(marked):
    """None of these processes uses up the limit alone."""
    result = marked.run(f"sh -c '{BURN}' & sh -c '{BURN}' & sh -c '{BURN}'; true", cpu_limit=2, timeout=SOON)

    assert result.ending is Ending.OVER_LIMIT
    assert result.cpu_seconds < 10
    assert marked.alive() == []


def test_processor_time_of_processes_that_have_ended_counts(marked):
    burst = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"

    result = marked.run(f"while :; do sh -c '{burst}'; done", cpu_limit=1, timeout=SOON)

    assert result.ending is Ending.OVER_LIMIT
    assert marked.alive() == []


def test_processor_time_of_a_daemon_that_left_its_session_counts(marked):
    result = marked.run(f"setsid setsid sh -c '{BURN}' & sleep 60", cpu_limit=1, timeout=SOON)

    assert result.ending is Ending.OVER_LIMIT
    assert marked.alive() == []


def test_waiting_is_no_use_of_processor_time(launcher):
    result = launcher.run(Command(text="sleep 1.5; echo done", cpu_limit=1))

    assert result.succeeded
    assert result.output.head[0].text == "done\n"


def test_the_timeout_comes_first_where_it_is_shorter(launcher):
    result = launcher.run(Command(text=BURN, cpu_limit=60, timeout=timedelta(milliseconds=300)))

    assert result.ending is Ending.TIMED_OUT


def test_a_command_that_ends_well_on_request_is_over_its_limit_all_the_same(marked):
    result = marked.run(f"trap 'exit 0' TERM; {BURN}", cpu_limit=1, timeout=SOON)

    assert (result.ending, result.exit_code) == (Ending.OVER_LIMIT, 0)
    assert result.error == "Ended by its limit of 1 s of processor time."


def test_the_kernel_ends_what_burns_on_while_the_runner_is_held_up(launcher, monkeypatch):
    """Its own limit, a little above ours, is for each process, and ends even who ignores SIGXCPU."""
    result = launcher.run(Command(text="grep -i 'max cpu' /proc/self/limits; ulimit -Ht", cpu_limit=7))

    said = "".join(chunk.text for chunk in result.output.head)
    assert said.split() == ["Max", "cpu", "time", "12", "17", "seconds", "17"]


def test_looks_become_frequent_only_towards_the_end():
    watched = ProcessorTime(1000)
    far = watched.seconds_to_next_look
    assert not watched.is_used_up(999.9)

    assert far == 1000 / (os.cpu_count() or 1)
    assert watched.seconds_to_next_look == runner_limits.SHORTEST_LOOK_SECONDS
    assert watched.is_used_up(1000)
    assert ProcessorTime(None).seconds_to_next_look == float("inf")


def test_a_file_beyond_its_limit_ends_who_writes_it(launcher, tmp_path):
    file = tmp_path / "large"

    result = launcher.run(Command(text=f"exec head -c 3M /dev/zero > {file}", file_size_limit=2))

    assert (result.ending, result.signal) == (Ending.OVER_LIMIT, signal.SIGXFSZ)
    assert result.error == "Ended by its limit of 2 MiB for a file."
    assert file.stat().st_size == 2 * 1024 * 1024


def test_a_file_beyond_its_limit_is_told_by_the_shell_that_started_the_writer(launcher, tmp_path):
    text = f"head -c 3M /dev/zero > {tmp_path}/large; exit $?"

    result = launcher.run(Command(text=text, file_size_limit=2))

    assert (result.ending, result.exit_code) == (Ending.OVER_LIMIT, 128 + signal.SIGXFSZ)
    assert result.error == "Ended by its limit of 2 MiB for a file."


def test_a_program_that_handles_the_refusal_of_a_longer_file_gets_a_remark(launcher, tmp_path):
    text = f'{PYTHON} -c \'open("{tmp_path}/large", "wb").write(bytes(3_000_000))\''

    result = launcher.run(Command(text=text, file_size_limit=2))

    assert (result.ending, result.exit_code) == (Ending.EXITED, 1)
    assert result.notes == ("It complained of the size of a file: its limit is 2 MiB.",)


def test_no_file_at_all_may_grow_with_a_limit_of_zero_and_output_is_no_file(launcher, tmp_path):
    result = launcher.run(Command(text=f"seq 100000; echo x > {tmp_path}/x", file_size_limit=0))

    assert result.ending is Ending.OVER_LIMIT
    assert result.output.bytes_seen > 500_000
    assert (tmp_path / "x").stat().st_size == 0


def test_a_signal_of_the_same_number_without_a_limit_is_just_a_signal(launcher):
    result = launcher.run(Command(text="kill -XCPU $$"))

    assert (result.ending, result.error) == (Ending.SIGNALLED, "The command was ended by SIGXCPU.")


def test_memory_beyond_its_limit_is_refused_and_remarked_upon(launcher):
    result = launcher.run(Command(text=f"{PYTHON} -c 'bytearray(200 << 20)'", memory_limit=100))

    assert (result.ending, result.exit_code) == (Ending.EXITED, 1)
    assert result.notes == ("It complained of a lack of memory: its limit is 100 MiB.",)
    assert result.peak_memory_bytes < 100 * 1024 * 1024


def test_memory_within_its_limit_is_given(launcher):
    result = launcher.run(Command(text=f"{PYTHON} -c 'bytearray(50 << 20)'", memory_limit=100))

    assert result.succeeded
    assert result.notes == ()


def test_addresses_without_memory_are_no_memory(launcher):
    """As node, java and Go reserve them by the gigabyte."""
    reserve = "import mmap; mmap.mmap(-1, 8 << 30, prot=0, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)"

    result = launcher.run(Command(text=f"{PYTHON} -c '{reserve}'", memory_limit=100))

    assert result.succeeded, result


def test_a_command_that_eats_memory_costs_neither_worker_nor_runner_anything(launcher):
    """Without a control group the kernel refuses; nothing but the command notices."""
    text = f"{PYTHON} -c 'x = [bytearray(1 << 20) for n in range(10_000)]'"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert launcher.run(Command(text=text, memory_limit=200)).exit_code == 1
    assert launcher.run(Command(text="true")).succeeded

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024


def test_limits_hold_for_the_command_and_never_for_the_next_one(launcher):
    limits = "ulimit -d; ulimit -f; ulimit -t"
    limited = launcher.run(Command(text=limits, memory_limit=100, file_size_limit=2, cpu_limit=7))
    free = launcher.run(Command(text=limits))

    assert limited.output.head[0].text.split() == [str(100 * 1024), str(2 * 2048), "12"]
    assert free.output.head[0].text.split() == _own(
        resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU
    )


def test_limits_hold_for_another_account_too(launcher):
    if os.geteuid() != 0:
        pytest.skip("only root can become another account")
    command = Command(text="id -un; ulimit -d", run_as="nobody", working_directory="/", memory_limit=100)

    assert launcher.run(command).output.head[0].text == f"nobody\n{100 * 1024}\n"


def test_a_lower_limit_of_the_worker_itself_stays():
    """A service may be limited as a whole; raising a hard limit would be refused to all but root."""
    given = 64 * 1024 * 1024
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (given, given))
        runner_limits.impose(Command(text="true", file_size_limit=1000), memory_is_grouped=False)
        os._exit(0 if resource.getrlimit(resource.RLIMIT_FSIZE) == (given, given) else 1)

    assert os.waitpid(pid, 0)[1] == 0


def test_a_crash_leaves_no_core_unless_the_command_asks_for_one(launcher):
    result = launcher.run(Command(text="ulimit -c; ulimit -c 8; ulimit -c"))

    assert result.output.head[0].text.split() == ["0", "8"]


def test_a_kill_by_somebody_else_names_the_usual_suspect(launcher):
    result = launcher.run(Command(text="kill -KILL $$"))

    assert result.ending is Ending.SIGNALLED
    assert result.error == "The command was ended by SIGKILL (out of memory, or somebody's kill?)."


class TestOutOfMemory:
    """The kernel takes the command, never the worker, its zygote or the runner."""

    @pytest.mark.parametrize("limits", [{}, {"memory_limit": 100}])
    def test_a_command_is_preferred_to_runner_and_zygote(self, launcher: Launcher, limits):
        own = _score(os.getpid())
        # At the very start the runner may still have the preference that it handed down.
        text = f"until [ $(cat /proc/$PPID/oom_score_adj) = {own} ]; do :; done; cat /proc/self/oom_score_adj"

        result = launcher.run(Command(text=text, timeout=SOON, **limits))

        assert result.succeeded
        assert result.output.head[0].text == "500\n"
        assert _score(zygote_of(os.getpid())) == own

    def test_a_runner_is_no_better_prey_after_many_commands(self, launcher: Launcher):
        for _ in range(20):
            launcher.run(Command(text="true"))

        [runner] = children_of(zygote_of(os.getpid()))
        assert _score(runner) == _score(os.getpid())

    def test_what_a_command_starts_inherits_the_preference(self, marked):
        text = "(setsid sh -c 'cat /proc/self/oom_score_adj' &) | cat"  # which ends with its last writer

        assert marked.run(text).output.head[0].text == "500\n"


def _score(pid: int) -> int:
    return int(read(f"/proc/{pid}/oom_score_adj"))


def _own(*which: int) -> list[str]:
    """This process's own limits as a shell would print them, none of which may be set."""
    assert {resource.getrlimit(one)[0] for one in which} == {resource.RLIM_INFINITY}
    return ["unlimited"] * len(which)


def test_usage_that_moves_to_the_parent_while_it_is_read_is_not_counted_twice(monkeypatch):
    """A child is waited for just after it was read; its 0.5 s are then its parent's."""
    parent = Process(10, parent=1, group=10, started=1, ticks=100, is_dead=False)
    child = Process(11, parent=10, group=10, started=2, ticks=50, is_dead=True)
    table = {process.pid: process for process in (child, parent)}

    def look(pid):
        found = table.get(pid)
        if pid == child.pid and found is not None:
            del table[pid]
            table[parent.pid] = replace(parent, ticks=parent.ticks + child.ticks)
        return found

    monkeypatch.setattr(tree, "_all_processes", lambda: iter((child, parent)))
    monkeypatch.setattr(tree, "_read", look)

    first, second = tree.processor_seconds(1), tree.processor_seconds(1)

    assert first == second == 150 / os.sysconf("SC_CLK_TCK")
