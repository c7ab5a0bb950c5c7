"""What this machine's cron gives its jobs and a run does not get: PAM's variables, limits, the umask.

Read from cron's PAM service, the files that it names, and a running daemon. A machine without cron
yields nothing. Called by `checking.child`, which runs before it becomes another account.

Debian's cron lays PAM's variables below the crontab's own settings and below its own SHELL, HOME, PATH
and LOGNAME (do_command.c, build_env; a PATH in /etc/environment therefore changes nothing).
"""

import grp
import os
import resource
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from schedules.rules.command.findings import Finding, note
from schedules.runner.planning import Account
from schedules.runner.start import CRON_UMASK

_SERVICES = ("etc/pam.d/cron", "etc/pam.d/crond")
_SET_BY_CRON = frozenset(("SHELL", "HOME", "PATH", "LOGNAME"))
_DAEMONS = (b"cron\n", b"crond\n")
_UNLIMITED = -1


@dataclass(frozen=True)
class _Limit:
    """One limit: its name in limits.conf and /proc, what people call it, its unit in limits.conf."""

    item: str
    proc: str
    number: int
    said: str
    unit: int = 1


_LIMITS = (
    _Limit("nofile", "Max open files", resource.RLIMIT_NOFILE, "open files"),
    _Limit("nproc", "Max processes", resource.RLIMIT_NPROC, "processes"),
    _Limit("core", "Max core file size", resource.RLIMIT_CORE, "bytes of a core file", 1024),
    _Limit("fsize", "Max file size", resource.RLIMIT_FSIZE, "bytes of a file", 1024),
    _Limit("data", "Max data size", resource.RLIMIT_DATA, "bytes of data", 1024),
    _Limit("stack", "Max stack size", resource.RLIMIT_STACK, "bytes of stack", 1024),
    _Limit("memlock", "Max locked memory", resource.RLIMIT_MEMLOCK, "bytes of locked memory", 1024),
    _Limit("as", "Max address space", resource.RLIMIT_AS, "bytes of memory", 1024),
    _Limit("cpu", "Max cpu time", resource.RLIMIT_CPU, "seconds of processor time", 60),
)


def added_variables(root: Path = Path("/")) -> dict[str, tuple[str, str]]:
    """Value and file of each variable that cron's PAM service sets."""
    found: dict[str, tuple[str, str]] = {}
    for module, options in _session_modules(root):
        if module == "pam_env.so" and options.get("readenv") != "0":
            file = options.get("envfile", "/etc/environment")
            found |= {name: (value, file) for name, value in _pam_variables(root / file.lstrip("/"))}
    return {name: entry for name, entry in found.items() if name not in _SET_BY_CRON}


def differences(account: Account, root: Path = Path("/")) -> list[Finding]:
    """Limits and umask that a job of cron's would have here and a run has not."""
    daemon = _daemon(root)
    expected = _limits_of(daemon) if daemon else {}
    if any(module == "pam_limits.so" for module, _ in _session_modules(root)):
        expected |= _configured_limits(account, root)
    found = [finding for limit in _LIMITS for finding in _compared(limit, expected.get(limit.item))]
    umask = _umask_of(daemon) if daemon else None
    if umask is not None and umask != CRON_UMASK:
        found.append(note("umask", f"cron's umask is {umask:03o}, that of a run {CRON_UMASK:03o}"))
    return found


def _compared(limit: _Limit, expected: int | None) -> Iterator[Finding]:
    own, _ = resource.getrlimit(limit.number)
    if expected is not None and expected != own:
        text = f"cron allows {_number(expected)} {limit.said}, the worker {_number(own)}"
        yield note("limits", text, "set the worker's limit (systemd: Limit...= in its unit)")


def _number(limit: int) -> str:
    return "unlimited" if limit == _UNLIMITED else f"{limit}"


def _session_modules(root: Path) -> list[tuple[str, dict[str, str]]]:
    """Modules with options of the session lines of cron's own PAM file."""
    lines = next(filter(None, (_lines(root / service) for service in _SERVICES)), [])
    found = []
    for words in map(str.split, lines):
        if len(words) > 2 and words[0].lstrip("-") == "session" and not words[1].startswith("["):
            options = dict(word.partition("=")[::2] for word in words[3:])
            found.append((os.path.basename(words[2]), options))
    return found


def _pam_variables(file: Path) -> Iterator[tuple[str, str]]:
    """As pam_env reads them: `export` is skipped, quotes go, `#` begins a comment, nothing is expanded."""
    for line in _lines(file):
        name, is_set, value = line.partition("#")[0].strip().removeprefix("export ").partition("=")
        if is_set and name.replace("_", "").isalnum():
            is_quoted = value[:1] in ('"', "'")
            yield name, value[1:].removesuffix(value[:1]) if is_quoted else value


def _daemon(root: Path) -> Path | None:
    """/proc of a cron daemon that runs as root here."""
    for process in (root / "proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_bytes() in _DAEMONS and process.stat().st_uid == 0:
                return process
        except OSError:  # it has ended
            continue
    return None


def _limits_of(process: Path) -> dict[str, int]:
    by_name = {limit.proc: limit.item for limit in _LIMITS}
    found = {}
    for line in _lines(process / "limits"):
        name, soft = line[:25].strip(), line[26:46].strip()
        if name in by_name:
            found[by_name[name]] = _UNLIMITED if soft == "unlimited" else int(soft)
    return found


def _umask_of(process: Path) -> int | None:
    for line in _lines(process / "status"):
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return None


def _configured_limits(account: Account, root: Path) -> dict[str, int]:
    """Soft limits of limits.conf for the account. What names it wins over its groups, they over `*`."""
    files = [root / "etc/security/limits.conf", *sorted((root / "etc/security/limits.d").glob("*.conf"))]
    by_item = {limit.item: limit for limit in _LIMITS}
    ranked: dict[str, tuple[int, int]] = {}
    for words in (line.partition("#")[0].split() for file in files for line in _lines(file)):
        if len(words) != 4 or words[1] not in ("soft", "-") or words[2] not in by_item:
            continue
        rank, value = _rank(words[0], account), _value(words[3], by_item[words[2]])
        if rank and value is not None and rank >= ranked.get(words[2], (0, 0))[0]:
            ranked[words[2]] = (rank, value)
    return {item: value for item, (_, value) in ranked.items()}


def _rank(domain: str, account: Account) -> int:
    """0: the line is about somebody else. `*` and groups do not mean root."""
    if domain == account.name:
        return 3
    if account.uid == 0:
        return 0
    if domain == "*":
        return 1
    return 2 if domain.startswith("@") and domain[1:] in set(_group_names(account)) else 0


def _group_names(account: Account) -> Iterator[str]:
    for gid in os.getgrouplist(account.name, account.gid):
        try:
            yield grp.getgrgid(gid).gr_name
        except KeyError:
            continue


def _value(text: str, limit: _Limit) -> int | None:
    if text in ("unlimited", "infinity", "-1"):
        return _UNLIMITED
    return int(text) * limit.unit if text.isdecimal() else None


def _lines(file: Path) -> list[str]:
    """Without comments and blank lines; none where the file is not there."""
    try:
        lines: Iterable[str] = file.read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
