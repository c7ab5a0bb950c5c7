"""The spool: a result in a file, whole or not there at all, and delivered by one worker only."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
import uuid

import pytest

from schedules.rules.states import Outcome
from schedules.worker import spool
from schedules.worker.work import Ended

ENDED = Ended(
    outcome=Outcome.FAILED,
    exit_code=3,
    error="it failed",
    exceptions=("OSError",),
    head=(("stdout", "caf\u00e9 \ud83d"), ("stderr", "\u0000")),
    bytes_seen=9,
    notes=("one", "two"),
)


@pytest.fixture
def directory(settings, tmp_path):
    """Where the spool is; nothing is there yet."""
    place = tmp_path / "state" / "spool"
    settings.BEATKEEPER = {"spool_directory": str(place)}
    return place


def a_result(number=1, **changes) -> spool.Result:
    given = {"run_id": number, "attempt_id": number, "token": uuid.uuid4(), "ended_at": 1.5, "ended": ENDED}
    return spool.Result(**(given | changes))


def left(*results):
    for result in results:
        spool.keep(result).release()


def found(limit=100):
    kept = list(spool.left_behind(limit=limit))
    read = [one.read() for one in kept]
    for one in kept:
        one.release()
    return read


def test_a_child_that_was_forked_meanwhile_keeps_no_file_locked(directory):
    """The parent of a prefork worker looks into the spool, and replaces its children."""
    left(a_result())
    [kept] = spool.left_behind(limit=1)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)  # until the test is over
        os._exit(0)
    try:
        kept.release()
        assert len(found()) == 1
    finally:
        os.close(writing)
        os.waitpid(child, 0)
        os.close(reading)


def test_a_result_comes_back_as_it_was(directory):
    result = a_result()
    left(result)
    assert found() == [result]


def test_only_its_owner_reads_what_a_command_printed(directory):
    left(a_result())
    [path] = directory.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_nothing_is_written_where_no_directory_is_named(settings):
    settings.BEATKEEPER = {}
    assert spool.keep(a_result()) is None
    assert found() == []


def test_what_a_living_worker_still_holds_is_left_to_it(directory):
    kept = spool.keep(a_result())
    assert found() == []
    kept.release()
    assert len(found()) == 1


def test_what_a_killed_worker_held_is_free(directory):
    program = (
        "import os, sys; sys.path.insert(0, '.'); import django; django.setup()\n"
        "from tests.worker.test_spool import a_result, spool\n"
        "kept = spool.keep(a_result()); os.kill(os.getpid(), 9)"
    )
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "scheduler.settings",
        "BEATKEEPER_SPOOL": str(directory),
        "SECRET_KEY": "only-for-tests",
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert done.returncode == -9
    assert len(found()) == 1


def test_one_worker_delivers_and_the_other_finds_nothing(directory):
    left(a_result())
    first = spool.left_behind(limit=10)
    kept = next(first)
    assert list(spool.left_behind(limit=10)) == []
    kept.remove()
    assert list(directory.iterdir()) == []
    assert list(first) == []


def test_held_files_do_not_hide_those_behind_them(directory):
    held = [spool.keep(a_result(number)) for number in range(10, 15)]
    left(a_result(20))
    assert [result.run_id for result in found(limit=1)] == [20]
    for kept in held:
        kept.release()


def test_one_pass_takes_no_more_than_its_limit(directory):
    left(*[a_result(number) for number in range(5)])
    assert len(found(limit=3)) == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format": 2}',
        '{"format": 1}',
        json.dumps(spool._encoded(a_result()) | {"token": "no"}),
        json.dumps(spool._encoded(a_result()) | {"ended": {"outcome": "unheard of"}}),
        "\udcff",
    ],
)
def test_a_file_that_is_no_result_says_so(directory, text):
    left(a_result())
    [path] = directory.iterdir()
    path.write_bytes(text.encode(errors="surrogateescape"))
    [kept] = spool.left_behind(limit=1)
    with kept, pytest.raises((ValueError, LookupError, TypeError)):
        kept.read()


def test_a_huge_file_is_not_read(directory):
    left(a_result())
    [path] = directory.iterdir()
    os.truncate(path, spool.LARGEST + 1)
    [kept] = spool.left_behind(limit=1)
    with kept, pytest.raises(ValueError, match="larger than"):
        kept.read()


def test_what_is_set_aside_stays_and_is_not_offered_again(directory):
    left(a_result())
    [kept] = spool.left_behind(limit=1)
    kept.set_aside(ValueError("no"))
    assert found() == []
    assert [path.name for path in directory.iterdir()] == ["run-1-attempt-1.json.bad"]


def test_a_link_is_not_followed(directory, tmp_path):
    left(a_result())
    [path] = directory.iterdir()
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert found() == []


def test_a_disk_that_takes_nothing_is_said_and_leaves_nothing_half_written(directory, monkeypatch, caplog):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool.os, "fsync", full)
    with caplog.at_level(logging.ERROR, "beatkeeper"):
        assert spool.keep(a_result()) is None
    assert "No space left on device" in caplog.text
    assert list(directory.iterdir()) == []


def test_a_result_is_tried_again_until_the_disk_takes_it(directory, monkeypatch):
    answers = [None, None]
    real = spool.keep
    monkeypatch.setattr(spool, "keep", lambda result: answers.pop() if answers else real(result))
    with spool.Keeping(a_result()) as keeping:
        assert [keeping.keep() for _ in range(4)] == [False, False, True, False]
        assert keeping.is_kept
        keeping.remove()
    assert list(directory.iterdir()) == []


def test_an_unfinished_file_of_a_dead_worker_is_removed_and_a_new_one_is_not(directory):
    left(a_result())
    old, new = directory / f"old{spool.UNFINISHED}", directory / f"new{spool.UNFINISHED}"
    old.write_text("{"), new.write_text("{")
    os.utime(old, (1, 1))
    spool.tidy()
    assert (old.exists(), new.exists(), len(found())) == (False, True, 1)


def test_what_a_later_version_added_does_not_lose_the_rest(directory):
    result = a_result()
    given = spool._encoded(result)
    given["ended"]["invented_later"] = True
    assert spool._decoded(given) == result
