"""A cut-over that is interrupted between any two steps: nobody runs twice, and the next try repairs it."""

from __future__ import annotations

import os
import signal

import pytest
from django.db import OperationalError, connection

from schedules import catalog
from schedules.cutting_over import crontab_edit
from schedules.cutting_over import flow as cutting_over
from schedules.cutting_over.flow import Interrupted, TooLate
from schedules.errors import NotPossible
from schedules.models import CutOver, Schedule
from schedules.rules import cut_over_lines
from tests.cutting.stage import CRONTAB, LINES, Clock, modes, nobody_or_both, run
from tests.factories import last_minute

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may edit a crontab"),
]


def test_an_edit_by_somebody_else_at_the_last_moment_changes_nothing(crons_file, monkeypatch):
    live = catalog.make_live

    def beside(*args, **kwargs):
        crons_file.write_text(CRONTAB + "# theirs\n")
        return live(*args, **kwargs)

    monkeypatch.setattr(catalog, "make_live", beside)
    with pytest.raises(crontab_edit.ChangedMeanwhile):
        run(crons_file)
    assert crons_file.read_text() == CRONTAB + "# theirs\n"
    assert set(modes().values()) == {"shadow"}
    assert CutOver.objects.count() == 0
    assert os.listdir(crons_file.parent) == ["jobs"]


def test_a_lock_that_takes_too_long_moves_it_to_the_next_minute(crons_file, monkeypatch):
    clock, live = Clock(second=35), catalog.make_live

    def slowly(*args, **kwargs):
        if not clock.slept:
            clock.sleep(20)
        return live(*args, **kwargs)

    monkeypatch.setattr(catalog, "make_live", slowly)
    run(crons_file, clock=clock)
    assert clock.slept == [20, 15]
    assert nobody_or_both(crons_file) == []


def test_a_lock_that_always_takes_too_long_is_an_error_and_changes_nothing(crons_file, monkeypatch):
    clock, live = Clock(second=35), catalog.make_live
    monkeypatch.setattr(catalog, "make_live", lambda *a, **k: (clock.sleep(45), live(*a, **k)))
    with pytest.raises(TooLate):
        run(crons_file, clock=clock)
    assert (crons_file.read_text(), CutOver.objects.count()) == (CRONTAB, 0)
    assert set(modes().values()) == {"shadow"}


def lose_the_answer():
    """The next commit happens, and nobody hears of it."""

    class Lost:
        def __getattr__(self, name):
            return getattr(real, name)

        def commit(self):
            real.commit()
            raise OperationalError("the answer is lost")

    real, connection.connection = connection.connection, Lost()


def failing_commit(monkeypatch, *, commits):
    """The commit after the file was replaced fails; with `commits` it succeeds, and its answer is lost."""
    replace = crontab_edit.CrontabFileOnDisk.replace

    def then_fail(self, content, *, expected):
        replace(self, content, expected=expected)
        monkeypatch.setattr(crontab_edit.CrontabFileOnDisk, "replace", replace)
        if not commits:
            raise OperationalError("the database went away")
        lose_the_answer()

    monkeypatch.setattr(crontab_edit.CrontabFileOnDisk, "replace", then_fail)


def test_a_commit_that_fails_puts_the_lines_back_in_the_same_minute(crons_file, monkeypatch):
    failing_commit(monkeypatch, commits=False)
    with pytest.raises(NotPossible, match="cron runs the lines as before"):
        run(crons_file)
    assert (crons_file.read_text(), CutOver.objects.count()) == (CRONTAB, 0)
    assert set(modes().values()) == {"shadow"}


def test_a_commit_whose_answer_is_lost_is_found_to_have_happened(crons_file, monkeypatch):
    failing_commit(monkeypatch, commits=True)
    run(crons_file)
    assert nobody_or_both(crons_file) == []
    assert set(modes().values()) == {"live"}


def test_a_failure_too_late_to_put_back_says_that_nobody_runs_it_and_how_to_repair_it(
    crons_file, monkeypatch
):
    clock = Clock(second=39)
    failing_commit(monkeypatch, commits=False)
    are_live = cutting_over._are_live
    monkeypatch.setattr(cutting_over, "_are_live", lambda pks: (clock.sleep(30), are_live(pks))[1])

    with pytest.raises(Interrupted, match=r"neither cron nor Beatkeeper runs.*repeat the command"):
        run(crons_file, clock=clock)

    assert nobody_or_both(crons_file) == ["sync", "backup", "up"]
    assert [(it.is_out, it.is_live) for it in run(crons_file, dry_run=True).moves] == [(True, False)] * 3


@pytest.fixture
def interrupted(crons_file, monkeypatch):
    """The line is out, nobody runs it: as a kill between the file and the commit leaves it."""
    [row] = Schedule.objects.filter(name="backup")
    cut = CutOver.objects.create(
        schedule=row,
        name=row.name,
        path=str(crons_file),
        line=4,
        text=LINES[1].encode(),
        backup="-",
        effective_at=last_minute(),
    )
    mark = cut_over_lines.mark_of(cut.pk, LINES[1].encode())
    crons_file.write_bytes(cut_over_lines.take_out(crons_file.read_bytes(), {4: mark}))
    assert nobody_or_both(crons_file) == ["backup"]
    return crons_file


def test_the_same_command_completes_an_interrupted_cut_over(interrupted):
    run(interrupted, names=["backup"])
    assert modes()["backup"] == "live"
    assert nobody_or_both(interrupted) == []


def test_undo_takes_an_interrupted_cut_over_back(interrupted):
    run(interrupted, undo=True)
    assert interrupted.read_text() == CRONTAB
    assert not CutOver.objects.filter(undone_at=None).exists()


def test_an_intent_of_which_nothing_came_is_used_by_the_next_try(crons_file):
    row = Schedule.objects.get(name="backup")
    CutOver.objects.create(
        schedule=row,
        name="backup",
        path=str(crons_file),
        line=4,
        text=b"x",
        backup="",
        effective_at=last_minute(),
    )
    run(crons_file, names=["backup"])
    assert nobody_or_both(crons_file) == []
    assert CutOver.objects.count() == 1
    run(crons_file, undo=True)
    assert crons_file.read_text() == CRONTAB


def test_a_line_that_somebody_put_back_by_hand_is_taken_out_again(crons_file):
    run(crons_file, names=["backup"])
    crons_file.write_text(CRONTAB)
    assert nobody_or_both(crons_file) == ["backup"]  # both run it

    run(crons_file, names=["backup"])

    assert nobody_or_both(crons_file) == []


def test_undo_after_somebody_put_the_line_back_by_hand(crons_file):
    run(crons_file, names=["backup"])
    crons_file.write_text(CRONTAB)
    run(crons_file, undo=True)
    assert (crons_file.read_text(), modes()["backup"]) == (CRONTAB, "shadow")


def test_a_file_that_cannot_be_written_on_the_way_back_leaves_the_schedules_live(crons_file, monkeypatch):
    run(crons_file)
    out = crons_file.read_text()

    def refuse(self, content, *, expected):
        raise PermissionError(1, "no")

    monkeypatch.setattr(crontab_edit.CrontabFileOnDisk, "replace", refuse)
    with pytest.raises(NotPossible, match="live as before"):
        run(crons_file, undo=True)
    assert (crons_file.read_text(), set(modes().values())) == (out, {"live"})


@pytest.mark.parametrize("commits", [False, True])
def test_a_commit_on_the_way_back_whose_answer_is_lost(crons_file, monkeypatch, commits):
    run(crons_file)
    shadow = catalog.make_shadow

    def then_lose(*args, **kwargs):
        shadow(*args, **kwargs)
        if not commits:
            raise OperationalError("the database went away")
        lose_the_answer()

    monkeypatch.setattr(catalog, "make_shadow", then_lose)
    if commits:
        run(crons_file, undo=True)
    else:
        with pytest.raises(NotPossible, match="Nothing was changed"):
            run(crons_file, undo=True)

    assert nobody_or_both(crons_file) == []
    assert set(modes().values()) == {"shadow" if commits else "live"}


@pytest.mark.parametrize("undo", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_that_is_killed_at_the_edit_leaves_nobody_or_the_old_one_and_never_both(
    crons_file, undo, when
):
    if undo:
        run(crons_file)
    connection.close()
    pid = os.fork()
    if pid == 0:
        replace = crontab_edit.CrontabFileOnDisk.replace

        def killed(self, content, *, expected):
            if when == "after":
                replace(self, content, expected=expected)
            os.kill(os.getpid(), signal.SIGKILL)

        crontab_edit.CrontabFileOnDisk.replace = killed
        try:
            run(crons_file, undo=undo)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    out = {one.text.decode() for one in cut_over_lines.taken(crons_file.read_bytes())}
    both = [row.name for row in Schedule.objects.live() if row.mode == "live" and row.source_text not in out]
    assert both == []

    run(crons_file, undo=undo)

    assert nobody_or_both(crons_file) == []
    assert set(modes().values()) == {"shadow" if undo else "live"}
