"""Crontabs as they lie on this machine: files, directories and pipes, read and labelled. No database.

What they say is read in `importing.reading`; which schedules they become is decided in `importing.planning`.

A directory is read as its daemon reads it: files that the daemon ignores are left out, with the reason. Names
count everywhere. Owner, mode and links count in the daemon's own directories; a copy
has those of whoever made it, so there they are told and nothing is left out (`Reading.strict` does).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from schedules.accounts import Accounts, own_account
from schedules.errors import CrontabRefused
from schedules.importing.files import facts_of, is_pipe, read_content, read_standard_input
from schedules.importing.labels import LONGEST_LABEL, OF_AN_ACCOUNT, label_of, printable_path
from schedules.importing.values import Reading, Remark, Source, Sources
from schedules.rules.crontab.lines import Format
from schedules.rules.crontab.places import Place, name_complaint, why_ignored
from schedules.rules.crontab.refusals import no_text_complaint

__all__ = [
    "LONGEST_LABEL",
    "Accounts",
    "Reading",
    "Remark",
    "Source",
    "Sources",
    "own_account",
    "printable_path",
    "read",
]

SYSTEM_CRONTAB, SYSTEM_DIRECTORY = Path("/etc/crontab"), Path("/etc/cron.d")
SPOOLS = (Path("/var/spool/cron/crontabs"), Path("/var/spool/cron"))
ANACRONTAB_NAME = "anacrontab"
RUN_PARTS = frozenset(f"cron.{name}" for name in ("hourly", "daily", "weekly", "monthly", "yearly"))
_RUN_PARTS_ADVICE = (
    "the directory holds programs for run-parts, not crontabs. Import the crontab whose lines start "
    "them, such as /etc/crontab"
)
_READ_AS = {
    Place.SYSTEM: "read like /etc/cron.d: system crontabs, with an account in each line; a spool of "
    "users' crontabs needs --spool",
    Place.SPOOL: "read as a spool of users' crontabs, each named after its account",
}
_LIKE_CRON_D = (
    "read as a system crontab (an account follows the time), like all files of a cron.d; for a user's, say "
    "--format user"
)
_NOTHING_USABLE = "there is no crontab in it that {daemon} would read, so there is nothing to import"

_SPOOLS_ENDS = (("cron", "crontabs"), ("spool", "cron"), ("etc", "crontabs"))
"""The last two names of a spool's path, wherever a copy of it lies; the last one is BusyBox's."""


def read(paths: Sequence[str], reading: Reading) -> Sources:
    """Reads every path. "-" and pipes are read as one crontab each; a directory as its files, sorted.

    What cannot be read is refused, not raised. Raises CrontabRefused where `reading` does not fit
    the paths.
    """
    if reading.label and (len(paths) != 1 or os.path.isdir(paths[0])):
        raise CrontabRefused("--source goes with one file, because it is the name of that file's jobs.")
    sources = Sources()
    for path in paths:
        if path == "-":
            _read_pipe(path, "standard input", reading, sources)
        elif os.path.isdir(path):
            _read_directory(Path(path), reading, sources)
        elif is_pipe(path):
            _read_pipe(path, path, reading, sources)
        else:
            _read_file(Path(path), reading, sources)
    _leave_out_repeated(sources)
    return sources


def is_read_by_cron(label: str) -> bool:
    """Whether a source of this label is a crontab that a cron daemon reads on its own machine.

    False for a copy, for a file of any other place, and for anacron's table.
    """
    path = Path(label)
    return (
        label.startswith(OF_AN_ACCOUNT)
        or path == SYSTEM_CRONTAB
        or path.parent in (SYSTEM_DIRECTORY, *SPOOLS)
    )


def _read_pipe(path: str, shown: str, reading: Reading, sources: Sources) -> None:
    format = reading.format or Format.USER
    try:
        text = _bytes_of(path)
    except OSError as error:
        _refuse(sources, shown, f"it cannot be read: {error.strerror}")
        return
    owner = reading.account or own_account()
    label = reading.label or OF_AN_ACCOUNT + ("(system)" if format is Format.SYSTEM else owner)
    _add(
        sources,
        Source(
            label=label,
            file=shown,
            format=format,
            daemon=reading.daemon,
            account=reading.account,
            text=text,
        ),
    )


def _read_file(path: Path, reading: Reading, sources: Sources) -> None:
    place = Path(os.path.realpath(path.parent)) / path.name
    format, account, where = reading.format, reading.account, None
    prefix = path.name if _is_of_a_set(place) else ""  # as where the folder is read
    if place == SYSTEM_CRONTAB or place.parent == SYSTEM_DIRECTORY:
        where = Place.SYSTEM
        if format is None:
            format = Format.SYSTEM
            _note(
                sources, path, "read as a system crontab (an account follows the time), because of its path"
            )
    elif place.parent in SPOOLS and place.name in Accounts():
        where = Place.SPOOL
        if format is None and account is None:
            account = place.name
            _note(sources, path, f'read as the crontab of the account "{account}", because of its path')
    elif format is None and account is None and place.parent.name == SYSTEM_DIRECTORY.name:
        format = Format.SYSTEM
        _note(sources, path, _LIKE_CRON_D)
    elif format is None and path.name == ANACRONTAB_NAME:
        format = Format.ANACRONTAB
        _note(sources, path, "read as anacron's table, because of its name")
    why = where and (_name_complaint(place, where, reading) or _facts_complaint(place, where, reading))
    if why:
        _note(sources, path, f"{why}. Its jobs do not run today; under Beatkeeper they will", "dormant")
    _read_into(
        sources,
        path,
        reading,
        format=format or Format.USER,
        account=account,
        prefix=prefix,
        is_dormant=bool(why),
        is_crons_own=where is Place.SYSTEM,
    )


def _is_of_a_set(path: Path) -> bool:
    """Whether the path is one of a cron.d or of a spool, perhaps in a copy."""
    return path.parent.name == SYSTEM_DIRECTORY.name or path.parent.parts[-2:] in _SPOOLS_ENDS


def _read_directory(folder: Path, reading: Reading, sources: Sources) -> None:
    if folder.name in RUN_PARTS:
        _refuse(sources, str(folder), _RUN_PARTS_ADVICE)
        return
    place = Path(os.path.realpath(folder))
    where = _place_of(place, reading)
    if where is Place.SPOOL and reading.account is not None:
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
    is_real = place == SYSTEM_DIRECTORY or place in SPOOLS
    if reading.format is None and not reading.spool and not is_real:
        _note(sources, folder, _READ_AS[where])
    before = len(sources.found), len(sources.refused)
    for name in names:
        _read_member(folder / name, where, reading, sources, is_strict=is_real or reading.strict)
    if before == (len(sources.found), len(sources.refused)):
        _refuse(sources, str(folder), _NOTHING_USABLE.format(daemon=reading.daemon))
    else:
        sources.folders.append(printable_path(os.path.abspath(folder)))


def _place_of(folder: Path, reading: Reading) -> Place:
    if reading.spool or reading.format is Format.USER:
        return Place.SPOOL
    return Place.SPOOL if reading.format is None and folder in SPOOLS else Place.SYSTEM


def _read_member(path: Path, where: Place, reading: Reading, sources: Sources, *, is_strict: bool) -> None:
    why = _name_complaint(path, where, reading)
    if not why and not path.is_file():
        why = "it is not a regular file" if path.exists() else "it is a link to a file that does not exist"
    rule = "" if why else _facts_complaint(path, where, reading)
    if why or (rule and is_strict):
        _note(sources, path, f"left out: {why or rule}", "left-out")
        return
    if rule:
        _note(
            sources,
            path,
            f"{rule}, so {reading.daemon} would ignore it. It is read, because that may come from copying",
            "copy",
        )
    if where is Place.SYSTEM:
        is_own = Path(os.path.realpath(path.parent)) == SYSTEM_DIRECTORY
        _read_into(
            sources,
            path,
            reading,
            format=Format.SYSTEM,
            account=None,
            prefix=path.name,
            is_crons_own=is_own,
        )
    else:
        _read_into(sources, path, reading, format=Format.USER, account=path.name, prefix=path.name)


def _name_complaint(path: Path, where: Place, reading: Reading) -> str:
    if path == SYSTEM_CRONTAB:
        return ""
    complaint = name_complaint(path.name, where, reading.daemon)
    if complaint:
        return f"{reading.daemon} ignores it: {complaint}"
    if where is Place.SPOOL and path.name not in Accounts():
        return "there is no account of this name here, so cron ignores its crontab"
    return ""


def _facts_complaint(path: Path, where: Place, reading: Reading) -> str:
    """Why the daemon ignores the file for its owner, mode or links; "" where it does not."""
    account = Accounts().number(path.name) if where is Place.SPOOL else None
    try:
        return why_ignored(where, reading.daemon, facts_of(str(path), account=account))
    except OSError:
        return ""  # reading it says the same, and is refused


def _read_into(
    sources: Sources,
    path: Path,
    reading: Reading,
    *,
    format: Format,
    account: str | None,
    prefix: str = "",
    is_dormant: bool = False,
    is_crons_own: bool = False,
) -> None:
    try:
        text = _bytes_of(str(path))
    except OSError as error:
        _refuse(sources, str(path), f"it cannot be read: {error.strerror}")
        return
    _add(
        sources,
        Source(
            label=reading.label or label_of(path),
            file=printable_path(str(path)),
            path=printable_path(os.path.abspath(path)),
            format=format,
            daemon=reading.daemon,
            account=account,
            prefix=prefix,
            is_dormant=is_dormant,
            is_crons_own=is_crons_own,
            text=text,
        ),
    )


def _bytes_of(path: str) -> bytes:
    """The content, at most one byte beyond the limit, by which the parser recognises rubbish."""
    return read_standard_input() if path == "-" else read_content(path)


def _add(sources: Sources, source: Source) -> None:
    complaint = no_text_complaint(source.text)
    if complaint:
        _refuse(sources, source.file, complaint)
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
    sources.unread.add(label_of(Path(file)))
    sources.refused.append(Remark(file=printable_path(file), reason=reason))


def _note(sources: Sources, file: str | Path, reason: str, kind: str = "source") -> None:
    sources.notes.append(Remark(file=printable_path(str(file)), reason=reason, kind=kind))
