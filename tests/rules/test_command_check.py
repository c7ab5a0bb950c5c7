"""What is said of commands: what is certainly wrong, and nothing about what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schedules.rules.command.check import Subject, check
from schedules.rules.command.files import Seen
from schedules.rules.command.findings import Level

FILE, PROGRAM = Seen("file", True, True, False), Seen("file", True, True, True)
DIRECTORY = Seen("directory", True, True, True)
MISSING = Seen("missing")

TREE = {
    **dict.fromkeys(("/", "/bin", "/usr/bin", "/tmp", "/srv/app", "/var/log", "/home/ada"), DIRECTORY),
    **dict.fromkeys(("/bin/sh", "/bin/bash", "/usr/bin/fish", "/usr/bin/python3", "/usr/bin/env"), PROGRAM),
    **dict.fromkeys(("/usr/bin/nice", "/usr/bin/timeout", "/usr/bin/flock", "/usr/bin/nohup"), PROGRAM),
    **dict.fromkeys(("/usr/bin/git", "/usr/bin/run-parts", "/usr/bin/cat", "/usr/bin/mkdir"), PROGRAM),
    **dict.fromkeys(
        ("/usr/bin/java", "/usr/bin/which", "/usr/bin/php", "/usr/bin/grep", "/usr/bin/curl"), PROGRAM
    ),
    **dict.fromkeys(("/usr/sbin/tune2fs", "/srv/app/job.sh", "/srv/app/crlf.sh", "/srv/app/env.sh"), PROGRAM),
    **dict.fromkeys(("/srv/app/odd.sh", "/srv/app/bom.sh", "/srv/app/args.sh"), PROGRAM),
    "/usr/bin/flat": FILE,
    "/srv/app/data.txt": FILE,
    "/srv/app/dos.txt": FILE,
    "/var/log/closed": Seen("file", True, False, False),
    "/root/secret": Seen("closed", reason="Permission denied"),
    "/var/log/locked": Seen("directory", True, False, True),
    "/dev/null": Seen("other", True, True, False),
}
HEADS = {
    "/srv/app/job.sh": b"#!/bin/sh\nexit\n",
    "/srv/app/crlf.sh": b"#!/bin/sh\r\nexit\r\n",
    "/srv/app/env.sh": b"#!/usr/bin/env ruby3\n",
    "/srv/app/odd.sh": b"#! /opt/perl/bin/perl -w\n",
    "/srv/app/bom.sh": b"\xef\xbb\xbf#!/bin/sh\n",
    "/srv/app/args.sh": b"#!/usr/bin/env -S LANG=C python3 -u\n",
    "/srv/app/dos.txt": b"one\r\ntwo\r\n",
}
LINKS = {"/bin/sh": "dash"}


class Tree:
    """A file system of two dictionaries."""

    def look(self, path: str) -> Seen:
        return TREE.get(path, MISSING)

    def head(self, path: str) -> bytes:
        return HEADS.get(path, b"")

    def program_name(self, path: str) -> str:
        return LINKS.get(path, path.rpartition("/")[2])


ADA = Subject(
    text="",
    shell="/bin/sh",
    directory="/home/ada",
    is_home=True,
    account="ada",
    environment={"PATH": "/usr/bin:/bin", "HOME": "/home/ada", "SHELL": "/bin/sh", "LOGNAME": "ada"},
    added_by_cron={},
)
BASH = replace(ADA, shell="/bin/bash")


def said(text: str, subject: Subject = ADA) -> list[tuple[str, str]]:
    return [(each.level.value, each.code) for each in check(replace(subject, text=text), Tree())]


def sentences(text: str, subject: Subject = ADA) -> str:
    found = check(replace(subject, text=text), Tree())
    return "; ".join(f"{each.text}: {each.advice}" for each in found)


@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        ("backup --full", "not_in_path", '"backup" is not found in PATH (/usr/bin:/bin)'),
        ("tune2fs -l x", "not_in_path", "it is /usr/sbin/tune2fs: write it in full"),
        ("/opt/backup", "missing", "/opt/backup does not exist"),
        ("flat", "not_executable", "/usr/bin/flat may not be executed by ada: chmod +x /usr/bin/flat"),
        ("/srv/app", "not_a_file", "/srv/app is a directory"),
        ("/root/secret", "closed", "ada cannot look at /root/secret (Permission denied)"),
        ("$HOME/bin/job", "missing", "/home/ada/bin/job does not exist"),
        ("~/bin/job", "missing", "/home/ada/bin/job does not exist"),
        ("'/opt/my job' x", "missing", "/opt/my job does not exist"),
        ("./job.sh", "missing", "/home/ada/job.sh does not exist"),
        ("cd /srv/app && ./nope.sh", "missing", "/srv/app/nope.sh does not exist"),
        ("cd /srv/nowhere && cat x", "directory", "the directory /srv/nowhere does not exist"),
        ("cd /srv/nowhere; ./x", "directory", "the directory /srv/nowhere does not exist"),
        ("cd /srv/app/data.txt", "directory", "is not a directory"),
        ("cat | backup", "not_in_path", '"backup"'),
        ("cat; backup &", "not_in_path", '"backup"'),
        ("( cd /srv/app && backup )", "not_in_path", '"backup"'),
        ("A=1 B=2 backup", "not_in_path", '"backup"'),
        ("! backup", "not_in_path", '"backup"'),
        ("nice -n 19 timeout -k 5 1h backup", "not_in_path", '"backup"'),
        ("flock -n /tmp/lock /opt/sync", "missing", "/opt/sync"),
        ("nohup chronic cat", "not_in_path", '"chronic"'),
        ("exec backup", "not_in_path", '"backup"'),
        ("env A=1 backup", "not_in_path", '"backup"'),
        ("python3 -u /opt/job.py", "missing", "/opt/job.py does not exist: put the script there"),
        ("bash -eu -o pipefail /opt/job.sh", "missing", "/opt/job.sh"),
        ("cd /srv/app && php artisan x", "missing", "/srv/app/artisan"),
        ("java -Xmx1g -jar /opt/a.jar", "missing", "/opt/a.jar"),
        (". /opt/settings", "missing", "/opt/settings"),
        ("run-parts --report /etc/cron.hourly", "directory", "/etc/cron.hourly does not exist"),
        ("cat < /tmp/in", "input", "/tmp/in, which the command reads by <, does not exist"),
        (
            "cat > /var/spool/x/out",
            "output",
            "the directory /var/spool/x does not exist: mkdir -p /var/spool/x",
        ),
        ("cat >> /var/log/closed", "output", "/var/log/closed may not be written by ada"),
        ("cat > /var/log/locked/new", "output", "/var/log/locked may not be written by ada"),
        ("cat > /tmp", "output", "/tmp, which the command writes by >, is a directory"),
        ("/srv/app/crlf.sh", "carriage_return", 'there is no interpreter "/bin/sh\\r": convert it: dos2unix'),
        ("/srv/app/odd.sh", "interpreter", "of /srv/app/odd.sh cannot be used: /opt/perl/bin/perl does not"),
        (
            "/srv/app/env.sh",
            "interpreter",
            'the interpreter of /srv/app/env.sh: "ruby3" is not found in PATH',
        ),
        ('date "+', "syntax", 'a quotation begins with " and does not end'),
        ("cat &&", "syntax", "nothing follows &&"),
        ("source x", "bash_only", '"source" is bash\'s, and /bin/sh is dash'),
        ("cat <<< x", "bash_only", "which refuses it"),
    ],
)
def test_what_is_certainly_wrong_is_an_error(text, code, sentence):
    assert ("error", code) in said(text)
    assert sentence in sentences(text)


@pytest.mark.parametrize(
    "text",
    [
        "cat /no/such/file",
        "/srv/app/job.sh --full",
        "/srv/app/args.sh",
        "cd /srv/app && ./job.sh > /dev/null 2>&1",
        "cd && cat",
        "cd - ; ./x",
        "cd $DIR_OF_JOB/ || exit 1; ./x".replace("$DIR_OF_JOB", "$(pwd)"),
        # What is tested for first.
        "[ -d /opt/x ] || exit 0; true",
        # What an earlier command may make.
        "mkdir -p /tmp/a && cd /tmp/a && cat > b",
        "curl -so /tmp/x.sh http://localhost/ && sh /tmp/x.sh",
        "git clone x --separate-git-dir=/srv/new && /srv/new/run",
        "cat > /tmp/new; cat < /tmp/new",
        # What only the shell can tell.
        "$(which backup) --full",
        "`cat x`",
        "for i in 1 2; do backup; done",
        "if [ -x /opt/x ]; then /opt/x; fi",
        "[ -x /opt/x ] && if true; then /opt/x; fi",
        "f() { backup; }; f",
        ". /srv/app/data.txt; function_of_that_file",
        'eval "$(cat x)"; anything',
        "PATH=$(getconf PATH); backup",
        "PATH=/opt/bin:$(pwd) backup",
        "flock /tmp/lock -c 'backup'",
        "timeout --strange 5 backup",
        "env -i backup",
        "python3 -m backup",
        "python3 -c 'print(1)' /x",
        "python3 - < /dev/null",
        "bash -c 'backup'",
        "cat $(ls) > $(date).log",
        "*.sh",
        "exit 0; backup",
        "exec cat; backup",
        "awk() { cat; }",
        # Builtins of any kind.
        "ulimit -n 99; umask 077; trap cat EXIT; wait; :; true",
        "export A=1; echo $A; read B; echo $B; C=2; echo $C",
        'A=$A:x; export A="$A:y"; unset A',
        'test -n "$DISPLAY" && [ "$FOO" = x ] && true',
        "echo ${FOO:-x} '$FOO' \\$FOO $PWD $$ $? $1",
    ],
)
def test_what_is_not_certain_is_passed_by(text):
    assert said(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "true || backup",
        "[ -e /tmp/flag ] && backup",
        "grep -q x /srv/app/data.txt && backup",
        "true || ( cat && backup )",
        "git pull && ./deploy.sh",
    ],
)
def test_what_is_reached_sometimes_is_a_warning(text):
    [(level, _)] = said(text)
    assert level == "warning"
    assert "(if it comes to that)" in sentences(text)


@pytest.mark.parametrize(
    "text",
    [
        "[ -x /opt/x ] && /opt/x",
        "test -x /opt/x || exit 0 && /opt/x",
        "command -v backup > /dev/null && backup",
        "which backup && cat && backup --full",
        "test -x /usr/bin/certbot -a ! -d /run/systemd && certbot -q renew",
        "[ -f /opt/settings ] && . /opt/settings",
        "test -d /opt/parts && ( cd / && run-parts /opt/parts )",
    ],
)
def test_what_the_command_itself_asks_for_is_a_note(text):
    """The line runs and does nothing: good to know when it moves to another machine."""
    assert said(text) == [("note", "guarded")]


def test_variables_of_a_login_shell_are_named():
    text = "psql $PGUSER \"$PGUSER\" '$NOT' > /dev/null 2>&1; echo ${ORACLE_SID}"

    found = [each for each in check(replace(ADA, text=text), Tree()) if each.code == "variable"]

    assert [each.text.split()[0] for each in found] == ["$ORACLE_SID", "$PGUSER"]
    assert {each.level for each in found} == {Level.WARNING}


def test_a_variable_of_bash_is_nothing_to_dash():
    assert said("sleep $((RANDOM % 60)); true")[0] == ("error", "not_in_path")  # there is no sleep here
    assert "variable of bash, and /bin/sh is dash" in sentences("echo $RANDOM")
    assert said("echo $RANDOM", BASH) == []


def test_a_redirection_of_bash_puts_the_command_into_the_background_of_dash():
    assert said("cat &> /dev/null") == [("warning", "bash_only")]
    assert said("cat &> /dev/null", BASH) == []


def test_builtins_of_bash_are_bash_s():
    assert said("pushd /tmp; shopt -s nullglob; declare -i x", BASH) == []


def test_a_shell_with_a_language_of_its_own_is_not_read():
    assert said("if test; and backup; (((", replace(ADA, shell="/usr/bin/fish")) == []


@pytest.mark.parametrize(
    ("shell", "sentence"),
    [
        ("/bin/zsh", "the shell /bin/zsh does not exist"),
        ("/srv/app", "it is a directory"),
        ("/usr/bin/flat", "may not be executed by ada"),
        ("/root/secret", "Permission denied"),
    ],
)
def test_without_its_shell_nothing_else_matters(shell, sentence):
    subject = replace(ADA, shell=shell)

    assert said("backup", subject) == [("error", "shell")]
    assert sentence in sentences("backup", subject)


def test_a_working_directory_must_be_there_and_a_home_need_not():
    given = replace(ADA, directory="/srv/nowhere", is_home=False)
    home = replace(ADA, directory="/srv/nowhere")

    assert said("./x", given) == [("error", "directory")]
    assert said("cat", home) == [("note", "home")]
    assert "/job.sh does not exist" in sentences("./job.sh", home)  # it starts in /


def test_a_path_that_a_login_shell_would_expand():
    subject = replace(ADA, environment={**ADA.environment, "PATH": "$HOME/bin:/usr/bin"})

    assert said("cat", subject) == [("warning", "path")]
    assert "PATH holds $HOME/bin as written" in sentences("cat", subject)


def test_what_cron_adds_is_told_where_the_schedule_does_not_set_it():
    added = {
        "LANG": ("de_DE.UTF-8", "/etc/default/locale"),
        "http_proxy": ("http://proxy", "/etc/environment"),
        "LOGNAME": ("x", "/etc/environment"),
    }
    subject = replace(ADA, added_by_cron=added)

    assert said("cat", subject) == [("note", "cron_environment"), ("warning", "cron_environment")]
    assert "cron sets it to http://proxy (from /etc/environment)" in sentences("echo $http_proxy", subject)


def test_an_empty_command():
    assert said("  ") == [("warning", "empty")]


def test_a_script_with_a_byte_order_mark_and_one_with_foreign_line_ends():
    assert said("/srv/app/bom.sh") == [("warning", "byte_order_mark")]
    assert said("sh /srv/app/dos.txt") == [("warning", "carriage_return")]
    assert said("python3 /srv/app/dos.txt") == []


def test_a_shell_looks_for_a_script_in_path_too():
    assert said("bash flat", BASH) == [("error", "missing")]  # found, and not executable
    assert said("bash cat", BASH) == []
    assert said("cd /srv/app && bash data.txt", BASH) == []


REAL_LINES = [
    # cronie, Debian's cron and packages: as they stand in /etc/cron.d, % unescaped by cron.
    ("run-parts /etc/cron.hourly", ["directory"]),
    ("[ ! -f /etc/cron.hourly/0anacron ] && run-parts /etc/cron.daily", ["directory"]),
    ("cd / && run-parts --report /etc/cron.hourly", ["directory"]),
    ("test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )", ["directory"]),
    ("test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }", ["directory"]),
    ("[ -x /etc/init.d/anacron ] && if [ ! -d /run/systemd/system ]; then /usr/sbin/invoke-rc.d x; fi", []),
    ("[ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/x ]; then /usr/lib/php/sessionclean; fi", []),
    ("command -v debian-sa1 > /dev/null && debian-sa1 1 1", ["guarded"]),
    ("test -e /run/systemd/system || SERVICE_MODE=1 /usr/lib/e2fsprogs/e2scrub_all_cron", ["missing"]),
    ("if [ -x /usr/share/mdadm/checkarray ] && [ $(date +%d) -le 7 ]; then checkarray --all; fi", []),
    ("[ -x /usr/share/awstats/update.sh ] && /usr/share/awstats/update.sh", ["guarded"]),
    ("if [ $(date +%w) -eq 0 ] && [ -x /usr/lib/zfs-linux/scrub ]; then /usr/lib/zfs-linux/scrub; fi", []),
    # People's.
    ("exec wallswitch", ["not_in_path"]),
    ("DISPLAY=:0 exec termite -e evshu", ["not_in_path"]),
    ("/usr/lib/gup/gupdate", ["missing"]),
    ('date "+', ["syntax"]),  # what is left of date "+%F"
    ("cat - squadserver -c '/home/squadserver/squadserver start' > /dev/null 2>&1", []),
    ('echo "I did the thing at $(date)!" >> /usr/src/test.txt', ["output"]),
    ("$HOME/bin/daily.job >> $HOME/tmp/out 2>&1", ["output", "missing"]),
    ("echo $(date +%s) / 60 / 60 / 24 % 9 > /dev/null || echo Wax the floor.", []),
    ("cd /srv/app && php ./job.sh schedule:run >> /dev/null 2>&1", []),
    ("*/5 * * * * /usr/bin/php /x", []),  # a pattern
]


@pytest.mark.parametrize(("line", "codes"), REAL_LINES)
def test_lines_of_real_crontabs(line, codes):
    assert [code for _, code in said(line)] == codes
