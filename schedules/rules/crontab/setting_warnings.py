"""What a setting of a crontab does not do although its author can hardly have meant it.

Jobs are in `crontab.warnings`. Called by `crontab.parse`.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from schedules.errors import CronError
from schedules.rules import cron
from schedules.rules.crontab.grammar import Grammar
from schedules.rules.crontab.jobs import REBOOT, split_time
from schedules.rules.crontab.lines import Problem, Setting
from schedules.rules.crontab.settings import is_cut

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXPANSION = re.compile(r"\$[A-Za-z_{(]|(?:^|:)~(?:/|$|:)")
_MINUTES = re.compile(r"[0-9]+")
_LONGEST_EXPRESSION = 200
"""Characters. A longer value hides no job that somebody wrote by hand."""

_WITHOUT_EFFECT = {
    "TZ": (
        "TZ is handed to the commands and does not change when they run: cron goes by the system's "
        "time zone. Choose another with --timezone"
    ),
    "START_HOURS_RANGE": "START_HOURS_RANGE is a setting of anacron; cron does not read it",
    "LOGNAME": "cron sets LOGNAME to the account itself; this setting has no effect",
}
_WITHOUT_EFFECT_IN_CRON = {
    "CRON_TZ": (
        "Debian's cron hands CRON_TZ to the commands and goes by the system's time zone; cronie would "
        "start the jobs below by it. If the file is cronie's, import it with --dialect cronie; or choose the "
        "zone with --timezone"
    ),
    "RANDOM_DELAY": (
        "Debian's cron does not read RANDOM_DELAY; cronie would delay the jobs below. If the file is "
        "cronie's, import it with --dialect cronie"
    ),
}


_RUNS_NOTHING = frozenset(("false", "nologin", "true"))
_USUAL_DIRECTORIES = frozenset(("/bin", "/usr/bin"))


def setting_warnings(setting: Setting, text: str, grammar: Grammar) -> Iterator[Problem]:
    """Warnings on one setting, their line not yet filled in.

    `text` is its line without leading blanks and line end.
    """
    if is_cut(text, grammar):
        limit = f"{grammar.longest_setting:,}"
        yield Problem(0, f"the line is longer than {limit} bytes: the rest of the value is lost", "cut")
    if _hides_a_job(setting.value):
        yield Problem(
            0,
            "this is a setting, not a job: cron never runs the command. Put the assignment after the "
            "five time fields",
            "not-a-job",
            f"a setting of {setting.name or 'a nameless variable'}",
        )
    else:
        yield from _effect_warnings(setting, grammar)
    yield from _name_warnings(setting)
    yield from _value_warnings(setting)
    yield from _place_warnings(setting)


def idle_setting_warning(setting: Setting) -> Problem:
    """The warning for a setting below the last job."""
    return Problem(0, "no job follows this setting: it has no effect", "idle-setting", setting.name)


def _effect_warnings(setting: Setting, grammar: Grammar) -> Iterator[Problem]:
    without_effect = _WITHOUT_EFFECT | ({} if grammar.has_zones else _WITHOUT_EFFECT_IN_CRON)
    if setting.name in without_effect:
        yield Problem(0, without_effect[setting.name], "no-effect")
    elif setting.name == "CRON_TZ" and setting.value:
        yield Problem(
            0,
            "at the clock changes of the zone in CRON_TZ cronie misses fixed times or starts them twice; "
            "Beatkeeper starts each once",
            "zone-changes",
            setting.value,
        )
    elif setting.name == "RANDOM_DELAY" and (_MINUTES.match(setting.value) or ["0"])[0].strip("0"):
        yield Problem(
            0,
            "cronie starts the jobs below later, by a random part of RANDOM_DELAY; Beatkeeper starts "
            "them on the minute",
            "random-delay",
            f"up to {setting.value} minutes",
        )


def _name_warnings(setting: Setting) -> Iterator[Problem]:
    if not setting.name:
        reason = "a variable without a name cannot be read by any program; it is left out"
        yield Problem(0, reason, "odd-name")
    elif not _IDENTIFIER.fullmatch(setting.name):
        yield Problem(0, "this is not a name that a shell can read", "odd-name", setting.name)


def _value_warnings(setting: Setting) -> Iterator[Problem]:
    if _EXPANSION.search(setting.value):
        reason = "cron expands nothing: the value stays as written, with its $ or ~"
        yield Problem(0, reason, "no-expansion", setting.name)
    if " #" in setting.value:
        yield Problem(0, 'the text after "#" belongs to the value', "hash-in-value", setting.name)


def _place_warnings(setting: Setting) -> Iterator[Problem]:
    """Values with which no job below can do its work, whatever machine it is."""
    if setting.name == "SHELL" and (why := _why_no_shell(setting.value)):
        yield Problem(0, f"no job below can start: {why}. Write SHELL=/bin/bash", "shell", setting.value)
    elif setting.name == "HOME" and not setting.value.startswith("/"):
        yield Problem(
            0,
            "HOME is no absolute path: cron cannot change to it, so the commands start in another directory. "
            "Write it in full",
            "home",
            setting.value,
        )
    elif setting.name == "PATH" and not _USUAL_DIRECTORIES & _directories(setting.value):
        yield Problem(
            0,
            "PATH holds neither /bin nor /usr/bin, so the commands below find programs such as date or rm by "
            "their full path only. Write all directories; cron adds none",
            "path",
        )


def _why_no_shell(value: str) -> str:
    if not value.startswith("/"):
        return "cron starts SHELL as it is written and does not search for it"
    if " " in value:
        return "cron takes the whole of SHELL for the name of a program, options included"
    if PurePosixPath(value).name in _RUNS_NOTHING:
        return "SHELL is a program that runs no commands"
    return ""


def _directories(path: str) -> set[str]:
    return {entry.rstrip("/") for entry in path.split(":")}


def _hides_a_job(value: str) -> bool:
    """Whether time fields and a command stand in the value, at its begin or after one word."""
    _, _, after_first_word = value.partition(" ")
    return _begins_like_a_job(value) or _begins_like_a_job(after_first_word.lstrip())


def _begins_like_a_job(text: str) -> bool:
    expression, command = split_time(text)
    if not command or not ("*" in expression or expression.startswith("@")):
        return False
    if len(expression) > _LONGEST_EXPRESSION:
        return False
    try:
        return expression == REBOOT or bool(cron.parse(expression, "cron"))
    except CronError:
        return False
