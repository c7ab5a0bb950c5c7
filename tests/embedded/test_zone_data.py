"""Which time zone database a process reads, and of which version."""

from __future__ import annotations

import zoneinfo

import pytest

from schedules import zone_data


@pytest.fixture
def machine(tmp_path):
    """A folder of zones as a machine has it, of the version that the test says; the path is put back."""
    before = zoneinfo.TZPATH

    def install(name, text):
        (tmp_path / "Europe").mkdir()
        (tmp_path / "Europe" / "London").touch()
        if name:
            (tmp_path / name).write_text(text)
        zoneinfo.reset_tzpath(to=[str(tmp_path)])
        zone_data.version.cache_clear()

    yield install
    zoneinfo.reset_tzpath(to=before)
    zone_data.version.cache_clear()


@pytest.mark.parametrize(
    ("name", "text"), [("tzdata.zi", "# version 2019c\n# This zic"), ("+VERSION", "2019c\n")]
)
def test_the_machines_data_say_their_version(machine, name, text):
    machine(name, text)
    assert zone_data.version() == "2019c"


def test_data_that_do_not_say_their_version_have_none(machine):
    machine("", "")
    assert zone_data.version() == ""


def test_without_a_folder_of_the_machine_the_package_is_read(machine):
    zoneinfo.reset_tzpath(to=())
    zone_data.version.cache_clear()
    assert zone_data.version() == zone_data.PACKAGE
