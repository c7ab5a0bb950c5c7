"""Each mutant still fits the code. Who rewrites a safeguard rewrites its mutant, or asks why it was there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS

ROOT = Path(__file__).parent.parent.parent

each_mutant = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.without)


@each_mutant
def test_its_edits_match_exactly_once_and_leave_valid_python(mutant):
    for edit in mutant.edits:
        assert edit.matches(ROOT) == 1, f"{edit.path}: rewrite the edit of tests/mutants\n{edit.old}"
        assert edit.old != edit.new
        compile(edit.applied(ROOT), edit.path, "exec")


@each_mutant
def test_the_tests_that_have_to_notice_it_are_there(mutant):
    assert mutant.tests
    for test in mutant.tests:
        path, _, name = test.partition("::")
        functions = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if _is_test(node)}
        assert re.sub(r"\[.*", "", name) in functions, test


def _is_test(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test_")


def test_no_two_mutants_have_one_name():
    names = [mutant.without for mutant in MUTANTS]
    assert sorted(set(names)) == sorted(names)
