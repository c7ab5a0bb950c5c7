"""What of a command only bash understands, though another shell will run it.

`/bin/sh` is dash on Debian and Ubuntu, bash itself on Red Hat; so this is asked for Debian's cron only.
Told by the text alone, without what stands in quotes. Called by `crontab.warnings`.
"""

import re
from pathlib import PurePosixPath

_PLAIN_SHELLS = frozenset(("sh", "dash"))
_QUOTED = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
_COMMENT = re.compile(r"(?<!\S)#.*", re.DOTALL)
_BEGIN = r"(?:^|[;&|({!]|(?<!\S)(?:then|do|else|if|while|until))\s*"
"""What stands before the first word of a command."""
_BASH_ONLY = (
    re.compile(_BEGIN + r"(source|pushd|popd|shopt|declare|mapfile|readarray|function)\s"),
    re.compile(_BEGIN + r"(\[\[)\s"),
    re.compile(r"(?<![&\d])(&>>?)(?!&)"),
    re.compile(r"(<<<)"),
    re.compile(r"(\|&)"),
    re.compile(r"([<>]\()"),
    re.compile(r"(\{\w+\.\.\w+\})"),
)


def bash_only(command: str, shell: str) -> str:
    """The first thing that `shell`, given by its path, cannot read; "" where it reads all, or knows more."""
    if PurePosixPath(shell).name not in _PLAIN_SHELLS:
        return ""
    text = without_quoted(command)
    if "((" in text:  # arithmetic, where < and ( mean other things
        return ""
    found = [match for pattern in _BASH_ONLY if (match := pattern.search(text))]
    return min(found, key=lambda match: match.start(1))[1] if found else ""


def without_quoted(command: str) -> str:
    """The command with "_" for everything in quotes or behind a backslash, and without a comment."""
    return _COMMENT.sub("", _QUOTED.sub("_", command))
