"""The first account, the lock on the state directory, and who still has the password of the first start."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.management import CommandError

from scheduler import environment, installation
from scheduler.bootstrap import ROOT


def test_one_process_at_a_time_has_the_state_directory(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "state"
    lock = installation.claim_state(state)

    with pytest.raises(CommandError, match=rf"already runs on {state} \(pid {os.getpid()}\)"):
        installation.claim_state(state)
    os.close(lock)
    os.close(installation.claim_state(state))

    assert stat.S_IMODE(state.stat().st_mode) == 0o700


@pytest.mark.django_db
def test_the_first_start_makes_an_account_with_a_random_password(tmp_path: Path) -> None:
    password = installation.create_admin(tmp_path, password="")

    assert password is not None
    assert authenticate(username="admin", password=password).is_superuser
    assert not installation.has_own_password(tmp_path, given="")


@pytest.mark.django_db
def test_a_password_that_was_given_is_used_and_not_told(tmp_path: Path) -> None:
    told = installation.create_admin(tmp_path, password="chosen by the operator")

    assert told is None
    assert authenticate(username="admin", password="chosen by the operator")
    assert installation.has_own_password(tmp_path, given="")


@pytest.mark.django_db
def test_later_starts_leave_the_accounts_alone(tmp_path: Path) -> None:
    get_user_model().objects.create_user("somebody", password="x")

    assert installation.create_admin(tmp_path, password="") is None
    assert not get_user_model().objects.filter(username="admin").exists()


@pytest.mark.django_db
def test_a_changed_password_is_ones_own(tmp_path: Path) -> None:
    installation.create_admin(tmp_path, password="")
    admin = get_user_model().objects.get()
    admin.set_password("another")
    admin.save()

    assert installation.has_own_password(tmp_path, given="")


@pytest.mark.django_db
def test_before_the_first_start_the_password_is_ones_own_where_it_is_given(tmp_path: Path) -> None:
    assert installation.has_own_password(tmp_path, given="chosen")
    assert not installation.has_own_password(tmp_path, given="")


def manage(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As an operator whose umask lets everybody read; SQLite and files, whatever the tests run on."""
    left_out = ("DATABASE_URL", "CELERY_BROKER_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=kept | {"BEATKEEPER_STATE": str(state)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        umask=0o022,
    )


def test_migrate_makes_a_database_that_its_owner_alone_may_read(tmp_path: Path) -> None:
    state = tmp_path / "state"
    done = manage(state, "migrate", "-v0", "contenttypes")

    assert done.returncode == 0, done.stderr
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (state, *state.iterdir())}
    assert modes == {"state": 0o700, "beatkeeper.sqlite3": 0o600}


@pytest.mark.parametrize(
    "command", ["list_schedules", "check_production", "showmigrations", "migrate --check", "migrate --plan"]
)
def test_a_directory_that_a_typing_error_names_stays_unmade(tmp_path: Path, command: str) -> None:
    state = tmp_path / "stat"
    done = manage(state, *command.split())

    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert f"{state}/beatkeeper.sqlite3" in said
    assert "manage.py migrate" in said or "BEATKEEPER_STATE" in said
    assert not state.exists()


def test_a_secret_key_is_made_once_and_by_servers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    state = tmp_path / "state"
    assert len(str(environment.stored_secret_key(state))) > 50
    assert not state.exists()

    for _ in range(2):
        environment.make_secret_key(state)
        kept = (state / "secret_key").read_text().strip()
        assert str(environment.stored_secret_key(state)) == kept
    assert stat.S_IMODE((state / "secret_key").stat().st_mode) == 0o600

    (state / "secret_key").write_text("")  # its disk was full
    environment.make_secret_key(state)
    assert len((state / "secret_key").read_text()) > 50


def test_a_secret_key_of_the_environment_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "given")
    environment.make_secret_key(tmp_path / "state")
    assert not (tmp_path / "state").exists()
