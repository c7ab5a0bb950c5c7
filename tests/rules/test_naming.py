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
        ("/usr/bin/test -x /opt/tail && /opt/tail", "tail"),
        ("/opt/report &2>/dev/null", "report"),
        ("sleep $(( $RANDOM % 900 )) && invoke-rc.d mesh reload", "invoke-rc.d-mesh"),
        ("[ $(date +%d) -le 7 ] && /opt/first-week", "first-week"),
        ("zfs snapshot tank/db@`date -u +%Y`", "zfs-snapshot"),
        ("/opt/keep@$(date +%F)", "keep"),
        ("perl -e 'sleep int(rand(3600))'; certbot -q renew", "certbot"),
        ("python3 -c 'import random, time; time.sleep(random.random() * 9)' && /opt/renew", "renew"),
        ("grep -q on /etc/default/x && /opt/x", "x"),
        ("date >> /var/log/x; echo start; /opt/nightly.sh", "nightly"),
        ("while ! ping -c1 gw; do sleep 1; done; /opt/tunnel", "tunnel"),
        ("for f in $(ls /in); do gzip $f; done", "gzip"),
        ("case $(date +%u) in 1) /opt/monday;; esac", "monday"),
        ("mkdir -p /backup && mysqldump shop", "mysqldump-shop"),
        (". /etc/profile.d/x.sh; nodejs /srv/scrape.js", "scrape"),
        ("ash /etc/ntp-client up", "ntp-client-up"),
        ("php -d memory_limit=-1 /srv/artisan queue:work", "artisan-queue:work"),
        ("java -cp /a.jar:/b.jar com.example.Main", "com.example.Main"),
        ("bundle exec rake db:backup", "rake-db:backup"),
        ("poetry run python manage.py sendmail", "manage-sendmail"),
        ("an $( open substitution", "an"),
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
