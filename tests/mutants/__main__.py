"""Puts each fault of the catalogue into a copy of the project, and runs the tests that have to notice it.

    python -m tests.mutants [WORD ...] [--engine sqlite|postgresql] [--jobs 2] [--why] [--list]

WORD chooses mutants by what they are without. First the tests have to pass as the code is; then, for
each mutant on each engine where it makes a difference, at least one of its tests has to fail. Prints who
noticed. Exit status 1 where a mutant survives, an edit no longer matches, or a test could not be run:
then the tests are blind to that fault. PostgreSQL: TEST_DATABASE_URL, or the one on this machine.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import services
from tests.mutants.catalogue import MUTANTS
from tests.mutants.fault import BOTH, POSTGRESQL, Mutant

ROOT = Path(__file__).parent.parent.parent
NOT_COPIED = shutil.ignore_patterns(".*", "var", "__pycache__", "docs")

PATIENCE = 300
"""Seconds after which tests that hang are ended; a racer that hangs fails long before."""

OURS = ("BEATKEEPER_", "DJANGO_", "PYTEST_")
"""Variables that would speak of this installation, or of tests that are running."""

PASSED, FAILED = 0, 1  # pytest's exit statuses; any other says that the tests themselves did not run


@dataclass(frozen=True)
class Verdict:
    """Tests that failed, with what they said. `trouble` is set where they could not be run."""

    noticed_by: dict[str, str] = field(default_factory=dict)
    trouble: str = ""


@contextmanager
def copied(source: Path) -> Iterator[Path]:
    with TemporaryDirectory(prefix="beatkeeper-mutant-") as directory:
        root = Path(directory) / "project"
        shutil.copytree(source, root, ignore=NOT_COPIED)
        yield root


def run_tests(root: Path, tests: Sequence[str], database_url: str) -> Verdict:
    """In processes of their own, with nothing of this one's installation but the packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    given = {"BEATKEEPER_STATE": str(root / "var"), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": ""}
    given |= {"DATABASE_URL": database_url, "SECRET_KEY": "mutants"}
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=no", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=root, env=kept | given, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return Verdict(trouble=f"not over after {PATIENCE} s")
    failed = dict(re.findall(r"^FAILED \S+::(\w+)(?:\[[^\]]*\])?(?: - (.*))?$", done.stdout, re.MULTILINE))
    if done.returncode not in (PASSED, FAILED) or (done.returncode == FAILED and not failed):
        return Verdict(trouble=(done.stdout + done.stderr)[-2000:])
    return Verdict(noticed_by=failed)


def judged(mutant: Mutant, source: Path, database_url: str) -> Verdict:
    with copied(source) as root:
        try:
            mutant.apply(root)
        except LookupError as error:
            return Verdict(trouble=str(error))
        return run_tests(root, mutant.tests, database_url)


@dataclass(frozen=True)
class Judge:
    """`source` is a copy of its own: somebody may edit the project meanwhile."""

    source: Path
    jobs: int
    says_why: bool

    def judge(self, engine: str, mutants: Sequence[Mutant], database_url: str) -> int:
        """Prints a line for each; returns how many were not noticed."""
        began = time.monotonic()
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        sound = run_tests(self.source, tests, database_url)
        if sound.noticed_by or sound.trouble:
            print(f"{engine}: the tests fail on the code as it is. {said(sound)}")
            return len(mutants)
        print(f"{engine}: the tests pass on the code as it is ({time.monotonic() - began:.0f} s).")
        survivors = sum(
            not self._noticed(mutant, verdict) for mutant, verdict in self._verdicts(mutants, database_url)
        )
        noticed = len(mutants) - survivors
        print(f"{engine}: {noticed} of {len(mutants)} noticed, {time.monotonic() - began:.0f} s.")
        return survivors

    def _verdicts(self, mutants: Sequence[Mutant], database_url: str) -> Iterator[tuple[Mutant, Verdict]]:
        with ThreadPoolExecutor(self.jobs) as pool:
            yield from zip(
                mutants,
                pool.map(lambda mutant: judged(mutant, self.source, database_url), mutants),
                strict=True,
            )

    def _noticed(self, mutant: Mutant, verdict: Verdict) -> bool:
        print(f"  {mutant.without:<66} {said(verdict)}", flush=True)
        for test, reason in verdict.noticed_by.items() if self.says_why else ():
            print(f"      {test}: {reason}")
        return bool(verdict.noticed_by)


def said(verdict: Verdict) -> str:
    if verdict.trouble:
        return f"NOT JUDGED: {verdict.trouble}"
    if not verdict.noticed_by:
        return "SURVIVES"
    first, *others = verdict.noticed_by
    return first + (f" and {len(others)} more" if others else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--engine", choices=BOTH)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="only say which there are")
    parser.add_argument("--why", action="store_true", help="also print what each failing test said")
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if all(word.lower() in m.without.lower() for word in options.words)]
    if not chosen:
        print(f"No mutant is without {' '.join(options.words)!r}. All: python -m tests.mutants --list")
        return 1
    if options.list:
        for mutant in chosen:
            print(f"{mutant.without:<66} {', '.join(mutant.engines)}")
        return 0
    survivors = 0
    with services.postgresql() as postgresql, copied(ROOT) as source:
        judge = Judge(source, options.jobs, options.why)
        for engine in [options.engine] if options.engine else BOTH:
            mutants = [mutant for mutant in chosen if engine in mutant.engines]
            if engine == POSTGRESQL and postgresql is None:
                print("PostgreSQL is not there: its mutants are not judged.")
                survivors += len(mutants)
            elif mutants:
                url = postgresql if engine == POSTGRESQL else ""
                survivors += judge.judge(engine, mutants, url or "")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
