"""Jobs and settings written as lines: what is read back is what was meant, or there is a reason."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedules.errors import NotWritable
from schedules.rules.crontab.grammar import CRON, CRONIE
from schedules.rules.crontab.jobs import read_job
from schedules.rules.crontab.lines import BLANKS, Format, JobText, Setting
from schedules.rules.crontab.settings import read_setting
from schedules.rules.crontab.writing import comment_out, write_comment, write_job, write_setting
from tests.rules.crontab_samples import COMMAND, TEXT, TIME, job_line

GRAMMARS = st.sampled_from([CRON, CRONIE])
JOB = st.builds(
    JobText,
    TIME,
    st.none(),
    st.one_of(COMMAND, TEXT),
    st.one_of(st.none(), COMMAND, TEXT, st.text(max_size=9)),
)


def job(command: str, stdin: str | None = None, *, time: str = "@daily", user: str | None = None) -> JobText:
    return JobText(time, user, command, stdin)


@pytest.mark.parametrize(
    ("command", "stdin", "line"),
    [
        ("true", None, "@daily true"),
        ("date +%F", None, r"@daily date +\%F"),
        (r"a\%b", None, r"@daily a\\\%b"),
        (r"a\nb\\c", None, r"@daily a\nb\\\\c"),
        ("cat", "", "@daily cat%"),
        ("cat", "a\nb\n", "@daily cat%a%b"),
        ("cat", "100%\n", r"@daily cat%100\%"),
        ("cat", "\n", "@daily cat%%"),
        ("a\\", "b\n", r"@daily a\\%b"),
        ("a\\", None, "@daily a\\"),
        ("", None, "@daily "),
    ],
)
def test_job_is_written_with_as_few_backslashes_as_it_needs(command, stdin, line):
    assert write_job(job(command, stdin), format=Format.USER) == line


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (job("a\nb"), "more than one line"),
        (job("a\0b"), "NUL"),
        (job("cat", "no line end"), "does not end with a line end"),
        (job("cat", "a\\\nb\n"), "backslash before one"),
        (job(" true"), "begins with a blank"),
        (job("* true"), "sixth field"),
        (job("a" * 999), "command too long"),
        (job("a" * 497 + "%" * 251), "command too long: 999 bytes"),
        (job("=x"), "would not take such a line for a job"),
        (job("true", time="61 * * * *"), "minute 61"),
        (job("true\n* * * * * evil"), "more than one line"),
        (job("true", time="* * * *\n*"), "line end"),
    ],
)
def test_job_that_no_line_can_say_is_refused_with_the_reason(wanted, reason):
    with pytest.raises(NotWritable, match=reason):
        write_job(wanted, format=Format.USER)


@pytest.mark.parametrize("account", ["", "a b", "root\n"])
def test_account_that_cannot_stand_in_its_column_is_refused(account):
    with pytest.raises(NotWritable):
        write_job(job("true", user=account), format=Format.SYSTEM)


@pytest.mark.parametrize(
    ("like", "wanted", "line"),
    [
        ("\t0  5 * * *\t x", job("x", time="9 6 * * *"), "\t9  6 * * *\t x"),
        ("0 5 * * *\tx", job("x", time="@daily"), "@daily\tx"),
        (r"0 5 * * * a\\b%i", job("a\\b", "j\n", time="0 5 * * *"), r"0 5 * * * a\\b%j"),
        (r"0 5 * * * a%x\%", job("b", "x%\n", time="0 5 * * *"), r"0 5 * * * b%x\%"),
        ("@daily x\r", job("x\r", time="@weekly"), "@weekly x\r"),
        ("@daily x\udcff", job("x\udcff", time="@weekly"), "@weekly x\udcff"),
    ],
)
def test_what_the_line_said_already_stays_as_written(like, wanted, line):
    assert write_job(wanted, format=Format.USER, like=like) == line


def test_account_changes_in_its_column_and_further_blanks_stay_with_the_command():
    wanted = job("  x", time="0 5 * * *", user="ada")

    assert write_job(wanted, format=Format.SYSTEM, like="0 5 * * *  root\t  x") == "0 5 * * *  ada\t  x"


def test_options_of_cronie_stay():
    written = write_job(
        job("y", time="1 * * * *"), format=Format.USER, like="-0 * * * * -n x", grammar=CRONIE
    )

    assert written == "-1 * * * * -n y"


@settings(deadline=None)
@given(JOB, GRAMMARS)
def test_job_is_read_back_as_it_was_meant_or_refused(wanted, grammar):
    try:
        line = write_job(wanted, format=Format.USER, grammar=grammar)
    except NotWritable:
        return
    assert "\n" not in line
    assert isinstance(read_setting(line.lstrip(BLANKS), grammar), Setting) is False
    assert read_job(line.lstrip(BLANKS), format=Format.USER, grammar=grammar) == wanted


@settings(deadline=None)
@given(st.sampled_from(list(Format)[:2]).flatmap(lambda it: st.tuples(st.just(it), job_line(it))), GRAMMARS)
def test_whatever_is_read_can_be_written_anew(given_line, grammar):
    format, line = given_line
    read = read_job(line.lstrip(BLANKS), format=format, grammar=grammar)
    if not isinstance(read, JobText) or isinstance(read_setting(line.lstrip(BLANKS), grammar), Setting):
        return

    written = write_job(read, format=format, grammar=grammar)

    assert read_job(written, format=format, grammar=grammar) == read
    assert write_job(read, format=format, like=line, grammar=grammar) == line


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("/usr/bin:/bin", "A=/usr/bin:/bin"),
        ("", 'A=""'),
        ("a b", 'A="a b"'),
        ('say "x"', "A='say \"x\"'"),
        ("b  ", "A=\"'b  '\""),
        ("a#b", "A=a#b"),
        ("$HOME", "A=$HOME"),
    ],
)
def test_setting_is_written_in_the_plainest_form(value, line):
    assert write_setting("A", value) == line


@pytest.mark.parametrize("value", ["a\nb", "a\0", "x" * 998])
def test_setting_that_cron_would_read_otherwise_is_refused(value):
    with pytest.raises(NotWritable, match="variable A"):
        write_setting("A", value)


@settings(deadline=None)
@given(
    st.sampled_from(["A", "A B", "'A", "#A", "A'B", "é"]),
    st.one_of(TEXT, st.text(" '\"=#x", max_size=8)),
    GRAMMARS,
)
def test_setting_is_read_back_as_it_was_meant_or_refused(name, value, grammar):
    try:
        line = write_setting(name, value, grammar)
    except NotWritable:
        return
    assert not line.startswith("#")
    assert read_setting(line.lstrip(BLANKS), grammar) == Setting(name, value)


def test_comment_is_one_line_whatever_it_says():
    assert write_comment("a\n* * * * * evil\r\x1b[31m") == "# a\\n* * * * * evil\\r\\x1b[31m"


def test_commented_line_comes_back_without_its_mark():
    assert comment_out("\t0 5 * * * x\r") == "#\t0 5 * * * x\r"
