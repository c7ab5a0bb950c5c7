"""`check_production`: what it says and how, and that it says so when servers are away."""

from __future__ import annotations

import ast
import json
import os
import re
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from django.core import checks
from django.core.management import call_command
from django.db import DatabaseError

from schedules.management.production_text import shape, text
from schedules.models import Schedule
from schedules.production import flow as production
from schedules.production import settings as production_settings
from schedules.rules.production import Level, error, ok, span, version_of, warning
from tests.commands.findings import ROOT, fleet, levels, runs
from tests.factories import make_schedule

pytestmark = pytest.mark.django_db


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


def _codes(path):
    """Patterns of the codes of findings in a module: a part that is worked out stands for one word."""
    for call in ast.walk(ast.parse(path.read_text())):
        makes = isinstance(call, ast.Call) and getattr(call.func, "id", "") in (
            "ok",
            "error",
            "warning",
            "make",
        )
        if makes and isinstance(call.args[0], ast.Constant):
            yield re.escape(call.args[0].value)
        elif makes and isinstance(call.args[0], ast.JoinedStr):
            parts = call.args[0].values
            yield "".join(
                re.escape(each.value) if isinstance(each, ast.Constant) else "[a-z_]+" for each in parts
            )


def test_no_finding_is_without_a_test():
    """Its code has to be named by one. Which of its levels is due when is for that test to say."""
    modules = (ROOT / "schedules" / "production").glob("*.py")
    codes = {code for path in modules for code in _codes(path)}
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(codes) > 70
    assert sorted(code for code in codes if not re.search(rf'"{code}"', tests)) == []


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


def test_it_is_also_what_djangos_check_says_before_a_deployment(settings):
    settings.DEBUG = True
    with pytest.raises(Exception, match=r"beatkeeper\.web\.debug"):
        call_command("check", "--deploy")


def messages(monkeypatch, *found):
    """Django's own checks say this."""
    monkeypatch.setattr(checks, "run_checks", lambda **_: list(found))
    return levels(production.django_checks())


def test_what_django_calls_an_error_is_one(monkeypatch):
    assert messages(monkeypatch, checks.Error("It is broken.", id="models.E001")) == {
        "django.check": Level.ERROR
    }


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [(["jobs.example.org"], {"django.deploy": Level.WARNING}), (["localhost"], {})],
)
def test_what_django_advises_for_a_web_server_is_a_warning_where_one_is_reached(
    settings, monkeypatch, hosts, expected
):
    settings.ALLOWED_HOSTS = hosts
    assert messages(monkeypatch, checks.Warning("Use HTTPS.", id="security.W004")) == expected


def test_what_djangos_check_repeats_of_ours_is_said_once(monkeypatch):
    assert messages(monkeypatch, checks.Error("DEBUG is on.", id="beatkeeper.web.debug")) == {}


@pytest.mark.parametrize(
    ("problem", "code"), [(DatabaseError("gone"), "database.away"), (KeyError("new"), "runs.failed")]
)
def test_a_part_that_fails_is_an_error_beside_what_it_found_before(monkeypatch, problem, code):
    def part():
        yield ok("runs.spool", "Fine.")
        raise problem

    monkeypatch.setattr(production, "connection", SimpleNamespace(close=lambda: None))
    assert levels(production._guarded("runs", part)) == {"runs.spool": Level.OK, code: Level.ERROR}


# Servers that are away


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
    found = {each["code"]: each["level"] for each in printed["findings"]}
    assert (found["database.away"], found["broker.away"]) == ("error", "error")
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_accepts_and_then_says_nothing_is_given_up(tmp_path, scheme):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"{scheme}://127.0.0.1:{mute.getsockname()[1]}/1"
        database = "sqlite:///" + str(tmp_path / "none.sqlite3")
        done, printed, seconds = outside(tmp_path, DATABASE_URL=database, CELERY_BROKER_URL=url)
    assert done.returncode == 1
    assert ("broker.away", "error") in {(each["code"], each["level"]) for each in printed["findings"]}
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
