"""What a command gets to see is what cron would show it, and nothing of the worker."""

import hashlib
import os
import pwd
import signal
from datetime import timedelta

import pytest

from schedules.runner.launcher import Launcher
from schedules.runner.messages import Command, Ending

ME = pwd.getpwuid(os.geteuid())


def output_of(launcher: Launcher, text: str, **options) -> str:
    result = launcher.run(Command(text=text, **options))
    assert result.succeeded, result
    return "".join(chunk.text for chunk in result.output.head)


def environment_of(launcher: Launcher, **options) -> dict[str, str]:
    text = output_of(launcher, "tr '\\0' '\\n' < /proc/$$/environ; true", **options)
    return dict(line.split("=", 1) for line in text.splitlines())


def test_environment_is_cron_s_four_variables_and_nothing_inherited(launcher, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "leaked")

    environment = environment_of(launcher)

    assert environment == {
        "SHELL": "/bin/sh",
        "PATH": "/usr/bin:/bin",
        "HOME": ME.pw_dir,
        "LOGNAME": ME.pw_name,
    }


def test_later_lines_win_and_ours_come_last(launcher):
    environment = environment_of(
        launcher,
        environment=(("A", "1"), ("PATH", "/bin"), ("A", "2"), ("RUN_ID", "theirs")),
        extra_environment=(("RUN_ID", "7"),),
    )

    assert (environment["A"], environment["PATH"], environment["RUN_ID"]) == ("2", "/bin", "7")


def test_a_line_cannot_change_logname_but_can_set_user(launcher):
    environment = environment_of(launcher, environment=(("LOGNAME", "x"), ("USER", "y")))

    assert (environment["LOGNAME"], environment["USER"]) == (ME.pw_name, "y")


def test_values_are_passed_literally(launcher):
    odd = "$HOME/bin:`id`  'quoted' ü \n end"

    text = output_of(launcher, 'printf %s "$ODD"', environment=(("ODD", odd),))

    assert text == odd


def test_shell_is_named_in_the_environment_and_runs_the_text(launcher):
    text = output_of(launcher, 'echo "$SHELL ${BASH_VERSION:+bash}"', shell="/bin/bash")

    assert text == "/bin/bash bash\n"


def test_umask_is_cron_s_whatever_the_worker_s(launcher):
    assert output_of(launcher, "umask") == "0022\n"


def test_command_starts_in_home_as_the_lines_set_it(launcher, tmp_path):
    assert output_of(launcher, "pwd") == f"{ME.pw_dir}\n"
    assert output_of(launcher, "pwd", environment=(("HOME", str(tmp_path)),)) == f"{tmp_path}\n"


def test_missing_home_means_the_root_directory_and_a_note(launcher):
    result = launcher.run(Command(text="pwd", environment=(("HOME", "/no/such/home"),)))

    assert result.output.head[0].text == "/\n"
    assert result.notes == (
        "HOME /no/such/home cannot be entered (No such file or directory); the command started in /.",
    )


def test_working_directory_is_entered_and_a_relative_one_begins_at_home(launcher, tmp_path):
    (tmp_path / "inner").mkdir()
    home = (("HOME", str(tmp_path)),)

    assert output_of(launcher, "pwd", working_directory="/usr") == "/usr\n"
    text = output_of(launcher, "pwd", working_directory="inner", environment=home)
    assert text == f"{tmp_path}/inner\n"


def test_missing_working_directory_starts_nothing_and_says_so(launcher, tmp_path):
    witness = tmp_path / "witness"

    result = launcher.run(Command(text=f"touch {witness}", working_directory="/no/such"))

    assert result.ending is Ending.NOT_STARTED
    assert result.error == (
        'Working directory "/no/such" cannot be entered (No such file or directory): '
        "create it, or correct the schedule."
    )
    assert not witness.exists()


@pytest.mark.parametrize(
    ("shell", "error"),
    [
        ("/no/such/shell", 'Shell "/no/such/shell" cannot be started (No such file or directory)'),
        ("/etc/passwd", 'Shell "/etc/passwd" cannot be started (Permission denied)'),
        ("bash", 'Shell "bash" is not an absolute path'),
    ],
)
def test_unusable_shell_starts_nothing_and_says_why(launcher, shell, error):
    result = launcher.run(Command(text="true", shell=shell))

    assert result.ending is Ending.NOT_STARTED
    assert error in result.error


@pytest.mark.parametrize("name", ["", "A=B", "A\0B"])
def test_impossible_variable_names_start_nothing(launcher, name):
    result = launcher.run(Command(text="true", environment=((name, "x"),)))

    assert result.ending is Ending.NOT_STARTED
    assert "cannot be passed to a process" in result.error


def test_a_command_that_no_process_can_take_starts_nothing(launcher):
    too_long = launcher.run(Command(text="#" * 200_000))
    with_nul = launcher.run(Command(text="true \0"))

    assert (too_long.ending, with_nul.ending) == (Ending.NOT_STARTED, Ending.NOT_STARTED)
    assert "Argument list too long" in too_long.error
    assert "NUL" in with_nul.error


def test_stdin_is_the_given_text_then_the_end(launcher):
    text = "first\nsecond ü\n" * 20_000  # more than a pipe holds

    assert output_of(launcher, "md5sum", stdin=text).split()[0] == hashlib.md5(text.encode()).hexdigest()


def test_stdin_is_dev_null_without_text(launcher):
    assert output_of(launcher, "readlink /proc/$$/fd/0") == "/dev/null\n"


def test_unread_stdin_does_no_harm(launcher):
    assert launcher.run(Command(text="exec true", stdin="x" * 1_000_000)).succeeded


def test_only_the_three_streams_are_open(launcher):
    with open("/etc/passwd"):  # one more descriptor in the worker
        listing = output_of(launcher, "exec ls /proc/self/fd")

    assert listing.split() == ["0", "1", "2", "3"]  # 3 is how ls reads the directory


def test_signals_have_their_default_actions_and_none_is_blocked(launcher):
    status = output_of(launcher, "exec cat /proc/self/status")

    fields = dict(line.split(":\t") for line in status.splitlines())
    # glibc's two internal signals (32, 33) are not the runner's to change
    internal = sum(1 << (number - 1) for number in (32, 33))
    assert int(fields["SigBlk"], 16) == 0
    assert int(fields["SigIgn"], 16) & ~internal == 0


def test_blocked_signals_of_the_worker_are_not_inherited():
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    try:
        with Launcher() as launcher:
            status = output_of(launcher, "exec grep SigBlk /proc/self/status")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    assert int(status.split()[1], 16) == 0


def test_command_leads_a_session_of_its_own(launcher):
    text = output_of(launcher, "exec cat /proc/self/stat")

    pid, _, rest = text.partition(" ")
    session = rest.rpartition(")")[2].split()[3]
    assert session == pid


def test_new_privileges_stay_possible_for_sudo(launcher):
    assert "NoNewPrivs:\t0" in output_of(launcher, "grep NoNewPrivs /proc/self/status")


def test_command_is_preferred_by_the_oom_killer_unless_it_may_leave_a_daemon(launcher):
    text = "cat /proc/self/oom_score_adj"

    assert output_of(launcher, text) == "500\n"
    assert output_of(launcher, text, kill_leftovers=False) == output_of_this_process()


def output_of_this_process() -> str:
    with open("/proc/self/oom_score_adj") as file:
        return file.read()


def test_no_time_limit_and_a_long_one_are_both_possible(launcher):
    assert launcher.run(Command(text="true", timeout=None)).succeeded
    assert launcher.run(Command(text="true", timeout=timedelta(days=400))).succeeded
