"""Imports point down only: entry > flows > I/O > rules. Read from the source, so nothing needs to run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

APP = Path(__file__).parent.parent / "schedules"

RULES = {"rules", "errors"}
IO = {
    *("models", "querysets", "sql", "conf", "events", "revisions", "occurrences", "histories", "terms"),
    *("runner", "worker", "messages", "accounts", "host_clock", "zone_data", "keeping"),
    # Beside their `flow`, what it reads and writes with.
    *("importing", "proving", "checking", "comparing", "cutting_over", "exporting", "applying"),
    *("explaining", "production"),
}
FLOWS = {
    *("dispatch", "publish", "execute", "rescue", "reconcile", "retention", "catalog", "operate"),
    *("finishing", "delivering", "following", "zones", "auditing", "checking.work"),
    *("importing.flow", "proving.flow", "checking.flow", "comparing.flow", "cutting_over.flow"),
    *("exporting.flow", "applying.flow", "explaining.flow", "production.flow"),
}
ENTRY = {
    *("beat", "parts", "tasks", "stopping", "control", "apps", "checks", "signals"),
    *("admin", "management", "templatetags"),
}

LAYERS = {name: level for level, names in enumerate((RULES, IO, FLOWS, ENTRY)) for name in names}
STANDALONE = "tests/test_layers.py has no layer for it: say where it belongs"

# An importer, and a cut-over, are flows over the flow of edits: they plan, `catalog` writes.
FLOW_OVER_FLOW = {(f"{flow}.flow", "catalog") for flow in ("importing", "applying", "cutting_over")}
# What a worker left behind is recorded as a worker records it.
FLOW_OVER_FLOW |= {(flow, "finishing") for flow in ("execute", "delivering")}


def modules() -> list[Path]:
    return sorted(path for path in APP.rglob("*.py") if "migrations" not in path.parts)


def layer_name(path: Path) -> str:
    return part(path.relative_to(APP).with_suffix("").parts)


def part(names: Sequence[str]) -> str:
    """A module of the app, or the package that it is in; the flow of a package counts by itself."""
    return name if (name := ".".join(names[:2])) in FLOWS else names[0]


def imported(path: Path) -> Iterator[str]:
    """The parts of the app that the module imports, with type-only imports left out."""
    for node in _running(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        yield from [part(module.split(".")[1:]) for module in modules if module.startswith("schedules.")]


def _running(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _running(child)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(APP)))
def test_imports_point_down(path):
    own = layer_name(path)
    if own == "__init__":
        return
    assert own in LAYERS, STANDALONE
    for name in imported(path):
        assert name in LAYERS, f"{name}: {STANDALONE}"
        if name == own:
            continue
        assert LAYERS[name] <= LAYERS[own], f"{own} is below {name}"
        if own in FLOWS and name in FLOWS:
            assert (own, name) in FLOW_OVER_FLOW, f"flow {own} imports flow {name}"


@pytest.mark.parametrize(
    "path", sorted((APP / "rules").rglob("*.py")), ids=lambda path: str(path.relative_to(APP))
)
def test_rules_are_pure(path):
    tree = ast.parse(path.read_text())
    roots = {name.partition(".")[0] for name in _modules_named(tree)}
    assert not roots & {"django", "celery", "django_celery_beat", "kombu", "random", "time"}
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    clocks = [call.attr for call in calls if isinstance(call, ast.Attribute) and call.attr in CLOCKS]
    assert not clocks, f"{path.name} reads a clock: {clocks}"


CLOCKS = {"now", "utcnow", "today"}


def _modules_named(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
