"""What `manage.py test` does: pytest on SQLite, beside it what touches the database again on PostgreSQL.

Says at the end what was covered and what was not. With CI=true everything has to be there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree import ElementTree

from scheduler.bootstrap import ROOT
from tests import services

NO_TESTS_RAN = 5  # pytest's exit status


DATABASE, REST = "database", "rest"
"""What TEST_ONLY leaves of the tests: those that touch the database, or those that do not."""


@dataclass(frozen=True)
class Share:
    """Tests of one pytest; without `database_url` on SQLite."""

    name: str
    arguments: Sequence[str]
    database_url: str | None = None
    only: str = ""


@dataclass
class Result:
    """One run of pytest."""

    share: str
    status: int
    passed: int = 0
    failed: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    """How many, by reason."""

    @property
    def is_good(self) -> bool:
        return self.status in (0, NO_TESTS_RAN)


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0, or that of the worst run."""
    missing = _missing_services()
    with tempfile.TemporaryDirectory(prefix="beatkeeper-tests-") as scratch, services.postgresql() as url:
        if url is None:
            missing["PostgreSQL"] = "no server on 127.0.0.1:5432, and TEST_DATABASE_URL is not set"
        results = []
        for shares in _stages(arguments, url):
            runs = [PytestRun(share, Path(scratch), server=url) for share in shares]
            results += [run.result() for run in _begun(runs)]
    _summarize(results, missing)
    return _status(results, missing)


def _missing_services() -> dict[str, str]:
    found = {
        "RabbitMQ": (services.rabbitmq_server(), "no server on 127.0.0.1:5672 (TEST_RABBITMQ_URL)"),
        "Redis": (services.redis_server(), "no server on 127.0.0.1:6379 (TEST_REDIS_URL)"),
        "Chromium": (services.chromium(), "no chromium on the PATH"),
    }
    return {name: why for name, (where, why) in found.items() if where is None}


def _stages(arguments: Sequence[str], url: str | None) -> Iterator[list[Share]]:
    """What is run one after the other: real processes do not compete with a processor's worth of rules.

    Real processes mostly wait, so those that need neither engine are a share of their own.
    """
    if any(argument.startswith("-m") for argument in arguments):
        yield _on_both_engines(arguments, url)
        return
    yield _on_both_engines([*arguments, "-m", "not system"], url)
    slow = [*arguments, "-m", "system"]
    twice = [replace(share, only=DATABASE) for share in _on_both_engines(slow, url)]
    once = Share("no database", slow, only=REST)
    yield [replace(share, name=f"{share.name}, real processes") for share in (*twice, once)]


def _on_both_engines(arguments: Sequence[str], url: str | None) -> list[Share]:
    """All of them on SQLite, and what touches the database on PostgreSQL again."""
    again = [Share("PostgreSQL", arguments, database_url=url, only=DATABASE)] if url else []
    return [Share("SQLite", arguments), *again]


def _begun(runs: Sequence[PytestRun]) -> Sequence[PytestRun]:
    """Side by side: what the others print is kept until the first is through."""
    for run in runs[1:]:
        run.begin(aside=True)
    return runs


class PytestRun:
    """pytest on one share of the tests, in a process of its own."""

    def __init__(self, share: Share, scratch: Path, *, server: str | None) -> None:
        self.name = share.name
        self._report, self._output = scratch / f"{share.name}.xml", scratch / f"{share.name}.txt"
        self._command = [sys.executable, "-m", "pytest", f"--junit-xml={self._report}", *share.arguments]
        self._environment = _environment(scratch, server, share)
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, *, aside: bool) -> subprocess.Popen[bytes]:
        """`aside`: what it prints is kept until its turn."""
        output = self._output.open("wb") if aside else None
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._environment, stdout=output, stderr=output
        )
        return self._process

    def result(self) -> Result:
        print(f"\nTests on {self.name}", flush=True)
        status = (self._process or self.begin(aside=False)).wait()
        if self._output.exists():
            print(self._output.read_text(errors="replace"), flush=True)
        return _read(self._report, Result(self.name, status))


def _environment(scratch: Path, server: str | None, share: Share) -> dict[str, str]:
    """Ours, less everything that points at an installation: tests must not touch a real one."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BEATKEEPER_", "CELERY_", "DJANGO_")) and name != "DATABASE_URL"
    }
    kept |= {"BEATKEEPER_STATE": str(scratch / "state"), "SECRET_KEY": "only-for-tests"}
    if server:
        kept["TEST_DATABASE_URL"] = server
    if share.only:
        kept["TEST_ONLY"] = share.only
    if share.database_url:
        kept["DATABASE_URL"] = share.database_url
    return kept


def _read(report: Path, result: Result) -> Result:
    if not report.exists():
        return result
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            result.failed += 1
        elif skipped is not None:
            reason = skipped.get("message", "")
            result.skipped[reason] = result.skipped.get(reason, 0) + 1
        else:
            result.passed += 1
    return result


def _summarize(results: Sequence[Result], missing: dict[str, str]) -> None:
    print("\nCovered")
    for result in results:
        print(f"  {result.share}: {result.passed} passed, {result.failed} failed")
    used = [name for name in ("RabbitMQ", "Redis", "Chromium") if name not in missing]
    print(f"  servers and programs found: {', '.join(used) or 'none'}")
    reasons = [(count, reason) for result in results for reason, count in result.skipped.items()]
    if missing or reasons:
        print("Not covered")
    for name, why in missing.items():
        print(f"  {name}: {why}")
    for count, reason in reasons:
        print(f"  {count} skipped: {reason}")
    skipped = sum(count for count, _ in reasons)
    counts = f"{sum(r.passed for r in results)} passed, {sum(r.failed for r in results)} failed"
    print(f"{counts}, {skipped} skipped" if skipped else counts, flush=True)


def _status(results: Sequence[Result], missing: dict[str, str]) -> int:
    if missing and os.environ.get("CI") == "true":
        print(f"CI=true, and these are missing: {', '.join(missing)}", file=sys.stderr)
        return 1
    if all(result.status == NO_TESTS_RAN for result in results):
        return NO_TESTS_RAN
    return max((abs(result.status) for result in results if not result.is_good), default=0)
