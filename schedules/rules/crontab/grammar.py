"""What daemons differ in when they read a crontab file. The times themselves are `cron`'s business.

Whose file it is, the operator says: nothing in a file tells, so a grammar is never guessed.
CRON is Debian's cron 3.0pl1-162, as observed; CRONIE is cronie 1.7, as its sources say
(src/entry.c, src/env.c, src/do_command.c).
"""

from dataclasses import dataclass
from enum import StrEnum


class Daemon(StrEnum):
    """Whose crontab it is. The value is also the dialect of its time fields."""

    CRON = "cron"
    CRONIE = "cronie"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """Lengths are bytes. What a flag does not say, all daemons do alike."""

    daemon: Daemon
    longest_command: int
    longest_setting: int
    is_spoiled_by_a_bad_line: bool
    """One bad line makes the daemon ignore the whole file; otherwise it skips the line."""
    has_zones: bool
    """CRON_TZ decides by which zone the jobs below it start."""
    has_options: bool
    """`-` before the time fields (do not log), `-n` before the command (no mail after success)."""
    takes_empty_values: bool
    """`NAME=` with nothing behind it is a setting."""
    takes_empty_commands: bool
    trims_quoted_values: bool
    """Trailing blanks are cut even inside quotes, and a second pair of quotes goes too."""
    halves_backslashes: bool
    """In the command, two backslashes become one."""


CRON = Grammar(
    daemon=Daemon.CRON,
    longest_command=998,
    longest_setting=998,
    is_spoiled_by_a_bad_line=True,
    has_zones=False,
    has_options=False,
    takes_empty_values=False,
    takes_empty_commands=True,
    trims_quoted_values=True,
    halves_backslashes=True,
)
CRONIE = Grammar(
    daemon=Daemon.CRONIE,
    longest_command=131_071,
    longest_setting=131_071,
    is_spoiled_by_a_bad_line=False,
    has_zones=True,
    has_options=True,
    takes_empty_values=True,
    takes_empty_commands=False,
    trims_quoted_values=False,
    halves_backslashes=False,
)
_GRAMMARS = {grammar.daemon: grammar for grammar in (CRON, CRONIE)}


def grammar_of(daemon: str) -> Grammar:
    """Raises ValueError for a daemon whose files cannot be read."""
    return _GRAMMARS[Daemon(daemon)]
