"""import_crontab: files of cronie and of anacron, and what else a line decides besides its time."""

import pytest

from schedules.models import CrontabFile, Run, Schedule
from tests.rules.test_crontab import ANACRONTAB

pytestmark = pytest.mark.django_db

ZONES = "0 5 * * * /opt/a\nCRON_TZ=Asia/Tokyo\n0 6 * * * /opt/b\n"


def zones() -> dict[str, str]:
    return dict(Schedule.objects.live().values_list("name", "timezone"))


def kinds(result) -> list[str]:
    return [warning["kind"] for warning in result.json["warnings"]]


def test_zone_of_a_line_is_stored_for_cronie_and_only_for_cronie(call, crontab):
    call("import_crontab", crontab(ZONES, "a"), "--dialect", "cronie", "--timezone", "Europe/Berlin")
    result = call("import_crontab", crontab(ZONES, "b"), "--timezone", "Europe/Berlin", "--json")

    assert zones() == {
        "a": "Europe/Berlin",
        "b": "Asia/Tokyo",
        "a-2": "Europe/Berlin",
        "b-2": "Europe/Berlin",
    }
    assert [row.dialect for row in Schedule.objects.order_by("pk")] == ["cronie", "cronie", "cron", "cron"]
    assert "--dialect cronie" in "".join(it["reason"] for it in result.json["warnings"])


def test_next_run_of_a_cronie_line_is_by_its_own_zone_and_rules(call, crontab):
    options = ("--dialect", "cronie", "--timezone", "UTC", "--json")
    path = crontab("CRON_TZ=Asia/Tokyo\n0 6 * * * /opt/b\n1~1 5 * * * /opt/c\n")

    foretold = call("import_crontab", path, "--dry-run", *options).json["created"]
    created = call("import_crontab", path, *options).json["created"]

    assert [it["next_run"][11:] for it in created] == ["21:00:00Z", "20:01:00Z"]
    assert foretold == created


def test_random_choice_is_foretold_as_it_will_be(call, crontab):
    path = crontab("0~59 0~23 * * * /opt/a\n")

    foretold = call("import_crontab", path, "--dialect", "cronie", "--dry-run", "--json").json["created"]
    call("import_crontab", path, "--dialect", "cronie")

    next_run = Schedule.objects.get().next_run_at
    assert next_run is not None
    assert foretold[0]["next_run"] == f"{next_run:%Y-%m-%dT%H:%M:%SZ}"


def test_line_that_lost_its_zone_goes_back_to_that_of_the_file(call, crontab):
    call("import_crontab", crontab(ZONES), "--dialect", "cronie", "--timezone", "Europe/Berlin")

    call("import_crontab", crontab(ZONES.replace("CRON_TZ", "OTHER")), "--dialect", "cronie")

    assert set(zones().values()) == {"Europe/Berlin"}


def test_new_line_gets_the_zone_that_the_file_was_imported_with(call, crontab):
    call("import_crontab", crontab("0 5 * * * /opt/a\n"), "--timezone", "Asia/Tokyo")

    call("import_crontab", crontab("0 5 * * * /opt/a\n0 6 * * * /opt/b\n"))

    assert zones() == {"a": "Asia/Tokyo", "b": "Asia/Tokyo"}


def test_addresses_are_kept_beside_the_environment(call, crontab):
    call(
        "import_crontab",
        crontab(
            "0 1 * * * /opt/a\nMAILTO=ops@example.org,db@example.org\nMAILFROM=cron@example.org\n"
            '0 2 * * * /opt/b\nMAILTO=""\n0 3 * * * /opt/c\n'
        ),
    )

    rows = Schedule.objects.order_by("name").values_list("mail_to", "mail_from")
    assert list(rows) == [
        ("", ""),
        ("ops@example.org,db@example.org", "cron@example.org"),
        ("", "cron@example.org"),
    ]
    assert ["MAILTO", ""] in Schedule.objects.get(name="c").environment


def test_new_address_changes_the_schedules_below_it(call, crontab):
    call("import_crontab", crontab("MAILTO=a@example.org\n0 1 * * * /opt/a\n"))

    result = call("import_crontab", crontab("MAILTO=b@example.org\n0 1 * * * /opt/a\n"), "--json")

    assert result.json["changed"][0]["changes"] == [
        "environment: MAILTO",
        "mail to: a@example.org -> b@example.org",
    ]
    assert Schedule.objects.get().mail_to == "b@example.org"


def test_table_of_anacron_becomes_schedules_that_make_up_for_a_missed_start(call, crontab):
    result = call("import_crontab", crontab(ANACRONTAB), "--timezone", "Europe/Berlin", "--json")

    assert result.status == 0, result.err
    daily = Schedule.objects.get(name="cron.daily")
    assert (daily.cron, daily.dialect, daily.catch_up) == ("5 3 * * *", "cron", "latest")
    assert (daily.run_as, daily.shell, daily.working_directory) == ("root", "/bin/sh", "/")
    assert {"random-delay", "anacron"} <= set(kinds(result))
    kept = CrontabFile.objects.get()
    assert (kept.format, kept.account, bytes(kept.content)) == ("anacrontab", "root", ANACRONTAB)
    assert len(call("import_crontab", crontab(ANACRONTAB), "--json").json["unchanged"]) == 3


def test_table_of_anacron_is_left_to_anacron_where_that_is_said(call, crontab):
    result = call("import_crontab", crontab(ANACRONTAB), "--no-anacron", "--json")

    assert result.status == 1
    assert "--no-anacron" in result.json["refused"][0]["reason"]
    assert not Schedule.objects.exists()


def test_table_is_recognised_by_its_name_or_named_by_its_format(call, crontab):
    text = "@monthly 45 cron.monthly run-parts /etc/cron.monthly\n"

    by_name = call("import_crontab", crontab(text, "anacrontab"), "--json")
    by_format = call("import_crontab", crontab(text, "x"), "--format", "anacrontab", "--json")

    assert by_name.json["created"][0]["expression"] == "45 0 1 * *"
    assert by_format.json["created"][0]["expression"] == "45 0 1 * *"


def test_shadow_records_and_starts_nothing(call, crontab):
    call("import_crontab", crontab("0 1 * * * /opt/a\n"), "--shadow")

    assert Schedule.objects.get().mode == "shadow"
    assert not Run.objects.exists()
    assert call("import_crontab", crontab("0 2 * * * /opt/a\n"), "--json").json["changed"]
    assert Schedule.objects.get().mode == "shadow"


def test_prefix_goes_before_new_names(call, crontab):
    call("import_crontab", crontab("0 1 * * * /opt/a\n"), "--prefix", "web1-")

    assert Schedule.objects.get().name == "web1-a"


def test_time_fields_may_be_as_long_as_the_column(call, crontab, monkeypatch):
    monkeypatch.setattr(Schedule._meta.get_field("cron"), "max_length", 12)

    result = call("import_crontab", crontab("0,15 * * * * true\n1,2,3 * * * * true\n"), "--partial", "--json")

    assert [(it["line"], it["reason"].partition(";")[0]) for it in result.json["refused"]] == [
        (2, "the time fields are longer than 12 characters")
    ]
    assert Schedule.objects.get().cron == "0,15 * * * *"


def test_equal_remarks_are_told_once_with_all_their_places(call, crontab):
    text = "".join(f"{n} 1 * * * /opt/{n} > /dev/null 2>&1\n" for n in range(40)) + "0 22-2 * * * x\n"

    result = call("import_crontab", crontab(text, "many"), "--dry-run", "--account", "root")

    assert result.out.count("thrown away") == 1
    assert "many:1-40\n" in result.out
    assert "never runs (" in result.out
    assert "41 would be created" in result.out


def test_list_of_what_was_read_has_every_file_with_its_jobs(call, crontab):
    text = "#0 1 * * * root /opt/off\n0 1 * * * root /opt/a\n0 2 * * * root /opt/b\n"

    result = call("import_crontab", crontab(text), "--format", "system", "--json")

    (source,) = result.json["sources"]
    assert (source["jobs"], source["accounts"], source["commented_out"]) == (2, {"root": 2}, [1])
    assert (source["format"], source["dialect"]) == ("system", "cron")
