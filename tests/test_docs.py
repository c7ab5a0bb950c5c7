"""What README and docs/ name is there: commands and benchmarks with their options, pages, headings."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

_COMMAND = re.compile(r"manage\.py ([a-z_]+)([^`|#>;&\n]*)")
_BENCHMARK = re.compile(r"python -m (benchmarks[.\w]*)([^`|#\n]*)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")


def named(pattern: re.Pattern[str]) -> Iterator[tuple[str, str, str]]:
    """Page, what is called, and each option that the page gives it."""
    for page in PAGES:
        for name, rest in pattern.findall(page.read_text()):
            yield from ((page.name, name, option) for option in _OPTION.findall(rest) or [""])


def test_every_command_of_the_pages_is_there_with_its_options():
    known = get_commands()
    options: dict[str, set[str]] = {}
    wrong = []
    for page, name, option in named(_COMMAND):
        if name not in known:
            wrong.append((page, name))
            continue
        if name not in options:
            app = known[name]
            command = app if not isinstance(app, str) else load_command_class(app, name)
            options[name] = set(command.create_parser("manage.py", name)._option_string_actions)
        if option and option not in options[name]:
            wrong.append((page, f"{name} {option}"))
    assert wrong == []
    assert len(options) > 20


def test_every_benchmark_of_the_pages_is_there_with_its_options(monkeypatch, capsys):
    wrong = []
    told: dict[str, str] = {}
    for page, module, option in named(_BENCHMARK):
        if module not in told:
            told[module] = help_of(module, monkeypatch, capsys)
        if option and option not in told[module]:
            wrong.append((page, f"{module} {option}"))
    assert wrong == []
    assert len(told) >= 6


def help_of(module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What it says of its options; "" for one that has none."""
    place = "benchmarks.chaos.__main__" if module == "benchmarks.chaos" else module
    main = importlib.import_module(place)
    if "argparse" not in vars(main) and "_parser" not in vars(main):
        return ""
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 0
    return capsys.readouterr().out


def headings(page: Path) -> set[str]:
    """As a repository's page links to them."""
    found = set()
    for title in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
        found.add(re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    broken = []
    for path, anchor in _LINK.findall(page.read_text()):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in headings(target)):
            broken.append(f"{path}#{anchor}")
    assert broken == []
