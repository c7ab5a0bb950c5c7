"""Names for crontab lines: what a person would call the job, whatever stands around the program."""

import pytest

from schedules.rules.naming import LONGEST, Names, name_for


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/local/bin/backup.sh --full", "backup"),
        ("certbot renew -q", "certbot-renew"),
        ("exec wallswitch", "wallswitch"),
        ("DISPLAY=:0 exec termite -e evshu", "termite"),
        ("cd /srv/app && ./report.py > /dev/null 2>&1", "report"),
        (
            "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }",
            "run-parts-cron.daily",
        ),
        ("[ ! -f /etc/cron.hourly/0anacron ] && run-parts /etc/cron.weekly", "run-parts-cron.weekly"),
        ("if [ -x /opt/tool ]; then /opt/tool; fi", "tool"),
        ("sudo -u www-data php artisan schedule:run >> /dev/null 2>&1", "artisan-schedule:run"),
        ("/usr/bin/env PATH=/bin nice -n 10 python3 -u /opt/app/load.py", "load"),
        ("timeout -k 5 30 flock -n /run/lock/x /opt/sync --all", "sync"),
        ("flock /run/lock/x -c 'pg_dump shop > /backup/shop'", "pg_dump-shop"),
        ("su - squadserver -c '/home/squadserver/squadserver monitor' > /dev/null", "squadserver-monitor"),
        ("bash -lc 'cd /srv; ./go.sh now'", "go-now"),
        ("python manage.py clearsessions", "manage-clearsessions"),
        ("java -jar /opt/x/worker.jar", "worker"),
        ("sleep 20; curl https://example.org/", "curl"),
        ('echo "the service is busy, try later"', "echo-the-service-is"),
        ('echo "minute $(date)"', "echo-minute"),
        ("tar 'an open quote", "tar"),
        ("true", "true"),
        ("", "job"),
        ("  ;; && ", "job"),
    ],
)
def test_name_is_that_of_the_program_that_does_the_work(command, name):
    assert name_for(command) == name


def test_control_characters_and_leading_dashes_never_reach_a_name():
    name = name_for("/opt/\x1b[31mred\x07\n--x")

    assert name.isprintable()
    assert not name_for("--help me").startswith("-")


def test_prefix_comes_first_unless_the_name_begins_with_it():
    assert name_for("certbot renew", prefixes=["certbot"]) == "certbot-renew"
    assert name_for("/opt/clean", prefixes=["php sessions"]) == "php-sessions-clean"
    assert name_for("/opt/clean", prefixes=["web1-", "php"]) == "web1-php-clean"
    assert name_for("/opt/clean", prefixes=["", "php"]) == "php-clean"


def test_title_that_the_file_gives_is_the_name():
    assert name_for("nice run-parts /etc/cron.daily", title="cron.daily") == "cron.daily"


def test_names_are_unique_however_long_and_however_many():
    names = Names({"job", "job-3"})
    wanted = "x" * 200

    assert [names.give("job") for _ in range(3)] == ["job-2", "job-4", "job-5"]
    long = [names.give(name_for(wanted)) for _ in range(12)]
    assert len(set(long)) == 12
    assert max(map(len, long)) == LONGEST
