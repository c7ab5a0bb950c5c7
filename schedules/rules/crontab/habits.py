"""What commands do for themselves under cron and need not under a scheduler that keeps a history.

Told by the text alone, so a sentence may be beside the point; nothing is changed. Called by
`crontab.warnings`.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from schedules.rules.crontab.lines import Problem

_PROGRAM = r"(?:^|[\s;&|(])(?:/[\w/.-]*/)?"
"""What stands before the name of a program: a separator, perhaps a path."""

_DISCARDED = re.compile(
    r"""(?: 1?>>?\s*/dev/null\s+2>&1 | &>>?\s*/dev/null | >&\s*/dev/null
          | 1?>>?\s*/dev/null\s+2>>?\s*/dev/null | 2>>?\s*/dev/null\s+1?>>?\s*/dev/null )
        [\s&;)}]*$""",
    re.VERBOSE,
)
_FLOCK = re.compile(_PROGRAM + r"flock\s")
_TIMEOUT = re.compile(_PROGRAM + r"timeout\s+(?:-|[0-9])")
_RANDOM_SLEEP = re.compile(
    r"""(?:^|[;&|({])\s*(?:/[\w/.-]*/)?
        (?: sleep\s+["']?(?:\$\{?RANDOM|\$\(|`|\$\[)
          | (?:perl|python[0-9.]*)\s+-[ce]\s+["'].{0,200}?\bsleep\b.{0,60}?\brand )""",
    re.VERBOSE,
)
_BACKGROUND = re.compile(r"(?<![&>|<\\])&(?:\s*|(?:\s*[0-9]|\s+)>>?\s*[\w./-]+\s*)$")
"""Also where a redirection of nothing follows: in `x &2>/dev/null` the 2 belongs to a new command."""
_RANDOM = re.compile(r"\bRANDOM\b")
_ANACRON = re.compile(r"/anacron\b|/0anacron\b")
_RUN_PARTS = re.compile(r"\brun-parts\s")
_SHELLS_WITH_RANDOM = frozenset(("bash", "zsh", "ksh"))


def habit_warnings(command: str, shell: str) -> Iterator[Problem]:
    """Sentences on one command, their line not yet filled in. `shell` is the one that runs it."""
    if _DISCARDED.search(command):
        yield Problem(
            0,
            "what the command prints is thrown away (/dev/null), so its runs will show no output; "
            "without the redirection they keep it",
            "no-output",
        )
    if _FLOCK.search(command):
        yield Problem(
            0,
            'flock keeps runs from overlapping. The overlap policy "skip" of the schedule does so too, and '
            "its history tells which runs were skipped",
            "flock",
        )
    if _TIMEOUT.search(command):
        yield Problem(
            0,
            "timeout ends the command. The timeout of the schedule does so too, ends everything that "
            "the command started, and is recorded as what it is",
            "timeout",
        )
    if _BACKGROUND.search(command):
        yield Problem(
            0,
            'the "&" at its end puts the command into the background: the run ends at once, as succeeded, '
            'whatever becomes of the work. Without the "&" the run lasts as long, and knows how it ended',
            "background",
        )
    if _RANDOM_SLEEP.search(command):
        yield from _random_sleep(command, shell)
    if _ANACRON.search(command) and _RUN_PARTS.search(command):
        yield Problem(
            0,
            "the line starts nothing where anacron is installed: anacron runs these jobs then, by its own "
            "table, /etc/anacrontab. Let one of the two run them: import that table and disable this "
            "schedule and anacron, or leave both as they are",
            "anacron",
        )


def _random_sleep(command: str, shell: str) -> Iterator[Problem]:
    yield Problem(
        0,
        "the command sleeps for a random time first: its runs seem longer than they are, and each keeps "
        "a slot of a worker. Spread the times of such lines instead",
        "random-sleep",
    )
    if _RANDOM.search(command) and PurePosixPath(shell).name not in _SHELLS_WITH_RANDOM:
        yield Problem(
            0,
            "/bin/sh need not know RANDOM (dash does not): there is no random wait then. bash knows it",
            "no-random",
        )
