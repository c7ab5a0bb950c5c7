"""The equivalence report for schedules that were imported, and edited since."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from django_celery_beat.models import PeriodicTask

from schedules import catalog
from schedules.importing.flow import Options, import_crontabs
from schedules.importing.sources import read
from schedules.importing.values import Reading
from schedules.models import CrontabFile, Schedule
from schedules.proving.flow import Report, Result, Verdict, prove
from schedules.proving.lines import found, imported
from schedules.rules import cron
from schedules.rules.crontab.grammar import Daemon
from schedules.rules.daemon import Window

pytestmark = pytest.mark.django_db

YEAR = Window.of_years(datetime(2026, 11, 21, 4, 30, tzinfo=UTC), 1)
TEXT = """\
MAILTO=ada@example.org
30 2 * * * backup --full
*/5 8-18 * * mon-fri sync%one%two
0 12 */2 * 1 report
@reboot warm
0 0 31 2 * never
"""


@pytest.fixture
def imported_as(tmp_path):
    """Imports a crontab of the account root, in the zone of Berlin; returns its path."""

    def imported_as(text: str = TEXT, **said: Any) -> str:
        path = tmp_path / "crontab"
        path.write_text(text)
        options = Options(timezone="Europe/Berlin", partial=True, **said.pop("options", {}))
        sources = read([str(path)], Reading(**{"account": "root", **said}))
        assert import_crontabs(sources, options, by="importer").is_imported
        return str(path)

    return imported_as


def report(**options: Any) -> Report:
    return prove(imported(), YEAR, **options)


def result(of: Report, line: int) -> Result:
    [found] = [result for result in of.results if result.line.number == line]
    return found


def causes(of: Result) -> str:
    return "; ".join(cause.text for cause in of.causes)


def schedule(line: int) -> Schedule:
    found: Schedule = Schedule.objects.get(source_line=line)
    return found


def edit(line: int, **columns: Any) -> None:
    row = schedule(line)
    for column, value in columns.items():
        setattr(row, column, value)
    catalog.save(row, by="eve")


def test_an_import_is_identical(imported_as):
    imported_as()

    found = report()

    assert found.is_proved
    assert [result.verdict for result in found.results] == [
        *(Verdict.IDENTICAL, Verdict.IDENTICAL, Verdict.IDENTICAL, Verdict.NOT_CLOCKED, Verdict.NEVER)
    ]
    assert (found.lines, result(found, 2).instants) == (5, 365)
    assert [len(changes) for changes in found.zones.values()] == [2]


def test_an_edited_time_is_found_with_its_first_instants_and_its_author(imported_as):
    imported_as()
    edit(2, cron="45 2 * * *")

    differing = result(report(), 2)

    assert differing.verdict is Verdict.DIFFERENT
    assert [f"{it.at:%m-%d %H:%M} {it.by_cron}" for it in differing.comparison.first[:2]] == [
        "11-22 01:30 True",
        "11-22 01:45 False",
    ]
    # On the day of the gap both start at its end.
    assert (differing.comparison.only_cron, differing.comparison.only_stored) == (364, 364)
    assert "another minute" in causes(differing)
    assert "by eve (revision 2)" in causes(differing)


@pytest.mark.parametrize(
    ("line", "columns", "words", "first"),
    [
        (2, {"timezone": "UTC"}, "its zone is UTC", "11-22 01:30"),
        (2, {"gap": "skip"}, "clock change skips", "03-28 01:00"),
        (2, {"repeat": "both"}, "clock change repeats", "10-31 01:30"),
        (4, {"dialect": "extended", "cron": "0 12 1-31/2 * 1"}, "another day of month", "11-21 11:00"),
        (2, {"enabled": False}, "it is disabled", "11-22 01:30"),
        (2, {"expires": datetime(2027, 1, 1, tzinfo=UTC)}, "2027-01-01", "01-01 01:30"),
        (2, {"one_off": True}, "after its first run", "11-23 01:30"),
    ],
)
def test_whatever_moves_the_instants_is_found(imported_as, line, columns, words, first):
    imported_as()
    edit(line, **columns)

    differing = result(report(), line)

    assert differing.verdict is Verdict.DIFFERENT
    assert words in causes(differing)
    assert f"{differing.comparison.first[0].at:%m-%d %H:%M}" == first


def test_the_same_time_in_other_words_is_a_note(imported_as):
    imported_as()
    edit(3, cron="*/5 8-18 * * 1-5")

    alike = result(report(), 3)

    assert alike.verdict is Verdict.IDENTICAL
    assert any("makes no difference" in note for note in alike.notes)


def test_another_command_is_a_difference_though_the_instants_are_identical(imported_as):
    imported_as()
    edit(3, command="other")

    differing = result(report(), 3)

    assert differing.verdict is Verdict.DIFFERENT
    assert differing.comparison.is_identical
    assert "its command" in causes(differing)


def test_a_change_from_outside_that_beat_has_not_seen_yet_counts(imported_as):
    imported_as()
    PeriodicTask.objects.filter(pk=schedule(2).pk).update(enabled=False)

    differing = result(report(), 2)

    assert differing.verdict is Verdict.DIFFERENT
    assert any("outside Beatkeeper" in note for note in differing.notes)


def test_a_deleted_schedule_leaves_its_line_without_one(imported_as):
    imported_as()
    catalog.delete([schedule(2).pk], by="eve")

    missing = result(report(), 2)

    assert missing.verdict is Verdict.NOT_IMPORTED
    assert '"backup" was deleted' in causes(missing)
    assert "by eve" in causes(missing)


def test_a_time_that_is_no_time_by_the_clock_any_more_is_found(imported_as):
    imported_as()
    edit(5, cron="* * * * *")
    edit(2, cron="@reboot")

    found = report()

    assert result(found, 5).verdict is result(found, 2).verdict is Verdict.DIFFERENT


def test_a_schedule_created_disabled_is_proved_for_the_time_after(imported_as):
    imported_as(options={"enabled": False})

    assert report(new_may_be_disabled=True).is_proved
    assert result(report(), 2).verdict is Verdict.DIFFERENT


def test_a_shadow_is_proved_and_noted(imported_as):
    imported_as(options={"shadow": True})

    found = report()

    assert found.is_proved
    assert any("shadow" in note for note in result(found, 2).notes)


def test_drift_of_the_file_since_the_import_is_found(imported_as, tmp_path):
    path = imported_as()
    (tmp_path / "crontab").write_text(
        TEXT.replace("30 2", "31 2").replace("0 0 31 2 * never\n", "5 1 1 * * /opt/build\n")
    )

    drifted = prove(found([path]), YEAR)

    assert "has changed since the last import" in causes(result(drifted, 2))
    assert drifted.of(Verdict.NOT_IMPORTED)[0].line.job.command == "/opt/build"
    assert report().is_proved


def test_a_file_that_is_gone_leaves_schedules_that_only_we_start(imported_as, tmp_path):
    path = imported_as()
    (tmp_path / "crontab").unlink()

    found_nothing = prove(found([path]), YEAR)

    assert {result.verdict for result in found_nothing.results} == {Verdict.NOT_IN_FILE}
    assert len(found_nothing.results) == 4  # the one that never starts anything is no difference


def test_a_file_that_cron_ignores_is_not_proved(imported_as):
    imported_as(TEXT + "61 * * * * bad\n")

    found = report()

    assert {result.verdict for result in found.results} == {Verdict.NOT_PROVED}
    assert "line 7" in causes(found.results[0])


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("30 2 * * 1-5 x", Verdict.IDENTICAL),
        ("5~20 2 * * * x", Verdict.NOT_PROVED),
        ("CRON_TZ=Asia/Tokyo\n30 2 * * * x", Verdict.NOT_PROVED),
    ],
)
def test_of_cronie_only_what_its_daemon_shares_with_cron_is_proved(imported_as, line, verdict):
    imported_as(line + "\n", daemon=Daemon.CRONIE)

    [only] = report().results

    assert only.verdict is verdict


def test_what_only_cronie_reads_is_not_said_to_be_refused(imported_as):
    imported_as("~ 2 * * * x\n", daemon=Daemon.CRONIE)

    [only] = report().results

    assert (only.verdict, [cause.text for cause in only.causes]) == (
        Verdict.NOT_PROVED,
        ["dialect cronie: only plain fields can be computed independently, not these"],
    )


def test_a_dialect_without_a_daemon_is_not_proved(imported_as):
    imported_as()
    CrontabFile.objects.update(dialect="celery")

    assert {result.verdict for result in report().results} == {Verdict.NOT_PROVED}


def test_anacrons_jobs_are_not_by_the_clock(imported_as, tmp_path):
    path = tmp_path / "anacrontab"
    path.write_text("1 5 daily-job run-parts /etc/cron.daily\n")
    import_crontabs(read([str(path)], Reading()), Options(timezone="UTC"), by="importer")

    [only] = report().results

    assert only.verdict is Verdict.NOT_CLOCKED


def broken(fire_days, change):
    """The engine with a fault: it reads other arguments than it was given."""
    return lambda expression, *given, **chosen: fire_days(
        *((expression, *given) if "expression" not in change else (change["expression"](expression), *given)),
        **{**chosen, **{key: value for key, value in change.items() if key != "expression"}},
    )


@pytest.mark.parametrize(
    ("fault", "line", "first"),
    [
        # The leading star forgotten: dates or weekdays instead of both.
        ({"expression": lambda text: text.replace("*/2 *", "1-31/2 *")}, 4, "11-21 11:00"),
        ({"gap": "skip"}, 2, "03-28 01:00"),
        ({"repeat": "both"}, 2, "10-31 01:30"),
    ],
)
def test_a_fault_of_the_engine_is_found_and_called_one(imported_as, monkeypatch, fault, line, first):
    imported_as()
    monkeypatch.setattr(cron, "fire_days", partial(broken, cron.fire_days)(fault))

    differing = result(report(), line)

    assert differing.verdict is Verdict.DIFFERENT
    assert "please report" in causes(differing)
    assert f"{differing.comparison.first[0].at:%m-%d %H:%M}" == first


def test_the_number_of_queries_does_not_grow_with_the_lines(imported_as, django_assert_num_queries):
    imported_as("".join(f"{minute} * * * * job {minute}\n" for minute in range(40)))

    with django_assert_num_queries(2):  # files, schedules
        assert report().is_proved
    Schedule.objects.update(timezone="Asia/Kolkata")
    with django_assert_num_queries(3):  # and the revisions of those that differ
        assert len(report().of(Verdict.DIFFERENT)) == 40
