"""Whole files: what is a comment, a setting, a job, a bad line; what makes cron ignore a file.

Every expectation here was observed on Debian's cron 3.0pl1-162 unless the test says otherwise.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.rules.crontab import Crontab, LineKind, Problem, ignored_name, looks_like, parse

EXAMPLES = Path(__file__).parents[2] / "fixtures"

CRONIE_DAILY = b"""\
# Run the daily, weekly, and monthly jobs if cronie-anacron is not installed
SHELL=/bin/bash
PATH=/sbin:/bin:/usr/sbin:/usr/bin
MAILTO=root

# run-parts
02 4 * * * root [ ! -f /etc/cron.hourly/0anacron ] && run-parts /etc/cron.daily
22 4 * * 0 root [ ! -f /etc/cron.hourly/0anacron ] && run-parts /etc/cron.weekly
"""

ANACRONTAB = b"""\
SHELL=/bin/sh
RANDOM_DELAY=45
START_HOURS_RANGE=3-22

#period in days   delay in minutes   job-identifier   command
1\t5\tcron.daily\t\tnice run-parts /etc/cron.daily
7\t25\tcron.weekly\t\tnice run-parts /etc/cron.weekly
@monthly 45\tcron.monthly\t\tnice run-parts /etc/cron.monthly
"""


def refusals(crontab: Crontab) -> list[tuple[int, str]]:
    """Line numbers with cron's own words, without our explanation."""
    return [(error.line, error.reason.partition(":")[0]) for error in crontab.errors]


def kinds(text: str | bytes) -> list[str]:
    return [line.kind.value for line in parse(text).lines]


def test_a_job_carries_its_line_expression_command_and_raw_text():
    crontab = parse("# first\n\n  0\t5  * * mon   /bin/backup  --all \n")

    (job,) = crontab.jobs
    assert (job.line, job.expression, job.user) == (3, "0 5 * * mon", None)
    assert (job.command, job.stdin, job.environment) == ("/bin/backup  --all ", None, ())
    assert job.raw == "  0\t5  * * mon   /bin/backup  --all "


def test_lines_are_sorted_into_comments_blanks_settings_jobs_and_bad_lines():
    assert kinds("# c\n \t # d\n\n \t\nA=b\n@daily x\noops\n") == [
        "comment", "comment", "blank", "blank", "setting", "job", "bad",
    ]  # fmt: skip


@given(st.text())
def test_joined_raw_lines_give_back_any_text(text):
    assert "".join(line.raw for line in parse(text).lines) == text


@given(st.text(alphabet="AB=*@'\"%\\ \t\r\n\0#15é\ufeff", max_size=80))
def test_joined_raw_lines_give_back_anything_like_a_crontab(text):
    assert "".join(line.raw for line in parse(text, "system").lines) == text


@given(st.binary())
def test_joined_raw_lines_give_back_any_bytes(content):
    raw = "".join(line.raw for line in parse(content).lines)

    assert raw.encode("utf-8", "surrogateescape") == content


@given(st.text(alphabet="AB=*@'\"%\\ \t\r\n\0#15é", max_size=80))
def test_each_bad_line_has_one_error_and_each_job_line_one_job(text):
    crontab = parse(text)

    found = {kind: [line.number for line in crontab.lines if line.kind is kind] for kind in LineKind}
    assert [error.line for error in crontab.errors] == found[LineKind.BAD]
    assert [job.line for job in crontab.jobs] == found[LineKind.JOB]


def test_only_a_newline_ends_a_line():
    text = "# a\x0bb\x0cc\x85d\u2028e\n@daily x\x0b\x0c\x85\u2028y\n"

    crontab = parse(text)

    assert len(crontab.lines) == 2
    assert crontab.jobs[0].command == "x\x0b\x0c\x85\u2028y"


def test_a_hash_after_the_command_belongs_to_the_command():
    assert parse("@daily x # why\n").jobs[0].command == "x # why"


def test_the_good_lines_of_a_file_with_a_bad_one_are_still_read():
    """Cron runs none of them; whether to import a part is for the importer to decide."""
    crontab = parse("@daily good\n61 * * * * bad\n@daily also-good\n")

    assert [job.command for job in crontab.jobs] == ["good", "also-good"]
    assert crontab.errors == (Problem(2, "bad minute: minute 61 is outside 0-59"),)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("oops", "bad minute"),
        ("60 * * * * x", "bad minute"),
        ("* 25 * * * x", "bad hour"),
        ("* * 0 * * x", "bad day-of-month"),
        ("* * * 13 * x", "bad month"),
        ("* * * * 8 x", "bad day-of-week"),
        ("0 0 0 1 1 * x", "bad day-of-month"),
        ("5/15 * * * * x", "bad minute"),
        ("1, 2 * * * x", "bad minute"),
        ("*", "bad hour"),
        ("* *", "bad day-of-month"),
        ("* * *", "bad month"),
        ("* * * *", "bad day-of-week"),
        ("* * * * * * x", "bad command"),
        ("* * * * * * * x", "bad command"),
        ("* * * * * *", "bad command"),
        ("@daily * x", "bad command"),
        ("@Daily x", "bad time specifier"),
        ("@every 5m x", "bad time specifier"),
        ("@ daily x", "bad time specifier"),
        ("@", "bad time specifier"),
        ("@daily\r", "bad time specifier"),
        ("-* * * * * x", "bad minute"),
        ("\r", "bad minute"),
        ("\x0b@daily x", "bad minute"),
        ("\u00a0@daily x", "bad minute"),
    ],
)
def test_cron_refuses(line, words):
    assert refusals(parse(f"{line}\n")) == [(1, words)]


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("* * * * * x", "x"),
        ("*\t*\t*\t*\t*\tx", "x"),
        ("* * * * *", ""),
        ("* * * * *\r", ""),
        ("* * * * *   ", ""),
        ("@reboot", ""),
        ("@reboot x", "x"),
        ("@hourly\tx", "x"),
        ("0 0 1 1 * 2024 x", "2024 x"),
        ("0 0 1 1 *\t?x", "?x"),
        ("@reboot -x", "-x"),
        ("0 5 * * * =x", "=x"),
    ],
)
def test_cron_accepts(line, command):
    crontab = parse(f"{line}\n")

    assert crontab.errors == ()
    assert [job.command for job in crontab.jobs] == [command]


@pytest.mark.parametrize(
    "macro",
    ["reboot", "yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly"],
)
def test_a_macro_is_the_expression_of_its_job(macro):
    assert parse(f"@{macro} x\n").jobs[0].expression == f"@{macro}"


@pytest.mark.parametrize("last", ["@daily y", "A=b", "oops"])
def test_a_last_line_without_newline_is_an_error(last):
    assert refusals(parse(f"@daily x\n{last}")) == [(2, "missing newline before EOF")]


@pytest.mark.parametrize("last", ["# c", " \t# c", "  ", ""])
def test_a_last_comment_or_blank_line_needs_no_newline(last):
    assert parse(f"@daily x\n{last}").errors == ()


@pytest.mark.parametrize("first", ["# comment\n", "@daily x\n", "* * * * * x\n", "\n"])
def test_a_byte_order_mark_makes_line_1_bad(first):
    crontab = parse(b"\xef\xbb\xbf" + first.encode() + b"@daily y\n")

    assert refusals(crontab) == [(1, "bad minute")]
    assert "byte order mark" in crontab.errors[0].reason


def test_a_carriage_return_stays_in_the_command_and_leaves_the_setting():
    (job,) = parse(b"A=b\r\n@daily x\r\n").jobs

    assert job.command == "x\r"
    assert job.environment == (("A", "b"),)


def test_an_empty_line_with_a_windows_line_end_is_bad():
    crontab = parse("# c\r\n\r\n@daily x\r\n")

    assert refusals(crontab) == [(2, "bad minute")]
    assert "dos2unix" in crontab.errors[0].reason


def test_a_backslash_does_not_continue_the_line():
    crontab = parse("@daily x \\\n  y z\n")

    assert crontab.jobs[0].command == "x \\"
    assert refusals(crontab) == [(2, "bad minute")]


def test_bytes_that_are_not_utf_8_are_kept():
    (job,) = parse(b"A=\xff\n@daily \xfe\n").jobs

    assert job.command.encode("utf-8", "surrogateescape") == b"\xfe"
    assert job.environment == (("A", "\udcff"),)


@pytest.mark.parametrize("line", ["@daily x\0y", "A=a\0b", "\0"])
def test_a_nul_byte_is_refused(line):
    """Stricter than cron, which takes the text after the byte for a further line."""
    crontab = parse(f"{line}\n")

    assert "NUL byte" in crontab.errors[0].reason
    assert crontab.jobs == ()


def test_a_nul_byte_in_a_comment_does_no_harm():
    assert parse("# a\0b\n@daily x\n").errors == ()


class TestSystemFormat:
    def test_an_account_precedes_the_command(self):
        (job,) = parse("48 17,23,7,12\t* * *\tnews\t/usr/lib/gup/gupdate\n", "system").jobs

        assert (job.user, job.command) == ("news", "/usr/lib/gup/gupdate")
        assert job.expression == "48 17,23,7,12 * * *"

    def test_settings_and_jobs_of_a_real_file_are_read(self):
        crontab = parse(CRONIE_DAILY, "system", accounts={"root"})

        assert crontab.errors == ()
        assert [warning.kind for warning in crontab.warnings] == ["anacron", "anacron"]
        assert [job.line for job in crontab.jobs] == [7, 8]
        assert crontab.jobs[0].expression == "02 4 * * *"
        assert dict(crontab.jobs[0].environment)["MAILTO"] == "root"

    def test_exactly_one_blank_is_eaten_after_the_account(self):
        commands = [parse(f"@daily root{gap}x \n", "system").jobs[0].command for gap in (" ", "\t", "  \t")]

        assert commands == ["x ", "x ", " \tx "]

    def test_the_command_may_begin_with_a_star(self):
        assert parse("@daily root * x\n", "system").jobs[0].command == "* x"

    def test_an_account_with_a_blank_after_it_may_have_no_command(self):
        assert parse("@daily root \n", "system").jobs[0].command == ""

    @pytest.mark.parametrize("line", ["@daily", "@daily ", "@daily root", "* * * * * root"])
    def test_a_line_that_ends_before_the_command_is_bad(self, line):
        assert refusals(parse(f"{line}\n", "system")) == [(1, "bad username")]

    def test_an_account_that_does_not_exist_is_bad(self):
        crontab = parse("@daily nosuch x\n@daily root x\n", "system", accounts=["root"])

        assert refusals(crontab) == [(1, "bad username")]
        assert "nosuch" in crontab.errors[0].reason
        assert "--format user" in crontab.errors[0].reason

    def test_accounts_are_not_checked_when_none_are_given(self):
        assert parse("@daily nosuch x\n", "system").errors == ()

    def test_seven_time_fields_leave_a_star_for_the_account(self):
        assert refusals(parse("* * * * * * * x\n", "system")) == [(1, "bad username")]


def test_the_user_format_has_no_account_column():
    (job,) = parse("@daily root /bin/x\n", "user", accounts=["root"]).jobs

    assert (job.user, job.command) == (None, "root /bin/x")


def test_another_format_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="quartz"):
        parse("", "quartz")
    with pytest.raises(ValueError, match=r"anacrontab\.parse"):
        parse("", "anacrontab")


def test_a_daemon_whose_files_cannot_be_read_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="fcron"):
        parse("", dialect="fcron")


def test_comments_that_would_be_jobs_are_counted_apart():
    text = (
        "# m h dom mon dow command\n# 5 0 * * * /opt/off\n##@daily x\n# runs at 5 every day\n*/5 * * * * y\n"
    )

    assert parse(text).commented_out == (2, 3)
    assert parse("#@daily nosuch x\n#@daily root x\n", "system", ["root"]).commented_out == (2,)


class TestLimits:
    @pytest.mark.parametrize("line", ["@daily {}", "* * * * *   {}"])
    def test_a_command_may_have_998_bytes(self, line):
        fits, too_long = (parse(line.format("x" * n) + "\n") for n in (998, 999))

        assert len(fits.jobs[0].command) == 998
        assert refusals(too_long) == [(1, "command too long")]

    def test_the_limit_counts_bytes_and_the_text_after_the_percent_sign(self):
        assert refusals(parse("@daily " + "é" * 500 + "\n")) == [(1, "command too long")]
        assert refusals(parse("@daily x%" + "a" * 997 + "\n")) == [(1, "command too long")]

    def test_comments_and_blanks_may_be_longer(self):
        text = "#" * 5000 + "\n" + " " * 5000 + "@daily" + " " * 5000 + "x\n"

        assert parse(text).jobs[0].command == "x"

    def test_a_file_may_have_10_000_lines(self):
        assert parse("#\n" * 9_999 + "@daily x\n").errors == ()

    def test_a_longer_file_is_refused_unread(self):
        crontab = parse("#\n" * 10_000 + "@daily x\n")

        assert crontab.errors == (Problem(0, "the file has more than 10,000 lines; cron takes no more"),)
        assert not crontab.jobs
        assert not crontab.lines

    @pytest.mark.parametrize("rubbish", [b"\xff" * 2**25, "\n" * 2**25, b"* " * 2**24])
    def test_rubbish_of_32_mib_is_refused_unread(self, rubbish):
        assert parse(rubbish).errors == (Problem(0, "the file is larger than 16 MiB; no crontab is"),)

    def test_time_fields_beyond_reason_are_refused_unread(self):
        crontab = parse("0," * 8_000_000 + "0 * * * * x\n")

        assert refusals(crontab) == [(1, "bad time fields")]

    def test_10_000_settings_that_alternate_with_jobs_share_their_pairs(self):
        text = "".join(f"A{n}=x\n@daily x\n" for n in range(1_000))

        first, *_, last = parse(text).jobs

        assert last.environment[0] is first.environment[0]


class TestAnacrontab:
    def test_it_is_refused_with_one_error_that_says_what_it_is(self):
        crontab = parse(ANACRONTAB, "system")

        (error,) = crontab.errors
        assert error.line == 6
        assert "anacrontab" in error.reason
        assert crontab.jobs == ()
        assert crontab.is_anacrontab

    def test_its_lines_are_kept(self):
        lines = parse(ANACRONTAB).lines

        assert "".join(line.raw for line in lines).encode() == ANACRONTAB

    def test_its_hours_setting_gives_away_one_that_cron_could_read(self):
        (error,) = parse("START_HOURS_RANGE=3-22\n@monthly 45 cron.monthly run-parts /etc\n").errors

        assert "anacrontab" in error.reason

    @pytest.mark.parametrize("line", ["@daily 45 x y", "1 5 7 * * x", "1 5 99 * * x", "1 5 jan * * x"])
    def test_a_crontab_is_not_taken_for_one(self, line):
        assert not any("anacrontab" in error.reason for error in parse(f"{line}\n").errors)


def test_seven_field_lines_of_other_schedulers_are_explained():
    (error,) = parse('* * * * * * * echo "$VAR"\n').errors

    assert error.reason.startswith("bad command: the line has seven time fields")
    assert "supercronic" in error.reason


@pytest.mark.parametrize(
    ("text", "format"),
    [
        (CRONIE_DAILY, "system"),
        (ANACRONTAB, "anacrontab"),
        ("*/5 * * * * echo hello\n", "user"),
        ("@daily root x\n@daily echo y\n", None),
        ("# nothing\n", None),
        ("oops\n", None),
    ],
)
def test_a_format_is_suggested(text, format):
    assert looks_like(text) == format


@pytest.mark.parametrize("name", ["backup", "foo_1", "1FOO", "e2scrub_all", "a-b"])
def test_cron_reads_a_file_of_this_name(name):
    assert ignored_name(name) is None


@pytest.mark.parametrize("name", ["foo.bar", "foo~", ".placeholder", "a.sh", "é", "a b", "a\n", ""])
def test_cron_ignores_a_file_of_this_name(name):
    assert "cron ignores" in (ignored_name(name) or "")


def test_the_reason_names_the_character_that_is_not_allowed():
    assert '"."' in (ignored_name("backup.sh") or "")


@pytest.mark.parametrize(
    ("name", "format", "jobs"),
    [("crontab.example", "user", 12), ("cron.d/beatkeeper-example", "system", 3)],
)
def test_the_example_files_are_flawless(name, format, jobs):
    content = (EXAMPLES / name).read_bytes()

    crontab = parse(content, format)

    assert crontab.errors == crontab.warnings == ()
    assert len(crontab.jobs) == jobs
    assert looks_like(content) == format


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("{{ cron_time.daily }} root /opt/x", '"{{ cron_time.daily }}" stands where the time belongs'),
        ("{% for job in jobs %}", "this is a template"),
        ("${CRON_SCHEDULE} /opt/x", '"${CRON_SCHEDULE}" stands'),
        ("$MINUTE $HOUR * * * /opt/x", '"$MINUTE" stands'),
        ("@INTERVAL@ /opt/x", '"@INTERVAL@" stands'),
        ("5 <%= @hour %> * * * /opt/x", '"<%= @hour %>" stands'),
        ("<minute> 5 * * * /opt/x", '"<minute>" stands'),
        ("0 5 * * __DAYS__ /opt/x", '"__DAYS__" stands'),
        ("// access with crontab -e", 'a comment begins with "#"'),
        ("-----------------------", 'a comment begins with "#"'),
        ("; nightly", 'a comment begins with "#"'),
        ("/*** nightly jobs", 'a comment begins with "#"'),
        (" * Jobs of the night", 'a comment begins with "#"'),
        ("?  6 * * * /usr/etc/daily", "Quartz"),
        ("0\u00a05 * * * /opt/x", "only looks like a blank"),
        ("\u30000 5 * * * /opt/x", "only looks like a blank"),
        ("@every 5m /opt/x", "@every is known to schedulers written in Go"),
        ("@every_minute /opt/x", "FreeBSD"),
        ("@Daily /opt/x", "in small letters: @daily"),
        ("@REBOOT /opt/x", "in small letters: @reboot"),
        ("H/15 * * * * /opt/x", "Jenkins"),
        ("5 H(0-7) * * * /opt/x", "Jenkins"),
        ("0 0 ? * * /opt/x", "Quartz"),
        ("~ 3 * * * /opt/x", "--dialect cronie"),
    ],
)
def test_refusal_says_what_the_author_may_have_had_in_mind(line, hint):
    (error,) = parse(f"{line}\n").errors

    assert error.reason.startswith("bad ")
    assert hint in error.reason


@pytest.mark.parametrize(
    "line",
    [
        "0 5 * * $HOME/bin/x",
        "0 5 * $GET http://x",
        "61 * * * * docker ps --format {{.ID}}",
        "0 5 * * monday x",
    ],
)
def test_what_follows_the_time_is_no_placeholder(line):
    (error,) = parse(f"{line}\n").errors

    assert "template" not in error.reason
    assert "comment" not in error.reason


def test_line_below_a_backslash_is_refused_as_the_continuation_that_it_was_meant_to_be():
    crontab = parse("@daily cd /srv && \\\n  ./report\n")

    assert [(error.line, "no continuation lines" in error.reason) for error in crontab.errors] == [(2, True)]
    assert "continuation" not in parse("# C:\\\n./report\n").errors[0].reason


@pytest.mark.parametrize(
    "line", ["0 5 * * * {{ user }} /opt/x", "@daily ${USER} /opt/x", "0 5 * * * __USER__ x"]
)
def test_placeholder_of_an_account_is_recognised(line):
    (error,) = parse(f"{line}\n", "system", {"root"}).errors

    assert "stands where the account belongs: this is a template" in error.reason


def test_blank_behind_a_comma_is_named():
    (error,) = parse("0 5 * * MON, WED /opt/x\n").errors

    assert 'found nothing behind ","; a list has no blanks' in error.reason


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("# 0 5 * * 1 tar -zcf /var/backups/home.tgz /home/\n", "user"),
        ("# *  *  *  *  * user-name command to be executed\n", "user"),
        ("# *  *  *  *  * user-name  command to be executed\n", "system"),
    ],
)
def test_examples_in_the_head_of_every_crontab_are_no_jobs_switched_off(text, format):
    assert parse(text, format).commented_out == ()
