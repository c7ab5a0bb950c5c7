"""A crontab of this machine, edited under cron's eyes: read, judged, replaced as a whole. No database.

A file is replaced by another under a name that cron ignores, in the same directory, and a rename:
cron sees the old file or the new one, and a new time of change on the file and on its directory. The
crontab of an account that only `crontab` may touch is replaced through that program. Who decides
what is written, and when, is `flow`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Protocol

from django.conf import settings

from schedules.accounts import Accounts, own_account
from schedules.errors import NotPossible
from schedules.importing.files import facts_of, read_content
from schedules.importing.sources import SPOOLS, SYSTEM_CRONTAB, SYSTEM_DIRECTORY
from schedules.rules.crontab.grammar import Daemon
from schedules.rules.crontab.lines import Format
from schedules.rules.crontab.places import Place, ignored_name, ignored_spool_name, why_ignored

ACCOUNT_LABEL = "crontab:"
"""How an import through a pipe labels the crontab of an account."""

PID_FILES = (Path("/run/crond.pid"), Path("/var/run/crond.pid"), Path("/run/cron.pid"))
_PATIENCE = 10
"""Seconds that the program `crontab` may take: longer, and the safe part of the minute is over."""


class ChangedMeanwhile(NotPossible):
    """Somebody else edited the crontab between our look at it and our edit."""


class Crontab(Protocol):
    """What a cut-over needs. `place` is for people; `read` and `replace` raise OSError, NotPossible."""

    place: str
    format: Format
    daemon: Daemon

    def read(self) -> bytes: ...
    def replace(self, content: bytes, *, expected: bytes) -> None:
        """Puts `content` where `expected` is now. Raises ChangedMeanwhile, and changes nothing then."""

    def why_ignored(self) -> list[str]:
        """Why cron does not read it, or why we may not edit it, as sentences."""

    def locked(self) -> AbstractContextManager[None]:
        """Nobody else cuts over here meanwhile. Raises NotPossible."""


def crontab_at(source: str, *, path: str = "", daemon: Daemon = Daemon.CRON) -> Crontab:
    """The crontab that schedules with this source came from; `path` is where it was read.

    Raises NotPossible where it is not one of this machine.
    """
    if source.startswith(ACCOUNT_LABEL):
        return CrontabOfAccount(source.removeprefix(ACCOUNT_LABEL))
    place = path or source
    if not os.path.isabs(place):
        raise NotPossible(
            f"{place} is not a path on this machine. Import the crontab by its own path, such as "
            "/var/spool/cron/crontabs/NAME or /etc/cron.d/NAME, or cut over by hand."
        )
    return CrontabFileOnDisk(Path(place), daemon)


class CrontabFileOnDisk:
    """/etc/crontab, a file of /etc/cron.d, an account's file in the spool."""

    def __init__(self, path: Path, daemon: Daemon = Daemon.CRON) -> None:
        self.path, self.place, self.daemon = path, str(path), daemon
        system = path == SYSTEM_CRONTAB or path.parent == SYSTEM_DIRECTORY
        self.format = Format.SYSTEM if system else Format.USER

    def read(self) -> bytes:
        return read_content(str(self.path))

    def why_ignored(self) -> list[str]:
        if self.format is Format.USER and self.path.parent not in SPOOLS:
            return [f"{self.place} is not a file that cron reads: it is in none of its directories"]
        if self.path.is_symlink():
            return [f"{self.place} is a symbolic link: cut over by hand in the file it points to"]
        problems = [why for why in (self._bad_name(), self._bad_facts()) if why]
        if os.geteuid() != 0:  # who owns the file does not own the directory, where the new one is made
            problems.append(f"only root may edit {self.place}: run this as root")
        return problems

    def _bad_name(self) -> str | None:
        if self.format is Format.USER:
            if Accounts().number(self.path.name) is None:
                return f'cron ignores {self.place}: there is no account "{self.path.name}"'
            return ignored_spool_name(self.path.name, self.daemon)
        in_directory = self.path.parent == SYSTEM_DIRECTORY
        return ignored_name(self.path.name, self.daemon) if in_directory else None

    def _bad_facts(self) -> str:
        user = self.format is Format.USER
        facts = facts_of(str(self.path), account=Accounts().number(self.path.name) if user else None)
        reason = why_ignored(Place.SPOOL if user else Place.SYSTEM, self.daemon, facts)
        return f"{self.daemon} ignores {self.place}: {reason}" if reason else ""

    def replace(self, content: bytes, *, expected: bytes) -> None:
        before = os.lstat(self.path)
        temporary = self.path.with_name(f".beatkeeper-{os.getpid()}-{self.path.name}")
        try:
            self._write(temporary, content, before)
            now = os.lstat(self.path)
            if _identity(now) != _identity(before) or self.read() != expected:
                raise ChangedMeanwhile(
                    f"{self.place} was edited by somebody else just now. Look, and repeat."
                )
            os.rename(temporary, self.path)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
        _sync(self.path.parent)

    def _write(self, temporary: Path, content: bytes, like: os.stat_result) -> None:
        """Complete and on disk before it gets the name, with owner, mode and attributes of the old one."""
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchown(file.fileno(), like.st_uid, like.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(like.st_mode))
            for name in os.listxattr(self.path):
                os.setxattr(file.fileno(), name, os.getxattr(self.path, name))
            written = os.fstat(file.fileno())
            if int(written.st_mtime) == int(like.st_mtime):  # cron compares whole seconds
                os.utime(file.fileno(), (written.st_atime, like.st_mtime + 1))
            os.fsync(file.fileno())

    @contextmanager
    def locked(self) -> Iterator[None]:
        with _lock(self.path.parent, self.place):
            yield


class CrontabOfAccount:
    """An account's crontab through `crontab`, as `crontab -l` prints it."""

    format, daemon = Format.USER, Daemon.CRON

    def __init__(self, account: str) -> None:
        self.account = account
        self.place = f"the crontab of {account}"
        other = account != own_account()
        self._command = ["crontab", *(["-u", account] if other else [])]

    def read(self) -> bytes:
        return self._run("-l")

    def why_ignored(self) -> list[str]:
        if shutil.which("crontab") is None:
            return ["there is no program crontab(1) here"]
        if self.account not in (own_account(), "") and os.geteuid() != 0:
            return [f"only {self.account} and root may edit {self.place}"]
        return []

    def replace(self, content: bytes, *, expected: bytes) -> None:
        if self.read() != expected:
            raise ChangedMeanwhile(f"{self.place} was edited by somebody else just now. Look, and repeat.")
        self._run("-", content)

    def _run(self, argument: str, given: bytes = b"") -> bytes:
        try:
            done = subprocess.run(
                [*self._command, argument], input=given, capture_output=True, timeout=_PATIENCE, check=False
            )
        except subprocess.TimeoutExpired:
            raise NotPossible(f"crontab(1) has not answered for {_PATIENCE} s.") from None
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[:300]
            raise NotPossible(f"crontab(1) refuses ({self.place}): {said or f'status {done.returncode}'}")
        return done.stdout

    @contextmanager
    def locked(self) -> Iterator[None]:
        with _lock(_made(state_directory()), self.place):
            yield


def state_directory() -> Path:
    """Where backups go: cron reads nothing there. A project of its own may have no such setting."""
    return Path(getattr(settings, "STATE_DIR", Path.home() / ".beatkeeper"))


def write_backup(place: str, content: bytes, now: datetime) -> Path:
    """A crontab as it was at `now`: on disk when this returns, readable by its owner only (secrets)."""
    name = "".join(character if character.isalnum() else "-" for character in place).strip("-")[-80:]
    digest = hashlib.sha256(content).hexdigest()[:8]
    path = _made(state_directory() / "crontabs") / f"{name}.{now:%Y%m%dT%H%M%SZ}.{digest}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _sync(path.parent)
    return path


def daemon_runs() -> bool | None:
    """Whether a cron daemon runs here; None where that cannot be read."""
    for path in PID_FILES:
        try:
            pid = int(path.read_text().strip() or "0")
            return pid > 0 and "cron" in Path(f"/proc/{pid}/comm").read_text()
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            return None
    return False


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_mtime_ns, status.st_size, status.st_uid, status.st_mode


@contextmanager
def _lock(directory: Path, place: str) -> Iterator[None]:
    """On the directory, so that no file of ours lies where cron looks."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotPossible(
                f"Another cut-over is under way in {directory} ({place}). Repeat when it has ended."
            ) from None
        yield
    finally:
        os.close(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
