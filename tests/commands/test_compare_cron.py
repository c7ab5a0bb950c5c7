"""`compare_cron`: cron's log beside shadow and live schedules."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from io import BytesIO
from types import SimpleNamespace

import pytest

from schedules.models import CronComparison, CutOver, Revision, Run, Schedule
from schedules.rules import cron_log
from tests.factories import last_minute, make_schedule

COMMAND = "/bin/sync --all"


@pytest.fixture
def noon(db):
    """A full hour, well in the past; what happened around it is compared."""
    return last_minute().replace(minute=0) - timedelta(hours=3)


def imported(name="sync", command=COMMAND, **columns) -> Schedule:
    given = {"mode": "shadow", "run_as": "root", "source": "/etc/cron.d/jobs", "source_line": 3} | columns
    row = make_schedule(name, command=command, **given)
    Revision.objects.filter(schedule=row).update(changed_at=last_minute() - timedelta(days=2))
    Schedule.objects.filter(pk=row.pk).update(next_run_at=last_minute() + timedelta(days=1))
    return row


def decided(schedule, *instants: datetime, **columns) -> None:
    """What beat wrote at these instants, half a second late."""
    for at in instants:
        given = {"state": "skipped", "reason": "shadow", "finished_at": at} | columns
        Run.objects.create(
            schedule=schedule,
            name=schedule.name,
            scheduled_for=at,
            trigger="schedule",
            created_at=at + timedelta(seconds=0.5),
            available_at=at,
            **given,
        )


def line(at: datetime, command=COMMAND, account="root") -> str:
    return f"{at.isoformat()} host CRON[7]: ({account}) CMD ({command})\n"


@pytest.fixture
def log(tmp_path, noon):
    """Writes a log that watched from an hour before noon to an hour after it."""

    def write(*lines: str, name: str = "syslog"):
        path = tmp_path / name
        edges = [f"{(noon + timedelta(hours=hours)).isoformat()} host kernel: x\n" for hours in (-1, 1)]
        content = (edges[0] + "".join(lines) + edges[1]).encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


def minutes(noon: datetime, *numbers: float) -> list[datetime]:
    return [noon + timedelta(minutes=number) for number in numbers]


def second(at: datetime, seconds: float = 1) -> datetime:
    return at + timedelta(seconds=seconds)


def test_equal_sides_are_status_0_with_the_drift(call, noon, log):
    decided(imported(), *minutes(noon, 0, 5, 10))
    path = log(*(line(second(at)) for at in minutes(noon, 0, 5, 10)))

    done = call("compare_cron", "--log", path, "--json")

    assert done.status == 0
    [row] = done.json["schedules"]
    assert (row["matched"], row["only_cron"], row["only_us"]) == (3, 0, 0)
    assert (row["drift_p50"], row["drift_max"]) == (-0.5, -0.5)
    assert CronComparison.objects.get().matched == 3


def test_differences_are_status_1_and_name_the_instants(call, noon, log):
    decided(imported(), *minutes(noon, 0, 5))
    done = call("compare_cron", "--log", log(*(line(second(at)) for at in minutes(noon, 0, 10))))

    assert done.status == 1
    assert "Different (1)" in done.out
    assert f"only cron: {noon + timedelta(minutes=10, seconds=1):%Y-%m-%d %H:%M:%S}" in done.out
    assert "1 matched, 1 only cron, 1 only Beatkeeper" in done.out
    assert done.err == "cron and Beatkeeper differ in 2 starts."


def test_only_the_time_in_which_both_were_watching_counts(call, noon, log):
    row = imported()
    decided(row, *minutes(noon, -90, 0, 90))  # the first and the last lie outside the log
    Revision.objects.filter(schedule=row).update(changed_at=noon - timedelta(minutes=10))
    starts = [line(second(at)) for at in minutes(noon, -30, 0)]  # the first before there was a schedule

    assert call("compare_cron", "--log", log(*starts)).status == 0


def test_what_beat_has_not_decided_yet_is_not_compared(call, noon, log):
    row = imported()
    decided(row, noon)
    Schedule.objects.filter(pk=row.pk).update(next_run_at=noon + timedelta(minutes=5))

    done = call("compare_cron", "--log", log(*(line(second(at)) for at in minutes(noon, 0, 5, 10))))

    assert done.status == 0


def test_instants_that_would_not_have_started_are_only_crons(call, noon, log):
    decided(imported(), noon, reason="missed")
    done = call("compare_cron", "--log", log(line(second(noon))), "--json")
    assert [it["only_cron"] for it in done.json["schedules"]] == [1]


def test_live_runs_pair_too_and_say_that_both_ran(call, noon, log):
    row = imported(mode="live")
    decided(row, noon, state="succeeded", reason="", started_at=second(noon, 3))
    [found] = call("compare_cron", "--log", log(line(second(noon))), "--json").json["schedules"]
    assert (found["matched"], found["both_ran"], found["drift_max"]) == (1, 1, 2.0)
    assert found["note"] == "live: cron and Beatkeeper both ran it once"


def test_what_both_ran_is_a_difference_of_its_own(call, noon, log):
    row = imported(mode="live")
    for at in minutes(noon, 0, 5):
        decided(row, at, state="succeeded", reason="", started_at=at)
    decided(imported("other", command="/bin/other"), noon)
    starts = [line(second(at)) for at in minutes(noon, 0, 5)]

    done = call("compare_cron", "--log", log(*starts, line(second(noon), "/bin/other")))

    assert done.status == 1
    doubled, equal = done.out.index("Run by both, cron and Beatkeeper (1)"), done.out.index("Equal (1)")
    assert doubled < done.out.index("both ran it 2 times") < equal < done.out.index("\n  other ")
    assert "3 matched (2 of them run by both), 0 only cron, 0 only Beatkeeper" in done.out
    assert done.err == "cron and Beatkeeper both ran 2 starts, each of them twice."


OF_NO_CRON = {"mode": "live", "source": "/srv/fixtures/crontab.example"}


def test_a_live_schedule_of_what_no_cron_reads_is_left_out_and_told(call, noon, log):
    decided(imported(**OF_NO_CRON), noon, state="succeeded", reason="", started_at=noon)

    done = call("compare_cron", "--log", log())

    assert done.status == 0
    assert "Left out: 1 live schedule of which the log shows nothing" in done.out
    assert "(/srv/fixtures/crontab.example)" in done.out


@pytest.mark.parametrize(
    "columns",
    [
        OF_NO_CRON | {"mode": "shadow"},
        OF_NO_CRON | {"source": "/etc/crontab"},
        OF_NO_CRON | {"source": "/etc/cron.d/jobs"},
        OF_NO_CRON | {"source": "/var/spool/cron/crontabs/ada"},
        OF_NO_CRON | {"source": "crontab:ada"},
    ],
)
def test_what_cron_should_have_started_is_never_left_out(call, noon, log, columns):
    decided(imported(**columns), noon, state="succeeded", reason="", started_at=noon)
    done = call("compare_cron", "--log", log(), "--json")
    assert (done.status, done.json["only_us"], done.json["left_out"]) == (1, 1, [])


def test_what_the_log_shows_is_never_left_out(call, noon, log):
    decided(imported(**OF_NO_CRON), noon, state="succeeded", reason="", started_at=noon)
    assert call("compare_cron", "--log", log(line(second(noon))), "--json").json["both_ran"] == 1


@pytest.mark.parametrize(
    "choice", [["sync"], ["--tag", "shop"], ["--source", "/srv/fixtures/crontab.example"]]
)
def test_only_what_was_chosen_is_compared_wherever_it_came_from(call, noon, log, choice):
    decided(imported(**OF_NO_CRON, tags="shop"), noon, state="succeeded", reason="", started_at=noon)
    decided(imported("other", command="/bin/other"), noon)

    found = call("compare_cron", "--log", log(line(second(noon), "/bin/other")), *choice, "--json").json

    assert [(it["schedule"], it["only_us"]) for it in found["schedules"]] == [("sync", 1)]
    assert (found["unknown"], found["left_out"]) == ([], [])


def test_a_choice_of_nothing_is_refused(call, noon, log):
    imported()
    assert "no-such" in call("compare_cron", "--log", log(), "no-such").err
    assert (
        'No schedule was imported from "/no"' in call("compare_cron", "--log", log(), "--source", "/no").err
    )
    assert call("compare_cron", "--log", log(), "sync", "--source", "/no").status == 2


def test_schedules_with_nothing_to_compare_are_counted_by_the_reason(call, noon, log):
    for number in range(7):
        late = imported(f"late-{number}", command=f"/bin/late {number}")
        Revision.objects.filter(schedule=late).update(changed_at=noon + timedelta(hours=2))
    imported("rare", command="/bin/rare")
    path = log(line(second(noon), "/bin/late 3"))

    short, long = call("compare_cron", "--log", path), call("compare_cron", "--log", path, "--all")

    assert "Nothing to compare (8; --all lists them)" in short.out
    assert "imported after the log ended (7): late-0, late-1, late-2, late-3, late-4 and 2 more" in short.out
    assert "never seen in the log, and never due in that time (1): rare" in short.out
    assert "late-6" in long.out


@pytest.mark.parametrize(
    ("due", "started", "note"),
    [
        (None, 0, "never due in that time"),
        (60, 60, "seen and due only at the ends"),
        (60, None, "never seen in the log; due only at the ends"),
    ],
)
def test_a_schedule_with_nothing_to_compare_says_why(call, noon, log, due, started, note):
    row = imported()
    Revision.objects.filter(schedule=row).update(changed_at=noon + timedelta(minutes=5))
    if due is not None:
        decided(row, *minutes(noon, due))
    starts = [line(second(at, -3)) for at in minutes(noon, *([] if started is None else [started]))]
    [found] = call("compare_cron", "--log", log(*starts), "--json").json["schedules"]
    assert (found["matched"], found["only_cron"], found["only_us"]) == (0, 0, 0)
    assert found["note"].startswith(note)


def test_what_ran_while_the_line_was_cut_over_is_not_compared(call, noon, log):
    row = imported(mode="live")
    decided(row, noon, state="succeeded", reason="", started_at=noon)
    CutOver.objects.create(schedule=row, name="x", path="x", line=1, text=b"x", backup="", effective_at=noon)
    assert call("compare_cron", "--log", log()).status == 0


def test_cron_that_still_starts_a_line_that_is_cut_over_is_told(call, noon, log):
    row = imported(mode="live")
    decided(row, noon, state="succeeded", reason="", started_at=noon)
    CutOver.objects.create(schedule=row, name="x", path="x", line=1, text=b"x", backup="", effective_at=noon)
    done = call("compare_cron", "--log", log(line(second(noon))), "--json")
    assert "is the line back?" in done.json["schedules"][0]["note"]


def test_lines_with_one_command_are_paired_by_the_nearest_instant(call, noon, log):
    decided(imported("one"), noon)
    decided(imported("two", source_line=4), *minutes(noon, 30))
    path = log(*(line(second(at)) for at in minutes(noon, 0, 30)))
    found = call("compare_cron", "--log", path, "--json").json["schedules"]
    assert [(it["schedule"], it["matched"]) for it in found] == [("one", 1), ("two", 1)]


def test_commands_of_no_schedule_are_listed_and_are_no_differences(call, noon, log):
    imported()
    done = call("compare_cron", "--log", log(line(noon, "cd / && run-parts \x1b[31m", "adm")))
    assert done.status == 0
    assert "adm      1       cd / && run-parts" in done.out
    assert "\x1b" not in done.out


def test_an_imported_schedule_that_the_log_never_shows_is_told(call, noon, log):
    decided(imported(), noon)
    done = call("compare_cron", "--log", log(), "--json")
    assert (done.status, done.json["schedules"][0]["note"]) == (1, "never seen in the log")


def test_a_schedule_that_never_was_crons_is_left_out(call, noon, log):
    decided(imported(source="", source_line=None), noon)
    assert call("compare_cron", "--log", log(), "--json").json["schedules"] == []


def test_the_account_counts_where_the_schedule_names_one(call, noon, log):
    decided(imported(run_as="ada"), noon)
    found = call("compare_cron", "--log", log(line(second(noon), account="root")), "--json").json
    assert [it["account"] for it in found["unknown"]] == ["root"]


@pytest.mark.parametrize(
    ("stored", "logged"), [("a\tb", "a^Ib"), ("ä", r"\303\244"), ("x", "[77] x"), ("y" * 60, "y" * 50)]
)
def test_commands_are_compared_as_cron_writes_them(call, noon, log, stored, logged):
    decided(imported(command=stored), noon)
    text = line(second(noon), logged)
    text = text if len(stored) < 60 else text.removesuffix(")\n") + "\n"  # a log that cuts long lines
    assert call("compare_cron", "--log", log(text)).status == 0


def test_boot_lines_are_not_compared(call, noon, log):
    imported(cron="@reboot")
    assert call("compare_cron", "--log", log(line(noon)), "--json").json["schedules"] == []


def test_a_boot_line_with_the_same_command_hides_no_other(call, noon, log):
    imported("boot", cron="@reboot", source_line=1)
    decided(imported(), noon)
    found = call("compare_cron", "--log", log(line(second(noon))), "--json").json
    assert [(it["schedule"], it["matched"]) for it in found["schedules"]] == [("sync", 1)]


def test_a_log_with_too_many_starts_is_compared_up_to_where_it_was_read(call, noon, log, monkeypatch):
    monkeypatch.setattr(cron_log, "MOST_STARTS", 3)
    decided(imported(), *minutes(noon, 0, 5, 10, 15, 20))
    done = call("compare_cron", "--log", log(*(line(second(at)) for at in minutes(noon, 0, 5, 10, 15, 20))))
    assert done.status == 0
    assert "Compare it in parts" in done.err


def test_a_gzipped_log_and_several_files(call, noon, log):
    decided(imported(), *minutes(noon, 0, 5))
    first = log(line(second(noon)), name="syslog.1.gz")
    other = log(line(second(noon + timedelta(minutes=5))))
    assert call("compare_cron", "--log", first, "--log", other).status == 0


def test_a_log_from_a_pipe(call, noon, log, monkeypatch):
    decided(imported(), noon)
    content = log(line(second(noon))).read_bytes()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=BytesIO(content)))
    assert call("compare_cron", "--log", "-").status == 0


def test_the_journal(call, noon, log, tmp_path, monkeypatch):
    decided(imported(), noon)
    content = log(line(second(noon)))
    program = tmp_path / "journalctl"
    program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\ncat {content}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert call("compare_cron", "--journal", "--since", "2d").status == 0
    assert "--identifier=CRON" in (tmp_path / "asked").read_text()


@pytest.mark.parametrize("said", ["", "-- No entries --"])
def test_a_machine_without_a_journal_is_told_so(call, db, tmp_path, monkeypatch, said):
    program = tmp_path / "journalctl"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    done = call("compare_cron", "--journal")
    assert (done.status, "keeps no journal" in done.err, "begins with a time" in done.err) == (1, True, False)


@pytest.mark.parametrize("content", [b"", b"\x00\xff" * 300_000, b"no log\n" * 10, b"CMD (" * 100_000])
def test_what_is_no_log_is_refused(call, tmp_path, content):
    path = tmp_path / "log"
    path.write_bytes(content)
    done = call("compare_cron", "--log", path)
    assert (done.status, "Is it cron's log?" in done.err) == (1, True)


def test_a_broken_gzip_file_is_refused(call, tmp_path):
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"x" * 1000)[:15])
    assert "cannot be read" in call("compare_cron", "--log", path).err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--log", "x", "--journal"],
        ["--log", "x", "--tolerance", "0"],
        ["--log", "x", "--timezone", "No/Where"],
        ["--log", "x", "--since", "yesterday"],
    ],
)
def test_arguments_that_cannot_be_understood(call, arguments):
    assert call("compare_cron", *arguments).status == 2


def test_a_log_of_another_time_has_nothing_to_compare(call, tmp_path, db):
    path = tmp_path / "log"
    path.write_text(line(datetime(2020, 1, 1, tzinfo=UTC)) + line(datetime(2020, 1, 2, tzinfo=UTC)))
    assert "nothing in common" in call("compare_cron", "--log", path).err
