"""import_crontab keeps each imported file byte for byte, in the transaction of the import."""

import io
import sys
from types import SimpleNamespace

import pytest

from schedules.models import CrontabFile, Schedule

pytestmark = pytest.mark.django_db

TEXT = b"# caf\xe9\n\n  0  5\t* * *   /opt/a  \nX=1\n"


def test_file_is_kept_as_it_is_whatever_its_comments_hold(call, crontab):
    path = crontab(TEXT)

    result = call("import_crontab", path, "--account", "root", "--timezone", "Asia/Tokyo")

    assert result.status == 0, result.err
    kept = CrontabFile.objects.get()
    assert bytes(kept.content) == TEXT
    assert (kept.source, kept.path) == (str(path), str(path))
    assert (kept.format, kept.account, kept.dialect, kept.timezone) == ("user", "root", "cron", "Asia/Tokyo")
    assert kept.source == Schedule.objects.get().source
    assert kept.imported_by.endswith("@command line")


def test_next_import_replaces_it_and_keeps_the_zone(call, crontab):
    call("import_crontab", crontab(TEXT), "--timezone", "Asia/Tokyo")
    first = CrontabFile.objects.get()

    call("import_crontab", crontab(b"# nothing left\n"))

    kept = CrontabFile.objects.get()
    assert (bytes(kept.content), kept.timezone) == (b"# nothing left\n", "Asia/Tokyo")
    assert kept.imported_at > first.imported_at


def test_file_without_a_job_is_kept(call, crontab):
    text = b"# only comments\n" * 100 + b"# \0\xff\r\n"

    call("import_crontab", crontab(text))

    assert bytes(CrontabFile.objects.get().content) == text


def test_pipe_has_no_path(call, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"0 5 * * * true\n")))

    call("import_crontab", "-", "--account", "root")

    assert list(CrontabFile.objects.values_list("source", "path")) == [("crontab:root", "")]


@pytest.mark.parametrize("options", [("--dry-run",), ()])
def test_what_is_not_imported_is_not_kept(call, crontab, options):
    call("import_crontab", crontab("0 5 * * * true\noops\n"), *options)

    assert not CrontabFile.objects.exists()


def test_file_that_is_imported_in_part_is_kept_whole(call, crontab):
    call("import_crontab", crontab("0 5 * * * true\noops\n"), "--partial")

    assert bytes(CrontabFile.objects.get().content) == b"0 5 * * * true\noops\n"


def test_failure_while_writing_keeps_nothing(call, crontab, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the power went off")

    monkeypatch.setattr("schedules.importing.flow._keep_next_run", fail)
    with pytest.raises(RuntimeError):
        call("import_crontab", crontab(TEXT))

    assert not CrontabFile.objects.exists()
