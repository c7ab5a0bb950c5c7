"""Commands that do by themselves what the scheduler does: named, and nothing else is."""

import pytest

from schedules.rules.crontab.habits import habit_warnings


def kinds(command: str, shell: str = "/bin/sh") -> list[str]:
    return [warning.kind for warning in habit_warnings(command, shell)]


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("x > /dev/null 2>&1", "no-output"),
        ("x >/dev/null 2>&1 &", "no-output"),
        ("(cd /a && x) >> /dev/null 2>&1", "no-output"),
        ("{ x; } &>/dev/null", "no-output"),
        ("x >& /dev/null", "no-output"),
        ("x 1>/dev/null 2>/dev/null", "no-output"),
        ("x 2>/dev/null >/dev/null", "no-output"),
        ("flock -n /run/x.lock x", "flock"),
        ("cd /a && /usr/bin/flock /run/x.lock -c x", "flock"),
        ("timeout 60 x", "timeout"),
        ("nice /usr/bin/timeout -k 5 60 x", "timeout"),
        ("sleep $((RANDOM % 600)); x", "random-sleep"),
        ("sleep `shuf -n1 -i 1-600` && x", "random-sleep"),
        ("sleep ${RANDOM:0:2}; x", "random-sleep"),
        ("perl -e 'sleep int(rand(3600))'; certbot -q renew", "random-sleep"),
        ("python3 -c 'import random, time; time.sleep(random.random() * 9)' && x", "random-sleep"),
        ("x &", "background"),
        ("cd /a && nohup ./x >> log 2>&1 &", "background"),
        ("/opt/x &2>/dev/null", "background"),
        ("test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }", "anacron"),
        ("test -e /usr/sbin/anacron || run-parts --report /etc/cron.weekly", "anacron"),
        ("[ ! -f /etc/cron.hourly/0anacron ] && run-parts /etc/cron.daily", "anacron"),
    ],
)
def test_a_habit_is_named(command, kind):
    assert kind in kinds(command)


@pytest.mark.parametrize(
    "command",
    [
        "x > /dev/null",
        "x 2>/dev/null",
        "x > /dev/null 2>&1 || echo failed",
        "x 2>&1 > /dev/null",
        "x >> /var/log/x 2>&1",
        "sleep 30; x",
        "perl -e 'print rand'",
        "a & b & wait",
        "a && b",
        "x &>/var/log/x",
        "x 2>&1",
        'echo "this & that"',
        "echo rock \\&",
        "echo sleep $RANDOM-ish",
        "/opt/flocker x",
        "x --timeout 30",
        "run-timeout x",
        "test -x /usr/sbin/anacron || echo no",
        "run-parts /etc/cron.hourly",
        "systemctl restart anacron",
    ],
)
def test_nothing_else_is(command):
    assert kinds(command) == []


def test_random_is_known_to_bash_and_not_to_every_sh():
    command = "sleep $((RANDOM % 600)); x"

    assert kinds(command) == ["random-sleep", "no-random"]
    assert kinds(command, "/bin/bash") == ["random-sleep"]
