"""Lines leave cron and their schedules take over, and go back; or it is refused and nothing happens."""

from __future__ import annotations

import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from schedules import catalog
from schedules.cutting_over import crontab_edit, objections
from schedules.errors import NotPossible
from schedules.models import Beat, CutOver, Run, Schedule, Worker
from schedules.rules import cut_over_lines
from tests.cutting.stage import CRONTAB, LINES, Clock, modes, nobody_or_both, reasons, run, write
from tests.factories import due, last_minute

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may edit a crontab"),
]


def test_lines_are_comments_and_schedules_live_from_the_next_minute_on(crons_file):
    due(Schedule.objects.get(name="sync"), last_minute())
    clock = Clock(second=20)  # of the same minute
    before = crons_file.stat()

    report = run(crons_file, clock=clock, names=["sync", "backup"])

    assert report.effective_at == clock.now().replace(second=0) + timedelta(minutes=1)
    assert modes() == {"backup": "live", "sync": "live", "up": "shadow"}
    text = crons_file.read_text()
    marks = [cut_over_lines.mark_of(row.pk, bytes(row.text)) for row in CutOver.objects.order_by("line")]
    assert text.splitlines()[2:4] == [
        f"# cut over to Beatkeeper ({mark}): {line}" for mark, line in zip(marks, LINES[:2], strict=True)
    ]
    assert text.splitlines()[4] == LINES[2]
    after = crons_file.stat()
    assert (after.st_mode, after.st_uid, after.st_nlink) == (before.st_mode, before.st_uid, 1)
    assert int(after.st_mtime) != int(before.st_mtime)
    assert os.listdir(crons_file.parent) == ["jobs"]
    assert [run.reason for run in Run.objects.all()] == ["shadow"]  # this minute was cron's


def test_the_file_before_is_kept_where_cron_does_not_look_and_only_its_owner_reads(crons_file, tmp_path):
    report = run(crons_file)

    backup = tmp_path / "state" / "crontabs"
    assert os.path.dirname(report.backup) == str(backup)
    assert Path(report.backup).read_text() == CRONTAB
    assert stat.S_IMODE(os.stat(report.backup).st_mode) == 0o600


def test_undo_restores_every_byte(crons_file):
    run(crons_file)
    assert nobody_or_both(crons_file) == []

    run(crons_file, undo=True)

    assert crons_file.read_text() == CRONTAB
    assert set(modes().values()) == {"shadow"}
    assert set(CutOver.objects.values_list("undone_by", flat=True)) == {"me"}


def test_undo_after_other_lines_were_edited_and_moved(crons_file):
    run(crons_file, names=["backup"])
    crons_file.write_text("# new head\nMAILTO=ops\n" + crons_file.read_text().replace("*/5", "*/7"))

    run(crons_file, undo=True)

    assert crons_file.read_text() == "# new head\nMAILTO=ops\n" + CRONTAB.replace("*/5", "*/7")
    assert modes()["backup"] == "shadow"


def test_what_fell_due_before_going_back_is_started_by_us(crons_file):
    run(crons_file)
    Run.objects.all().delete()  # of an instant that really fell due meanwhile
    due(Schedule.objects.get(name="sync"), last_minute())

    run(crons_file, undo=True)

    assert [run.state for run in Run.objects.all()] == ["pending"]


def test_there_and_back_and_there(crons_file):
    for undo in (False, True, False):
        run(crons_file, undo=undo)
        assert nobody_or_both(crons_file) == []
    assert CutOver.objects.count() == 6
    assert run(crons_file).effective_at is None  # nothing to do


def test_a_dry_run_changes_nothing(crons_file, tmp_path):
    report = run(crons_file, dry_run=True)
    assert [move.name for move in report.moves] == ["sync", "backup", "up"]
    assert (crons_file.read_text(), CutOver.objects.count()) == (CRONTAB, 0)
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(("second", "slept"), [(5, [5]), (20, []), (45, [25])])
def test_it_waits_for_the_safe_part_of_a_minute(crons_file, second, slept):
    clock = Clock(second=second)
    run(crons_file, clock=clock)
    assert clock.slept == slept


@pytest.fixture
def program(tmp_path, monkeypatch, crons_file):
    """A crontab(1) that keeps one account's crontab in a file, and the account's shadows."""
    kept = write(tmp_path / "kept", CRONTAB.replace(" root ", " "))
    script = tmp_path / "crontab"
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *-l) cat {kept};; *-) cat >{kept};; *) echo "what?" >&2; exit 1;; esac\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for row in Schedule.objects.all():
        text = row.source_text.replace(" root ", " ")
        Schedule.objects.filter(pk=row.pk).update(source="crontab:ada", source_text=text)
    return kept


def test_the_crontab_of_an_account_goes_through_crontab_1(program):
    before = program.read_text()

    run("crontab:ada")
    assert nobody_or_both(program) == []
    assert set(modes().values()) == {"live"}

    run("crontab:ada", undo=True)
    assert (program.read_text(), set(modes().values())) == (before, {"shadow"})


def test_a_crontab_1_that_refuses_changes_nothing(program, tmp_path):
    (tmp_path / "crontab").write_text(
        f"#!/bin/sh\n[ x$3 = x-l ] && exec cat {program}\necho no >&2; exit 1\n"
    )
    with pytest.raises(NotPossible, match=r"refuses .*: no"):
        run("crontab:ada")
    assert (set(modes().values()), CutOver.objects.count()) == ({"shadow"}, 0)


# Refusals: each alone, with everything else in order.


def refused(path, **options) -> str:
    before, was = path.read_bytes() if path.exists() else b"", modes()
    report = run(path, **options)
    assert report.objections
    assert (path.read_bytes() if path.exists() else b"", modes()) == (before, was)
    assert not CutOver.objects.filter(undone_at=None).exists()
    return reasons(report)


def change_row(**columns):
    return lambda path: Schedule.objects.filter(name="backup").update(**columns)


def edit_row(**columns):
    return lambda path: catalog.change([Schedule.objects.get(name="backup").pk], by="me", **columns)


def edit_file(old, new):
    return lambda path: path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (edit_file("--full", "--half"), "is not in the file as it was imported"),
        (edit_file("30 2 * * * root /bin/backup --full\n", ""), "is not in the file as it was imported"),
        (edit_file("PATH=/bin", "PATH=/usr/bin"), "environment differs"),
        (edit_file("# jobs", "bad line"), "cron ignores the whole file"),
        (edit_row(command="/bin/other"), "command differs"),
        (edit_row(mode="live"), "is live already"),
        (edit_row(enabled=False), "is disabled"),
        (edit_row(cron="61 * * * *"), "cannot be used"),
        (lambda path: catalog.pause([Schedule.objects.get(name="backup").pk], by="me"), "is paused"),
        (lambda path: path.chmod(0o666), "cron ignores"),
        (lambda path: os.chown(path, 12345, -1), "does not belong to root"),
        (lambda path: os.link(path, path.with_name("second")), "more than one hard link"),
        (lambda path: Beat.objects.update(stopped_at=last_minute()), "no beat is running"),
        (lambda path: Beat.objects.update(seen_at=last_minute() - timedelta(hours=1)), "no beat is running"),
        (
            lambda path: Beat.objects.update(parts={"dispatch": "2020-01-01T00:00:00+00:00"}),
            "no beat is running",
        ),
        (lambda path: Worker.objects.update(queues="tasks"), 'no worker serves the queue "commands"'),
        (lambda path: Worker.objects.update(account="nobody"), "may run commands of the account"),
    ],
)
def test_refusals(crons_file, spoil, said):
    spoil(crons_file)
    assert said in refused(crons_file, names=["backup"])


def test_a_clock_that_does_not_agree_with_the_databases_is_refused(crons_file):
    assert "differ by 1.5 s" in refused(crons_file, clock=Clock(apart=1.5))


def test_a_change_of_the_clock_nearby_is_refused_unless_forced(crons_file, monkeypatch):
    monkeypatch.setattr(objections, "clock_change_near", lambda zone, now: zone == "UTC")
    assert "three hours" in refused(crons_file)
    assert [it.may_be_forced for it in run(crons_file, force=True).overridden] == [True]
    assert nobody_or_both(crons_file) == []


def test_what_would_leave_nobody_who_runs_it_cannot_be_forced(crons_file):
    catalog.disable([Schedule.objects.get(name="backup").pk], by="me")
    assert "is disabled" in refused(crons_file, force=True)


def test_a_file_name_that_cron_ignores_is_refused(crons_file):
    path = write(crons_file.with_name("jobs.old"))
    Schedule.objects.update(source=str(path))
    assert 'cron ignores "jobs.old"' in refused(path)


def test_a_file_that_is_none_of_crons_is_refused(crons_file, tmp_path):
    path = write(tmp_path / "crontab")
    Schedule.objects.update(source=str(path))
    assert "in none of its directories" in refused(path)


def test_a_symbolic_link_is_refused(crons_file):
    link = crons_file.with_name("link")
    link.symlink_to(crons_file)
    Schedule.objects.update(source=str(link))
    assert "symbolic link" in refused(link)


def test_another_account_than_root_is_refused(crons_file, monkeypatch):
    monkeypatch.setattr(crontab_edit.os, "geteuid", lambda: 1000)
    assert "only root may edit" in refused(crons_file)


def test_a_source_that_is_not_on_this_machine_is_refused(crons_file):
    with pytest.raises(NotPossible, match="not a path on this machine"):
        run("jobs")


def test_names_and_lines_that_are_not_there_are_refused(crons_file):
    assert 'no schedule "sink"' in refused(crons_file, names=["sync", "sink"])
    assert "no schedule came from line 99" in refused(crons_file, lines=[3, 99])


def test_another_cut_over_under_way_is_refused(crons_file):
    with crontab_edit.crontab_at(str(crons_file)).locked(), pytest.raises(NotPossible, match="under way"):
        run(crons_file)


def test_undo_of_what_was_never_cut_over_is_refused(crons_file):
    assert "was not cut over" in refused(crons_file, undo=True, names=["backup"])


def test_undo_without_a_daemon_is_refused_unless_forced(crons_file, daemon):
    run(crons_file)
    daemon["runs"] = False
    assert "no cron daemon" in reasons(run(crons_file, undo=True))
    run(crons_file, undo=True, force=True)
    assert crons_file.read_text() == CRONTAB


def test_undo_of_a_line_that_is_gone_says_what_to_write(crons_file):
    run(crons_file, names=["backup"])
    crons_file.write_text("# all new\n")
    assert LINES[1] in reasons(run(crons_file, undo=True))


def test_undo_of_an_edited_line_is_refused(crons_file):
    run(crons_file, names=["backup"])
    edit_file("--full", "--half")(crons_file)
    assert "was edited after" in reasons(run(crons_file, undo=True))


def test_the_line_of_a_deleted_schedule_is_put_back(crons_file):
    run(crons_file, names=["backup"])
    catalog.delete([Schedule.objects.get(name="backup").pk], by="me")
    run(crons_file, undo=True)
    assert crons_file.read_text() == CRONTAB
