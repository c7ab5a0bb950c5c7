"""Which files the daemons read. Those of Debian's cron 3.0pl1-162 were observed on the daemon itself."""

from dataclasses import replace

import pytest

from schedules.rules.crontab.grammar import Daemon
from schedules.rules.crontab.places import Facts, Place, ignored_name, ignored_spool_name, why_ignored

SYSTEM = Facts(owner=0, mode=0o644, links=1)
SPOOL = Facts(owner=1000, mode=0o600, links=1, account=1000)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"mode": 0o600}, ""),
        ({"mode": 0o400}, ""),
        ({"mode": 0o755}, ""),
        ({"mode": 0o4644}, ""),
        ({"link_owner": 0}, ""),
        ({"link_owner": 1000}, "symbolic link that does not belong to root"),
        ({"owner": 1000}, "does not belong to root"),
        ({"link_owner": 0, "owner": 1000}, "does not belong to root"),
        ({"mode": 0o664}, "may write"),
        ({"mode": 0o646}, "may write"),
        ({"links": 2}, "hard link"),
        ({"is_regular": False}, "not a regular file"),
    ],
)
def test_what_cron_reads_in_cron_d(change, reason):
    found = why_ignored(Place.SYSTEM, Daemon.CRON, replace(SYSTEM, **change))

    assert (reason in found) if reason else (found == "")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"owner": 0}, ""),
        ({"owner": 1001}, "neither to its account nor to root"),
        ({"mode": 0o644}, "not 0600"),
        ({"mode": 0o400}, "not 0600"),
        ({"mode": 0o660}, "not 0600"),
        ({"link_owner": 0}, "symbolic link"),
        ({"links": 2}, "hard link"),
        ({"is_regular": False}, "not a regular file"),
    ],
)
def test_what_cron_reads_in_its_spool(change, reason):
    found = why_ignored(Place.SPOOL, Daemon.CRON, replace(SPOOL, **change))

    assert (reason in found) if reason else (found == "")


@pytest.mark.parametrize(
    ("place", "change", "is_read"),
    [
        (Place.SYSTEM, {}, True),
        (Place.SYSTEM, {"links": 2}, True),
        (Place.SYSTEM, {"mode": 0o755}, False),
        (Place.SYSTEM, {"mode": 0o200}, False),
        (Place.SYSTEM, {"owner": 1000}, False),
        (Place.SPOOL, {"mode": 0o644}, True),
        (Place.SPOOL, {"mode": 0o400}, True),
        (Place.SPOOL, {"mode": 0o620}, False),
        (Place.SPOOL, {"link_owner": 1000}, True),
        (Place.SPOOL, {"links": 2}, False),
        (Place.SPOOL, {"owner": 1001}, False),
    ],
)
def test_what_cronie_reads(place, change, is_read):
    facts = replace(SYSTEM if place is Place.SYSTEM else SPOOL, **change)

    assert (why_ignored(place, Daemon.CRONIE, facts) == "") is is_read


@pytest.mark.parametrize("name", [".hidden", "#auto#", "web~", "web.rpmsave", "web.rpmnew", "web.rpmorig"])
def test_cronie_ignores_hidden_and_left_over_files_in_both_directories(name):
    assert ignored_name(name, Daemon.CRONIE)
    assert ignored_spool_name(name, Daemon.CRONIE)


@pytest.mark.parametrize("name", ["web.cron", "a b", "raid-check", "web.dpkg-old"])
def test_cronie_reads_other_names(name):
    assert ignored_name(name, Daemon.CRONIE) is None


def test_a_spool_has_names_with_dots():
    assert ignored_spool_name("ada.lovelace") is None
    assert ignored_spool_name(".ada")
