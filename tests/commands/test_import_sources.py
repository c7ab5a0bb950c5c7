"""import_crontab: files, directories and pipes; whose crontab they are, and what is left out."""

import io
import os
import pwd
import sys
from types import SimpleNamespace

import pytest

from schedules import import_sources
from schedules.models import Schedule

pytestmark = pytest.mark.django_db

ME = import_sources.own_account()


def reasons(remarks) -> str:
    return "\n".join(remark["reason"] for remark in remarks)


@pytest.fixture
def pipe(monkeypatch):
    def feed(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))

    return feed


@pytest.fixture
def system_directory(tmp_path, monkeypatch):
    """A directory that counts as /etc/cron.d."""
    folder = tmp_path / "cron.d"
    folder.mkdir()
    monkeypatch.setattr(import_sources, "SYSTEM_DIRECTORY", folder)
    return folder


def test_crontab_from_a_pipe_finds_its_schedules_again(call, pipe):
    pipe("0 5 * * * /opt/report\n")
    call("import_crontab", "-", "--account", ME)
    pipe("0 6 * * * /opt/report\n")

    result = call("import_crontab", "-", "--account", ME, "--json")

    assert len(result.json["changed"]) == 1
    assert Schedule.objects.get().source == f"crontab:{ME}"


def test_pipe_without_an_account_is_the_crontab_of_whoever_imports(call, pipe):
    pipe("0 5 * * * true\n")

    call("import_crontab", "-")

    assert Schedule.objects.get().source == f"crontab:{ME}"
    assert Schedule.objects.get().run_as == ""


def test_pipes_of_two_accounts_are_two_crontabs(call, pipe):
    for account in ("root", "nobody"):
        pipe("0 5 * * * true\n")
        result = call("import_crontab", "-", "--account", account, "--json")
        assert len(result.json["created"]) == 1

    assert set(Schedule.objects.values_list("run_as", flat=True)) == {"root", "nobody"}


def test_named_pipe_counts_as_a_pipe(call, tmp_path):
    reader, writer = os.pipe()
    os.write(writer, b"0 5 * * * true\n")
    os.close(writer)

    call("import_crontab", f"/dev/fd/{reader}")
    os.close(reader)

    assert Schedule.objects.get().source == f"crontab:{ME}"


def test_directory_is_read_as_system_crontabs_and_what_cron_ignores_is_said(call, tmp_path):
    (tmp_path / "web").write_text("0 5 * * * root /opt/clean\n")
    (tmp_path / "web.dpkg-old").write_text("0 6 * * * root /opt/clean\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")

    result = call("import_crontab", tmp_path, "--json")

    schedule = Schedule.objects.get()
    assert (schedule.name, schedule.run_as, schedule.command) == ("web-clean", "root", "/opt/clean")
    left_out = {os.path.basename(it["file"]): it["reason"] for it in result.json["warnings"]}
    assert 'not "."' in left_out["web.dpkg-old"]
    assert "not a regular file" in left_out["folder"]
    assert "does not exist" in left_out["gone"]
    assert result.status == 0


def test_file_that_left_the_directory_leaves_its_schedules_as_gone(call, tmp_path):
    (tmp_path / "a").write_text("0 5 * * * root /opt/a\n")
    (tmp_path / "b").write_text("0 5 * * * root /opt/b\n")
    call("import_crontab", tmp_path)
    (tmp_path / "a").unlink()

    result = call("import_crontab", tmp_path, "--json")

    assert [item["name"] for item in result.json["gone"]] == ["a"]
    assert Schedule.objects.live().count() == 2


def test_file_that_cannot_be_read_this_time_is_refused_and_nothing_of_it_is_gone(call, tmp_path, monkeypatch):
    (tmp_path / "a").write_text("0 5 * * * root /opt/a\n")
    call("import_crontab", tmp_path)

    def forbid(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(import_sources, "_bytes_of", forbid)
    result = call("import_crontab", tmp_path, "--partial", "--json")

    assert result.status == 1
    assert "Permission denied" in reasons(result.json["refused"])
    assert result.json["gone"] == []


def test_spool_directory_runs_each_file_as_its_account(call, tmp_path):
    (tmp_path / "root").write_text("0 5 * * * /opt/a\n")
    (tmp_path / "no-such-account").write_text("0 5 * * * /opt/b\n")

    result = call("import_crontab", tmp_path, "--format", "user", "--json")

    assert Schedule.objects.get().run_as == "root"
    assert 'no account "no-such-account"' in reasons(result.json["warnings"])


def test_account_beside_a_spool_directory_is_a_usage_error(call, tmp_path):
    result = call("import_crontab", tmp_path, "--format", "user", "--account", "root")

    assert result.status == 2
    assert "named after its account" in result.err


def test_path_under_cron_d_is_read_as_system_crontab_and_says_so(call, system_directory):
    (system_directory / "web").write_text("0 5 * * * root /opt/clean\n")

    result = call("import_crontab", system_directory / "web", "--json")

    assert Schedule.objects.get().run_as == "root"
    assert "because of its path" in reasons(result.json["warnings"])


def test_file_that_cron_ignores_today_is_imported_with_a_warning(call, system_directory):
    (system_directory / "web.off").write_text("0 5 * * * root /opt/clean\n")

    result = call("import_crontab", system_directory / "web.off", "--json")

    assert len(result.json["created"]) == 1
    assert "do not run today" in reasons(result.json["warnings"])


def test_unknown_account_in_a_system_crontab_is_a_bad_line(call, crontab):
    path = crontab("0 5 * * * no-such-account true\n")

    result = call("import_crontab", path, "--format", "system", "--json")

    assert result.status == 1
    assert "bad username" in reasons(result.json["refused"])


def test_account_other_than_ones_own_needs_a_worker_with_its_rights(call, crontab):
    other = next(entry.pw_name for entry in pwd.getpwall() if entry.pw_name not in (ME, "root"))
    path = crontab(f"0 5 * * * {other} true\n0 6 * * * {other} true\n")

    result = call("import_crontab", path, "--format", "system", "--json")

    assert f'the account "{other}" (2 lines)' in reasons(result.json["warnings"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x7fELF\x00\x00\x01", "binary file"),
        (b"1\t5\tcron.daily\t\tnice run-parts /etc/cron.daily\n", "anacrontab"),
        (b"* * * * * true", "missing newline"),
        (b"0 5 * * * true\n" * 10_001, "more than 10,000 lines"),
    ],
)
def test_what_is_no_crontab_is_refused_with_the_reason(call, crontab, content, reason):
    result = call("import_crontab", crontab(content), "--json")

    assert result.status == 1
    assert reason in reasons(result.json["refused"])
    assert not Schedule.objects.exists()


def test_missing_file_empty_directory_and_run_parts_directory_are_refused(call, tmp_path):
    empty, daily = tmp_path / "empty", tmp_path / "cron.daily"
    empty.mkdir()
    daily.mkdir()

    result = call("import_crontab", tmp_path / "nope", empty, daily, "--json")

    said = {os.path.basename(it["file"]): it["reason"] for it in result.json["refused"]}
    assert result.status == 1
    assert "No such file" in said["nope"]
    assert "empty" in said["empty"]
    assert "run-parts" in said["cron.daily"]


def test_file_named_twice_is_imported_once(call, crontab):
    path = crontab("0 5 * * * true\n")
    (path.parent / "x").mkdir()

    call("import_crontab", path, path.parent / "x" / ".." / path.name)

    assert Schedule.objects.count() == 1


def test_crontab_without_jobs_is_imported_as_nothing(call, crontab):
    result = call("import_crontab", crontab("# nothing here\n"))

    assert result.status == 0
    assert "0 created" in result.out
