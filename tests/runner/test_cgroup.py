"""Memory of a run as a whole, where the worker's service was given control groups to manage.

The tests that need a kernel's answer make a group of their own, mark it as systemd marks a delegated
one, and start a worker in it. That takes root, cgroup v2 and the memory controller.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from schedules.runner import cgroup
from schedules.runner.cgroup import RunGroup, find_home

from .conftest import wait_until

pytestmark = pytest.mark.system  # starts workers, and has the kernel kill what they start

MOUNT = Path("/sys/fs/cgroup")
PROJECT = Path(__file__).resolve().parent.parent.parent
SOON = timedelta(seconds=60)
# The interpreter of the tests may lie in a directory that only its owner may enter.
SYSTEM_PYTHON = shutil.which("python3.11", path="/usr/bin") or ""
MEBIBYTE = 1024 * 1024

# Sixty megabytes of it, each page written, for as long as somebody lets it.
EAT = f"{sys.executable} -c 'x = bytearray(60 << 20); import time; time.sleep(60)'"


def can_make_groups() -> bool:
    controllers = MOUNT / "cgroup.subtree_control"
    return os.geteuid() == 0 and os.access(controllers, os.W_OK) and "memory" in controllers.read_text()


needs_groups = pytest.mark.skipif(
    not can_make_groups(), reason="takes root and a cgroup v2 whose memory controller is on"
)


@pytest.fixture
def service() -> Iterator[Path]:
    """A delegated group, as that of a systemd unit with Delegate=yes."""
    path = MOUNT / f"beatkeeper-test-{os.getpid()}-{time.monotonic_ns()}"
    path.mkdir()
    os.setxattr(path, "trusted.delegate", b"1")
    yield path
    (path / "cgroup.kill").write_text("1")
    wait_until(lambda: "populated 0" in (path / "cgroup.events").read_text(), within=SOON, what="empty")
    for below in path.iterdir():
        if below.is_dir():
            below.rmdir()
    path.rmdir()


def worker(service: Path, *commands: str, become: str = "") -> list[dict]:
    """What a worker in the service's group says: the results of `Command(...)`, one after the other.

    `become` is a command that runs its arguments as another account.
    """
    code = f"""
        import json, os
        from datetime import timedelta
        from schedules.runner.messages import Command
        from schedules.runner.launcher import Launcher
        with Launcher() as launcher:
            for command in ({"".join(f"Command({command}), " for command in commands)}):
                result = launcher.run(command)
                main = open("/proc/self/cgroup").read().strip()
                print(json.dumps(result.to_message() | {{"worker": main}}), flush=True)
    """
    python = f"{become} {SYSTEM_PYTHON}" if become else sys.executable
    enter = f'echo $$ > {service}/cgroup.procs; exec {python} -c "$0"'
    done = subprocess.run(
        ["/bin/sh", "-c", enter, textwrap.dedent(code)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done
    return [json.loads(line) for line in done.stdout.splitlines()]


@needs_groups
def test_memory_of_all_processes_of_a_run_counts_together_and_the_whole_run_goes(service):
    """None of the three passes the limit alone."""
    three = f"{EAT} & {EAT} & {EAT}; echo not reached"

    over, after = worker(service, f'text="""{three}""", memory_limit=120', "text='echo fine'")

    assert (over["ending"], over["signal"]) == ("over_limit", 9)
    assert over["error"] == "Ended by its limit of 120 MiB of memory."
    assert over["output"]["head"] == []
    assert over["duration"] < 30
    assert after["output"]["head"][0]["text"] == "fine\n"


@needs_groups
def test_a_run_within_its_limit_has_a_group_of_its_own_that_goes_with_it(service):
    [result] = worker(service, "text='cat /proc/self/cgroup; cat /proc/$PPID/cgroup', memory_limit=100")

    own, runner = result["output"]["head"][0]["text"].splitlines()
    assert result["ending"] == "exited"
    assert own.startswith(f"0::/{service.name}/run-")
    assert runner == result["worker"] == f"0::/{service.name}/main"
    assert [below.name for below in service.iterdir() if below.is_dir()] == ["main"]


@needs_groups
@pytest.mark.skipif(not SYSTEM_PYTHON, reason="takes a Python that every account may start")
def test_a_worker_that_is_not_root_manages_what_was_handed_to_its_account(service):
    """As systemd hands a group over to the User= of a unit."""
    os.setxattr(service, "user.delegate", b"1")
    for path in (service, *(service / f"cgroup.{name}" for name in ("procs", "subtree_control", "threads"))):
        shutil.chown(path, "nobody")
    nobody = "setpriv --reuid=nobody --regid=nogroup --clear-groups"
    eat = f"{SYSTEM_PYTHON} -c 'x = bytearray(60 << 20)'"

    over, fine = worker(
        service,
        f'text="""{eat} & {eat} & {eat}; wait""", memory_limit=100, working_directory="/"',
        "text='id -un; cat /proc/self/cgroup', memory_limit=100, working_directory='/'",
        become=nobody,
    )

    assert over["error"] == "Ended by its limit of 100 MiB of memory."
    assert fine["output"]["head"][0]["text"].startswith(f"nobody\n0::/{service.name}/run-")
    assert [below.name for below in service.iterdir() if below.is_dir()] == ["main"]


@needs_groups
def test_a_run_that_times_out_leaves_no_group_and_no_process(service):
    text = "trap '' TERM; setsid sleep 60 & setsid setsid sleep 60 & sleep 60"
    options = "timeout=timedelta(seconds=1), kill_grace=timedelta(seconds=0.2), memory_limit=100"

    [result] = worker(service, f'text="{text}", {options}')

    assert result["ending"] == "timed_out"
    assert result["notes"] == []
    assert [below.name for below in service.iterdir() if below.is_dir()] == ["main"]
    assert (service / "main" / "cgroup.procs").read_text() == ""


@needs_groups
def test_a_worker_without_a_delegated_group_limits_each_process(service):
    os.removexattr(service, "trusted.delegate")

    [result] = worker(service, "text='cat /proc/self/cgroup; ulimit -d', memory_limit=100")

    assert result["output"]["head"][0]["text"].split() == [f"0::/{service.name}", str(100 * 1024)]
    assert [below.name for below in service.iterdir() if below.is_dir()] == []


@needs_groups
def test_a_service_out_of_memory_loses_the_command_and_neither_worker_nor_runner(service):
    """The command has no limit: the kernel chooses among all of the service, and takes the command."""
    (service / "memory.max").write_text(str(150 * MEBIBYTE))
    with contextlib.suppress(OSError):
        (service / "memory.swap.max").write_text("0")
    eat = f"exec {sys.executable} -c 'x = bytearray(400 << 20)'"

    hungry, after = worker(service, f'text="""{eat}"""', "text='echo fine'")

    assert "oom_kill 0" not in (service / "memory.events").read_text()
    assert (hungry["ending"], hungry["signal"]) == ("signalled", 9)
    assert "out of memory" in hungry["error"]
    assert after["output"]["head"][0]["text"] == "fine\n"


def test_a_group_that_cannot_be_limited_is_not_left_behind(tmp_path):
    with pytest.raises(OSError, match=r"memory\.max"):
        RunGroup.make(str(tmp_path), memory_limit=100)

    assert list(tmp_path.iterdir()) == []


def test_no_group_is_touched_that_nobody_delegated(tmp_path, monkeypatch):
    """Every group is writable to root; all but the delegated ones are systemd's."""
    monkeypatch.setattr(cgroup, "_own_path", lambda: "/system.slice/beatkeeper.service")
    own = tmp_path / "system.slice" / "beatkeeper.service"
    own.mkdir(parents=True)
    (own / "cgroup.controllers").write_text("cpu memory pids")

    assert find_home(str(tmp_path)) is None
    assert [path.name for path in own.iterdir()] == ["cgroup.controllers"]


def test_a_delegated_group_is_emptied_into_a_leaf_and_hands_memory_down(tmp_path, monkeypatch):
    own = tmp_path / "unit"
    own.mkdir()
    for name, text in (("controllers", "memory pids"), ("procs", ""), ("subtree_control", "")):
        (own / f"cgroup.{name}").write_text(text)
    monkeypatch.setattr(cgroup, "_own_path", lambda: "/unit")
    monkeypatch.setattr(cgroup, "_is_delegated", lambda directory: directory == str(own))
    gone = subprocess.Popen(["true"])
    gone.wait()
    for name in (f"run-{gone.pid}-1", f"run-{os.getpid()}-1", "other"):
        (own / name).mkdir()

    assert find_home(str(tmp_path)) == str(own)

    assert (own / "cgroup.subtree_control").read_text() == "+memory"
    assert {path.name for path in own.iterdir() if path.is_dir()} == {f"run-{os.getpid()}-1", "other"}


def test_a_group_that_refuses_is_told_in_the_log_and_done_without(tmp_path, monkeypatch, capsys):
    own = tmp_path / "unit"
    own.mkdir()
    (own / "cgroup.controllers").write_text("memory")
    monkeypatch.setattr(cgroup, "_own_path", lambda: "/unit")
    monkeypatch.setattr(cgroup, "_is_delegated", lambda directory: True)

    assert find_home(str(tmp_path)) is None
    assert "Memory limits hold for each process only" in capsys.readouterr().err
