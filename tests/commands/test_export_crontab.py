"""export_crontab: what was imported comes back byte for byte, and only edited lines change."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schedules import catalog
from schedules.exporting import flow as exporting
from schedules.importing.flow import Options, import_crontabs
from schedules.importing.sources import Reading, read
from schedules.models import CrontabFile, RetryPolicy, Schedule
from schedules.rules import crontab as crontabs
from schedules.rules.crontab.sheet import Fate
from tests.factories import make_schedule, make_task_schedule
from tests.rules.crontab_samples import crontab_text

pytestmark = pytest.mark.django_db

EXAMPLE = Path(__file__).parents[2] / "fixtures" / "crontab.example"
ODD = (
    b"# caf\xe9, which is not UTF-8\n\n  SHELL = '/bin/sh'  \r\nMAILTO=\"\"\n"
    b'\t0  5 * * *\t cat -- "x"  # not a comment\r\n5 5 * * * cat%a\\%b%%c\nPATH=/bin\n@daily true\n'
    b"#no line end"
)


def only() -> Schedule:
    return Schedule.objects.live().get()


def named(name: str) -> Schedule:
    return Schedule.objects.live().get(name=name)


@pytest.mark.parametrize("content", [EXAMPLE.read_bytes(), ODD, b"", b"\n", b"# nothing"])
def test_unedited_file_comes_back_byte_for_byte(call, crontab, tmp_path, content):
    path = crontab(content)
    call("import_crontab", path)

    result = call("export_crontab", "--source", path, "--output", tmp_path / "out")

    assert result.status == 0, result.err
    assert (tmp_path / "out").read_bytes() == content
    assert " 0 written, 0 commented out." in result.err


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=crontab_text(), edits=st.lists(st.sampled_from(["", "cron", "command", "off", "delete"])))
def test_any_file_comes_back_and_only_edited_lines_change(crontab, text, edits):
    path = crontab(text)
    with transaction.atomic():
        import_crontabs(read([str(path)], Reading()), Options(partial=True), by="tests")
        if CrontabFile.objects.exists():
            assert exporting.export_source(str(path)).content == text.encode()
            rows = list(Schedule.objects.order_by("source_line"))
            changed = [row for row, edit in zip(rows, edits, strict=False) if _edit(row, edit)]
            _check_edited(str(path), text, rows, changed)
        transaction.set_rollback(True)


def _edit(row: Schedule, edit: str) -> bool:
    if edit == "cron":
        catalog.change([row.pk], by="tests", cron="7 7 7 7 *")
    elif edit == "command":
        catalog.change([row.pk], by="tests", command="echo 100% \\\\%", stdin="in\n")
    elif edit == "off":
        catalog.disable([row.pk], by="tests")
    elif edit == "delete":
        catalog.delete([row.pk], by="tests")
    return bool(edit)


def _check_edited(path: str, text: str, rows: list[Schedule], changed: list[Schedule]) -> None:
    export = exporting.export_source(path)
    dead = {one.name for one in export.of(Fate.COMMENTED)}
    alive = [row for row in Schedule.objects.live().order_by("source_line") if row.name not in dead]
    read_back = crontabs.parse(export.content)
    assert [(job.expression, job.command, job.stdin) for job in read_back.jobs] == [
        (row.cron, row.command, row.stdin) for row in alive
    ]
    lines = [line.raw for line in read_back.lines]
    numbers = {row.source_line for row in changed}
    assert all(line.raw in lines for line in crontabs.parse(text).lines if line.number not in numbers)


def test_edits_change_their_lines_and_nothing_else(call, crontab):
    path = crontab(
        "# m h\n0  5 * * *  backup\n1 1 * * * off\n2 2 * * * held\n3 3 * * * gone\n4 4 * * * kept\n"
    )
    call("import_crontab", path)
    catalog.change([named("backup").pk], by="ada", cron="30 6 * * *", command="backup --to 100%")
    catalog.disable([named("off").pk], by="ada")
    catalog.pause([named("held").pk], by="ada", note="storage\nmoves")
    catalog.delete([named("gone").pk], by="ada")

    result = call("export_crontab", "--source", path)

    assert result.out == (
        "# m h\n30  6 * * *  backup --to 100\\%\n# off: it is disabled\n#1 1 * * * off\n"
        "# held: it is paused: storage\\nmoves\n#2 2 * * * held\n"
        "# gone: it was deleted in Beatkeeper\n#3 3 * * * gone\n4 4 * * * kept\n"
    )
    assert result.err.startswith("Exported 5 schedules: 1 as imported, 1 written, 3 commented out.\n")


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"timezone": "Asia/Tokyo"}, "its times are those of Asia/Tokyo, this crontab's are those of UTC"),
        ({"dialect": "extended", "cron": "0 0 5 L * ?"}, 'its time is in the dialect "extended"'),
        ({"gap": "skip"}, "it has a rule of its own for changes of the clock"),
        ({"working_directory": "/srv"}, "it runs in /srv"),
        ({"run_as": "bob"}, "it runs as bob, and this is the crontab of ada"),
        ({"command": "a\nb"}, "the command has more than one line"),
        ({"command": "x" * 999}, "command too long: 999 bytes"),
        ({"cron": ""}, "it is started by hand only"),
        ({"one_off": True}, "it is to run only once"),
    ],
)
def test_what_no_crontab_can_say_is_a_comment_with_the_reason(call, crontab, columns, reason):
    path = crontab("0 5 * * * x\n")
    call("import_crontab", path, "--account", "ada", "--timezone", "UTC")
    catalog.change([only().pk], by="ada", **columns)

    result = call("export_crontab", "--source", path, "--json")

    (schedule,) = result.json["schedules"]
    assert (schedule["fate"], schedule["line"]) == ("commented", 1)
    assert reason in schedule["reason"]
    assert all(line.startswith("#") for line in result.json["text"].splitlines())


def test_shadow_stays_because_cron_runs_it(call, crontab):
    path = crontab("0 5 * * * x\n")
    call("import_crontab", path)
    catalog.make_shadow([only().pk], by="ada")

    assert call("export_crontab", "--source", path).out == "0 5 * * * x\n"


def test_mail_addresses_and_shell_become_variables(call, crontab):
    path = crontab("MAILTO=ops\n0 5 * * * x\n")
    call("import_crontab", path)
    catalog.change([only().pk], by="ada", mail_to="dev", shell="/bin/bash")

    assert call("export_crontab", "--source", path).out == (
        "MAILTO=ops\nMAILTO=dev\nSHELL=/bin/bash\n0 5 * * * x\n"
    )


def test_edit_in_a_system_crontab_keeps_the_column_of_the_account(call, crontab):
    path = crontab("0 5 * * *\troot  x\n")
    call("import_crontab", path, "--format", "system")
    catalog.change([only().pk], by="ada", run_as="nobody")

    assert call("export_crontab", "--source", path).out == "0 5 * * *\tnobody  x\n"


def test_lines_of_cronie_are_written_by_its_grammar(call, crontab):
    path = crontab("CRON_TZ=Asia/Tokyo\nA=\n0 5 * * * x\n")
    call("import_crontab", path, "--dialect", "cronie")
    catalog.change([only().pk], by="ada", command=r"a\\b %")

    assert call("export_crontab", "--source", path).out == "CRON_TZ=Asia/Tokyo\nA=\n0 5 * * * a\\\\b \\%\n"


def test_line_that_could_not_be_imported_stays(call, crontab, tmp_path):
    content = b"0 5 * * * caf\xe9\n1 5 * * * x\n"
    path = crontab(content)
    call("import_crontab", path, "--partial")

    result = call("export_crontab", "--source", path, "--output", tmp_path / "out")

    assert (tmp_path / "out").read_bytes() == content
    assert "line 1 could not be imported, and stays as it is" in result.err


def test_line_whose_schedule_vanished_does_not_come_back_to_life(call, crontab):
    path = crontab("0 5 * * * x\n1 5 * * * y\n")
    call("import_crontab", path)
    named("x").periodictask_ptr.delete()

    assert call("export_crontab", "--source", path).out == (
        "# line 1: no schedule has this line: it was refused at the import, or its schedule is gone\n"
        "#0 5 * * * x\n1 5 * * * y\n"
    )


def test_line_imported_again_after_its_schedule_was_deleted_is_alive(call, crontab):
    path = crontab("0 5 * * * x\n")
    call("import_crontab", path)
    catalog.delete([only().pk], by="ada")
    call("import_crontab", path)

    assert call("export_crontab", "--source", path).out == "0 5 * * * x\n"


def test_schedule_whose_line_was_gone_at_the_last_import_is_told(call, crontab):
    path = crontab("0 5 * * * x\n1 5 * * * y\n")
    call("import_crontab", path)
    call("import_crontab", crontab("1 5 * * * y\n"))

    result = call("export_crontab", "--source", path)

    assert result.out == "1 5 * * * y\n"
    assert '"x" came from this file, but its line was gone at the last import' in result.err


def test_what_cron_does_not_do_is_told_beside_an_unedited_file(call, crontab):
    path = crontab("0 5 * * * x\n1 5 * * * y\n")
    call("import_crontab", path)
    catalog.change([row.pk for row in Schedule.objects.live()], by="ada", timeout=60, overlap="skip")

    result = call("export_crontab", "--source", path)

    assert result.out == "0 5 * * * x\n1 5 * * * y\n"
    assert "Note: cron does not do for 2 of them: ended after 60 s." in result.err


def test_limits_are_told_as_what_cron_does_not_do(call, crontab):
    path = crontab("0 5 * * * x\n")
    call("import_crontab", path)
    rows = [row.pk for row in Schedule.objects.live()]
    catalog.change(rows, by="ada", memory_limit=512, cpu_limit=60, file_size_limit=0)

    result = call("export_crontab", "--source", path)

    for clause in ("at most 512 MiB of memory", "at most 60 s of processor time", "no file above 0 MiB"):
        assert f"Note: cron does not do for 1 of them: {clause}." in result.err


def test_table_of_anacron_comes_back_until_it_is_edited(call, crontab):
    path = crontab("START_HOURS_RANGE=3-22\n1 5 cron.daily run-parts /etc/cron.daily\n", "anacrontab")
    call("import_crontab", path)

    assert call("export_crontab", "--source", path).out == path.read_text()

    catalog.change([only().pk], by="ada", command="true")
    result = call("export_crontab", "--source", path)
    assert (result.status, result.out) == (1, "")
    assert (
        'a table of anacron, which is given back only as it was imported, and was edited since: "cron.daily"'
        in (result.err)
    )


def test_source_that_was_never_imported_is_refused(call, crontab):
    call("import_crontab", crontab("0 5 * * * x\n"))

    result = call("export_crontab", "--source", "/nowhere")

    assert result.status == 1
    assert 'Nothing was imported from "/nowhere". Imported were: /' in result.err


@pytest.mark.parametrize("more", [["x"], ["--tag", "x"], ["--format", "user"], ["--account", "x"]])
def test_source_excludes_what_is_for_new_crontabs(call, more):
    assert call("export_crontab", "--source", "x", *more).status == 2


def test_new_crontab_has_names_and_what_cron_does_not_do(call):
    policy = RetryPolicy.objects.create(name="patient", max_attempts=4)
    make_schedule("backup", cron="30 2 * * *", command="backup", tags="night", retry_policy=policy,
                  catch_up="skip", background="keep", description="Nightly")  # fmt: skip
    make_schedule("other", tags="day")
    make_task_schedule("report", cron="@daily", tags="night", task="shop.report")

    result = call("export_crontab", "--tag", "night", "--timezone", "UTC")

    assert result.out == (
        "# Made by Beatkeeper: crontab of one user.\n"
        "# Times are those of UTC: cron has to run in this zone.\n"
        "\n# backup\n# Nightly\n# not under cron: up to 4 attempts\n30 2 * * * backup\n"
        "\n# Not run by this crontab:\n"
        "# report: it calls the Celery task shop.report, and cron runs commands only\n"
    )
    assert result.err.startswith("Exported 2 schedules: 1 written, 1 commented out.")


def test_new_user_crontab_is_of_one_account(call):
    make_schedule("a", run_as="ada")
    make_schedule("b", run_as="bob")

    refused = call("export_crontab")
    of_ada = call("export_crontab", "--account", "ada", "--json", "--timezone", "UTC")

    assert refused.status == 1
    assert "different accounts (ada, bob)" in refused.err
    assert [one["fate"] for one in of_ada.json["schedules"]] == ["written", "commented"]


def test_new_system_crontab_names_the_account_in_each_line(call):
    make_schedule("a", run_as="ada")
    make_schedule("b")

    result = call("export_crontab", "--format", "system", "--account", "root", "--timezone", "UTC")

    assert "* * * * * ada true\n" in result.out
    assert "* * * * * root true\n" in result.out


def test_schedules_are_exported_by_name(call):
    make_schedule("a")
    make_schedule("b", command="false")

    assert "* * * * * false" in call("export_crontab", "b", "--timezone", "UTC").out
    assert call("export_crontab", "c").status == 1
    assert call("export_crontab", "--tag", "nothing").status == 1
    assert call("export_crontab", "a", "--tag", "t").status == 2


def test_file_is_written_whole_and_private_and_an_existing_one_keeps_its_mode(call, tmp_path):
    new, old, link = tmp_path / "new", tmp_path / "old", tmp_path / "link"
    old.touch()
    old.chmod(0o640)
    link.symlink_to(old)

    call("export_crontab", "--output", new)
    call("export_crontab", "--output", link)

    assert stat.S_IMODE(os.stat(new).st_mode) == 0o600
    assert (stat.S_IMODE(os.stat(old).st_mode), link.is_symlink()) == (0o640, True)
    assert old.read_text() == new.read_text() != ""
    assert sorted(tmp_path.iterdir()) == [link, new, old]


def test_file_that_cannot_be_written_is_told(call, tmp_path):
    result = call("export_crontab", "--output", tmp_path / "no" / "where")

    assert result.status == 1
    assert "cannot be written: No such file or directory." in result.err
