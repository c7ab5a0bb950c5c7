"""What `%` and the backslash do to a command, as observed on Debian's cron 3.0pl1-162."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.rules.crontab import parse
from schedules.rules.crontab.jobs import split_stdin


@pytest.mark.parametrize(
    ("text", "command", "stdin"),
    [
        ("echo a", "echo a", None),
        ("cat%", "cat", ""),
        ("cat%a", "cat", "a\n"),
        ("cat%a%", "cat", "a\n"),
        ("cat%a%b", "cat", "a\nb\n"),
        ("cat%%", "cat", "\n"),
        ("cat%%%", "cat", "\n\n"),
        ("%a", "", "a\n"),
        (r"date +\%F", "date +%F", None),
        (r"echo '\%'", "echo '%'", None),
        ("echo '%'", "echo '", "'\n"),
        (r"a\\b", r"a\b", None),
        (r"a\\\b", r"a\\b", None),
        (r"a\b", r"a\b", None),
        ("a\\", "a\\", None),
        (r"a\\%b", "a\\", "b\n"),
        (r"a\\\%b", r"a\%b", None),
        (r"cat%a\%b", "cat", "a%b\n"),
        (r"cat%a\\b", "cat", "a\\\\b\n"),
        (r"cat%a\\%b", "cat", "a\\%b\n"),
        (r"cat%a\xb", "cat", "a\\xb\n"),
        ("cat%a\\", "cat", "a\\\n"),
        ("cat%\\", "cat", "\\"),
        ("cat%a%\\", "cat", "a\n\\"),
        (r"a\\b \% \x 'a%b\%c\\d%e", "a\\b % \\x 'a", "b%c\\\\d\ne\n"),
    ],
)
def test_percent_signs_and_backslashes(text, command, stdin):
    assert split_stdin(text) == (command, stdin)
    (job,) = parse(f"@daily {text}\n").jobs
    assert (job.command, job.stdin) == (command, stdin)


@given(st.text())
def test_protected_percent_signs_and_backslashes_come_back_as_they_were(command):
    protected = command.replace("\\", "\\\\").replace("%", "\\%")

    assert split_stdin(protected) == (command, None)


def test_the_example_of_the_manual():
    (job,) = parse('0 22 * * 1-5\tmail -s "It\'s 10pm" joe%Joe,%%Where are your kids?%\n').jobs

    assert job.command == 'mail -s "It\'s 10pm" joe'
    assert job.stdin == "Joe,\n\nWhere are your kids?\n"


def test_an_unprotected_date_format_is_cut():
    (job,) = parse('*/1 * * * * date "+%Y-%m-%d" >> /var/log/cron.log\n').jobs

    assert job.command == 'date "+'
    assert job.stdin == 'Y-\nm-\nd" >> /var/log/cron.log\n'


def test_control_characters_that_cron_skips_in_a_time_field_become_visible():
    assert parse("* * * * 5\r\n").jobs[0].expression == "* * * * 5^M"
