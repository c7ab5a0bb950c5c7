"""`check_production`: what it finds, what it says to do, and that it says so when servers are away."""

from __future__ import annotations

import ast
import json
import os
import re
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import psycopg2
import pytest
from celery import current_app
from django.core.management import call_command
from django.db import connection

from schedules import catalog, zone_data
from schedules.management.production_text import shape, text
from schedules.models import Beat, Schedule, Worker, ZoneData
from schedules.production import fleet as production_fleet
from schedules.production import flow as production
from schedules.production import postgresql
from schedules.production import runs as production_runs
from schedules.production import settings as production_settings
from schedules.querysets import database_now
from schedules.rules.production import Level, error, ok, psql, span, version_of, warning
from schedules.worker import spool
from tests.factories import make_run, make_schedule, make_task_schedule, make_worker

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parent.parent.parent
FACTS = {"tzdata": "2026f", "python": "3.12.1", "celery": "5.7.0", "beatkeeper": "0.1.0", "skew": 0.1}


def make_beat(name="celerybeat@a", **columns):
    now = database_now()
    given = {"host": "a", "pid": 1, "started_at": now, "seen_at": now, "parts": {}, "facts": FACTS} | columns
    return Beat.objects.create(name=name, **given)


def fleet():
    """Findings about processes, by code."""
    found = list(production_fleet.look(production_fleet.Snapshot(database_now())))
    return {each.code: each for each in found}


def runs():
    return {each.code: each for each in production_runs.look(database_now())}


def static():
    return {each.code: each for each in production_settings.look()}


@pytest.fixture
def good_fleet(monkeypatch):
    """One beat and one worker of commands and tasks, which both say that they are well."""
    monkeypatch.setattr(zone_data, "version", lambda: FACTS["tzdata"])
    monkeypatch.setattr(zone_data, "PACKAGE", FACTS["tzdata"])
    make_beat()
    return make_worker(queues="commands,tasks", facts=FACTS, account="jobs")


# What is said, and how


def test_every_complaint_says_why_and_what_to_do(settings, good_fleet):
    """Over as many complaints as one installation can earn at once."""
    settings.DEBUG, settings.ALLOWED_HOSTS, settings.SECRET_KEY = True, ["*"], "short"
    make_schedule("lonely", queue="commands")
    Schedule.objects.update(queue="nowhere")
    found = [*production_settings.look(), *fleet().values(), *runs().values()]
    complaints = [each for each in found if each.level != Level.OK]
    assert len(complaints) >= 4
    assert [each.code for each in complaints if not (each.why and each.do and each.what.endswith("."))] == []
    assert [each.code for each in complaints if not each.run] == []


def test_no_complaint_anywhere_is_made_without_a_command():
    """In the code, because no installation earns all of them."""
    calls = [
        call
        for path in (ROOT / "schedules" / "production").glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("error", "warning", "make")
    ]
    assert len(calls) > 50
    without = [call.lineno for call in calls if "run" not in {keyword.arg for keyword in call.keywords}]
    assert without == []


def test_the_worst_comes_first_and_lines_are_broken_in_a_terminal():
    found = [
        ok("broker.reached", "It answers."),
        warning("web.https", "Words " * 30, why="Because.", do="Do this.", run="r"),
        error("beats.none", "No beat is alive.", why="Nothing becomes due.", do="Start one.", run="r"),
    ]
    printed = text(found, width=80)
    assert printed.index("Errors (1)") < printed.index("Warnings (1)") < printed.index("In order (1)")
    assert max(map(len, printed.splitlines())) <= 80
    assert "  beats      No beat is alive.\n             why: Nothing becomes due.\n" in printed
    assert printed.endswith("1 error, 1 warning, 1 in order.")


def test_names_and_errors_cannot_talk_to_the_terminal():
    found = [error("queues.unread", "Of \x1b[31mred\n.", why="w", do="d", run="r")]
    assert "\x1b" not in text(found, width=None)


def test_the_json_has_stable_codes_and_says_whether_it_is_good():
    found = [warning("a.b", "W.", why="w", do="d", run="r"), ok("c.d", "O.")]
    assert shape(found) == {
        "good": True,
        "counts": {"error": 0, "warning": 1, "ok": 1},
        "findings": [
            {"level": "warning", "code": "a.b", "what": "W.", "why": "w", "do": "d", "run": "r"},
            {"level": "ok", "code": "c.d", "what": "O.", "why": None, "do": None, "run": None},
        ],
    }


@pytest.mark.parametrize(
    ("levels", "options", "status"),
    [
        ([Level.OK], [], 0),
        ([Level.WARNING], [], 0),
        ([Level.WARNING], ["--fail-level", "warning"], 1),
        ([Level.ERROR], [], 1),
        ([Level.ERROR], ["--ignore", "x.error"], 0),
    ],
)
def test_the_status_is_one_from_errors_on(monkeypatch, levels, options, status):
    makers = {Level.OK: lambda: ok("x.ok", "O.")}
    for level in (Level.WARNING, Level.ERROR):
        make = error if level == Level.ERROR else warning
        makers[level] = lambda make=make, level=level: make(f"x.{level}", "W.", why="w", do="d", run="r")
    monkeypatch.setattr(production, "look", lambda: [makers[level]() for level in levels])
    try:
        call_command("check_production", *options)
        ended = 0
    except SystemExit as refusal:
        ended = refusal.code
    assert ended == status


def test_the_verdict_is_said_once(monkeypatch, capsys):
    monkeypatch.setattr(production, "look", lambda: [error("x.y", "W.", why="w", do="d", run="r")])
    with pytest.raises(SystemExit):
        call_command("check_production")
    said = capsys.readouterr()
    assert (said.out.count("1 error"), said.err) == (1, "")


def test_a_command_is_printed_whole_and_shows_what_its_terminal_must_not_hear():
    run = "psql -c 'SELECT 1'" + " --verbose" * 20
    found = [error("x.y", "W.", why="w", do="d", run=run + "\x1b[2J")]
    [line] = [line for line in text(found, width=80).splitlines() if "run: " in line]
    assert line.strip().startswith(f"run: {run}")
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("who", "statement"),
    [
        ("pid 42 of ada (idle in transaction, psql)", "SELECT pg_terminate_backend(42)"),
        ("prepared it's", "ROLLBACK PREPARED 'it''s'"),
    ],
)
def test_an_old_transaction_is_ended_by_its_own_statement(who, statement):
    assert postgresql._end_of(who) == statement
    assert psql(statement).startswith('psql "$DATABASE_URL" -c ')


def test_it_is_also_what_djangos_check_says_before_a_deployment(settings):
    settings.DEBUG = True
    with pytest.raises(Exception, match=r"beatkeeper\.web\.debug"):
        call_command("check", "--deploy")


# Settings


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"DEBUG": True}, "web.debug"),
        ({"ALLOWED_HOSTS": ["*"]}, "web.hosts"),
        ({"ALLOWED_HOSTS": ["jobs.example.org"], "SESSION_COOKIE_SECURE": False}, "web.https"),
        ({"SECRET_KEY": "short"}, "secrets.key"),
        ({"SECRET_KEY": "django-insecure-" + "abcdefgh" * 8}, "secrets.key"),
        ({"BEATKEEPER": {"commands": "allow-list", "allowed_commands_file": "/nowhere"}}, "commands.list"),
    ],
)
def test_an_open_door_is_an_error(settings, changes, code):
    for name, value in changes.items():
        setattr(settings, name, value)
    assert static()[code].level == Level.ERROR


def test_a_list_of_commands_that_others_may_write_is_an_error(settings, tmp_path):
    allowed = tmp_path / "allowed"
    allowed.write_text("true\n")
    settings.BEATKEEPER = {"commands": "allow-list", "allowed_commands_file": str(allowed)}
    allowed.chmod(0o644)
    assert static()["commands.list"].level == Level.OK
    allowed.chmod(0o664)
    assert static()["commands.list"].level == Level.ERROR


@pytest.mark.parametrize("name", ["secret_key", "beatkeeper.sqlite3", "spool"])
def test_a_secret_that_others_may_read_is_an_error(settings, tmp_path, name):
    settings.STATE_DIR = tmp_path
    settings.BEATKEEPER = {"spool_directory": str(tmp_path / "spool")}
    tmp_path.chmod(0o700)
    (tmp_path / name).touch(mode=0o600)
    assert static()["secrets.state"].level == Level.OK
    (tmp_path / name).chmod(0o644)
    assert str(tmp_path / name) in static()["secrets.files"].run


def test_a_state_directory_that_others_may_write_is_an_error(settings, tmp_path):
    settings.STATE_DIR = tmp_path
    tmp_path.chmod(0o777)
    assert static()["secrets.state"].level == Level.ERROR


@pytest.mark.parametrize(
    ("url", "codes"),
    [
        ("filesystem://", {"broker.embedded"}),
        ("memory://", {"broker.memory"}),
        ("amqp://guest:guest@localhost//", {"broker.vhost", "broker.guest"}),
        ("amqp://u:hunter2@localhost/beatkeeper", set()),
        ("amqp://u:hunter2@mq.example.org/beatkeeper", {"broker.tls"}),
        ("amqps://u:hunter2@mq.example.org/beatkeeper", set()),
        ("redis://localhost/1", set()),
        ("redis://r.example.org/1", {"broker.password", "broker.tls"}),
        ("rediss://:hunter2@r.example.org/1", {"broker.account"}),
        ("rediss://default:hunter2@r.example.org/1", {"broker.account"}),
        ("rediss://u:hunter2@r.example.org/1", set()),
        ("sentinel://u:hunter2@localhost:1;sentinel://s.example.org:1", {"broker.password", "broker.tls"}),
    ],
)
def test_what_a_brokers_url_gives_away(monkeypatch, url, codes):
    monkeypatch.setitem(current_app.conf, "broker_url", url)
    found = [each for each in production_settings.look() if each.area == "broker"]
    assert {each.code for each in found} == codes
    assert "hunter2" not in repr(found)


# Processes


def test_a_fleet_that_is_well_has_nothing_but_good_to_it(good_fleet):
    make_schedule("fine"), make_task_schedule("too", task="a.b")
    assert {each.level for each in fleet().values()} == {Level.OK}


def test_no_beat_and_no_worker_are_errors():
    found = fleet()
    assert (found["beats.none"].level, found["workers.none"].level) == (Level.ERROR, Level.ERROR)


def test_a_beat_whose_part_is_stuck_is_an_error(good_fleet):
    long_ago = (database_now() - timedelta(minutes=5)).isoformat()
    Beat.objects.update(parts={"dispatch": database_now().isoformat(), "publish": long_ago})
    assert "publish, 5 min" in fleet()["beats.stuck"].what


def test_a_schedule_that_is_overdue_beside_a_live_beat_is_an_error(good_fleet):
    schedule = make_schedule("late")
    Schedule.objects.filter(pk=schedule.pk).update(next_run_at=database_now() - timedelta(minutes=9))
    assert "late" in fleet()["beats.overdue"].what


def test_a_queue_that_no_worker_reads_is_an_error_and_names_its_schedules(settings, good_fleet):
    settings.BEATKEEPER = {"queues": ()}
    for number in range(7):
        make_schedule(f"report-{number}", queue="tasks" if number else "commands")
    good_fleet.queues = "commands"
    good_fleet.save()
    found = fleet()["queues.unread"]
    assert (found.level, '"tasks"' in found.what) == (Level.ERROR, True)
    assert "6 schedules: report-1, report-2, report-3, report-4, report-5 and 1 more" in found.what
    assert "-Q tasks" in found.run


@pytest.mark.parametrize(
    "columns", [{"enabled": False}, {"mode": "shadow"}, {"delivery": "message", "queue": "theirs"}]
)
def test_a_schedule_that_needs_no_worker_of_ours_is_no_complaint(good_fleet, columns):
    make_task_schedule(task="a.b", **columns)
    good_fleet.queues = "commands"
    good_fleet.save()
    assert "queues.unread" not in fleet()


def test_a_message_that_no_queue_takes_is_an_error(good_fleet):
    schedule = make_task_schedule("lost", task="a.b")
    revision = schedule.revision
    revision.definition |= {"exchange": "nowhere", "routing_key": "x"}
    revision.save()
    found = fleet()["queues.unroutable"]
    assert ("lost" in found.what, "declared are" in found.what) == (True, True)


def test_a_root_worker_is_a_warning_unless_schedules_name_accounts(good_fleet):
    good_fleet.account = "root"
    good_fleet.save()
    assert fleet()["accounts.root"].level == Level.WARNING
    schedule = make_schedule()
    Schedule.objects.filter(pk=schedule.pk).update(run_as="ada")
    assert fleet()["accounts.root"].level == Level.OK


@pytest.mark.parametrize(
    ("skew", "level", "words"),
    [
        (0.4, Level.OK, "within 0.4 s"),
        (-7, Level.WARNING, "7.0 s behind"),
        (3600, Level.ERROR, "60 min ahead of"),
    ],
)
def test_a_clock_that_differs_is_named_with_its_host(good_fleet, skew, level, words):
    good_fleet.facts = FACTS | {"skew": skew}
    good_fleet.host = "b.example.org"
    good_fleet.save()
    found = fleet()["clocks.skew"]
    assert (found.level, words in found.what) == (level, True)


def test_processes_of_several_versions_are_a_warning(good_fleet):
    make_worker("other@b", queues="tasks", facts=FACTS | {"beatkeeper": "0.0.9"})
    assert "other@b (0.0.9)" in fleet()["versions.mixed"].what


def test_a_host_with_older_time_zones_is_a_warning(good_fleet):
    make_worker("other@b", host="b", queues="tasks", facts=FACTS | {"tzdata": "2020a"})
    assert "b reads time zones of 2020a" in fleet()["zones.old"].what


def test_instants_worked_out_with_older_time_zones_are_a_warning(good_fleet):
    ZoneData.objects.create(version="2020a", computed_at=database_now())
    assert fleet()["zones.computed"].level == Level.WARNING


def test_a_machine_with_older_time_zones_than_the_package_is_a_warning(good_fleet, monkeypatch):
    monkeypatch.setattr(zone_data, "PACKAGE", "2999a")
    assert "PYTHONTZPATH=" in fleet()["zones.machine"].do


def test_a_process_that_vanished_is_named_until_one_of_its_name_is_back(good_fleet):
    gone = make_worker("gone@b", seen_at=database_now() - timedelta(minutes=9))
    assert "gone@b (9 min)" in fleet()["workers.silent"].what
    # Beat took it for dead, and ended its runs: it is missing all the same.
    Worker.objects.stop_if_silent(gone)
    assert "gone@b (9 min)" in fleet()["workers.silent"].what
    make_worker(gone.name, queues="tasks")
    assert "workers.silent" not in fleet()


def test_a_beat_that_vanished_beside_another_is_named_with_its_own_cure(good_fleet):
    gone = Beat.objects.get()
    Beat.objects.create(
        name="celerybeat@elsewhere",
        host="elsewhere",
        pid=1,
        started_at=gone.started_at,
        seen_at=database_now(),
    )
    Beat.objects.filter(pk=gone.pk).update(seen_at=database_now() - timedelta(minutes=9))
    said = fleet()["beats.silent"]
    assert f"{gone.name} (9 min)" in said.what
    assert said.run == "systemctl restart beatkeeper-beat"


# Runs


def test_messages_that_nobody_answers_are_a_warning():
    make_run(make_schedule(), state="queued", dispatches=3, queued_at=database_now())
    assert '1 in "commands"' in runs()["runs.doorbells"].what


def test_runs_that_are_not_sent_are_an_error():
    make_run(make_schedule("stuck"), available_at=database_now() - timedelta(minutes=9))
    assert "stuck" in runs()["runs.unsent"].what


def test_results_that_wait_on_this_host_are_a_warning(settings, tmp_path):
    settings.BEATKEEPER = {"spool_directory": str(tmp_path)}
    assert runs()["runs.spool"].level == Level.OK
    waiting = tmp_path / f"run-12-attempt-1{spool.SUFFIX}"
    waiting.touch()
    hour_ago = time.time() - 3600
    os.utime(waiting, (hour_ago, hour_ago))
    assert runs()["runs.spool"].level == Level.WARNING
    (tmp_path / f"run-13{spool.SET_ASIDE}").touch()
    assert f"run-13{spool.SET_ASIDE}" in runs()["runs.spool_bad"].what


def test_schedules_that_are_set_aside_are_named():
    schedule = make_schedule("broken")
    Schedule.objects.filter(pk=schedule.pk).update(timing_error="no such zone")
    assert "broken" in runs()["schedules.set_aside"].what


def test_history_beyond_the_retention_is_a_warning(settings):
    settings.BEATKEEPER = {"retention_days": 1, "retention_runs": 1}
    schedule = make_schedule()
    old = database_now() - timedelta(days=9)
    make_run(schedule, state="succeeded", finished_at=old)
    assert runs()["runs.retention"].level == Level.OK  # the last one stays, however old
    make_run(schedule, state="succeeded", finished_at=old)
    assert runs()["runs.retention"].level == Level.WARNING


def test_a_deleted_schedule_is_not_looked_at(good_fleet):
    schedule = make_task_schedule(task="a.b", name="gone")
    good_fleet.queues = "commands"
    good_fleet.save()
    catalog.delete([schedule.pk], by="tests")
    assert "queues.unread" not in fleet()


# Servers


@pytest.mark.django_db(transaction=True)
def test_the_database_in_use_is_looked_at():
    found = {each.code for each in production._database()}
    assert "database.migrations" in found
    expected = "database.isolation" if connection.vendor == "postgresql" else "database.journal"
    assert expected in found
    assert "database.failed" not in found


@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL only: vacuum, and roles")
@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_stays_open_is_named_with_its_process(monkeypatch):
    monkeypatch.setattr(postgresql, "OLDEST_TRANSACTION", 0)
    values = connection.get_connection_params()
    other = psycopg2.connect(
        **{key: values[key] for key in ("dbname", "user", "password", "host", "port") if key in values},
        application_name="forgotten",
    )
    try:
        other.set_session(isolation_level="REPEATABLE READ")
        other.cursor().execute("SELECT count(*) FROM schedules_run")
        # Others on the same server may have transactions, too, and older ones.
        [found] = [each for each in production._database() if "forgotten" in each.what]
    finally:
        other.close()
    assert found.code == "database.xmin"
    assert (found.level, "pg_terminate_backend" in found.run) == (Level.WARNING, True)


def outside(tmp_path, **environment):
    """The command in a process of its own, as an operator runs it: status, output, seconds."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "manage.py", "check_production", "--json"],
        cwd=ROOT,
        env={**os.environ, "BEATKEEPER_STATE": str(tmp_path), "SECRET_KEY": "k" * 60, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout, done.stderr
    return done, json.loads(done.stdout), time.monotonic() - begun


def test_servers_that_are_away_are_errors_and_no_password_is_shown(tmp_path):
    done, printed, _ = outside(
        tmp_path,
        DATABASE_URL="postgres://u:hunter2@127.0.0.1:1/x",
        CELERY_BROKER_URL="amqp://u:hunter2@127.0.0.1:1/x",
    )
    assert done.returncode == 1
    assert {"database.away", "broker.away"} <= {each["code"] for each in printed["findings"]}
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_accepts_and_then_says_nothing_is_given_up(tmp_path, scheme):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"{scheme}://127.0.0.1:{mute.getsockname()[1]}/1"
        database = "sqlite:///" + str(tmp_path / "none.sqlite3")
        done, printed, seconds = outside(tmp_path, DATABASE_URL=database, CELERY_BROKER_URL=url)
    assert done.returncode == 1
    assert "broker.away" in {each["code"] for each in printed["findings"]}
    assert seconds < 60
    assert not (tmp_path / "none.sqlite3").exists()  # looking makes nothing


# Small judgements


@pytest.mark.parametrize(("given", "numbers"), [("3.10.8", (3, 10, 8)), ("4.1.0-rc.1", (4, 1, 0)), ("?", ())])
def test_versions_are_compared_by_their_numbers(given, numbers):
    assert version_of(given) == numbers


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.25, "0.2 s"), (59, "59 s"), (119, "119 s"), (600, "10 min"), (7200, "2 h"), (864_000, "10 days")],
)
def test_a_length_is_said_in_its_largest_unit(seconds, words):
    assert span(seconds) == words


def test_every_page_that_advice_points_to_is_there():
    """`docs/production.md#section` in the code has to be a heading of that page."""
    page = (ROOT / "docs" / "production.md").read_text()
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in page.splitlines()
        if line.startswith("#")
    }
    source = "".join(path.read_text() for path in (ROOT / "schedules" / "production").glob("*.py"))
    wanted = set(re.findall(r"\{GUIDE\}#([a-z-]+)", source))
    assert wanted
    assert wanted <= headings
