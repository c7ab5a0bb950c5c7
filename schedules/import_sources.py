"""Crontabs as they lie on this machine: files, directories and pipes, read and labelled. No database.

What they say is read by `rules.crontab`; which schedules they become is decided in `importing`, the
only caller besides its command. The label of a source is how a later import finds its schedules again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import pwd
import stat
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from schedules.errors import CrontabRefused
from schedules.rules.crontab import ignored_name
from schedules.rules.crontab_lines import Format
from schedules.rules.crontab_refusals import MAX_BYTES

SYSTEM_CRONTAB, SYSTEM_DIRECTORY = Path("/etc/crontab"), Path("/etc/cron.d")
SPOOLS = (Path("/var/spool/cron/crontabs"), Path("/var/spool/cron"))
RUN_PARTS = frozenset(f"cron.{name}" for name in ("hourly", "daily", "weekly", "monthly", "yearly"))
_RUN_PARTS_ADVICE = (
    "the directory holds programs for run-parts, not crontabs. Import the crontab whose lines start "
    "them, such as /etc/crontab"
)
_READ_AS = {
    Format.SYSTEM: "read like /etc/cron.d: system crontabs, with an account in each line; a spool of "
    "users' crontabs needs --format user",
    Format.USER: "read as a spool of users' crontabs, each named after its account",
}

LONGEST_LABEL = 255
_LOOKED_AT = 1024
"""Bytes. A NUL among the first ones means that the file is no text."""


@dataclass(frozen=True, kw_only=True)
class Remark:
    """Something to tell the operator; `line` is 0 where it is about the whole file."""

    file: str
    line: int = 0
    reason: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """One crontab. `account` runs its jobs in the user format; None: nobody said which.

    `prefix` goes before the names of its schedules, where several files are imported together.
    """

    label: str
    file: str
    format: Format
    account: str | None = None
    prefix: str = ""
    text: bytes


@dataclass
class Sources:
    """What was found. `folders` are directories that were read whole, `unread` labels of refused files."""

    found: list[Source] = field(default_factory=list)
    refused: list[Remark] = field(default_factory=list)
    notes: list[Remark] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the operator said about all paths. None: infer it from the path, and say so."""

    format: Format | None = None
    account: str | None = None


class Accounts(Collection[str]):
    """The accounts of this machine, asked one by one: directories such as LDAP cannot always list them."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}

    def __contains__(self, name: object) -> bool:
        text = str(name)
        if text not in self._known:
            self._known[text] = _exists(text)
        return self._known[text]

    def __iter__(self) -> Iterator[str]:
        return (entry.pw_name for entry in pwd.getpwall())

    def __len__(self) -> int:
        return len(pwd.getpwall())

    def __bool__(self) -> bool:
        return True


def own_account() -> str:
    """The account of this process; its number where it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def read(paths: Sequence[str], reading: Reading) -> Sources:
    """Reads every path. "-" and pipes are read as one crontab each; a directory as its files, sorted.

    What cannot be read is refused, not raised. Raises CrontabRefused where `reading` does not fit
    the paths.
    """
    sources = Sources()
    for path in paths:
        if path == "-":
            _read_pipe(path, "standard input", reading, sources)
        elif os.path.isdir(path):
            _read_directory(Path(path), reading, sources)
        elif _is_pipe(path):
            _read_pipe(path, path, reading, sources)
        else:
            _read_file(Path(path), reading, sources)
    _leave_out_repeated(sources)
    return sources


def _is_pipe(path: str) -> bool:
    """True for what has no lasting name, such as the shell's <(crontab -l)."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def _read_pipe(path: str, shown: str, reading: Reading, sources: Sources) -> None:
    format = reading.format or Format.USER
    try:
        text = _bytes_of(path)
    except OSError as error:
        _refuse(sources, shown, f"it cannot be read: {error.strerror}")
        return
    owner = reading.account or own_account()
    label = "crontab:(system)" if format is Format.SYSTEM else f"crontab:{owner}"
    _add(sources, Source(label=label, file=shown, format=format, account=reading.account, text=text))


def _read_file(path: Path, reading: Reading, sources: Sources) -> None:
    place = Path(os.path.realpath(path))
    format, account = reading.format, reading.account
    if format is None and (place == SYSTEM_CRONTAB or place.parent == SYSTEM_DIRECTORY):
        format = Format.SYSTEM
        _note(sources, path, "read as a system crontab (an account follows the time), because of its path")
    if format is None and account is None and place.parent in SPOOLS and place.name in Accounts():
        account = place.name
        _note(sources, path, f'read as the crontab of the account "{account}", because of its path')
    if place.parent == SYSTEM_DIRECTORY and (why := ignored_name(place.name)):
        _note(sources, path, f"{why}. Its jobs do not run today; under Beatkeeper they will")
    _read_into(sources, path, format=format or Format.USER, account=account)


def _read_directory(folder: Path, reading: Reading, sources: Sources) -> None:
    if folder.name in RUN_PARTS:
        _refuse(sources, str(folder), _RUN_PARTS_ADVICE)
        return
    place = Path(os.path.realpath(folder))
    format = reading.format or (Format.USER if place in SPOOLS else Format.SYSTEM)
    if format is Format.USER and reading.account is not None:
        raise CrontabRefused(
            f'--account does not go with the directory "{folder}": in a spool directory each file is '
            "named after its account. Leave --account out."
        )
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        _refuse(sources, str(folder), f"the directory cannot be read: {error.strerror}")
        return
    if not names:
        _refuse(sources, str(folder), "the directory is empty: there is no crontab to import")
        return
    if reading.format is None and place != SYSTEM_DIRECTORY:
        _note(sources, folder, _READ_AS[format])
    sources.folders.append(printable_path(os.path.abspath(folder)))
    for name in names:
        _read_member(folder / name, format, sources)


def _read_member(path: Path, format: Format, sources: Sources) -> None:
    why = _why_ignored(path, format)
    if why:
        _note(sources, path, f"left out: {why}")
    elif format is Format.SYSTEM:
        _read_into(sources, path, format=format, account=None, prefix=path.name)
    else:
        _read_into(sources, path, format=format, account=path.name, prefix=path.name)


def _why_ignored(path: Path, format: Format) -> str:
    """Why cron does not read this member of its directory; "" where it does."""
    if not path.is_file():
        return "it is not a regular file" if path.exists() else "it is a link to a file that does not exist"
    if format is Format.SYSTEM:
        return ignored_name(path.name) or ""
    if path.name not in Accounts():
        return f'there is no account "{path.name}" here, so cron ignores its crontab'
    return ""


def _read_into(
    sources: Sources, path: Path, *, format: Format, account: str | None, prefix: str = ""
) -> None:
    try:
        text = _bytes_of(path)
    except OSError as error:
        _refuse(sources, str(path), f"it cannot be read: {error.strerror}")
        return
    label = _label(path)
    _add(
        sources,
        Source(
            label=label,
            file=printable_path(str(path)),
            format=format,
            account=account,
            prefix=prefix,
            text=text,
        ),
    )


def _bytes_of(path: str | Path) -> bytes:
    """The content, at most one byte beyond the limit, by which the parser recognises rubbish."""
    if path == "-":
        if sys.stdin is None:
            raise OSError(errno.EBADF, "it is closed")
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)


def _label(path: Path) -> str:
    """The absolute path; a longer one than the column takes keeps its end and a digest of the rest."""
    text = printable_path(os.path.abspath(path))
    if len(text) <= LONGEST_LABEL:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"…{digest}…{text[-(LONGEST_LABEL - 18) :]}"


def printable_path(path: str) -> str:
    """A path as text that every database stores: bytes that are not UTF-8 become `\\xNN`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _add(sources: Sources, source: Source) -> None:
    if b"\0" in source.text[:_LOOKED_AT]:
        _refuse(sources, source.file, "it is a binary file, not a crontab")
        return
    sources.found.append(source)


def _leave_out_repeated(sources: Sources) -> None:
    """A file that was named twice is imported once."""
    seen: set[str] = set()
    for source in list(sources.found):
        if source.label in seen:
            sources.found.remove(source)
            _note(sources, source.file, "named twice, imported once")
        seen.add(source.label)


def _refuse(sources: Sources, file: str, reason: str) -> None:
    sources.unread.add(_label(Path(file)))
    sources.refused.append(Remark(file=printable_path(file), reason=reason))


def _note(sources: Sources, file: str | Path, reason: str) -> None:
    sources.notes.append(Remark(file=printable_path(str(file)), reason=reason))


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except (KeyError, ValueError, UnicodeError):
        return False
    return True
