"""Imports point down only: entry > flows > I/O > rules. Read from the source, so nothing needs to run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

APP = Path(__file__).parent.parent / "schedules"

RULES = {"rules", "errors"}
IO = {
    *("models", "querysets", "bulk", "conf", "events", "revisions", "source_keys", "occurrences", "process"),
    *("work", "spool"),
    *(
        "commands",
        "task_calls",
        "patterns",
        "pool",
        "runner",
        "prepared",
        "statements",
        *("statements_dispatch", "terms", "outbox", "envelope", "lines"),
        "import_sources",
        "import_planning",
    ),
    *("accounts", "import_files", "import_values", "import_reading", "import_copies", "import_known"),
    *("crontab_wants", "manifest_files", "manifest_rows", "applying_plan"),
    *("proving_lines", "proving_cases", "proving_edits"),
    *(
        "crontab_edit",
        "cut_over_plan",
        "cut_over_objections",
        "cut_over_return",
        "still_cut_over",
        "host_clock",
        "log_files",
        "log_matching",
        "comparing_notes",
    ),
    *("routing", "sending", "facts", "zone_data"),
    *(
        "production_settings",
        "production_database",
        "production_broker",
        "production_fleet",
        "production_runs",
    ),
    *("snapshot", "histories", "evidence", "explanation", "explaining_runs", "explaining_silence"),
    *("keeping", "indexed"),
    *("checking_subject", "checking_process", "checking_child", "checking_files", "checking_cron"),
}
FLOWS = {
    *("dispatch", "publish", "execute", "rescue", "reconcile", "retention", "catalog", "operate"),
    "importing",
    "proving",
    *("auditing", "explaining"),
    *("exporting", "applying"),
    *("cutting_over", "comparing"),
    *("zones", "production"),
    *("checking", "checking_work"),
    *("delivering", "following"),
}
ENTRY = {
    "beat",
    "parts",
    "tasks",
    "stopping",
    "control",
    "admin",
    "management",
    "apps",
    "checks",
    "signals",
    "templatetags",
}

LAYERS = {name: level for level, names in enumerate((RULES, IO, FLOWS, ENTRY)) for name in names}
STANDALONE = "tests/test_layers.py has no layer for it: say where it belongs"

# An importer, and a cut-over, are flows over the flow of edits: they plan, `catalog` writes.
FLOW_OVER_FLOW = {("importing", "catalog"), ("applying", "catalog"), ("cutting_over", "catalog")}
# What a worker left behind is recorded as a worker records it.
FLOW_OVER_FLOW |= {("delivering", "execute")}


def modules() -> list[Path]:
    return sorted(path for path in APP.rglob("*.py") if "migrations" not in path.parts)


def layer_name(path: Path) -> str:
    return part(path.relative_to(APP).parts[0].removesuffix(".py"))


def part(name: str) -> str:
    """The modules of the runner are one part."""
    return "runner" if name.startswith("runner_") else name


def imported(path: Path) -> Iterator[str]:
    """Names of top-level parts of the app that the module imports, with type-only imports left out."""
    tree = ast.parse(path.read_text())
    for node in _running(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "schedules":
            below = (node.module or "").split(".")[1:]
            yield from map(part, [below[0]] if below else [alias.name for alias in node.names])
        elif isinstance(node, ast.Import):
            yield from [
                alias.name.split(".")[1] for alias in node.names if alias.name.startswith("schedules.")
            ]


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


@pytest.mark.parametrize("path", sorted((APP / "rules").glob("*.py")), ids=lambda path: path.name)
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
