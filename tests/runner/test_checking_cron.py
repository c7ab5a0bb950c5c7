"""What this machine's cron would add: read from files as PAM reads them."""

import os
import resource
from pathlib import Path

import pytest

from schedules.checking.cron import added_variables, differences
from schedules.runner.planning import Account

ADA = Account("root", os.getuid() or 1, 0, "/")  # an existing name, but not the exempted user id
SERVICE = """
# a comment
@include common-auth
session    required     pam_loginuid.so
session       required   pam_env.so
session       required   pam_env.so envfile=/etc/default/locale
session    required   pam_limits.so
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("etc/pam.d", "etc/default", "etc/security/limits.d", "proc"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/pam.d/cron").write_text(SERVICE)
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def texts(root: Path) -> list[str]:
    return [finding.text for finding in differences(ADA, root)]


def test_variables_are_read_as_pam_reads_them(root: Path):
    write(root, "etc/environment", "A=1 # one\nexport B=\"two words\"\n#C=3\nD='$A'\nodd-name=5\nE\nF=\n")
    write(root, "etc/default/locale", "LANG=de_DE.UTF-8\n")

    assert added_variables(root) == {
        "A": ("1", "/etc/environment"),
        "B": ("two words", "/etc/environment"),
        "D": ("$A", "/etc/environment"),
        "F": ("", "/etc/environment"),
        "LANG": ("de_DE.UTF-8", "/etc/default/locale"),
    }


def test_what_cron_sets_itself_is_not_added(root: Path):
    """Observed with Debian's daemon: its own PATH, HOME, SHELL and LOGNAME lie above PAM's."""
    write(root, "etc/environment", "PATH=/x\nHOME=/y\nSHELL=/z\nLOGNAME=w\nOTHER=1\n")

    assert list(added_variables(root)) == ["OTHER"]


def test_a_machine_without_cron_adds_nothing(tmp_path: Path):
    write(tmp_path, "etc/environment", "A=1\n")

    assert added_variables(tmp_path) == {}
    assert differences(ADA, tmp_path) == []


def test_limits_and_umask_are_compared_with_the_daemon_that_runs(root: Path):
    write(root, "proc/77/comm", "cron\n")
    write(root, "proc/77/status", "Name:\tcron\nUmask:\t0077\n")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] + 1
    write(root, "proc/77/limits", f"{'Max open files':<26}{limit:<21}{limit:<21}files\n")
    if os.geteuid() != 0:
        pytest.skip("the daemon's process must be root's")

    assert texts(root) == [
        f"cron allows {limit} open files, the worker {limit - 1}",
        "cron's umask is 077, that of a run 022",
    ]


def test_a_limit_of_the_account_wins_over_one_for_everybody(root: Path):
    write(root, "etc/security/limits.conf", "root soft nofile 11\n* soft nofile 12\n* hard nofile 13\n# x\n")
    write(root, "etc/security/limits.d/a.conf", "* - core 5\nnobody soft cpu 1\n")

    assert [text.partition(", the worker")[0] for text in texts(root)] == [
        "cron allows 11 open files",
        "cron allows 5120 bytes of a core file",
    ]
