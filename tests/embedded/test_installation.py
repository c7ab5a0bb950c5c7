"""The first account, the lock on the state directory, and who still has the password of the first start."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.management import CommandError

from scheduler import installation


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
