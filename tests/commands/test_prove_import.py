"""`prove_import`, and `import_crontab --prove`: what they print, and how they end."""

import pytest

from schedules import catalog
from schedules.models import CrontabFile, Schedule

TEXT = """\
30 2 * * * backup --full
*/5 8-18 * * mon-fri sync
@reboot warm
"""


@pytest.fixture
def imported(call, crontab):
    path = crontab(TEXT)
    assert call("import_crontab", path, "--account", "root", "--timezone", "Europe/Berlin").status == 0
    return path


def edit(name, **columns):
    row = catalog.find(name)
    for column, value in columns.items():
        setattr(row, column, value)
    catalog.save(row, by="eve")


def test_an_import_is_identical(call, imported):
    done = call("prove_import")

    assert done.status == 0
    assert "3 lines, " in done.out
    assert done.out.rstrip().endswith("(Europe/Berlin: 4 clock changes): identical, 1 not by the clock.")


def test_a_difference_is_shown_in_local_time_and_utc_with_its_cause(call, imported):
    edit("backup", cron="45 2 * * *")

    done = call("prove_import", "--years", 1)

    assert done.status == 1
    assert f"{imported}:1  backup" in done.out
    assert 'its time is "45 2 * * *" (another minute); the line says "30 2 * * *": since' in done.out
    assert "by eve (revision 2)" in done.out
    assert "02:30:00 CE" in done.out
    assert "30:00Z  only cron" in done.out
    assert "1 line is not proved to start as under cron" in done.err


def test_json_holds_every_line(call, imported):
    edit("sync", gap="skip", cron="*/10 8-18 * * 1-5")

    done = call("prove_import", imported, "--years", 1, "--json")

    assert done.status == 1
    assert done.json["proved"] is False
    assert [result["verdict"] for result in done.json["results"]] == [
        *("identical", "different", "not by the clock")
    ]
    first = done.json["results"][1]["first_differences"][0]
    assert first["only"] == "cron"
    assert first["at"].endswith("Z")
    assert len(done.json["clock_changes"]["Europe/Berlin"]) == 2


def test_hostile_text_is_escaped(call, crontab):
    path = crontab("0 1 * * * a\n")
    call("import_crontab", path, "--account", "root")
    edit("a", command="\x1b[31mred")

    done = call("prove_import")

    assert "\x1b" not in done.out
    assert r"\x1b[31mred" in done.out


def test_lines_with_one_reason_are_told_together(call, crontab):
    path = crontab("".join(f"{minute} 1 * * * job{minute}\n" for minute in range(30)) + "61 * * * * bad\n")
    call("import_crontab", path, "--account", "root", "--partial")

    done = call("prove_import")

    assert done.status == 1
    assert done.out.count("cron ignores the whole file because of line 31") == 1
    assert "and 10 more" in done.out


@pytest.mark.parametrize("given", [("nothing",), ("--years", 0), ("--years", "x")])
def test_what_cannot_be_proved_is_refused(call, imported, given):
    assert call("prove_import", *given).status != 0


def test_without_an_import_there_is_nothing_to_prove(call):
    done = call("prove_import")

    assert done.status == 1
    assert "no crontab has been imported" in done.err


def test_an_import_can_be_made_to_depend_on_its_proof(call, crontab):
    done = call("import_crontab", crontab(TEXT), "--account", "root", "--prove", 1)

    assert done.status == 0
    assert "identical" in done.out
    assert Schedule.objects.count() == 3


def test_an_import_that_is_not_proved_is_undone(call, imported, crontab):
    edit("sync", gap="skip", timezone="UTC")
    crontab(TEXT + "0 9 * * * new\n")

    done = call("import_crontab", imported, "--account", "root", "--prove")

    assert done.status == 1
    assert "Nothing was imported: 1 line is not proved" in done.err
    assert "its zone is UTC; cron's is Europe/Berlin" in done.out
    assert Schedule.objects.count() == 3
    assert bytes(CrontabFile.objects.get().content).decode() == TEXT


def test_a_line_that_was_removed_is_still_started_by_its_schedule(call, imported, crontab):
    crontab(TEXT.partition("\n")[2])

    done = call("import_crontab", imported, "--account", "root", "--prove")

    assert done.status == 1
    assert "its line is not in the file, so cron starts nothing" in done.out


def test_a_dry_run_proves_what_it_would_write_and_writes_nothing(call, crontab):
    done = call("import_crontab", crontab(TEXT), "--account", "root", "--dry-run", "--prove", "--json")

    assert done.status == 0
    assert done.json["proof"]["proved"] is True
    assert done.json["imported"] is False
    assert done.json["dry_run"] is True
    assert not Schedule.objects.exists()
    assert not CrontabFile.objects.exists()


def test_a_refused_import_has_no_proof(call, crontab):
    done = call("import_crontab", crontab("61 * * * * x\n"), "--account", "root", "--prove", "--json")

    assert done.status == 1
    assert "proof" not in done.json
    assert "Correct what is refused above" in done.err


def test_known_sources_are_counted_where_not_all_are_named(call, crontab):
    for number in range(7):
        call("import_crontab", crontab("0 5 * * * x\n", f"tab-{number}"))

    for arguments in (["prove_import", "/nowhere"], ["export_crontab", "--source", "/nowhere"]):
        assert "tab-4 and 2 more." in call(*arguments).err
