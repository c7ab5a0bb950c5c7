"""Commands looked at by a real process that becomes their account; nothing of them is executed."""

import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from schedules.checking import process
from schedules.checking.process import examine
from schedules.runner.messages import Command

NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")

# As the real one, but one name does not answer, as a file on a dead mount.
HANGING = """
import sys, time; sys.path.append(sys.argv[1])
from schedules.checking import child
from schedules.checking import files
look = files.AccountFiles.look
files.AccountFiles.look = lambda self, path: time.sleep(60) if "hangs" in path else look(self, path)
child.main()
"""


def codes(*commands: Command, stall: float = 20) -> list[list[str]]:
    """Of what is wrong with each: notes depend on the machine."""
    found = dict(examine(dict(enumerate(commands)), stall=stall))
    return [[each["code"] for each in found[at] if each["level"] != "note"] for at in range(len(commands))]


def test_each_command_is_answered_in_the_terms_of_this_machine(tmp_path: Path):
    script = tmp_path / "job"
    script.write_text("#!/bin/sh\r\ntouch executed\r\n")
    script.chmod(0o755)

    found = codes(
        Command(text="true"),
        Command(text="no-such-program"),
        Command(text="./job", working_directory=str(tmp_path)),
        Command(text="true", working_directory=str(tmp_path / "nowhere")),
        Command(text="true", shell="sh"),
        Command(text="true", environment=(("A=B", "c"),)),
        Command(text=f"cat < {tmp_path}/none > {tmp_path}/made"),
    )

    assert found == [
        [],
        ["not_in_path"],
        ["carriage_return"],
        ["directory"],
        ["start"],
        ["start"],
        ["input"],
    ]
    assert os.listdir(tmp_path) == ["job"]


def test_an_unknown_account_is_told_in_the_words_of_a_failed_run():
    [(_, [finding])] = examine({1: Command(text="true", run_as="no-such-account")})

    assert finding["code"] == "account"
    assert "no-such-account" in finding["text"]


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that everybody may enter: pytest's own are closed."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@as_root
def test_files_are_looked_at_as_the_account(open_to_all: Path):
    closed = open_to_all / "closed"
    closed.mkdir(mode=0o700)
    (closed / "in").touch()
    own = f"true < {closed}/in > {closed}/out"

    assert codes(Command(text=own)) == [[]]
    assert codes(Command(text=own, run_as="nobody")) == [["closed", "closed"]]
    assert codes(Command(text="true", run_as="nobody", working_directory=str(closed))) == [["directory"]]


@as_root
def test_groups_of_the_account_count(open_to_all: Path):
    """`nobody` may read the file by its group only."""
    file = open_to_all / "in"
    file.touch()
    file.chmod(0o640)

    os.chown(file, 0, NOBODY.pw_gid)
    assert codes(Command(text=f"true < {file}", run_as="nobody")) == [[]]
    os.chown(file, 0, 0)
    assert codes(Command(text=f"true < {file}", run_as="nobody")) == [["unreadable"]]


def test_a_file_that_does_not_answer_costs_its_own_command_only(monkeypatch):
    monkeypatch.setattr(process, "_PROGRAM", HANGING)

    found = codes(Command(text="true"), Command(text="/mnt/hangs"), Command(text="no-such-program"), stall=5)

    assert found == [[], ["hangs"], ["not_in_path"]]


def test_an_account_whose_commands_hang_again_and_again_is_given_up(monkeypatch):
    monkeypatch.setattr(process, "_PROGRAM", HANGING)
    monkeypatch.setattr(process, "HANGS", 1)

    assert codes(Command(text="/mnt/hangs"), Command(text="true"), stall=5) == [
        ["hangs"],
        ["not_looked_at"],
    ]


def test_a_process_that_fails_is_an_answer_too(monkeypatch):
    monkeypatch.setattr(process, "_PROGRAM", "raise SystemExit('no memory')")

    [(_, [finding])] = examine({1: Command(text="true")})

    assert finding["code"] == "not_looked_at"
    assert "no memory" in finding["text"]
