"""Files of cronie: what it reads otherwise than Debian's cron. Expectations are from its sources.

src/entry.c (load_entry), src/env.c (load_env), src/do_command.c (child_process), src/user.c (load_user).
"""

import pytest

from schedules.rules.crontab import Crontab, parse


def read(text: str, format: str = "user", **more) -> Crontab:
    return parse(text, format, dialect="cronie", **more)


def refusals(crontab: Crontab) -> list[tuple[int, str]]:
    return [(error.line, error.reason.partition(":")[0]) for error in crontab.errors]


def test_cron_tz_is_the_zone_of_the_lines_below_it():
    crontab = read(
        "@daily a\nCRON_TZ=Asia/Tokyo\n@daily b\nCRON_TZ=:Europe/Paris\n@daily c\nCRON_TZ=\n@daily d\n"
    )

    assert crontab.errors == ()
    assert [job.zone for job in crontab.jobs] == ["", "Asia/Tokyo", "Europe/Paris", ""]


def test_tz_is_not_the_zone():
    assert read("TZ=Asia/Tokyo\n@daily a\n").jobs[0].zone == ""


def test_cron_tz_changes_nothing_for_debians_cron():
    assert parse("CRON_TZ=Asia/Tokyo\n@daily a\n").jobs[0].zone == ""


def test_jobs_below_a_zone_that_does_not_exist_are_refused():
    crontab = read("CRON_TZ=Mars/Phobos\n@daily a\nCRON_TZ=UTC\n@daily b\n")

    assert [error.line for error in crontab.errors] == [2]
    assert "Mars/Phobos" in crontab.errors[0].reason
    assert [job.command for job in crontab.jobs] == ["b"]


def test_a_random_choice_is_a_time():
    (job,) = read("0~30 5 * * * a\n").jobs

    assert job.expression == "0~30 5 * * *"


@pytest.mark.parametrize("line", ["0 22-2 * * * x", "9.5 * * * * x", "0 0 * * 5#2 x", "5/15 * * * * x"])
def test_text_that_debians_cron_skips_is_refused(line):
    assert len(read(f"{line}\n").errors) == 1


class TestOptions:
    def test_a_minus_before_the_time_is_not_part_of_it(self):
        (job,) = read("-*/5 * * * * root x\n", "system").jobs

        assert (job.expression, job.user, job.command) == ("*/5 * * * *", "root", "x")

    def test_it_goes_before_a_macro_too(self):
        assert read("-@daily root x\n", "system").jobs[0].expression == "@daily"

    def test_only_root_may_use_it_in_a_users_crontab(self):
        assert refusals(read("-@daily x\n", account="ada")) == [(1, "bad option")]
        assert read("-@daily x\n", account="root").errors == ()
        assert read("-@daily x\n").errors == ()

    @pytest.mark.parametrize("format", ["user", "system"])
    def test_n_before_the_command_is_not_part_of_it(self, format):
        (job,) = read(f"@daily {'root ' if format == 'system' else ''}-n  x -n\n", format).jobs

        assert job.command == "x -n"

    @pytest.mark.parametrize("command", ["-n -n x", "-q x", "-nx", "-x", "-n\t-n x", "-"])
    def test_other_options_are_refused(self, command):
        assert refusals(read(f"@daily {command}\n")) == [(1, "bad option")]

    def test_an_option_needs_a_command(self):
        assert refusals(read("@daily -n \n")) == [(1, "bad command")]

    def test_both_are_told(self):
        assert [warning.kind for warning in read("-@daily root -n x\n", "system").warnings] == ["option"] * 2

    def test_debians_cron_knows_neither(self):
        assert refusals(parse("-@daily x\n")) == [(1, "bad minute")]
        assert "--dialect cronie" in parse("-@daily x\n").errors[0].reason
        assert parse("@daily -n x\n").jobs[0].command == "-n x"


class TestCommands:
    @pytest.mark.parametrize("line", ["@daily", "@daily  ", "* * * * *", "* * * * * ", "* * * * * * x"])
    def test_a_line_without_a_command_is_refused(self, line):
        assert refusals(read(f"{line}\n")) == [(1, "bad command")]

    def test_a_star_is_refused_where_the_account_belongs(self):
        assert refusals(read("@daily * x\n", "system")) == [(1, "bad command")]

    @pytest.mark.parametrize(
        ("text", "command", "stdin"),
        [
            (r"date +\%F", "date +%F", None),
            (r"a\\b", r"a\\b", None),
            (r"a\\%b", r"a\\", "b\n"),
            (r"a\\\%b", r"a\\%b", None),
            ("a\\", "a\\", None),
            (r"cat%a\%b\\c", "cat", "a%b\\\\c\n"),
        ],
    )
    def test_backslashes_are_not_halved(self, text, command, stdin):
        (job,) = read(f"@daily {text}\n").jobs

        assert (job.command, job.stdin) == (command, stdin)

    def test_a_command_may_be_long(self):
        fits, too_long = (read("@daily " + "x" * n + "\n") for n in (131_071, 131_072))

        assert len(fits.jobs[0].command) == 131_071
        assert refusals(too_long) == [(1, "command too long")]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=", ""),
        ("A=  ", ""),
        ("A=''", ""),
        ("A='b  '", "b  "),
        ("A='\"q\"'", '"q"'),
        ("A = b  ", "b"),
        ("A=$X", "$X"),
    ],
)
def test_values_keep_their_inner_quotes_and_blanks_and_may_be_empty(line, value):
    crontab = read(f"{line}\n@daily x\n")

    assert crontab.errors == ()
    assert crontab.jobs[0].environment == (("A", value),)


@pytest.mark.parametrize("line", ["A='b", "A='b'c", "A B=c"])
def test_what_is_no_setting_there_either(line):
    assert len(read(f"{line}\n@daily x\n").errors) == 1


def test_a_random_delay_is_told_with_its_length():
    (warning,) = read("RANDOM_DELAY=45\n@daily x\n").warnings

    assert (warning.line, warning.kind, warning.detail) == (1, "random-delay", "up to 45 minutes")
    assert read("RANDOM_DELAY=0\n@daily x\n").warnings == ()


@pytest.mark.parametrize("line", ["~/10 * * * * x", "-61 * * * * x"])
def test_advice_to_read_the_file_as_cronies_is_for_other_files(line):
    (error,) = read(f"{line}\n").errors

    assert "--dialect" not in error.reason


def test_a_last_line_without_an_end_is_skipped_alone():
    (error,) = read("@daily a\n@daily b").errors

    assert "cronie ignores the last job or setting that does not end" in error.reason
