"""import_crontab: what a first import makes, and what a second one keeps, changes and reports."""

from typing import Any

import pytest

from schedules import catalog
from schedules.models import RetryPolicy, Revision, Schedule

pytestmark = pytest.mark.django_db

DAILY = "PATH=/usr/bin:/bin\nMAILTO=ops@example.org\n30 2 * * * /opt/backup --full%one%two\n"


def names(items) -> list[str]:
    return [item["name"] for item in items]


def only() -> Schedule:
    return Schedule.objects.live().get()


def definition() -> Revision:
    """The one schedule's revision in force."""
    revision: Revision | None = only().revision
    assert revision is not None
    return revision


def revisions() -> int:
    return Revision.objects.count()


def test_line_becomes_a_schedule_that_behaves_as_under_cron(call, crontab):
    path = crontab(DAILY)

    result = call("import_crontab", path, "--timezone", "Europe/Berlin")

    assert result.status == 0, result.err
    schedule = only()
    assert (schedule.name, schedule.cron, schedule.dialect) == ("backup", "30 2 * * *", "cron")
    assert schedule.timezone == "Europe/Berlin"
    assert schedule.command == "/opt/backup --full"
    assert schedule.stdin == "one\ntwo\n"
    assert schedule.environment == [["PATH", "/usr/bin:/bin"], ["MAILTO", "ops@example.org"]]
    assert (schedule.catch_up, schedule.overlap, schedule.background) == ("skip", "allow", "keep")
    assert schedule.retry_policy is None
    assert (schedule.source, schedule.source_line) == (str(path), 3)
    assert schedule.source_text == "30 2 * * * /opt/backup --full%one%two"
    assert schedule.enabled
    assert schedule.next_run_at is not None
    assert definition().changed_by.endswith("@command line")


def test_second_import_of_the_same_file_changes_nothing(call, crontab):
    path = crontab(DAILY + "@reboot true\n* * * * * true\n* * * * * true\n")
    call("import_crontab", path)
    before = (revisions(), list(Schedule.objects.order_by("pk").values()))

    result = call("import_crontab", path, "--json")

    assert (revisions(), list(Schedule.objects.order_by("pk").values())) == before
    assert names(result.json["unchanged"]) == ["backup", "true", "true-2", "true-3"]
    assert result.json["created"] == result.json["changed"] == result.json["gone"] == []


def test_edited_line_changes_its_schedule_and_writes_a_revision(call, crontab):
    call("import_crontab", crontab(DAILY))
    first, number = only(), definition().number

    result = call("import_crontab", crontab(DAILY.replace("30 2", "45 3")), "--json")

    assert only().pk == first.pk
    assert only().cron == "45 3 * * *"
    assert definition().number == number + 1
    assert result.json["changed"][0]["changes"] == ["time: 30 2 * * * -> 45 3 * * *"]
    assert only().next_run_at != first.next_run_at


def test_an_edit_made_here_gives_way_to_the_file_and_the_report_says_so(call, crontab):
    call("import_crontab", crontab(DAILY))
    catalog.change([only().pk], by="ada", cron="0 5 * * *")

    result = call("import_crontab", crontab(DAILY), "--json")

    assert only().cron == "30 2 * * *"
    assert result.json["changed"][0]["changes"] == [
        "time: 0 5 * * * -> 30 2 * * *, as the file still has it: it was edited here"
    ]


def test_what_was_deleted_here_comes_back_with_its_line_and_a_warning(call, crontab):
    call("import_crontab", crontab(DAILY + "5 5 * * * /opt/other\n"))
    catalog.delete([Schedule.objects.get(name="backup").pk], by="ada")

    result = call("import_crontab", crontab(DAILY + "5 5 * * * /opt/other\n"), "--dry-run", "--json")

    assert names(result.json["created"]) == ["backup"]
    (warning,) = [it for it in result.json["warnings"] if it["kind"] == "deleted-before"]
    assert "backup" in str(warning)


def test_edited_setting_changes_the_lines_below_it(call, crontab):
    call("import_crontab", crontab(DAILY))

    result = call("import_crontab", crontab(DAILY.replace("/usr/bin:/bin", "/bin")), "--json")

    assert only().environment[0] == ["PATH", "/bin"]
    assert result.json["changed"][0]["changes"] == ["environment: PATH"]


def test_line_that_only_moved_is_unchanged_and_known_at_its_new_place(call, crontab):
    call("import_crontab", crontab(DAILY))
    written = revisions()

    result = call("import_crontab", crontab("# a comment\n" + DAILY.replace("30 2", "30   2")), "--json")

    assert names(result.json["unchanged"]) == ["backup"]
    assert revisions() == written
    assert (only().source_line, only().source_text[:6]) == (4, "30   2")


def test_what_the_operator_set_survives_the_next_import(call, crontab):
    call("import_crontab", crontab(DAILY))
    policy = RetryPolicy.objects.create(name="patient")
    kept: dict[str, Any] = {
        "retry_policy": policy,
        "timeout": 60,
        "overlap": "skip",
        "tags": "nightly",
        "queue": "commands",
    }
    catalog.change([only().pk], by="ada", enabled=False, timezone="Asia/Tokyo", **kept)

    call("import_crontab", crontab(DAILY.replace("--full", "--quick")), "--tag", "other")

    schedule = only()
    assert schedule.command == "/opt/backup --quick"
    assert {column: getattr(schedule, column) for column in kept} == kept
    assert (schedule.enabled, schedule.timezone, schedule.next_run_at) == (False, "Asia/Tokyo", None)


def test_zone_that_is_named_applies_to_known_lines_too(call, crontab):
    call("import_crontab", crontab(DAILY))

    result = call("import_crontab", crontab(DAILY), "--timezone", "Asia/Tokyo", "--json")

    assert only().timezone == "Asia/Tokyo"
    assert len(result.json["changed"]) == 1


def test_account_stays_where_a_later_import_names_none(call, crontab):
    call("import_crontab", crontab(DAILY), "--account", "nobody")

    result = call("import_crontab", crontab(DAILY), "--json")

    assert len(result.json["unchanged"]) == 1
    assert only().run_as == "nobody"


def test_line_that_is_gone_is_reported_and_left_alone(call, crontab):
    call("import_crontab", crontab("0 1 * * * /opt/a\n0 2 * * * /opt/b\n"))

    result = call("import_crontab", crontab("0 1 * * * /opt/a\n"))
    shown = call("import_crontab", crontab("0 1 * * * /opt/a\n"), "--json")

    assert result.status == 0
    assert "pause_schedule" in result.out
    assert names(shown.json["gone"]) == ["b"]
    assert Schedule.objects.get(name="b").enabled


def test_timing_that_somebody_replaced_by_an_interval_is_the_lines_again(call, crontab):
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    from schedules.reconcile import reconcile

    call("import_crontab", crontab(DAILY))
    hourly = IntervalSchedule.objects.create(every=1, period="hours")
    PeriodicTask.objects.update(interval=hourly)
    reconcile()
    assert only().cron == ""

    call("import_crontab", crontab(DAILY))

    assert only().cron == "30 2 * * *"
    assert only().has_own_timing
    assert definition().definition["timing"]["kind"] == "cron"


def test_options_reach_new_schedules(call, crontab):
    RetryPolicy.objects.create(name="patient")

    call(
        *("import_crontab", crontab(DAILY), "--retry-policy", "patient", "--tag", "a", "--tag", "b"),
        *("--queue", "commands", "--account", "root", "--disabled"),
    )

    schedule = only()
    assert (str(schedule.retry_policy), schedule.tags, schedule.queue) == ("patient", "a b", "commands")
    assert (schedule.run_as, schedule.enabled, schedule.next_run_at) == ("root", False, None)


def test_dry_run_shows_everything_and_writes_nothing(call, crontab):
    result = call("import_crontab", crontab(DAILY), "--dry-run", "--json")

    assert result.status == 0
    assert (result.json["dry_run"], result.json["imported"]) == (True, False)
    created = result.json["created"][0]
    assert created["next_run"].endswith("Z")
    assert (created["name"], created["line"], created["expression"]) == ("backup", 3, "30 2 * * *")
    assert not Schedule.objects.exists()


def test_one_bad_line_refuses_everything_and_names_every_bad_line(call, crontab, tmp_path):
    good = crontab(DAILY, "good")
    bad = crontab("0 1 * * * true\n61 * * * * true\noops\n", "bad")

    result = call("import_crontab", good, bad, "--json")

    assert result.status == 1
    assert "Nothing was imported" in result.err
    assert [(it["file"], it["line"]) for it in result.json["refused"]] == [(str(bad), 2), (str(bad), 3)]
    assert "minute 61 is outside 0-59" in result.json["refused"][0]["reason"]
    assert result.json["imported"] is False
    assert not Schedule.objects.exists()


def test_partial_imports_the_good_lines_and_still_reports_the_problem(call, crontab):
    bad = crontab("0 1 * * * true\n61 * * * * true\n")

    result = call("import_crontab", bad, "--partial", "--json")

    assert result.status == 1
    assert result.json["imported"] is True
    assert names(result.json["created"]) == ["true"]
    assert only().cron == "0 1 * * *"


def test_partial_is_advised_where_good_lines_are_left(call, crontab):
    bad = crontab("0 1 * * * true\n61 * * * * true\n")
    for arguments in ([], ["--dry-run"]):
        assert "--partial" in call("import_crontab", bad, *arguments).err


@pytest.mark.parametrize("arguments", [[], ["--dry-run"], ["--prove"]])
def test_partial_is_not_advised_where_it_would_not_help(call, crontab, tmp_path, arguments):
    missing = call("import_crontab", crontab("0 1 * * * true\n"), tmp_path / "missing", *arguments)
    only_bad = call("import_crontab", crontab("61 * * * * true\n"), *arguments)

    assert (missing.status, only_bad.status) == (1, 1)
    for done in (missing, only_bad):
        assert done.err.endswith("Correct what is refused above.")
        assert "--partial" not in done.err


@pytest.mark.parametrize("arguments", [[], ["--partial"], ["--dry-run"], ["--partial", "--dry-run"]])
def test_a_file_that_cron_ignores_is_told_to_be_what_cannot_be_proved(call, crontab, arguments):
    bad = crontab("0 1 * * * true\n61 * * * * true\n")

    done = call("import_crontab", bad, "--prove", *arguments)

    assert done.status == 1
    assert f"cron ignores the whole of {bad} because of a bad line" in done.err
    assert "import the good files by naming them" in done.err
    assert "--partial" not in done.err
    assert not Schedule.objects.exists()


def test_line_that_is_gone_is_gone_though_a_bad_one_has_moved_to_its_place(call, crontab):
    call("import_crontab", crontab("0 1 * * * /opt/a\n0 2 * * * /opt/b --all\n-----\n"), "--partial")

    result = call("import_crontab", crontab("0 1 * * * /opt/a\n-----\n"), "--partial", "--json")

    assert names(result.json["gone"]) == ["b"]


def test_line_that_became_bad_is_refused_and_not_gone(call, crontab):
    call("import_crontab", crontab("0 1 * * * /opt/a\n0 2 * * * /opt/b\n"))

    result = call("import_crontab", crontab("0 1 * * * /opt/a\n0 25 * * * /opt/b\n"), "--partial", "--json")

    assert result.json["gone"] == []
    assert len(result.json["refused"]) == 1


def test_failure_while_writing_leaves_nothing_behind(call, crontab, monkeypatch):
    path = crontab("0 1 * * * /opt/a\n0 2 * * * /opt/b\n")
    call("import_crontab", path)
    before = list(Schedule.objects.order_by("pk").values())

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the power went off")

    monkeypatch.setattr("schedules.importing.flow.revisions.apply", fail)
    with pytest.raises(RuntimeError):
        call("import_crontab", crontab("0 3 * * * /opt/c\n0 1 * * * /opt/a\n0 5 * * * /opt/b\n"))

    assert list(Schedule.objects.order_by("pk").values()) == before


def test_bytes_that_no_database_holds_are_refused_with_the_remedy(call, crontab):
    result = call("import_crontab", crontab(b"# M\xfcller\n0 1 * * * echo M\xfcller\n"), "--json")

    assert result.status == 1
    assert "iconv" in result.json["refused"][0]["reason"]
    assert result.json["refused"][0]["line"] == 2


def test_commands_never_reach_the_terminal_unescaped(call, crontab):
    result = call("import_crontab", crontab("0 1 * * * printf '\x1b]0;owned\x07\x9b2J \u202e'\n"))

    assert result.status == 0
    assert all(character.isprintable() or character == "\n" for character in result.out)
    assert "\x1b" in only().command


def test_names_do_not_collide_with_those_in_use(call, crontab):
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    every = IntervalSchedule.objects.create(every=1, period="hours")
    PeriodicTask.objects.create(name="backup", task="somebody.elses", interval=every)

    result = call("import_crontab", crontab(DAILY), "--json")

    assert names(result.json["created"]) == ["backup-2"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--timezone", "Europe/Berln"), "did you mean Europe/Berlin"),
        (("--timezone", "localtime"), "no IANA name"),
        (("--timezone", "right/Europe/Berlin"), "leap seconds"),
        (("--retry-policy", "nope"), "There are: patient."),
        (("--queue", "nope"), 'No worker knows a queue "nope"'),
        (("--format", "system", "--account", "root"), "each line names its account"),
        (("--account", ""), "--account is empty"),
    ],
)
def test_options_that_cannot_be_used_are_a_usage_error(call, crontab, options, sentence):
    RetryPolicy.objects.create(name="patient")

    result = call("import_crontab", crontab(DAILY), *options)

    assert result.status == 2
    assert sentence in result.err
    assert not Schedule.objects.exists()


def test_number_of_queries_does_not_grow_with_the_file(
    call, crontab, django_assert_max_num_queries, django_assert_num_queries
):
    path = crontab("".join(f"{n % 60} {n % 24} * * * /opt/job{n}\n" for n in range(300)))

    with django_assert_max_num_queries(40):
        call("import_crontab", path)
    with django_assert_max_num_queries(12):
        call("import_crontab", path)
