"""Programs, scripts, directories and files that a command names: can the account use them?

The file system is behind `Files`; here is what follows from what it says. Called by `command.check`,
which knows where in the command a name stands.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Literal, Protocol

from schedules.rules.command.findings import Finding, error, warning

HEAD_SIZE = 512
"""Bytes of a script that are read: the kernel looks at 256 for the interpreter."""

_UNUSUAL_PLACES = (
    *("/usr/local/bin", "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin", "/snap/bin"),
    *("/opt/bin", "~/bin", "~/.local/bin"),
)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Seen:
    """A path as the account sees it. "closed": it cannot even be told whether it is there, for `reason`."""

    kind: Literal["file", "directory", "other", "missing", "closed"]
    readable: bool = False
    writable: bool = False
    executable: bool = False
    reason: str = ""


class Files(Protocol):
    """Look-ups as one account, on one machine."""

    def look(self, path: str) -> Seen:
        """What is at the absolute `path`, links followed."""

    def head(self, path: str) -> bytes:
        """The first HEAD_SIZE bytes of a regular file; b"" where they cannot be read."""

    def program_name(self, path: str) -> str:
        """The last part of the path behind all links, such as "dash" for /bin/sh."""


@dataclass(frozen=True)
class Place:
    """From where names are looked up. `directory`, `path` None: not certain."""

    files: Files
    account: str
    directory: str | None
    path: str | None
    home: str = ""

    def absolute(self, name: str) -> str | None:
        if name.startswith("/"):
            return name
        return None if self.directory is None else posixpath.normpath(posixpath.join(self.directory, name))


def program_findings(name: str, place: Place) -> tuple[str | None, list[Finding]]:
    """Where the program is, if that is certain, and what is wrong with it."""
    if "/" not in name:
        return _in_path(name, place)
    path = place.absolute(name)
    if path is None:
        return None, []
    seen = place.files.look(path)
    if seen.kind == "file" and seen.executable:
        return path, interpreter_findings(path, place)
    return None, [_unusable_program(path, seen, place.account)]


def _in_path(name: str, place: Place) -> tuple[str | None, list[Finding]]:
    """As execvp and the shells do: the first one that may be executed."""
    if place.path is None:
        return None, []
    found: Finding | None = None
    for directory in place.path.split(":"):
        path = place.absolute(posixpath.join(directory, name))
        if path is None:
            return None, []
        seen = place.files.look(path)
        if seen.kind == "file" and seen.executable:
            return path, interpreter_findings(path, place)
        if seen.kind == "file":
            found = found or _unusable_program(path, seen, place.account)
    return None, [found or _not_in_path(name, place)]


def _not_in_path(name: str, place: Place) -> Finding:
    elsewhere = next(filter(None, (_program_at(spot, name, place) for spot in _UNUSUAL_PLACES)), "")
    advice = (
        f"it is {elsewhere}: write it in full, or add a line PATH={place.path}:{posixpath.dirname(elsewhere)}"
        if elsewhere
        else f"install it on this machine, or correct the command ({name})"
    )
    return error("not_in_path", f'"{name}" is not found in PATH ({place.path})', advice)


def _program_at(directory: str, name: str, place: Place) -> str:
    path = posixpath.join(directory.replace("~", place.home or "~", 1), name)
    if not path.startswith("/"):
        return ""
    seen = place.files.look(path)
    return path if seen.kind == "file" and seen.executable else ""


def _unusable_program(path: str, seen: Seen, account: str) -> Finding:
    if seen.kind == "missing":
        return error("missing", f"{path} does not exist", "install it on this machine, or correct the path")
    if seen.kind == "file":
        advice = f"chmod +x {path}, or start it by its interpreter"
        return error("not_executable", f"{path} may not be executed by {account}", advice)
    return _not_a_file(path, seen, account)


def _not_a_file(path: str, seen: Seen, account: str) -> Finding:
    if seen.kind == "closed":
        return _closed(path, seen, account)
    what = "a directory" if seen.kind == "directory" else "not a regular file"
    return error("not_a_file", f"{path} is {what}", "correct the path")


def _closed(path: str, seen: Seen, account: str) -> Finding:
    advice = f"let {account} into the directories above it, or choose another account"
    return error("closed", f"{account} cannot look at {path} ({seen.reason})", advice)


def interpreter_findings(path: str, place: Place) -> list[Finding]:
    """What keeps the kernel from starting the script at `path`; nothing for other programs."""
    head = place.files.head(path)
    if head.startswith(_BYTE_ORDER_MARK + b"#!"):
        text = f"{path} begins with a byte order mark, so that its #! line is not seen"
        return [warning("byte_order_mark", text, "save it without the mark")]
    if not head.startswith(b"#!"):
        return []
    line = head[2:].partition(b"\n")[0].decode("utf-8", "replace").lstrip(" \t")
    if line.endswith("\r"):
        text = (
            f'the first line of {path} ends with a carriage return: there is no interpreter "{line[:-1]}\\r"'
        )
        return [error("carriage_return", text, f"convert it: dos2unix {path}")]
    words = line.split()
    return _interpreter(path, words, place) if words else []


def _interpreter(path: str, words: list[str], place: Place) -> list[Finding]:
    program = words[0]
    if not program.startswith("/"):
        return []
    seen = place.files.look(program)
    if not (seen.kind == "file" and seen.executable):
        problem = _unusable_program(program, seen, place.account)
        return [
            error("interpreter", f"the interpreter of {path} cannot be used: {problem.text}", "install it")
        ]
    name = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
    if posixpath.basename(program) != "env" or not name or "/" in name:
        return []
    _, problems = _in_path(name, place)
    return [error("interpreter", f"the interpreter of {path}: {each.text}", each.advice) for each in problems]


def script_findings(name: str, place: Place, *, by_shell: bool) -> list[Finding]:
    """A file that an interpreter is to execute. A shell looks for a bare name in PATH too."""
    path = place.absolute(name)
    if path is None:
        return []
    seen = place.files.look(path)
    if seen.kind == "missing" and by_shell and "/" not in name:
        return [] if place.path is None or _in_path(name, place)[0] else [_missing_script(path)]
    if seen.kind == "missing":
        return [_missing_script(path)]
    if seen.kind in ("directory", "closed"):
        return [_not_a_file(path, seen, place.account)]
    if not seen.readable:
        return [_unreadable(path, place.account)]
    if by_shell and b"\r\n" in place.files.head(path):
        text = f"the lines of {path} end with carriage returns, which the shell takes for part of its words"
        return [warning("carriage_return", text, f"convert it: dos2unix {path}")]
    return []


def _missing_script(path: str) -> Finding:
    return error("missing", f"{path} does not exist", "put the script there, or correct the path")


def _unreadable(path: str, account: str) -> Finding:
    return error(
        "unreadable", f"{path} may not be read by {account}", f"let {account} read it (chmod, chown)"
    )


def directory_findings(path: str, place: Place, *, purpose: str) -> list[Finding]:
    """A directory that is to be entered."""
    seen = place.files.look(path)
    if seen.kind == "directory" and seen.executable:
        return []
    if seen.kind == "missing":
        return [error("directory", f"{purpose} {path} does not exist", "create it, or correct the path")]
    if seen.kind == "closed":
        return [_closed(path, seen, place.account)]
    if seen.kind != "directory":
        return [error("directory", f"{purpose} {path} is not a directory", "correct the path")]
    advice = f"let {place.account} enter it (chmod, chown), or choose another account"
    return [error("directory", f"{purpose} {path} may not be entered by {place.account}", advice)]


def input_findings(path: str, place: Place) -> list[Finding]:
    """A file that a redirection reads."""
    seen = place.files.look(path)
    if seen.kind == "closed":
        return [_closed(path, seen, place.account)]
    if seen.kind == "missing":
        text = f"{path}, which the command reads by <, does not exist"
        return [error("input", text, "create it, or correct the path")]
    return [] if seen.readable else [_unreadable(path, place.account)]


def output_findings(path: str, place: Place) -> list[Finding]:
    """A file that a redirection writes: itself, or the directory where it would be made."""
    seen = place.files.look(path)
    if seen.kind == "closed":
        return [_closed(path, seen, place.account)]
    if seen.kind == "directory":
        return [error("output", f"{path}, which the command writes by >, is a directory", "correct the path")]
    if seen.kind != "missing":
        return [] if seen.writable else [_unwritable(path, place.account)]
    above = posixpath.dirname(path) or "/"
    around = place.files.look(above)
    if around.kind == "directory":
        return [] if around.writable and around.executable else [_unwritable(above, place.account)]
    text = f"{path} cannot be written: the directory {above} does not exist"
    return [error("output", text, f"mkdir -p {above}, or correct the path")]


def _unwritable(path: str, account: str) -> Finding:
    advice = f"let {account} write there (chown, chmod), or choose another file"
    return error("output", f"{path} may not be written by {account}", advice)
