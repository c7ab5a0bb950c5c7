"""How a mutant is judged: only a test that failed has noticed it, not one that could not be run."""

from __future__ import annotations

import pytest

from tests.mutants.__main__ import judged, said
from tests.mutants.fault import Edit, Mutant

CODE = "LIMIT = 3\n"
TESTS = """
from code_under_test import LIMIT

def test_the_limit_is_small():
    assert LIMIT < 10

def test_the_limit_is_three():
    assert LIMIT == 3
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "code_under_test.py").write_text(CODE)
    (tmp_path / "test_limit.py").write_text(TESTS)
    return tmp_path


def verdict(project, old: str, new: str, *tests: str):
    edit = Edit("code_under_test.py", old, new)
    names = [f"test_limit.py::{test}" for test in tests]
    return judged(Mutant(without="the limit", edits=[edit], tests=names), project, "")


def test_a_test_that_fails_has_noticed(project):
    found = verdict(project, "3", "4", "test_the_limit_is_small", "test_the_limit_is_three")
    assert found.noticed_by == {"test_the_limit_is_three": "assert 4 == 3"}
    assert said(found) == "test_the_limit_is_three"
    assert (project / "code_under_test.py").read_text() == CODE


def test_a_mutant_that_no_test_notices_survives(project):
    found = verdict(project, "3", "4", "test_the_limit_is_small")
    assert (found.noticed_by, said(found)) == ({}, "SURVIVES")


def test_tests_that_cannot_be_run_have_noticed_nothing(project):
    found = verdict(project, "3", "1 / 0", "test_the_limit_is_three")
    assert not found.noticed_by
    assert said(found).startswith("NOT JUDGED")


def test_an_edit_that_does_not_match_is_no_mutant(project):
    found = verdict(project, "7", "8", "test_the_limit_is_three")
    assert "0 times instead of once" in found.trouble
