"""`cut_over` as an operator sees it, and what a later import makes of the lines that are out."""

from __future__ import annotations

import os

import pytest

from schedules import catalog
from schedules.cutting_over import flow as cutting_over
from schedules.importing import sources
from schedules.models import Schedule
from tests.cutting.stage import CRONTAB, LINES, Clock, modes, run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may edit a crontab")


@pytest.fixture(autouse=True)
def middle_of_a_minute(monkeypatch):
    monkeypatch.setattr(cutting_over, "Clock", Clock)


def test_it_says_who_runs_what_from_when_on_and_how_to_go_back(call, crons_file):
    done = call("cut_over", crons_file)

    assert done.status == 0
    assert f"Cut over in {crons_file} (3)" in done.out
    assert "sync    3     */5 * * * *" in done.out
    assert f"To go back: manage.py cut_over --undo {crons_file}" in done.out

    back = call("cut_over", "--undo", "--name", "backup")
    assert f"Back in {crons_file} (1)" in back.out
    assert "cron runs these lines again from" in back.out
    assert crons_file.read_text().splitlines()[3] == LINES[1]


def test_json_names_each_line_and_who_runs_it(call, crons_file):
    found = call("cut_over", crons_file, "--line", 4, "--json").json
    assert (found["done"], found["refused"]) == (True, [])
    assert [(it["name"], it["line"], it["run_by"]) for it in found["lines"]] == [("backup", 4, "beatkeeper")]


def test_a_refusal_is_status_1_and_names_the_line(call, crons_file):
    crons_file.write_text(CRONTAB.replace("--full", "--half"))
    done = call("cut_over", crons_file)
    assert done.status == 1
    assert f'{crons_file}:4: the line of "backup" is not in the file as it was imported' in done.out
    assert done.err == "Nothing was changed because of 1 objection."


def test_a_dry_run_says_so(call, crons_file):
    done = call("cut_over", crons_file, "--dry-run")
    assert "To be cut over in" in done.out
    assert done.out.rstrip().endswith("Nothing was changed (dry run).")


@pytest.mark.parametrize("arguments", [[], ["--line", "3"]])
def test_something_has_to_be_named(call, arguments):
    assert call("cut_over", *arguments).status == 2


def test_one_crontab_at_a_time(call, crons_file):
    Schedule.objects.filter(name="up").update(source="/etc/other")
    assert "several crontabs" in call("cut_over", "--name", "up", "--name", "sync").err


def test_a_hostile_name_is_escaped(call, crons_file):
    Schedule.objects.filter(name="up").update(name="up\x1b[31m")
    assert "\x1b" not in call("cut_over", crons_file).out


def test_an_import_after_the_cut_over_leaves_the_schedules_as_they_are(call, crons_file):
    call("import_crontab", crons_file, "--format", "system")
    names = set(Schedule.objects.values_list("name", flat=True))
    call("cut_over", crons_file)

    again = call("import_crontab", crons_file, "--format", "system", "--json").json

    assert {it["name"] for it in again["unchanged"]} == names
    assert (again["gone"], again["created"], again["changed"]) == ([], [], [])
    run(crons_file, undo=True)
    assert crons_file.read_text() == CRONTAB


def test_the_proof_reads_lines_that_are_out_as_what_they_were(call, crons_file):
    call("import_crontab", crons_file, "--format", "system")
    call("cut_over", crons_file)

    proof = call("prove_import", crons_file)

    assert proof.status == 0, proof.out
    assert "identical" in proof.out


def test_a_setting_above_a_line_that_is_out_still_reaches_its_schedule(call, crons_file):
    call("import_crontab", crons_file, "--format", "system")
    call("cut_over", crons_file)
    crons_file.write_text(crons_file.read_text().replace("PATH=/bin", "PATH=/opt/bin"))

    call("import_crontab", crons_file, "--format", "system")

    assert Schedule.objects.get(name="backup").environment == [["PATH", "/opt/bin"]]


def test_what_another_installation_took_out_stays_a_comment_and_is_told(call, crons_file):
    call("cut_over", crons_file)
    Schedule.objects.get(name="backup").cut_overs.all().delete()

    again = call("import_crontab", crons_file, "--format", "system", "--json").json

    assert [it["name"] for it in again["gone"]] == ["backup"]
    assert any("another installation" in it["reason"] for it in again["warnings"])


def edited_after_the_cut_over(call, crons_file):
    call("cut_over", crons_file)
    [pk] = Schedule.objects.filter(name="backup").values_list("pk", flat=True)
    catalog.change([pk], by="ada", cron="45 4 1 1 *", command="/bin/backup --half")


@pytest.mark.parametrize("dry_run", [["--dry-run"], []])
def test_undo_shows_what_cron_will_run_and_warns_of_the_edit_that_is_not_in_the_line(
    call, crons_file, dry_run
):
    edited_after_the_cut_over(call, crons_file)

    done = call("cut_over", "--undo", crons_file, *dry_run)

    [row] = [line for line in done.out.splitlines() if line.startswith("  backup")]
    assert "30 2 * * *" in row
    assert " 02:30:00 " in row
    assert row.endswith("/bin/backup --full")
    assert "Warnings (1)" in done.out
    assert f'{crons_file}:4: "backup" is not what the line says (time, command): it was edited' in done.out
    assert f"manage.py export_crontab --source {crons_file} writes" in done.out
    assert dry_run or crons_file.read_text() == CRONTAB


def test_json_of_undo_has_the_warning_and_cron_s_next_start(call, crons_file):
    edited_after_the_cut_over(call, crons_file)

    found = call("cut_over", "--undo", crons_file, "--dry-run", "--json").json

    assert [(it["name"], it["line"], it["differs"]) for it in found["warnings"]] == [
        ("backup", 4, ["time", "command"])
    ]
    next_runs = {it["name"]: it["next_run"] for it in found["lines"]}
    assert next_runs["backup"].endswith("T02:30:00Z")
    assert next_runs["up"] is None


def test_undo_without_edits_warns_of_nothing(call, crons_file):
    call("cut_over", crons_file)
    assert call("cut_over", "--undo", crons_file, "--json").json["warnings"] == []


def test_a_dry_run_tells_what_is_cut_over_already_from_what_would_be(call, crons_file):
    call("cut_over", crons_file, "--name", "sync")

    some = call("cut_over", crons_file, "--dry-run")
    assert f"Already cut over in {crons_file} (1)" in some.out
    assert f"To be cut over in {crons_file} (2)" in some.out

    only = call("cut_over", crons_file, "--name", "sync", "--dry-run")
    assert "To be cut over" not in only.out
    assert only.out.rstrip().endswith("Nothing to do.")


def test_an_edit_of_what_is_cut_over_already_does_not_stand_in_the_way_of_other_lines(call, crons_file):
    call("cut_over", crons_file, "--name", "backup")
    catalog.change(
        Schedule.objects.filter(name="backup").values_list("pk", flat=True), by="a", cron="1 1 * * *"
    )
    assert call("cut_over", crons_file).status == 0


@pytest.mark.parametrize("is_spool", [True, False])
def test_the_other_name_of_an_account_s_crontab_is_told(call, crons_file, is_spool):
    spool = str(sources.SPOOLS[0] / "ada")
    known, named = (spool, "crontab:ada") if is_spool else ("crontab:ada", spool)
    Schedule.objects.update(source=known)

    done = call("cut_over", named, "--dry-run")

    assert done.status == 1
    assert f"Nothing came from {named}: the lines of this crontab were imported from {known}." in done.err


@pytest.mark.parametrize("dry_run", [["--dry-run"], []])
def test_a_manifest_makes_no_shadow_of_what_is_cut_over(call, crons_file, tmp_path, dry_run):
    call("cut_over", crons_file, "--name", "backup")
    path = tmp_path / "schedules.yaml"
    path.write_text("schedules:\n  backup:\n    cron: 30 2 * * *\n    mode: shadow\n    command: x\n")

    done = call("apply_schedules", path, *dry_run)

    assert done.status == 1
    assert f'{path}:4:5: "backup": "mode": Its line was taken out of {crons_file}' in done.err
    assert f"manage.py cut_over --undo {crons_file} --name backup" in done.err
    assert (modes()["backup"], Schedule.objects.get(name="backup").command) == ("live", "/bin/backup --full")

    call("cut_over", "--undo", crons_file)
    assert call("apply_schedules", path).status == 0


def test_an_export_warns_of_lines_that_beatkeeper_runs(call, crons_file):
    call("import_crontab", crons_file, "--format", "system", "--timezone", "UTC")
    assert "cut over" not in call("export_crontab", "--source", crons_file).err
    call("cut_over", crons_file)
    catalog.disable(Schedule.objects.filter(name="up").values_list("pk", flat=True), by="ada")

    done = call("export_crontab", "--source", crons_file)

    assert "Note: 2 lines are cut over and run by Beatkeeper now" in done.err
    assert f"manage.py cut_over --undo {crons_file}" in done.err
    call("cut_over", "--undo", crons_file)
    assert "cut over" not in call("export_crontab", "--source", crons_file).err
