"""The first start on a machine with nothing but Python. Offline, but for the last test.

The dependencies are one package made here and found by pip's own configuration, so that a start
takes two seconds; the last test installs the real ones.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from scheduler.bootstrap import ROOT
from tests.system.installation import wait_for

pytestmark = pytest.mark.system

BASE_PYTHON = str(getattr(sys, "_base_executable", sys.executable))
PROGRAM = """
import sys
from scheduler import bootstrap
bootstrap.RUNTIME = bootstrap.Needs("requirements.txt", (), ("beatkeeper_probe",))
bootstrap.DEVELOPMENT = bootstrap.Needs(
    "requirements-dev.txt", ("requirements.txt",), ("beatkeeper_probe", "beatkeeper_tool")
)
bootstrap.prepare(sys.argv)
import beatkeeper_probe
print(beatkeeper_probe.VERSION, *sys.argv[1:])
"""


@dataclass
class Checkout:
    path: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.path / "home"),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.path / "packages"),
            "PIP_CONFIG_FILE": os.devnull,
            "PYTHONPATH": str(self.path / "site"),
        }

    def require(self, version: str) -> None:
        (self.path / "deploy" / "requirements.txt").write_text(f"beatkeeper-probe=={version}\n")

    def offer(self, name: str, version: str) -> None:
        """Puts a wheel where pip finds it: the format is a zip file with three files of text."""
        module, info = name.replace("-", "_"), f"{name.replace('-', '_')}-{version}.dist-info"
        with zipfile.ZipFile(self.path / "packages" / f"{module}-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{module}.py", f'VERSION = "{version}"\n')
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")

    def lack(self, *modules: str) -> None:
        """Every Python that starts from now on is one without these modules, as Debian splits them out."""
        lines = "".join(f"sys.modules[{module!r}] = None\n" for module in modules)
        (self.path / "site" / "sitecustomize.py").write_text(f"import sys\n{lines}")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BASE_PYTHON, "manage.py", *arguments],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @property
    def record(self) -> Path:
        return self.path / ".venv" / "beatkeeper.json"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    for name in ("deploy", "scheduler", "packages", "site", "home"):
        (tmp_path / name).mkdir()
    shutil.copy(ROOT / "scheduler" / "bootstrap.py", tmp_path / "scheduler")
    (tmp_path / "manage.py").write_text(PROGRAM)
    (tmp_path / "deploy" / "requirements-dev.txt").write_text("-r requirements.txt\nbeatkeeper-tool==1\n")
    made = Checkout(tmp_path)
    made.offer("beatkeeper-probe", "1")
    made.offer("beatkeeper-tool", "1")
    made.require("1")
    made.lack("ensurepip")  # the quicker of the two ways
    return made


def test_the_first_start_installs_the_second_only_starts_and_new_pins_install_again(
    checkout: Checkout,
) -> None:
    checkout.lack()  # as Python comes: with ensurepip
    first = checkout.run("list_runs", "--json")
    second = checkout.run("list_runs", "--json")
    checkout.offer("beatkeeper-probe", "2")
    checkout.require("2")
    third = checkout.run("up")

    # stdout belongs to the command: progress is on stderr.
    assert first.stdout == second.stdout == "1 list_runs --json\n"
    assert "installing what it needs" in first.stderr
    assert second.stderr == ""
    assert third.stdout == "2 up\n"


def test_only_the_tests_install_what_only_tests_need(checkout: Checkout) -> None:
    checkout.run("up")
    tool = checkout.path / ".venv" / "lib"

    assert not list(tool.rglob("beatkeeper_tool.py"))
    assert checkout.run("test", "-x").stdout == "1 test -x\n"
    assert list(tool.rglob("beatkeeper_tool.py"))
    assert checkout.run("up").stderr == ""


def test_without_a_package_index_a_sentence_says_so_and_the_next_start_mends_it(checkout: Checkout) -> None:
    wheel = next((checkout.path / "packages").glob("beatkeeper_probe-1-*"))
    hidden = wheel.rename(checkout.path / wheel.name)

    failed = checkout.run("up")
    hidden.rename(wheel)
    mended = checkout.run("up")

    assert failed.returncode == 1
    assert "It needs a package index" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert mended.stdout == "1 up\n"


def test_a_start_killed_while_installing_is_made_good_by_the_next(checkout: Checkout) -> None:
    killed = subprocess.Popen(
        [BASE_PYTHON, "manage.py", "up"],
        cwd=checkout.path,
        env=checkout.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for((checkout.path / ".venv" / "pyvenv.cfg").exists)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()

    assert checkout.run("up").stdout == "1 up\n"


def test_an_environment_left_half_installed_is_made_anew(checkout: Checkout) -> None:
    checkout.run("up")
    checkout.record.write_text(json.dumps({"state": "installing"}))
    next((checkout.path / ".venv").rglob("beatkeeper_probe.py")).write_text("half")

    assert checkout.run("up").stdout == "1 up\n"


def test_an_environment_whose_python_is_gone_is_made_anew(checkout: Checkout) -> None:
    checkout.run("up")
    for python in (checkout.path / ".venv" / "bin").glob("python*"):
        python.unlink()

    assert checkout.run("up").stdout == "1 up\n"


def test_without_ensurepip_the_pip_of_the_system_installs(checkout: Checkout) -> None:
    assert checkout.run("up").stdout == "1 up\n"
    assert not list((checkout.path / ".venv").rglob("pip"))


def test_without_ensurepip_and_pip_the_line_that_installs_them_is_printed(checkout: Checkout) -> None:
    checkout.lack("ensurepip", "pip")

    found = checkout.run("up")

    assert found.returncode == 1
    assert "Run this, then the same command again" in found.stderr
    assert not (checkout.path / ".venv").exists()


def test_an_environment_that_has_everything_is_used_as_it_is(checkout: Checkout) -> None:
    (checkout.path / "site" / "beatkeeper_probe.py").write_text('VERSION = "mine"\n')

    assert checkout.run("up").stdout == "mine up\n"
    assert not (checkout.path / ".venv").exists()


def test_two_first_starts_at_the_same_moment_install_once(checkout: Checkout) -> None:
    both = [
        subprocess.Popen(
            [BASE_PYTHON, "manage.py", "up"],
            cwd=checkout.path,
            env=checkout.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in both]

    assert [output for output, _ in outputs] == ["1 up\n", "1 up\n"]
    assert sum("installing what it needs" in errors for _, errors in outputs) == 1


def test_an_older_python_is_told_what_is_needed() -> None:
    program = (ROOT / "manage.py").read_text()
    ast.parse(program, feature_version=(3, 4))
    pretend = (
        "import runpy, sys; sys.version_info = (3, 8, 18); runpy.run_path(sys.argv[1], run_name='__main__')"
    )

    found = subprocess.run(
        [sys.executable, "-c", pretend, str(ROOT / "manage.py"), "up"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 1
    assert found.stderr.startswith("Beatkeeper needs Python 3.11 or newer, and this is Python 3.8.")
    assert "Traceback" not in found.stderr


def test_the_real_dependencies_install_from_nothing(tmp_path: Path) -> None:
    for name in ("manage.py", "scheduler", "schedules", "deploy"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    environment = {
        # pip's own variables say where packages come from; nothing else of this environment counts.
        **{name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_"))},
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PYTHONNOUSERSITE": "1",
    }
    found = subprocess.run(
        [BASE_PYTHON, "manage.py", "check"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    if "It needs a package index" in found.stderr:
        pytest.skip("no package index can be reached")
    assert found.returncode == 0, found.stderr
    assert "no issues" in found.stdout
    assert (tmp_path / ".venv" / "beatkeeper.json").exists()
