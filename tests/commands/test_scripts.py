"""The commands for scripts: JSON and nothing else on stdout, one sentence on stderr, a status."""

import json
import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from schedules import catalog, operate
from schedules.management.output import iso, output_text, printable, table
from schedules.models import Attempt, AttemptOutput, Run, Schedule
from schedules.models.schedule import FOREVER

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def schedule(name: str = "backup", cron: str = "30 2 * * *", **columns) -> Schedule:
    values = {"command": "true", "timezone": "Europe/Berlin", "tags": "nightly db"} | columns
    return catalog.save(Schedule(name=name, cron=cron, **values), by="ada")


def run(of: Schedule, **columns) -> Run:
    made = operate.run_now(of, by="ada")
    Run.objects.filter(pk=made.pk).update(**columns)
    made.refresh_from_db()
    return made


def attempt(of: Run, number: int, output: str = "", **columns) -> Attempt:
    values = {
        "outcome": "failed",
        "exit_code": 75,
        "started_at": NOW,
        "finished_at": NOW + timedelta(seconds=2),
    }
    made = Attempt.objects.create(
        run=of, number=number, token=uuid.uuid4(), planned_at=NOW, **values | columns
    )
    AttemptOutput.objects.create(attempt=made, head=[["stdout", output]], bytes_seen=len(output))
    return made


def test_list_schedules_has_one_object_for_each(call):
    schedule()
    finished = run(Schedule.objects.get(), state="succeeded", finished_at=NOW)

    listed = call("list_schedules", "--json").json

    assert len(listed) == 1
    assert listed[0] | {"name": "backup", "state": "enabled", "expression": "30 2 * * *"} == listed[0]
    assert listed[0]["timing"] == "at 02:30 every day"
    assert listed[0]["tags"] == ["nightly", "db"]
    assert (listed[0]["last_run"], listed[0]["last_state"]) == (finished.pk, "succeeded")
    assert listed[0]["next_run"] == iso(Schedule.objects.get().next_run_at)


def test_list_schedules_chooses_by_tag_source_and_state(call):
    schedule("a")
    schedule("b", tags="", source="/etc/crontab")
    paused = schedule("c", tags="")
    catalog.pause([paused.pk], by="ada")
    catalog.disable([schedule("d", tags="night").pk], by="ada")

    def listed(*options: str) -> list[str]:
        return [row["name"] for row in call("list_schedules", *options, "--json").json]

    assert listed() == ["a", "b", "c", "d"]
    assert listed("--tag", "nightly") == ["a"]
    assert listed("--source", "/etc/crontab") == ["b"]
    assert listed("--state", "paused") == ["c"]
    assert listed("--state", "disabled") == ["d"]
    assert listed("--state", "enabled", "--tag", "none") == []


def test_next_runs_of_an_expression_are_local_and_utc(call):
    shown = call("next_runs", "--cron", "30 2 * * *", "--timezone", "Asia/Kolkata", "--count", "3", "--json")

    assert len(shown.json) == 3
    for found in shown.json:
        assert found["scheduled_for"].endswith("T21:00:00Z")
        assert found["local"].endswith("T02:30:00+05:30")


def test_next_runs_says_the_time_in_words(call):
    shown = call("next_runs", "--cron", "*/5 8-18 * * mon-fri", "--timezone", "Europe/Berlin")

    assert "every 5 minutes from 08:00 to 18:59 on Monday to Friday" in shown.out


def test_expression_that_never_fires_says_why(call):
    shown = call("next_runs", "--cron", "0 0 31 2 *")

    assert shown.status == 0
    assert "Never runs: day 31 does not occur in February" in shown.out
    assert call("next_runs", "--cron", "0 0 31 2 *", "--json").json == []


def test_next_runs_of_a_schedule_follow_its_pause(call):
    made = schedule(cron="0 * * * *")
    first = made.next_run_at
    assert first is not None
    end = first + timedelta(days=2, minutes=1)
    catalog.pause([made.pk], by="ada", until=end)

    found = call("next_runs", "backup", "--count", "1", "--json").json[0]

    assert found["scheduled_for"] == iso(first + timedelta(days=2, hours=1))


@pytest.mark.parametrize(("edit", "why"), [(catalog.disable, "disabled"), (catalog.pause, "paused")])
def test_next_runs_of_a_silent_schedule_are_none_and_say_why(call, edit, why):
    edit([schedule().pk], by="ada")

    shown = call("next_runs", "backup", "--json")

    assert shown.json == []
    assert why in shown.err


def test_run_now_opens_a_manual_run_with_its_author(call):
    schedule()

    opened = call("run_now", "backup", "--json").json

    assert Run.objects.get().pk == opened["id"]
    assert (opened["schedule"], opened["state"], opened["trigger"]) == ("backup", "pending", "manual")
    assert opened["triggered_by"].endswith("@command line")
    assert opened["attempts"] == 0


@pytest.mark.parametrize(("state", "status"), [("succeeded", 0), ("failed", 1)])
def test_run_now_that_waits_ends_as_the_run_ends(call, monkeypatch, state, status):
    schedule()

    def finish(_: float) -> None:
        Run.objects.update(state=state, attempt=1, started_at=NOW, finished_at=NOW)
        attempt(Run.objects.get(), 1, "hello\n", outcome=state, exit_code=0 if state == "succeeded" else 3)

    # The command's own `time` only: other threads of the process sleep, too.
    monkeypatch.setattr("schedules.management.commands.run_now.time", SimpleNamespace(sleep=finish))
    ended = call("run_now", "backup", "--wait", "--json")

    assert ended.status == status
    assert ended.json["state"] == state
    assert ended.json["attempts"][0]["output"] == "hello\n"


def test_pause_lasts_until_a_time_and_resume_ends_it(call):
    schedule()

    paused = call("pause_schedule", "backup", "--until", "2h", "--note", "release", "--json").json
    resumed = call("resume_schedule", "backup", "--json").json

    until = datetime.fromisoformat(paused["paused_until"])
    assert timedelta(hours=1, minutes=59) < until - datetime.now(UTC) <= timedelta(hours=2)
    assert (paused["state"], paused["pause_note"]) == ("paused", "release")
    assert (resumed["state"], resumed["paused_until"]) == ("enabled", None)
    assert resumed["next_run"] is not None


def test_pause_without_an_end_lasts_until_somebody_resumes(call):
    schedule()

    paused = call("pause_schedule", "backup", "--json").json

    assert paused["paused_until"] == "forever"
    assert Schedule.objects.get().paused_until == FOREVER


def test_pause_and_resume_take_all_with_a_tag_or_from_a_crontab(call):
    for name, source in (("a", "/etc/crontab"), ("b", "/etc/crontab"), ("c", "-")):
        made = schedule(name, tags="storage night" if name != "b" else "day")
        Schedule.objects.filter(pk=made.pk).update(source=source)

    paused = call("pause_schedule", "--tag", "storage", "--json").json
    resumed = call("resume_schedule", "--source", "/etc/crontab")

    assert [(shape["name"], shape["state"]) for shape in paused] == [("a", "paused"), ("c", "paused")]
    assert resumed.out.strip() == "2 schedules enabled."
    assert set(Schedule.objects.filter(paused_until=None).values_list("name", flat=True)) == {"a", "b"}


@pytest.mark.parametrize(
    ("arguments", "status"), [((), 2), (("a", "--tag", "t"), 2), (("--tag", "nowhere"), 1)]
)
def test_the_choice_of_schedules_must_be_clear_and_find_some(call, arguments, status):
    assert call("pause_schedule", *arguments).status == status


def test_pause_into_the_past_is_a_usage_error(call):
    schedule()

    result = call("pause_schedule", "backup", "--until", "2020-01-01")

    assert result.status == 2
    assert "not in the future" in result.err


def test_list_runs_tells_retrying_from_pending(call):
    made = schedule()
    fresh = run(made)
    retrying = run(made, attempt=1, state="pending")
    failed = run(made, attempt=3, state="failed", started_at=NOW, finished_at=NOW)

    def listed(*options: str) -> list[int]:
        return [row["id"] for row in call("list_runs", *options, "--json").json]

    assert listed() == [failed.pk, retrying.pk, fresh.pk]
    assert listed("--state", "pending") == [fresh.pk]
    assert listed("--state", "retrying") == [retrying.pk]
    assert listed("--state", "failed") == [failed.pk]
    assert listed("--limit", "1") == [failed.pk]
    row = call("list_runs", "--state", "failed", "--json").json[0]
    assert (row["state"], row["attempts"], row["started_at"]) == ("failed", 3, "2026-01-31T12:00:00Z")


def test_list_runs_chooses_by_schedule_and_time(call):
    old = run(schedule("a"), scheduled_for=datetime.now(UTC) - timedelta(hours=3))
    new = run(schedule("b"))

    def listed(*options: str) -> list[int]:
        return [row["id"] for row in call("list_runs", *options, "--json").json]

    assert listed("--schedule", "a") == [old.pk]
    assert listed("--since", "2h") == [new.pk]
    assert listed("--since", "1d") == [new.pk, old.pk]
    assert listed("--since", new.scheduled_for.isoformat()) == [new.pk]


def test_runs_of_a_deleted_schedule_are_found_by_its_name(call):
    made = schedule()
    kept = run(made)
    catalog.delete([made.pk], by="ada")

    assert [row["id"] for row in call("list_runs", "--schedule", "backup", "--json").json] == [kept.pk]


def test_show_run_has_every_attempt_with_its_output(call):
    shown = run(schedule(), state="failed", attempt=2, started_at=NOW, finished_at=NOW)
    attempt(shown, 1, "busy\n", decision="rule:exit_code", decision_text="Attempt 2 of 2 follows after 10 s.")
    attempt(shown, 2, "\x1b[31mbusy\x1b[0m \x07\n", signal=9, exit_code=None)

    found = call("show_run", shown.pk, "--json").json
    text = call("show_run", shown.pk).out

    assert [it["number"] for it in found["attempts"]] == [1, 2]
    first, second = found["attempts"]
    assert (first["outcome"], first["exit_code"], first["signal"]) == ("failed", 75, None)
    assert (first["decision"], first["output"]) == ("rule:exit_code", "busy\n")
    assert (second["signal"], second["output"]) == (9, "\x1b[31mbusy\x1b[0m \x07\n")
    assert "Attempt 2 of 2 follows after 10 s." in text
    assert "  | busy \\x07" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    "command",
    [
        ("next_runs", "nope"),
        ("run_now", "nope"),
        ("pause_schedule", "nope"),
        ("resume_schedule", "nope"),
        ("list_runs", "--schedule", "nope"),
        ("show_run", "4711"),
        ("show_run", str(10**30)),
        ("next_runs", "--cron", "61 * * * *"),
    ],
)
def test_what_is_not_there_is_one_sentence_on_stderr(call, command):
    result = call(*command, "--json")

    assert result.status == 1
    assert result.out == ""
    assert result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    "command",
    [
        ("next_runs",),
        ("next_runs", "backup", "--cron", "@daily"),
        ("next_runs", "--cron", "@daily", "--count", "0"),
        ("list_runs", "--since", "yesterday"),
        ("list_runs", "--limit", "-1"),
    ],
)
def test_command_line_without_sense_is_status_two(call, command):
    result = call(*command)

    assert (result.status, result.out) == (2, "")


def test_lists_take_a_fixed_number_of_queries(call):
    def queries() -> list[int]:
        counts = []
        for command in ("list_schedules", "list_runs"):
            with CaptureQueriesContext(
                connection,
            ) as captured:
                call(command, "--json")
            counts.append(len(captured))
        return counts

    attempt(run(schedule("a")), 1)
    before = queries()
    for name in "bcdef":
        attempt(run(schedule(name)), 1)

    assert queries() == before


def test_tables_hold_nothing_that_a_terminal_obeys():
    assert printable("a\x1b[2J\u202eb\x9b\n") == "a\\x1b[2J\\u202eb\\x9b\\n"
    assert printable("Zürich 東京") == "Zürich 東京"
    assert output_text("\x1b[1;31mred\x1b[0m\r\n\tx") == "red\\r\n\tx"
    assert table(("A", "B", "C"), [("1", "", "x\n"), ("22", "", "y")]) == "A   C\n1   x\\n\n22  y"


def test_process_prints_json_alone_and_ends_with_the_status(tmp_path):
    """The real thing: manage.py as a script starts it, with its log and its exit status."""
    environment = os.environ | {
        "BEATKEEPER_STATE": str(tmp_path),
        "DATABASE_URL": "",
        "BEATKEEPER_LOG_LEVEL": "INFO",
    }
    (tmp_path / "crontab").write_text("* * * * * true\n")

    def manage(*arguments: str) -> subprocess.CompletedProcess[str]:
        root = Path(__file__).parents[2]
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    assert manage("migrate", "-v", "0").returncode == 0
    imported = manage("import_crontab", str(tmp_path / "crontab"), "--json", "--account", "root")
    unknown = manage("run_now", "nope", "--json")
    usage = manage("list_runs", "--state", "nope")

    assert (imported.returncode, json.loads(imported.stdout)["imported"]) == (0, True)
    assert "schedule_changed" not in imported.stderr
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith('Error: No schedule is named "nope".')
    assert usage.returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("export_crontab", "x\udcff"),
        ("export_crontab", "--source", "/x\udcff"),
        ("export_schedules", "x\udcff"),
        ("prove_import", "/x\udcff"),
        ("cut_over", "/x\udcff"),
        ("run_now", "x\udcff"),
    ],
)
def test_an_argument_that_is_not_utf_8_is_refused_in_one_sentence(call, arguments):
    refused = call(*arguments)

    assert refused.status in (1, 2)
    assert "\\xff" in refused.err + refused.out
