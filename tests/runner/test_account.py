"""Whom a command runs as, and what is said where that is not possible."""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from schedules.errors import RunnerError
from schedules.runner.messages import Command, Ending
from schedules.runner.planning import find_account

ROOT = 0
NOBODY = pwd.getpwnam("nobody")
PROJECT = Path(__file__).resolve().parent.parent.parent

# The interpreter of the tests may lie in a directory that only its owner may enter.
SYSTEM_PYTHON = shutil.which("python3.11", path="/usr/bin") or ""

as_root = pytest.mark.skipif(os.geteuid() != ROOT, reason="only root can become another account")


def test_no_account_means_the_worker_s_own():
    account = find_account(None, own_uid=NOBODY.pw_uid)

    assert (account.name, account.home, account.groups) == ("nobody", NOBODY.pw_dir, None)


def test_own_account_by_name_needs_no_change_of_identity():
    assert find_account("nobody", own_uid=NOBODY.pw_uid).groups is None
    assert find_account("root", own_uid=ROOT).groups is None


def test_root_can_become_any_account_with_its_groups():
    account = find_account("nobody", own_uid=ROOT)

    assert (account.uid, account.gid, account.home) == (
        NOBODY.pw_uid,
        NOBODY.pw_gid,
        NOBODY.pw_dir,
    )
    assert account.groups == tuple(os.getgrouplist("nobody", NOBODY.pw_gid))


def test_another_worker_says_which_worker_would_be_needed():
    with pytest.raises(RunnerError) as caught:
        find_account("www-data", own_uid=NOBODY.pw_uid)

    assert str(caught.value) == (
        'Account "www-data" is needed, but this worker runs as "nobody": '
        'start a worker as root or as "www-data".'
    )


@pytest.mark.parametrize("name", ["no-such-account", "", "a\0b"])
def test_unknown_account_is_named(name):
    with pytest.raises(RunnerError, match="does not exist on this machine"):
        find_account(name, own_uid=ROOT)


def test_an_account_that_is_only_a_number_can_run_its_own_commands():
    account = find_account(None, own_uid=3_999_999)

    assert (account.name, account.home) == ("3999999", "/")


@as_root
def test_command_of_another_account_has_its_identity_groups_and_environment(launcher):
    result = launcher.run(Command(text="id; echo $HOME $LOGNAME", run_as="nobody"))

    wanted = subprocess.run(["id", "nobody"], capture_output=True, text=True, check=True).stdout
    assert result.output.head[0].text == f"{wanted}{NOBODY.pw_dir} nobody\n"


@as_root
def test_command_of_another_account_cannot_become_root_again(launcher):
    result = launcher.run(Command(text="exec grep -E '^(Uid|Gid|Cap)' /proc/self/status", run_as="nobody"))

    fields = dict(line.split(":\t") for line in result.output.head[0].text.splitlines())
    assert set(fields["Uid"].split()) == {str(NOBODY.pw_uid)}
    assert set(fields["Gid"].split()) == {str(NOBODY.pw_gid)}
    assert int(fields["CapEff"], 16) == int(fields["CapPrm"], 16) == 0


@as_root
def test_directory_is_entered_as_the_account_not_as_root(launcher, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    result = launcher.run(Command(text="true", run_as="nobody", working_directory=str(closed)))

    assert result.ending is Ending.NOT_STARTED
    assert "Permission denied" in result.error


@as_root
@pytest.mark.skipif(not SYSTEM_PYTHON, reason="no python3 that every account may run")
def test_command_of_another_account_still_dies_with_its_runner(launcher):
    """A change of account clears the parent-death signal, so it has to be asked for after it."""
    get_pdeathsig = 2  # prctl(2)
    program = (
        "import ctypes; number = ctypes.c_int();"
        f"ctypes.CDLL(None).prctl({get_pdeathsig}, ctypes.byref(number)); print(number.value)"
    )

    result = launcher.run(Command(text=f"exec {SYSTEM_PYTHON} -c '{program}'", run_as="nobody"))

    assert result.output.head[0].text == f"{int(signal.SIGKILL)}\n"


@as_root
def test_unknown_account_starts_nothing(launcher):
    result = launcher.run(Command(text="true", run_as="no-such-account"))

    assert result.ending is Ending.NOT_STARTED
    assert "no-such-account" in result.error


@as_root
@pytest.mark.skipif(not SYSTEM_PYTHON, reason="no python3 that every account may run")
def test_a_worker_without_root_runs_its_own_commands_and_refuses_others():
    code = """
from schedules.runner.messages import Command
from schedules.runner.launcher import Launcher
with Launcher() as launcher:
    for account in (None, "nobody", "root"):
        result = launcher.run(Command(text="id -un", run_as=account))
        print([chunk.text for chunk in result.output.head], result.error)
"""
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", code],
        cwd=PROJECT,
        user=NOBODY.pw_uid,
        group=NOBODY.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.splitlines() == [
        "['nobody\\n'] ",
        "['nobody\\n'] ",
        '[] Account "root" is needed, but this worker runs as "nobody": start a worker as root or as "root".',
    ], done.stderr
