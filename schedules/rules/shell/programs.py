"""What shells and a few well-known programs do with their words: builtins, wrappers, interpreters.

Only what is certain: a word list that holds an option which is not known here yields nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Words = Sequence[str | None]
"""Expanded words, program first; None where a word is not certain."""

_POSIX = frozenset(
    (
        *(
            ".",
            ":",
            "[",
            "alias",
            "bg",
            "break",
            "cd",
            "chdir",
            "command",
            "continue",
            "echo",
            "eval",
            "exec",
        ),
        *("exit", "export", "false", "fg", "getopts", "hash", "jobs", "kill", "local", "printf", "pwd"),
        *("read", "readonly", "return", "set", "shift", "test", "times", "trap", "true", "type", "ulimit"),
        *("umask", "unalias", "unset", "wait", "fc"),
    )
)
_BASH = frozenset(
    (
        *("source", "pushd", "popd", "dirs", "shopt", "declare", "typeset", "let", "mapfile", "readarray"),
        *(
            "disown",
            "builtin",
            "enable",
            "help",
            "history",
            "logout",
            "bind",
            "caller",
            "compgen",
            "complete",
        ),
        *("compopt", "suspend", "time"),
    )
)
# Variables that the shell sets itself, whatever its environment.
_SET_BY_ALL = frozenset(("PWD", "OLDPWD", "IFS", "PPID", "OPTIND", "PS1", "PS2", "PS4"))
_SET_BY_BASH = frozenset(
    (
        *("RANDOM", "SRANDOM", "SECONDS", "UID", "EUID", "GROUPS", "HOSTNAME", "HOSTTYPE", "OSTYPE"),
        *("MACHTYPE", "LINENO", "SHLVL", "PIPESTATUS", "DIRSTACK", "EPOCHSECONDS", "EPOCHREALTIME", "OPTERR"),
        *("SHELLOPTS", "TERM", "FUNCNAME", "COMP_WORDBREAKS", "_"),
    )
)


@dataclass(frozen=True)
class Flavour:
    """A shell whose command lines are read. `sets` None: it may set any variable itself."""

    name: str
    builtins: frozenset[str]
    sets: frozenset[str] | None


DASH = Flavour("dash", _POSIX, _SET_BY_ALL | {"OPTARG"})
BASH = Flavour("bash", _POSIX | _BASH, _SET_BY_ALL | _SET_BY_BASH | {"OPTARG"})
_OTHER = re.compile(r"sh|ash|busybox|ksh\d*|ksh93|mksh|lksh|yash|posh")


def flavour(program: str) -> Flavour | None:
    """By the name of the program that a shell's path leads to. None: its language is another."""
    if program in ("dash", "bash"):
        return DASH if program == "dash" else BASH
    return Flavour(program, _POSIX | _BASH | {"print", "whence"}, None) if _OTHER.fullmatch(program) else None


@dataclass(frozen=True)
class _Options:
    """Letters of options without and with a value, long options without one, operands before the rest."""

    flags: str = ""
    valued: str = ""
    long: tuple[str, ...] = ()
    operands: int = 0

    def rest(self, words: Words) -> Words | None:
        """What follows the options and operands; None where that is not certain."""
        at = 1
        while at < len(words):
            word = words[at]
            if word is None:
                return None
            if word == "--":
                at += 1
                break
            if not word.startswith("-") or word == "-":
                break
            size = self._size(word)
            if not size:
                return None
            at += size
        return words[at + self.operands :]

    def _size(self, word: str) -> int:
        """How many words the option takes; 0 where it is not known."""
        if word.startswith("--"):
            return 1 if word in self.long or word.partition("=")[0] + "=" in self.long else 0
        for index, letter in enumerate(word[1:], start=1):
            if letter in self.valued:
                return 1 if word[index + 1 :] else 2
            if letter not in self.flags:
                return 0
        return 1


_WRAPPERS: Mapping[str, _Options] = {
    "exec": _Options("cl", "a"),
    "command": _Options("p"),
    "nohup": _Options(),
    "setsid": _Options("cfw", long=("--fork", "--wait", "--ctty")),
    "nice": _Options("0123456789", "n", ("--adjustment=",)),
    "ionice": _Options("t", "cn", ("--class=", "--classdata=", "--ignore")),
    "timeout": _Options(
        "v",
        "ks",
        ("--foreground", "--preserve-status", "--verbose", "--kill-after=", "--signal="),
        operands=1,
    ),
    "flock": _Options(
        "sexnuoF",
        "wE",
        ("--nonblock", "--nb", "--exclusive", "--shared", "--timeout=", "--wait=", "--no-fork", "--close"),
        operands=1,
    ),
    "stdbuf": _Options("", "ioe", ("--input=", "--output=", "--error=")),
    "chronic": _Options("ev"),
    "time": _Options("p"),
}


def stages(words: Words) -> list[Words]:
    """The programs that `words` run, each by the one before: of `nice -n 19 timeout 1h backup` all three.

    Ends early where a wrapper is asked for something that is not known here.
    """
    found: list[Words] = []
    rest: Words | None = words
    while rest:
        found.append(rest)
        rest = _wrapped(rest)
    return found


def _wrapped(words: Words) -> Words | None:
    name = _base(words[0])
    if name == "env":
        return _after_assignments(words)
    options = _WRAPPERS.get(name)
    rest = options.rest(words) if options else None
    return None if rest and (rest[0] or "").startswith("-") else rest


def _after_assignments(words: Words) -> Words | None:
    """Of `env NAME=value program`; a PATH or an option there changes where the program is looked for."""
    at = 1
    while at < len(words) and "=" in (words[at] or ""):
        at += 1
    changes = any(word is None or word.startswith(("PATH=", "-")) for word in words[1 : at + 1])
    return None if changes else words[at:]


_SHELL = _Options("abefhiklmnprtuvxBCEHP", "oO", ("--login", "--norc", "--noprofile", "--posix"))
_INTERPRETERS: tuple[tuple[re.Pattern[str], _Options], ...] = (
    (re.compile(r"(?:ba|da|a|z|[lm]?k)?sh"), _SHELL),
    (re.compile(r"python[\d.]*"), _Options("bBdEiIOqsSuvx", "WX")),
    (re.compile(r"perl[\d.]*"), _Options("wWtTUX", "I")),
    (re.compile(r"ruby[\d.]*"), _Options("vwW", "ICr")),
    (re.compile(r"php[\d.]*"), _Options("nqCHf", "cdz")),
    (re.compile(r"node|nodejs|Rscript|lua[\d.]*"), _Options()),
)


def script_of(words: Words) -> str | None:
    """The file that an interpreter is told to execute; None where there is none, or it is not certain."""
    name = _base(words[0])
    if name == "java":
        return words[words.index("-jar") + 1] if "-jar" in words[:-1] else None
    for pattern, options in _INTERPRETERS:
        if pattern.fullmatch(name):
            rest = options.rest(words)
            first = rest[0] if rest else None
            return None if first in ("-", "") else first
    return None


def is_shell(program: str) -> bool:
    return bool(_INTERPRETERS[0][0].fullmatch(_base(program)))


_QUERIES = frozenset(("command", "which", "type", "hash"))


def is_guard(words: Words) -> bool:
    """Whether the command only asks for something, so that what follows is meant to run sometimes."""
    name = words[0]
    if name == "command":
        return len(words) > 1 and words[1] in ("-v", "-V")
    return name in ("test", "[", "false") or name in _QUERIES or _base(name) in ("which", "grep", "pgrep")


def _base(word: str | None) -> str:
    return (word or "").rpartition("/")[2]
