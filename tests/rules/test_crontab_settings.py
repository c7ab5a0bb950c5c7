"""Environment lines, as observed on Debian's cron 3.0pl1-162, and which jobs they reach."""

import pytest

from schedules.rules.crontab import parse
from schedules.rules.crontab.lines import Setting
from schedules.rules.crontab.settings import NotASetting, read_setting


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("A=b", "A", "b"),
        ("A = b", "A", "b"),
        ("A\t=\tb\t", "A", "b"),
        ("A =b", "A", "b"),
        ("A=   a b   ", "A", "a b"),
        ("A=b=c", "A", "b=c"),
        ("A=b # c", "A", "b # c"),
        ("A=''", "A", ""),
        ('A=""', "A", ""),
        ("A='b'", "A", "b"),
        ('A = "b"  ', "A", "b"),
        ("A='  b'", "A", "  b"),
        ('A="b  "', "A", "b"),
        ("A='\"q\"'", "A", "q"),
        ('A="a\'b"', "A", "a'b"),
        ("A=a'b'", "A", "a'b'"),
        ("A=$HOME/bin:$PATH", "A", "$HOME/bin:$PATH"),
        ("A=b\r", "A", "b"),
        ("A=b\x0b\x0c", "A", "b"),
        ("A\x0b=c", "A", "c"),
        ("'A B'=1", "A B", "1"),
        ("\"A\" = '2'", "A", "2"),
        ("=a", "", "a"),
        ("''=a", "", "a"),
        ("é=ü", "é", "ü"),
        ("TZ=UTC 0 5 * * * cmd", "TZ", "UTC 0 5 * * * cmd"),
        ("@daily=x", "@daily", "x"),
    ],
)
def test_a_line_is_a_setting(line, name, value):
    assert read_setting(line) == Setting(name, value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("A=", "has no value"),
        ("A= ", "has no value"),
        ("A='b", "is not closed"),
        ("A='", "is not closed"),
        ("A='\"", "is not closed"),
        ("A='a'b", "text follows"),
        ("A='a' # b", "text follows"),
        ("A B=a", ""),
        ("'A'B=a", ""),
        ("'A=B'=c", ""),
        ("'A", ""),
        ("A", ""),
        ("0 5 * * * x=y", ""),
    ],
)
def test_a_line_is_not_a_setting(line, reason):
    read = read_setting(line)

    assert isinstance(read, NotASetting)
    assert (reason in read.reason) if reason else (read.reason == "")


@pytest.mark.parametrize("line", ["MAILTO=", "A='a'b", 'A="'])
def test_a_failed_setting_is_a_bad_job_line_and_says_why(line):
    (error,) = parse(f"{line}\n@daily x\n").errors

    assert error.line == 1
    assert error.reason.startswith("bad minute: ")
    assert "value" in error.reason


def test_an_empty_value_is_shown_how_to_be_written():
    assert 'MAILTO=""' in parse("MAILTO=\n").errors[0].reason


def test_a_setting_holds_for_the_lines_below_until_set_again():
    crontab = parse("@daily a\nA=1\nB=2\n@daily b\nA=3\n@daily c\n")

    assert [job.environment for job in crontab.jobs] == [
        (),
        (("A", "1"), ("B", "2")),
        (("A", "3"), ("B", "2")),
    ]


def test_a_path_set_again_in_mid_file_reaches_only_the_lines_below():
    text = (
        'PATH="/usr/bin:/bin:/home/solvi/bin"\n  0  6,7  *   *   *  exec wallswitch\n\n'
        'PATH="/bin"\n  0  19   *   *   *  DISPLAY=:0 exec termite\n'
    )

    first, second = parse(text).jobs

    assert first.environment == (("PATH", "/usr/bin:/bin:/home/solvi/bin"),)
    assert second.environment == (("PATH", "/bin"),)
    assert second.command == "DISPLAY=:0 exec termite"


def test_a_nameless_setting_is_valid_and_reaches_no_job():
    """Cron does pass it on, as the string "=a", but no program can look it up."""
    crontab = parse("=a\n@daily x\n")

    assert crontab.errors == ()
    assert crontab.jobs[0].environment == ()


@pytest.mark.parametrize("length", [996, 997, 2000])
def test_only_998_bytes_of_a_setting_are_read(length):
    (job,) = parse("  A=" + "x" * length + "\n@daily x\n").jobs

    assert job.environment == (("A", "x" * 996),)


def test_a_closing_quote_beyond_the_limit_is_not_seen():
    fits, too_long = (parse("A='" + "x" * n + "'\n@daily x\n") for n in (994, 995))

    assert fits.jobs[0].environment == (("A", "x" * 994),)
    assert too_long.errors[0].line == 1


def test_a_name_beyond_the_limit_makes_a_bad_line():
    assert parse("N" * 1100 + "=a\n").errors[0].line == 1


def test_the_limit_counts_bytes():
    (job,) = parse("A=" + "é" * 600 + "\n@daily x\n").jobs

    assert job.environment == (("A", "é" * 498),)


def test_a_quoted_value_that_is_cut_before_its_end_is_called_too_long():
    refused = read_setting(f'A="{"b" * 1200}"')

    assert isinstance(refused, NotASetting)
    assert "longer than 998 bytes" in refused.reason
