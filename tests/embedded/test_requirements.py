"""The pins, the ranges in pyproject.toml and what `manage.py` looks for say the same."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scheduler.bootstrap import DEVELOPMENT, ROOT, RUNTIME, Needs

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(needs: Needs) -> dict[str, Requirement]:
    lines = [line for name in (*needs.includes, needs.file) for line in read(name)]
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, lines)}


def read(name: str) -> list[str]:
    lines = (ROOT / "deploy" / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith(("#", "-r"))]


@pytest.mark.parametrize(
    ("needs", "ranges"),
    [
        (RUNTIME, PROJECT["dependencies"]),
        (DEVELOPMENT, PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]),
    ],
    ids=["runtime", "development"],
)
def test_every_range_has_a_pin_that_it_allows(needs: Needs, ranges: list[str]) -> None:
    pinned = pins(needs)
    for wanted in map(Requirement, ranges):
        version = str(pinned[canonicalize_name(wanted.name)].specifier).removeprefix("==")
        assert wanted.specifier.contains(version), wanted


def test_the_pin_for_solar_timings_is_the_one_that_is_tested() -> None:
    [wanted] = map(Requirement, PROJECT["optional-dependencies"]["solar"])
    [pin] = read("requirements-solar.txt")
    assert pin in read("requirements-dev.txt")
    assert wanted.specifier.contains(pin.partition("==")[2])


@pytest.mark.parametrize("needs", [RUNTIME, DEVELOPMENT], ids=["runtime", "development"])
def test_every_module_that_is_looked_for_comes_from_a_pinned_package(needs: Needs) -> None:
    providers = packages_distributions()
    for module in needs.modules:
        assert {canonicalize_name(name) for name in providers[module]} & pins(needs).keys(), module


@pytest.mark.parametrize("needs", [RUNTIME, DEVELOPMENT], ids=["runtime", "development"])
def test_pins_are_exact_and_name_no_place(needs: Needs) -> None:
    for pin in pins(needs).values():
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), pin
        assert pin.url is None
