"""Why a schedule does something else than its crontab line says, in words; and what is only worth a note.

Compares what a line says with the definition of its schedule, part by part. Whether the instants differ
is not asked here: `equivalence` knows. Nothing says a value of the environment: it may be a secret.
Pure. Called by `proving`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schedules.rules.daemon.clock import changes
from schedules.rules.definition import Background, CatchUp, Definition, Kind, Mode, OnWorkerLost, Overlap
from schedules.rules.timing import from_dict
from schedules.rules.wording import describe

DEFAULT_SHELL = "/bin/sh"
_FIELDS = ("minute", "hour", "day of month", "month", "day of week")
_RULES = {"celery": ", where a day must match by date and by weekday"}
_REACH = 180
"""Minutes round a change of the clock in which cron's rules for it show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a crontab line says. `account` None: neither the line nor the operator names one.

    `shell` and `directory` are those of a daemon that does not ask the environment for them.
    """

    expression: str
    zone: str
    dialect: str
    command: str
    stdin: str | None
    environment: tuple[tuple[str, str], ...]
    account: str | None
    shell: str = ""
    directory: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """`part` names, as a key of `parts_of`, what of the definition differs from the line."""

    part: str
    text: str


def parts_of(definition: dict[str, Any]) -> dict[str, Any]:
    """A stored definition with its timing taken apart, so that two revisions can be compared by part."""
    timing = definition.get("timing", {})
    window = timing if timing.get("kind") == "window" else {}
    plain = window.get("timing", timing)
    return {
        **definition,
        "not_before": window.get("not_before"),
        "not_after": window.get("not_after"),
        "timing kind": plain.get("kind"),
        "plain timing": {key: value for key, value in plain.items() if key not in _OF_CRON},
        **{key: plain.get(key, "") for key in _OF_CRON},
    }


_OF_CRON = ("expression", "timezone", "dialect", "gap", "repeat")


def timing_causes(claim: Claim, definition: Definition) -> list[Cause]:
    """What makes the schedule start at other times than the line."""
    parts = parts_of(definition.to_dict())
    return [*_halts(definition, parts), *_rule_causes(claim, definition, parts)]


def work_causes(claim: Claim, definition: Definition) -> list[Cause]:
    """What makes the schedule run something else than cron would, or run it differently."""
    if definition.kind is not Kind.COMMAND:
        return [Cause("kind", f"it calls the Celery task {definition.task}, not a command")]
    return list(_work_causes(claim, definition))


def notes(definition: Definition, *, makes_up: bool = False) -> list[str]:
    """What Beatkeeper adds to the line on purpose; when nothing goes wrong, cron starts the same.

    `makes_up`: the line's daemon makes up for starts that it missed.
    """
    deadline, timeout = definition.start_deadline, definition.timeout
    found = {
        "it is a shadow: it records what would start, and starts nothing": definition.mode is Mode.SHADOW,
        "it is not started beside its previous run; cron starts it": definition.overlap is not Overlap.ALLOW,
        "a start that an outage delays is made up for; cron's is lost": definition.catch_up
        is not CatchUp.SKIP,
        f"it is not started where it is {deadline or 0:g} s late": deadline is not None,
        f"it is ended after {timeout or 0:g} s": timeout is not None,
        f"it gets at most {definition.memory_limit} MiB of memory": definition.memory_limit is not None,
        f"it gets at most {definition.cpu_limit} s of processor time": definition.cpu_limit is not None,
        f"it writes no file above {definition.file_size_limit} MiB": definition.file_size_limit is not None,
        "it is tried again after a failure": definition.retry.max_attempts != 1,
        "it is run again where its worker is lost": definition.on_worker_lost is OnWorkerLost.RETRY,
        "processes that it leaves behind are ended; cron leaves them": definition.background
        is Background.KILL,
    }
    return [text for text, applies in found.items() if applies]


def clock_note(zone: str, minute: int) -> str:
    """The change of the clock near that minute (counted from 1970 UTC), in words; "" where there is none."""
    for change in changes(zone, minute - _REACH, minute + _REACH):
        after = change.at + change.offset
        return f"the clock goes from {_clock(after - change.by)} to {_clock(after)}"
    return ""


def _clock(minute: int) -> str:
    return f"{minute // 60 % 24:02}:{minute % 60:02}"


def _halts(definition: Definition, parts: dict[str, Any]) -> Iterator[Cause]:
    if not definition.enabled:
        yield Cause("enabled", "it is disabled and starts nothing")
    if definition.paused_until:
        until = datetime.fromisoformat(definition.paused_until)
        when = (
            "until somebody resumes it" if until.year == 9999 else f"until {_moment(definition.paused_until)}"
        )
        yield Cause("paused_until", f"it is paused {when}")
    if parts["not_before"]:
        yield Cause("not_before", f"it starts nothing before {_moment(parts['not_before'])}")
    if parts["not_after"]:
        yield Cause("not_after", f"it starts nothing from {_moment(parts['not_after'])} on")
    if definition.one_off:
        yield Cause("one_off", "it is disabled after its first run")


def _rule_causes(claim: Claim, definition: Definition, parts: dict[str, Any]) -> Iterator[Cause]:
    if claim.expression == "@reboot" or parts["timing kind"] != "cron":
        wanted = "boot" if claim.expression == "@reboot" else "cron"
        if parts["timing kind"] != wanted:
            runs = describe(from_dict(definition.timing))
            yield Cause("timing kind", f'it runs {runs}; the line says "{claim.expression}"')
        return
    if parts["expression"] != claim.expression:
        fields = _differing_fields(parts["expression"], claim.expression)
        yield Cause(
            "expression", f'its time is "{parts["expression"]}"{fields}; the line says "{claim.expression}"'
        )
    if parts["timezone"] != claim.zone:
        yield Cause("timezone", f"its zone is {parts['timezone']}; cron's is {claim.zone}")
    if parts["dialect"] != claim.dialect:
        rules = f"the rules of {parts['dialect']}{_RULES.get(parts['dialect'], '')}"
        yield Cause("dialect", f"its time is read by {rules}; cron reads it by those of {claim.dialect}")
    for part, change in (("gap", "that a clock change skips"), ("repeat", "that a clock change repeats")):
        if parts[part]:
            yield Cause(part, f'for times {change} its policy is "{parts[part]}", not cron\'s rule')


def _differing_fields(stored: str, said: str) -> str:
    ours, theirs = stored.split(), said.split()
    if len(ours) != 5 or len(theirs) != 5:
        return ""
    names = [name for name, one, other in zip(_FIELDS, ours, theirs, strict=True) if one != other]
    return f" (another {', '.join(names)})"


def _work_causes(claim: Claim, definition: Definition) -> Iterator[Cause]:
    if definition.command != claim.command:
        yield Cause(
            "command", f"its command is {_quoted(definition.command)}; the line says {_quoted(claim.command)}"
        )
    if definition.stdin != claim.stdin:
        yield Cause("stdin", "its standard input differs from what follows % in the line")
    names = _differing_names(definition.environment, claim.environment)
    if names:
        yield Cause("environment", f"its environment differs: {', '.join(names)}")
    shell, wanted = _shell(definition.shell, definition.environment), _shell(claim.shell, claim.environment)
    if shell != wanted and "SHELL" not in names:
        yield Cause("shell", f"its shell is {shell}; cron's is {wanted}")
    if claim.account is not None and definition.run_as != claim.account:
        account = definition.run_as or "the worker's account"
        yield Cause("run_as", f"it runs as {account}; cron runs it as {claim.account}")
    if definition.working_directory != claim.directory:
        here, there = definition.working_directory or "HOME", claim.directory or "HOME"
        yield Cause("working_directory", f"it starts in {here}; cron starts it in {there}")


def _shell(shell: str, environment: Sequence[tuple[str, str]]) -> str:
    return shell or dict(environment).get("SHELL") or DEFAULT_SHELL


def _differing_names(ours: Sequence[tuple[str, str]], theirs: Sequence[tuple[str, str]]) -> list[str]:
    return sorted({name for name, _ in set(ours) ^ set(theirs)})


def _quoted(text: str, most: int = 60) -> str:
    return f'"{text if len(text) <= most else text[: most - 1] + "…"}"'


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"
