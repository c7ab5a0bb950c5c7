"""import_crontab: files, directories and pipes; whose crontab they are, and what is left out."""

import io
import os
import pwd
import subprocess
import sys
from types import SimpleNamespace

import pytest

from schedules.importing import files, sources
from schedules.models import Schedule

pytestmark = pytest.mark.django_db

ME = sources.own_account()


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
    monkeypatch.setattr(sources, "SYSTEM_DIRECTORY", folder)
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


@pytest.mark.parametrize("named", [".", "shop"])
def test_a_file_of_cron_d_gives_the_same_names_however_it_was_named(call, tmp_path, named):
    folder = tmp_path / "cron.d"
    folder.mkdir()
    (folder / "shop").write_text("0 5 * * * root /opt/report\n")

    result = call("import_crontab", folder / named, "--json")

    schedule = Schedule.objects.get()
    assert (schedule.name, schedule.run_as, schedule.command) == ("shop-report", "root", "/opt/report")
    assert "system crontab" in reasons(result.json["warnings"])


def test_a_file_of_a_copied_cron_d_is_a_users_crontab_where_that_is_said(call, tmp_path):
    folder = tmp_path / "cron.d"
    folder.mkdir()
    (folder / "shop").write_text("0 5 * * * /opt/report\n")

    call("import_crontab", folder / "shop", "--format", "user")

    assert Schedule.objects.get().command == "/opt/report"


@pytest.mark.parametrize("place", ["var/spool/cron/crontabs", "var/spool/cron", "etc/crontabs"])
@pytest.mark.parametrize("named", [".", "root"])
def test_a_file_of_a_spool_gives_the_same_names_however_it_was_named(call, tmp_path, place, named):
    folder = tmp_path / place
    folder.mkdir(parents=True)
    (folder / "root").write_text("0 5 * * * /opt/report\n")

    call("import_crontab", folder / named, *(["--spool"] if named == "." else ["--account", "root"]))

    assert Schedule.objects.get().name == "root-report"


def test_names_that_cron_ignores_are_told_together(call, tmp_path):
    (tmp_path / "web").write_text("0 5 * * * root /opt/clean\n")
    for name in ("web.dpkg-old", "web.bak", "README.md"):
        (tmp_path / name).write_text("0 6 * * * root /opt/clean\n")

    result = call("import_crontab", tmp_path, "--dry-run")

    assert result.out.count("may hold only ASCII letters") == 1
    assert all(f"    {tmp_path}/{name}\n" in result.out for name in ("web.dpkg-old", "web.bak", "README.md"))


@pytest.mark.parametrize("named", [".", "shop"])
@pytest.mark.parametrize(("dialect", "ignored"), [("cron", "the file"), ("cronie", "the line")])
def test_a_line_of_cron_d_without_an_account_is_told_to_name_one(
    call, system_directory, monkeypatch, named, dialect, ignored
):
    monkeypatch.setattr(sources, "why_ignored", lambda place, daemon, facts: "")
    (system_directory / "shop").write_text("0 5 * * * /opt/report --all\n")

    result = call("import_crontab", system_directory / named, "--dialect", dialect, "--json")

    [refused] = result.json["refused"]
    assert "the account column is missing" in refused["reason"]
    assert f"ignores {ignored} today; add the account" in refused["reason"]
    assert "--format user" not in refused["reason"]


def test_a_copy_without_accounts_may_be_the_crontab_of_a_user(call, tmp_path):
    (tmp_path / "shop").write_text("0 5 * * * /opt/report --all\n")
    result = call("import_crontab", tmp_path, "--json")
    assert "--format user" in result.json["refused"][0]["reason"]


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

    monkeypatch.setattr(sources, "_bytes_of", forbid)
    result = call("import_crontab", tmp_path, "--partial", "--json")

    assert result.status == 1
    assert "Permission denied" in reasons(result.json["refused"])
    assert result.json["gone"] == []


def test_spool_directory_runs_each_file_as_its_account(call, tmp_path):
    (tmp_path / "root").write_text("0 5 * * * /opt/a\n")
    (tmp_path / "no-such-account").write_text("0 5 * * * /opt/b\n")

    result = call("import_crontab", tmp_path, "--format", "user", "--json")

    assert Schedule.objects.get().run_as == "root"
    [left_out] = [it for it in result.json["warnings"] if it["kind"] == "left-out"]
    assert left_out["file"].endswith("/no-such-account")
    assert "no account of this name" in left_out["reason"]


def test_account_beside_a_spool_directory_is_a_usage_error(call, tmp_path):
    result = call("import_crontab", tmp_path, "--format", "user", "--account", "root")

    assert result.status == 2
    assert "named after its account" in result.err


def test_spool_option_names_the_accounts(call, tmp_path):
    (tmp_path / "root").write_text("0 5 * * * /opt/a\n")
    (tmp_path / ".hidden").write_text("0 5 * * * /opt/b\n")

    result = call("import_crontab", tmp_path, "--spool", "--json")

    assert Schedule.objects.get().run_as == "root"
    assert result.json["sources"][0]["accounts"] == {"root": 1}
    assert call("import_crontab", tmp_path, "--spool", "--format", "system").status == 2


@pytest.fixture
def broken(monkeypatch):
    """Every file breaks a rule on owner, mode and links, whoever runs the tests."""
    monkeypatch.setattr(sources, "why_ignored", lambda place, daemon, facts: f"{place}: not so")


def test_file_that_cron_ignores_for_its_owner_or_mode_is_left_out_of_its_own_directory(
    call, system_directory, broken
):
    (system_directory / "web").write_text("0 5 * * * root /opt/clean\n")

    result = call("import_crontab", system_directory, "--json")

    assert result.status == 1
    assert "left out: system: not so" in reasons(result.json["warnings"])
    assert not Schedule.objects.exists()


def test_copy_of_the_directory_is_read_with_a_warning_unless_it_is_to_be_strict(call, tmp_path, broken):
    (tmp_path / "web").write_text("0 5 * * * root /opt/clean\n")

    strict = call("import_crontab", tmp_path, "--strict", "--json")
    copied = call("import_crontab", tmp_path, "--json")

    assert strict.status == 1
    assert (copied.status, len(copied.json["created"])) == (0, 1)
    assert [it["kind"] for it in copied.json["warnings"]].count("copy") == 1


def test_rules_of_the_spool_are_those_of_the_account(call, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "SPOOLS", (tmp_path,))
    (tmp_path / "root").write_text("0 5 * * * /opt/a\n")
    (tmp_path / "root").chmod(0o644)

    result = call("import_crontab", tmp_path, "--json")

    assert result.status == 1
    assert any(why in reasons(result.json["warnings"]) for why in ("0600", "neither to its account"))


def test_one_file_that_cron_ignores_for_its_mode_is_imported_with_a_warning(call, system_directory, broken):
    (system_directory / "web").write_text("0 5 * * * root /opt/clean\n")

    result = call("import_crontab", system_directory / "web", "--json")

    assert result.status == 0
    assert "do not run today" in reasons(result.json["warnings"])


def test_part_of_a_file_that_cron_ignores_would_begin_to_run(call, crontab):
    path = crontab("0 5 * * * /opt/a\noops\n")

    cron = call("import_crontab", path, "--dry-run", "--partial", "--json")
    cronie = call("import_crontab", path, "--dry-run", "--partial", "--dialect", "cronie", "--json")

    assert [it["line"] for it in cron.json["warnings"] if it["kind"] == "dormant"] == [2]
    assert "dormant" not in [it["kind"] for it in cronie.json["warnings"]]


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

    assert f'the account "{other}" need a worker' in reasons(result.json["warnings"])
    assert "(2 lines)" in reasons(result.json["warnings"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x7fELF\x00\x00\x01", "binary file"),
        ("0 5 * * * /opt/x\r\n".encode("utf-16"), "iconv -f UTF-16"),
        ("0 5 * * * /opt/x\n".encode("utf-16-le"), "iconv -f UTF-16"),
        ("0 5 * * * /opt/x\n".encode("utf-16-be"), "iconv -f UTF-16"),
        (b"0 5 * * * /opt/x\n0 6 * * * /opt/\0y\n", "the line holds a NUL byte"),
        (b"0 5 * * * /opt/x\n\0\0\0\n", "the line holds a NUL byte"),
        (b"* * * * * true", "missing newline"),
        (b"0 5 * * * true\n" * 10_001, "more than 10,000 lines"),
    ],
)
def test_what_is_no_crontab_is_refused_with_the_reason(call, crontab, content, reason):
    result = call("import_crontab", crontab(content), "--json")

    assert result.status == 1
    assert reason in reasons(result.json["refused"])
    assert not Schedule.objects.exists()


def test_nul_byte_in_a_comment_is_passed_over_as_by_cron(call, crontab):
    result = call("import_crontab", crontab(b"# \0 what\0 ever\n0 5 * * * /opt/report\n"), "--json")

    assert (result.status, Schedule.objects.get().command) == (0, "/opt/report")
    assert call("export_crontab", "--source", Schedule.objects.get().source).out.startswith("# \0 what")


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


def test_directory_without_a_usable_file_is_an_error(call, tmp_path):
    (tmp_path / "web.dpkg-old").write_text("0 6 * * * root /opt/clean\n")

    result = call("import_crontab", tmp_path, "--json")

    assert result.status == 1
    assert "no crontab in it that cron would read" in reasons(result.json["refused"])
    assert "left out" in reasons(result.json["warnings"])


def test_file_named_twice_is_imported_once(call, crontab):
    path = crontab("0 5 * * * true\n")
    (path.parent / "x").mkdir()

    call("import_crontab", path, path.parent / "x" / ".." / path.name)

    assert Schedule.objects.count() == 1


def test_pipe_that_nobody_writes_to_is_refused(call, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PIPE_SECONDS", 0.01)
    os.mkfifo(tmp_path / "pipe")

    result = call("import_crontab", tmp_path / "pipe", "--json")

    assert result.status == 1
    assert "nothing came through the pipe" in reasons(result.json["refused"])


def test_pipe_without_an_end_is_read_up_to_the_limit(call, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["sh", "-c", f"exec cat /dev/zero > {tmp_path}/pipe"]):
        result = call("import_crontab", tmp_path / "pipe", "--json")

    assert result.status == 1
    assert "binary file" in reasons(result.json["refused"])


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_devices_are_refused(call, device):
    result = call("import_crontab", device, "--json")

    assert result.status == 1
    assert "it is a device" in reasons(result.json["refused"])


def test_file_beyond_the_limit_is_refused_without_being_read_whole(call, tmp_path):
    with open(tmp_path / "huge", "wb") as file:
        file.write(b"x")
        file.truncate(10 * 2**30)  # sparse

    result = call("import_crontab", tmp_path / "huge", "--json")

    assert result.status == 1
    assert not Schedule.objects.exists()


def test_same_jobs_under_another_name_are_warned_about(call, crontab, tmp_path):
    text = "".join(f"{n} 5 * * * /opt/job{n}\n" for n in range(10))
    first = crontab(text, "first")
    call("import_crontab", first)

    moved = call("import_crontab", crontab(text.replace("0 5", "1 6", 1), "second"), "--dry-run", "--json")
    other = call("import_crontab", crontab(text.replace("job", "task"), "third"), "--dry-run", "--json")
    known = call("import_crontab", tmp_path / "second", "--source", first, "--json")

    (warning,) = [it for it in moved.json["warnings"] if it["kind"] == "same-jobs"]
    assert f"--source {first}" in warning["reason"]
    assert "9 of 10" in warning["reason"]
    assert "same-jobs" not in [it["kind"] for it in other.json["warnings"]]
    assert (len(known.json["created"]), len(known.json["changed"])) == (0, 1)


def test_two_copies_in_one_import_are_warned_about(call, crontab):
    text = "0 5 * * * /opt/a\n"

    result = call("import_crontab", crontab(text, "a"), crontab(text, "b"), "--dry-run", "--json")

    assert [it["kind"] for it in result.json["warnings"]].count("same-jobs") == 1


def test_same_jobs_of_two_accounts_are_no_copies(call, crontab):
    call("import_crontab", crontab("0 5 * * * /opt/a\n", "a"), "--account", "root")

    result = call("import_crontab", crontab("0 5 * * * /opt/a\n", "b"), "--account", "nobody", "--json")

    assert "same-jobs" not in [it["kind"] for it in result.json["warnings"]]


@pytest.mark.parametrize("paths", [(".",), ("/etc/crontab", "/etc/fstab")])
def test_source_goes_with_one_file(call, paths):
    result = call("import_crontab", *paths, "--source", "x")

    assert result.status == 2
    assert "--source goes with one file" in result.err


def test_crontab_without_jobs_is_imported_as_nothing(call, crontab):
    result = call("import_crontab", crontab("# nothing here\n"))

    assert result.status == 0
    assert "0 created" in result.out
