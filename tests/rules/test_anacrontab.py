"""Anacron's table, by its source (readtab.c) and its manual."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.rules import cron
from schedules.rules.anacrontab import parse
from tests.rules.test_crontab import ANACRONTAB


def only(text: str):
    crontab = parse(text)
    assert crontab.errors == ()
    (job,) = crontab.jobs
    return job


def test_every_job_gets_the_hour_at_which_the_range_begins_and_its_delay():
    jobs = parse(ANACRONTAB).jobs

    assert [(job.name, job.expression) for job in jobs] == [
        ("cron.daily", "5 3 * * *"),
        ("cron.weekly", "25 3 * * 0"),
        ("cron.monthly", "45 3 1 * *"),
    ]
    assert {job.runs_when_missed for job in jobs} == {True}
    assert jobs[0].command == "nice run-parts /etc/cron.daily"
    assert dict(jobs[0].environment)["SHELL"] == "/bin/sh"


@pytest.mark.parametrize(
    ("line", "expression"),
    [
        ("1 5 a x", "5 0 * * *"),
        ("01 0 a x", "0 0 * * *"),
        ("@daily 90 a x", "30 1 * * *"),
        ("7 10 a x", "10 0 * * 0"),
        ("@weekly 10 a x", "10 0 * * 0"),
        ("30 10 a x", "10 0 1 * *"),
        ("@monthly 10 a x", "10 0 1 * *"),
        ("@yearly 10 a x", "10 0 1 1 *"),
        ("@annually 10 a x", "10 0 1 1 *"),
        ("  1\t5\ta\tx", "5 0 * * *"),
        ("PREFERRED_HOUR=6\n1 5 a x", "5 6 * * *"),
        ("START_HOURS_RANGE=22-23\n1 59 a x", "59 22 * * *"),
    ],
)
def test_a_period_is_a_time_of_day(line, expression):
    assert only(f"{line}\n").expression == expression


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("3 5 a x", "3 days has no counterpart"),
        ("0 5 a x", "0 days has no counterpart"),
        ("@hourly 5 a x", "does not know the period"),
        ("1 1440 a x", "leads into the next day"),
        ("1 9999999999999 a x", "leads into the next day"),
        ("START_HOURS_RANGE=23-23\n1 60 a x", "leads into the next day"),
        ("START_HOURS_RANGE=8-3", "no range of hours"),
        ("1 5 a/b x", "anacron skips the line"),
        ("1 5 a", "anacron skips the line"),
        ("oops", "anacron skips the line"),
        ("1 5 a x\0y", "NUL byte"),
    ],
)
def test_what_has_no_time_is_refused_with_the_reason(line, reason):
    crontab = parse(f"{line}\n")

    assert crontab.jobs == ()
    assert reason in crontab.errors[0].reason


def test_the_other_lines_of_such_a_table_are_read():
    crontab = parse("3 5 a x\n1 5 b y\n")

    assert [job.name for job in crontab.jobs] == ["b"]


def test_percent_signs_and_quotes_mean_nothing():
    job = only("MAILTO=\"ops\"\nA= b \n1 5 a date '+%F'\n")

    assert (job.command, job.stdin) == ("date '+%F'", None)
    assert job.environment == (("MAILTO", '"ops"'), ("A", " b "))


def test_a_backslash_joins_lines_and_is_lost_elsewhere():
    crontab = parse("1 5 a x\\\n  y\\%z\n1 6 b w\n")

    assert [(job.line, job.command) for job in crontab.jobs] == [(1, "x   y%z"), (3, "w")]
    assert [(line.number, line.kind.value) for line in crontab.lines] == [(1, "job"), (2, "job"), (3, "job")]
    assert [(warning.line, warning.kind) for warning in crontab.warnings] == [(1, "backslash")]


def test_the_last_line_needs_no_newline():
    assert only("1 5 a x").command == "x"


def test_a_random_delay_is_told():
    assert [(w.line, w.kind, w.detail) for w in parse(ANACRONTAB).warnings] == [
        (2, "random-delay", "up to 45 minutes")
    ]
    assert parse("RANDOM_DELAY=0\n1 5 a x\n").warnings == ()


def test_rubbish_is_refused_unread():
    assert "16 MiB" in parse(b"x" * 2**25).errors[0].reason


@given(st.text(alphabet="017@dailywekmonth =\\\n\t#x-", max_size=120))
def test_lines_come_back_and_jobs_have_times(text):
    crontab = parse(text)

    assert "".join(line.raw for line in crontab.lines) == text
    assert all(not cron.parse(job.expression).never_fires for job in crontab.jobs)
