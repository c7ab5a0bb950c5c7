"""Readable names for schedules that come without one: a crontab line has a command, and no name.

Only the text is looked at; nothing is run or looked up. The importer calls this once for each new
line; a name, once given, is never changed by a later import.
"""

import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePosixPath

LONGEST = 80
"""Characters. Fits a column of a page and a line of a terminal."""

_READ = 2000
"""Characters of a command; what a line is about stands before."""
_NAMELESS = "job"
_SEPARATORS = "();|&"
_REDIRECTIONS = re.compile(r"\d*[<>&]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_PLAIN_WORD = re.compile(r"[a-z][a-z0-9:_-]{1,30}")
_UNREADABLE = re.compile(r"[^\w.:+@-]+")
_RESERVED = frozenset(("!", "{", "then", "else", "do", "time"))
_CONDITIONS = frozenset(("if", "elif", "while", "until", "for", "case", "select", "function"))
_PREPARATIONS = frozenset(
    (
        *("cd", "test", "[", "[[", "export", "set", "ulimit", "umask", ".", "source", "sleep", "command"),
        *(
            "read",
            ":",
            "true",
            "false",
            "fi",
            "done",
            "esac",
            "}",
            "exit",
            "return",
            "trap",
            "shopt",
            "unset",
        ),
        *("pushd", "popd", "mkdir", "date", "grep", "egrep", "pgrep", "which", "type", "hash", "wait"),
    )
)
"""What stands before the program that a line is about, or around it."""
_INTERPRETER = re.compile(
    r"(?:python|pypy|perl|ruby|php|node|nodejs|bash|dash|zsh|ksh|ash|sh|java|Rscript|osascript|lua|tclsh|expect)[0-9.]*"
)
_LANGUAGE = re.compile(r"[A-Za-z]+")
_SCRIPT_SUFFIXES = frozenset((".sh", ".bash", ".py", ".pl", ".rb", ".php", ".js", ".ts", ".jar", ".R"))
_VALUED_OPTIONS = {
    "php": frozenset(("-d", "-c", "-z")),
    "python": frozenset(("-W", "-X")),
    "perl": frozenset(("-I",)),
    "ruby": frozenset(("-I", "-C")),
    "node": frozenset(("-r", "--require", "--import", "--loader", "--env-file")),
    "java": frozenset(("-cp", "-classpath", "--class-path")),
}
"""Options of interpreters whose value is the next word."""
_BACKTICKS = re.compile(r"`[^`]*`")
_WAIT = re.compile(r"\bsleep\b.{0,60}\brand")
"""In code that Perl or Python is given in the line."""
# Programs that run another one: their options that take a value, and how many words come before it.
_WRAPPERS: dict[str, tuple[str, int]] = {
    "exec": ("a", 0),
    "sudo": ("ugphCrt", 0),
    "doas": ("uC", 0),
    "runuser": ("ug", 0),
    "nice": ("n", 0),
    "ionice": ("cn", 0),
    "chrt": ("", 1),
    "env": ("uC", 0),
    "nohup": ("", 0),
    "setsid": ("", 0),
    "stdbuf": ("ioe", 0),
    "chronic": ("", 0),
    "cronic": ("", 0),
    "systemd-cat": ("tp", 0),
    "xvfb-run": ("snepf", 0),
    "caffeinate": ("tw", 0),
    "busybox": ("", 0),
    "timeout": ("ks", 1),
    "flock": ("wEx", 1),
}
_RUNNERS = frozenset(
    (
        *(("bundle", "exec"), ("rbenv", "exec"), ("pipenv", "run"), ("poetry", "run"), ("uv", "run")),
        *(("pdm", "run"), ("hatch", "run"), ("npm", "exec"), ("pnpm", "exec"), ("yarn", "exec")),
    )
)
"""The same in two words."""
_COMMAND_OPTION = re.compile(r"-[a-z]*c")
_DEEPEST = 4
_PRINTERS = frozenset(("echo", "printf"))
_WORD = re.compile(r"[^\W_]+")
_CHANGED_BY_SHELL = re.compile(r"[$`%\\]")
_MOST_WORDS = 3


class Names:
    """Hands out names that nothing else has. `taken` are those in use."""

    def __init__(self, taken: Collection[str]) -> None:
        self._taken = set(taken)
        self._last: dict[str, int] = {}

    def give(self, wanted: str) -> str:
        """`wanted` itself, or with "-2", "-3", ... behind it."""
        number = self._last.get(wanted, 0) + 1
        while (name := _numbered(wanted, number)) in self._taken:
            number += 1
        self._last[wanted] = number
        self._taken.add(name)
        return name


def name_for(command: str, *, title: str = "", prefixes: Sequence[str] = ()) -> str:
    """What a command is about, such as "certbot-renew"; at most 80 characters, not yet unique.

    `title` is what the file calls the job, if it does. `prefixes` (the machine, the file or the account)
    come first, in that order, unless the name begins with them anyway.
    """
    name = _readable(title or _subject(command[:_READ], depth=0)) or _NAMELESS
    for given in reversed(prefixes):
        before = _readable(given)
        if before and not name.startswith(before):
            name = f"{before}-{name}"
    return name[:LONGEST].rstrip("-.")


def _numbered(wanted: str, number: int) -> str:
    suffix = f"-{number}" if number > 1 else ""
    return wanted[: LONGEST - len(suffix)] + suffix


def _readable(text: str) -> str:
    return _UNREADABLE.sub("-", text).strip("-.@:+")


def _subject(command: str, *, depth: int) -> str:
    """The name of the first program that does something, with the word that says what."""
    parts = [_without_prefixes(part) for part in _simple_commands(_words(_without_substitutions(command)))]
    parts = [part for part in parts if part]
    doing = [part for part in parts if not _is_preparation(part)]
    working = [part for part in doing if _base(part[0]) not in _PRINTERS]
    chosen = (working or doing or parts or [[""]])[0]
    inner = _inner_command(chosen)
    if inner and depth < _DEEPEST:
        return _subject(inner, depth=depth + 1)
    return _program_and_verb(chosen)


def _is_preparation(words: Sequence[str]) -> bool:
    program = _base(words[0])
    is_waiting = program.startswith(("perl", "python")) and any(map(_WAIT.search, words[1:]))
    return is_waiting or program in _PREPARATIONS or program in _CONDITIONS


def _base(word: str) -> str:
    """The program without its directories; the dot that reads a file in has none."""
    return PurePosixPath(word).name or word


def _without_substitutions(command: str) -> str:
    """`$( ... )` and backticks are other commands' output: a name is not made of it."""
    kept: list[str] = []
    depth, at = 0, 0
    while at < len(command):
        if command.startswith("$(", at):
            depth, at = depth + 1, at + 2
        elif depth and command[at] in "()":
            depth += 1 if command[at] == "(" else -1
            at += 1
        else:
            if not depth:
                kept.append(command[at])
            at += 1
    return _BACKTICKS.sub("", "".join(kept)) if not depth else command


def _words(command: str) -> list[str]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars=_SEPARATORS + "<>")
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        return list(lexer)
    except ValueError:  # an open quote: the shell would complain, the name need not
        return command.split()


def _simple_commands(words: Sequence[str]) -> Iterator[list[str]]:
    """The words between the shell's separators, without redirections."""
    current: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif _REDIRECTIONS.fullmatch(word) and set(word) & set("<>"):
            skip = True
            if current and current[-1].isdigit():  # the descriptor of 2>file is a word of its own here
                current.pop()
        elif word and set(word) <= set(_SEPARATORS):
            yield current
            current = []
        else:
            current.append(word)
    yield current


def _without_prefixes(words: list[str]) -> list[str]:
    """Without assignments, reserved words and programs that only run another one."""
    while words:
        first = PurePosixPath(words[0]).name
        if _ASSIGNMENT.match(words[0]) or words[0] in _RESERVED:
            words = words[1:]
        elif first in _WRAPPERS and (rest := _behind_wrapper(words[1:], *_WRAPPERS[first])):
            words = rest
        elif (first, *words[1:2]) in _RUNNERS and len(words) > 2:
            words = words[2:]
        else:
            return words
    return words


def _behind_wrapper(words: list[str], valued: str, operands: int) -> list[str]:
    while words and words[0].startswith("-") and not _COMMAND_OPTION.fullmatch(words[0]):
        takes_value = len(words[0]) == 2 and words[0][1] in valued
        words = words[2 if takes_value else 1 :]
    return words[operands:]


def _inner_command(words: list[str]) -> str:
    """What `sh -c`, `su -c` or `flock FILE -c` is told to run; "" for other commands."""
    program = PurePosixPath(words[0]).name
    if not (program in ("su", "runuser", "-c") or _INTERPRETER.fullmatch(program)):
        return ""
    if program.startswith(("python", "perl", "ruby", "php", "node")):
        return ""
    for position, word in enumerate(words[:-1]):
        if _COMMAND_OPTION.fullmatch(word):
            return words[position + 1]
    return ""


def _program_and_verb(words: list[str]) -> str:
    program = PurePosixPath(words[0]).name
    arguments = words[1:]
    if _INTERPRETER.fullmatch(program):
        program, arguments = _script(program, arguments)
    if program == "run-parts" and arguments:
        return f"{program}-{PurePosixPath(arguments[-1]).name}"
    if program in _PRINTERS:
        return "-".join([program, *_first_words(arguments)])
    verb = arguments[0] if arguments and _PLAIN_WORD.fullmatch(arguments[0]) else ""
    return f"{_stem(program)}-{verb}" if verb else _stem(program)


def _first_words(arguments: Sequence[str]) -> list[str]:
    """What a printed text begins with, as far as the shell does not change it."""
    text = next((argument for argument in arguments if not argument.startswith("-")), "")
    return _WORD.findall(_CHANGED_BY_SHELL.split(text)[0].lower())[:_MOST_WORDS]


def _script(program: str, arguments: list[str]) -> tuple[str, list[str]]:
    """The script or module that an interpreter is given, with what follows it."""
    valued = _VALUED_OPTIONS.get(_LANGUAGE.match(program)[0].removesuffix("js"), frozenset())  # type: ignore[index]
    for position, word in enumerate(arguments):
        if position and arguments[position - 1] in valued:
            continue
        if not word.startswith("-"):
            return PurePosixPath(word).name, arguments[position + 1 :]
        if word in ("-c", "-e", "-r"):
            break
    return program, []


def _stem(program: str) -> str:
    path = PurePosixPath(program)
    return path.stem if path.suffix in _SCRIPT_SUFFIXES else program
