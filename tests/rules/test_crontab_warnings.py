"""What cron accepts and the author can hardly have meant: each is named, nothing else is."""

import pytest

from schedules.rules.crontab import parse


def warnings(text: str, format: str = "user", accounts: tuple[str, ...] = ()) -> list[tuple[int, str]]:
    crontab = parse(text, format, accounts or None)
    assert crontab.errors == ()
    return [(warning.line, warning.text) for warning in crontab.warnings]


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("0 0 31 2 * x", "never runs"),
        ("0 22-2 * * * x", "never runs"),
        ("0 0 * * 5#2 x", "#2"),
        ("0~30 * * * * x", "~30"),
        ("0~30 * * * * x", "--dialect cronie"),
        ("@daily date +%F", "cuts the command"),
        ('@daily date "+%Y" >> log', "cuts the command"),
        ("@daily x | date +a%F", "cuts the command"),
        ("@daily echo 'a%b'", "cuts the command"),
        ("@daily echo $(date +%F)", "cuts the command"),
        ("@daily echo `x %a`", "cuts the command"),
        ("@daily x\r", "carriage return"),
        ("@daily", "command is empty"),
        ("@daily %a", "command is empty"),
        ("@daily x \\", "continuation"),
        ("0 0 1 1 * 2024 x", '"2024"'),
        ("0 0 12 1 * ? x", '"?"'),
        ("0 0 12 * * MON-FRI x", '"MON-FRI"'),
        ("17 * * * * root cd / && x", "--format system"),
        ("17 * * * *  root\t/bin/x", "--format system"),
        ("17 * * * * news /usr/lib/gup/gupdate", "--format system"),
        ("A=1 0 5 * * * cmd\n@daily x", "not a job"),
        ("TZ=UTC 0 5 * * * cmd\n@daily x", "not a job: cron never runs the command"),
        ("TZ=UTC 0 5 * * * cmd\n@daily x", "(a setting of TZ)"),
        ("TZ=UTC @daily cmd\n@daily x", "not a job"),
        ("TZ=UTC @reboot cmd\n@daily x", "not a job"),
        ("X= 0 5 * * * cmd\n@daily x", "not a job"),
        ("CRON_TZ=UTC\n@daily x", "--timezone"),
        ("CRON_TZ=UTC\n@daily x", "--dialect cronie"),
        ("TZ=UTC\n@daily x", "--timezone"),
        ("RANDOM_DELAY=5\n@daily x", "--dialect cronie"),
        ("START_HOURS_RANGE=3-22\n@daily x", "anacron"),
        ("LOGNAME=joe\n@daily x", "no effect"),
        ("@daily # /opt/x", "a comment of the shell"),
        ("0 5 * * * \u00a0/opt/x", "only looks like a blank"),
        ("0 5 * * *\u00a0/opt/x", "only looks like a blank"),
        ("@daily /opt/x\u200b", "only looks like a blank"),
        ("@daily source /etc/profile; x", "(source)"),
        ("@daily [[ -f /a ]] && x", "([[)"),
        ("@daily x &>> /var/log/x", "(&>>)"),
        ("@daily x |& tee log", "(|&)"),
        ("@daily diff <(sort a) b", "(<()"),
        ("@daily cat <<< a", "(<<<)"),
        ("@daily for i in {1..5}; do x; done", "({1..5})"),
        ("@daily if [ -f a ]; then source a; fi", "(source)"),
        ("@daily source a", "SHELL=/bin/bash above the line"),
        ("@daily -n sh /etc/daily", "(-n)"),
        ("*/5 * * * * ubuntu /usr/bin/python a.py", "--format system"),
        ("*/5 * * * * ada /opt/a --log /home/ada/log", "--format system"),
        ("SHELL=bash\n@daily x", "does not search for it"),
        ("SHELL=$SHELL\n@daily x", "does not search for it"),
        ("SHELL=/bin/bash -l\n@daily x", "options included"),
        ("SHELL=/usr/sbin/nologin\n@daily x", "runs no commands"),
        ("HOME=~\n@daily x", "HOME is no absolute path"),
        ('HOME=""\n@daily x', "HOME is no absolute path"),
        ("PATH=$PATH:/usr/local/bin\n@daily x", "neither /bin nor /usr/bin"),
        ('PATH=""\n@daily x', "neither /bin nor /usr/bin"),
        ("PATH=$HOME/bin:/bin\n@daily x", "expands nothing"),
        ("PATH=~/bin:/bin\n@daily x", "expands nothing"),
        ("PATH=/bin:~/bin\n@daily x", "expands nothing"),
        ("DAY=$(date)\n@daily x", "expands nothing"),
        ("MAILTO=root # admin\n@daily x", 'text after "#"'),
        ("export-A=1\n@daily x", "not a name"),
        ("\ufeffA=1\n@daily x", "not a name"),
        ("=1\n@daily x", "without a name"),
        ("A=" + "x" * 1000 + "\n@daily x", "longer than 998 bytes"),
    ],
)
def test_a_line_is_warned_about(line, hint):
    found = warnings(f"{line}\n")

    assert {number for number, _ in found} == {1}
    assert any(hint in reason for _, reason in found)


@pytest.mark.parametrize(
    "line",
    [
        "*/5 * * * * x",
        "@reboot x",
        "0 5 * * mon-fri x",
        "0 0 29 2 * x",
        '0 22 * * 1-5 mail -s "It\'s 10pm" joe%Joe,%%Where are your kids?%',
        r"@daily date +\%F",
        "@daily cat%date +",
        "@daily date && cat%+",
        r"@daily echo \"%a",
        "@daily x # comment",
        "@daily mail -s hello root",
        "@daily sync /data",
        "@daily man /x",
        "@daily news",
        "@daily DISPLAY=:0 x",
        "@daily 7z a b",
        "A=b\n@daily x",
        'MAILTO=""\n@daily x',
        "COST=5$\n@daily x",
        "LIST=1 2 3 4 5 6\n@daily x",
        "GLOB=*.txt\n@daily x",
        "COLOUR=#fff\n@daily x",
        "SHELL=/bin/bash\n@daily [[ -f a ]] && source b &>> /var/log/x",
        "SHELL=/bin/zsh\n@daily diff <(sort a) b",
        "@daily bash -c 'source a; [[ b ]]'",
        '@daily echo "use source, <(this) or {1..5}"',
        "@daily . /etc/profile; resource a --source b",
        "@daily echo $((1<(2)))",
        "@daily x 2>&1 | tee a >> b 2>&1",
        "@daily x # [[ or source y",
        "@daily echo \\<( x",
        "@daily awk {print} a",
        "@daily x -n 5",
        "@daily echo 'a\u00a0b'",
        "PATH=/usr/local/bin:/usr/bin/\n@daily x",
        "PATH=/opt/x:/bin\n@daily x",
        "HOME=/\n@daily x",
        "@daily rsync /home/ada/a /home/ada/b",
    ],
)
def test_a_good_line_is_not_warned_about(line):
    assert warnings(f"{line}\n") == []


def test_a_setting_below_the_last_job_has_no_effect():
    assert warnings("A=1\n@daily x\nA=2\nB=3\n") == [
        (3, "no job follows this setting: it has no effect (A)"),
        (4, "no job follows this setting: it has no effect (B)"),
    ]


def test_a_setting_above_a_bad_line_may_have_been_meant_for_it():
    assert parse("@daily x\nA=1\noops\n").warnings == ()


def test_an_account_of_this_machine_in_front_of_a_program_suggests_the_system_format():
    line = "@daily deploy /srv/x\n"

    assert warnings(line) == []
    assert "--format system" in warnings(line, accounts=("deploy",))[0][1]


@pytest.mark.parametrize("line", ["@daily /usr/bin/backup now", "@daily [ -f x ] && y"])
def test_a_line_without_account_in_a_system_crontab_suggests_the_user_format(line):
    ((number, reason),) = warnings(f"{line}\n", "system")

    assert number == 1
    assert "--format user" in reason


def test_name_of_an_account_that_is_better_known_as_a_program_suggests_nothing():
    assert warnings("@daily sync /data\n", accounts=("sync",)) == []


def test_warnings_of_one_kind_have_one_reason_so_that_they_can_be_told_together():
    text = (
        "@daily date +%F\n@weekly echo 'a%b'\n0 22-2 * * * x\n0 0 31 2 * x\nPATH=~/a:/b\nX=$HOME\n@daily y\n"
    )

    found = parse(text).warnings

    assert len({(warning.kind, warning.reason) for warning in found}) == len({w.kind for w in found})
    assert len({warning.text for warning in found}) == len(found)


def test_a_long_command_is_quoted_in_part():
    ((_, reason),) = warnings("@daily " + "x" * 200 + " $(date +%F)\n")

    assert len(reason) < 250


def test_warnings_come_in_the_order_of_the_lines():
    found = warnings("@daily x\r\nTZ=UTC\n@daily\nA=1\n")

    assert [number for number, _ in found] == [1, 2, 3, 4]


def test_what_only_bash_understands_is_no_matter_of_cronies_machines_where_sh_is_bash():
    assert parse("@daily [[ -f a ]] && x\n", dialect="cronie").warnings == ()
