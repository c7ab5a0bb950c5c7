"""cron's log lines in the forms in which they lie on disk."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from schedules.rules import cron_log
from schedules.rules.cron_log import logged, read, without_pid

BERLIN = ZoneInfo("Europe/Berlin")
WRITTEN = datetime(2026, 11, 21, 12, tzinfo=UTC)


def log(*lines: str | bytes, written_at: datetime = WRITTEN):
    raw = [line if isinstance(line, bytes) else f"{line}\n".encode() for line in lines]
    return read(raw, zone=BERLIN, written_at=written_at)


def only(*lines: str | bytes):
    [start] = log(*lines).starts
    return start


@pytest.mark.parametrize(
    "line",
    [
        "Nov 21 04:05:01 host CRON[123]: (root) CMD (a b)",
        "Nov 21 04:05:01 host CRON[123]: (CRON) (root) CMD (a b)",
        "Nov 21 04:05:01 host CROND[123]: (root) CMD (a b)",
        "Nov 21 04:05:01 host /usr/sbin/cron[123]: (root) CMD (a b)",
        "2026-11-21T04:05:01.5+01:00 host CRON[123]: (root) CMD (a b)",
        "2026-11-21T03:05:01Z host CRON[123]: (root) CMD (a b)",
        "2026-11-21T04:05:01.123456789+0100 host CRON: (root) CMD (a b)",
        '{"__REALTIME_TIMESTAMP":"1795230301000000","SYSLOG_IDENTIFIER":"CRON","MESSAGE":"(root) CMD (a b)"}',
        '{"__REALTIME_TIMESTAMP":"1795230301000000","SYSLOG_IDENTIFIER":"CROND",'
        '"MESSAGE":[40,114,111,111,116,41,32,67,77,68,32,40,97,32,98,41]}',
    ],
)
def test_forms_of_a_line(line):
    start = only(line)
    assert (start.account, start.command, start.is_cut) == ("root", "a b", False)
    assert start.at.replace(microsecond=0) == datetime(2026, 11, 21, 3, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "line",
    [
        "Nov 21 04:05:01 host CRON[123]: (root) RELOAD (crontabs/root)",
        "Nov 21 04:05:01 host CROND[123]: (root) CMDEND (a b)",
        "Nov 21 04:05:01 host CROND[123]: (root) CMDOUT (CMD (x))",
        "Nov 21 04:05:01 host sudo: ada : COMMAND=/bin/echo CRON[1]: (root) CMD (x)",
        "Nov 21 04:05:01 host evil[1]: (root) CMD (x)",
        "CRON[123]: (root) CMD (no time)",
        "Nov 31 04:05:01 host CRON[123]: (root) CMD (no such day)",
        "2026-13-45T04:05:01Z host CRON[123]: (root) CMD (no such day)",
        '{"__REALTIME_TIMESTAMP":"x","SYSLOG_IDENTIFIER":"CRON","MESSAGE":"(root) CMD (x)"}',
        '{"__REALTIME_TIMESTAMP":"1","SYSLOG_IDENTIFIER":"sshd","MESSAGE":"(root) CMD (x)"}',
        '{"broken (root) CMD (',
        b"\x00\xff\xfe CMD (\x80\n",
    ],
)
def test_what_is_no_start(line):
    assert log(line).starts == ()


def test_a_command_that_the_log_cut_off_is_marked():
    assert only("Nov 21 04:05:01 host CRON[1]: (root) CMD (a b").is_cut
    assert only("Nov 21 04:05:01 host CRON[1]: (root) CMD (echo (x))").command == "echo (x)"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo a", "echo a"),
        ("echo\ta", "echo^Ia"),
        ("x\r", "x^M"),
        ("\x7f", "^?"),
        ("ä", r"\303\244"),
        ("\udcff", r"\377"),
        ("a\\b", "a\\b"),
    ],
)
def test_a_command_as_cron_writes_it(command, said):
    assert logged(command) == said


def test_the_number_of_the_process_is_taken_off():
    assert without_pid("[123] echo") == "echo"
    assert without_pid("[ -x y ] && z") == "[ -x y ] && z"


def test_a_year_is_inferred_from_the_last_change_of_the_file_and_december_is_before_january():
    found = log(
        "Dec 31 23:59:01 host CRON[1]: (root) CMD (a)",
        "Jan  1 00:00:01 host CRON[1]: (root) CMD (a)",
        written_at=datetime(2027, 1, 5, tzinfo=UTC),
    )
    assert [it.at for it in found.starts] == [
        datetime(2026, 12, 31, 22, 59, 1, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 0, 1, tzinfo=UTC),
    ]


def test_a_log_of_december_that_is_looked_at_in_january_is_last_years():
    start = only("Dec 24 01:00:01 host CRON[1]: (root) CMD (a)")
    assert start.at.year == 2025


def test_a_leap_day_is_read_in_its_year():
    found = log("Feb 29 12:00:01 host CRON[1]: (root) CMD (a)", written_at=datetime(2028, 3, 1, tzinfo=UTC))
    assert found.starts[0].at == datetime(2028, 2, 29, 11, 0, 1, tzinfo=UTC)


def test_in_the_repeated_hour_the_order_of_the_lines_decides():
    clocks = ["02:00:01", "02:30:01", "02:00:01", "02:30:01", "03:00:01"]
    found = log(
        *(f"Oct 25 {clock} host CRON[1]: (root) CMD (a)" for clock in clocks),
        written_at=datetime(2026, 10, 26, tzinfo=UTC),
    )
    minutes = [f"{it.at:%H:%M}" for it in found.starts]
    assert minutes == ["00:00", "00:30", "01:00", "01:30", "02:00"]


def test_the_log_watched_from_its_first_to_its_last_line_of_any_kind():
    found = log(
        "Nov 21 04:00:00 host kernel: x",
        "Nov 21 04:05:01 host CRON[1]: (root) CMD (a)",
        "Nov 21 04:30:00 host sshd[1]: y",
    )
    assert (f"{found.first:%H:%M}", f"{found.last:%H:%M}") == ("03:00", "03:30")


def test_a_last_line_without_a_time_is_passed_by():
    found = log("Nov 21 04:05:01 host CRON[1]: (root) CMD (a)", b"\xff\x00")
    assert found.last == found.starts[0].at


def test_nothing_and_rubbish_are_no_log():
    assert log() == cron_log.CronLog((), None, None, 0)
    assert log(b"\x00" * 100_000, b"CMD (" * 50_000).first is None
