"""Could this command run here? What a schedule's command names, compared with a file system.

Nothing is executed and nothing is guessed: a false alarm makes people blind to the next true one. So
only what is sure to be reached is an error, what is reached sometimes is a warning, and what the shell
alone can tell is passed by in silence. The file system is asked through `command.files.Files`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from schedules.rules.command.files import Files, Place, directory_findings
from schedules.rules.command.findings import Finding, error, note, warning
from schedules.rules.command.walk import Walk
from schedules.rules.shell import commands, programs
from schedules.rules.shell.programs import Flavour


@dataclass(frozen=True)
class Subject:
    """One command as it would be started. `added_by_cron`: variables that cron would set besides, and where.

    `is_home`: the directory is HOME only by default, so the command starts elsewhere if need be.
    """

    text: str
    shell: str
    directory: str
    is_home: bool
    account: str
    environment: Mapping[str, str]
    added_by_cron: Mapping[str, tuple[str, str]]


def check(subject: Subject, files: Files) -> list[Finding]:
    """Everything that is to be said of the command, in the order of its start."""
    place = Place(
        files=files,
        account=subject.account,
        directory=subject.directory,
        path=subject.environment.get("PATH"),
        home=subject.environment.get("HOME", ""),
    )
    unusable = [*_shell(subject, place)]
    if unusable:
        return unusable
    start, found = _start(subject, place)
    return _distinct([*found, *_path(subject), *_text(subject, files, start), *_added_by_cron(subject)])


def _shell(subject: Subject, place: Place) -> Iterator[Finding]:
    seen = place.files.look(subject.shell)
    advice = "install it, or choose another shell for the schedule"
    if seen.kind == "missing":
        yield error("shell", f"the shell {subject.shell} does not exist on this machine", advice)
    elif seen.kind != "file":
        why = seen.reason or f"it is {'a directory' if seen.kind == 'directory' else 'no regular file'}"
        yield error("shell", f"the shell {subject.shell} cannot be used ({why})", advice)
    elif not seen.executable:
        yield error("shell", f"the shell {subject.shell} may not be executed by {subject.account}", advice)


def _start(subject: Subject, place: Place) -> tuple[str | None, list[Finding]]:
    """The directory in which the command begins, None where it cannot begin."""
    found = directory_findings(
        subject.directory, place, purpose="HOME" if subject.is_home else "the working directory"
    )
    if not found:
        return subject.directory, []
    if not subject.is_home:
        return None, found
    return "/", [note("home", f"{found[0].text}; the command starts in /", found[0].advice)]


def _path(subject: Subject) -> Iterator[Finding]:
    """cron expands nothing, so what a login shell makes of PATH's value does not happen."""
    path = subject.environment.get("PATH", "")
    if literal := [part for part in path.split(":") if "$" in part]:
        text = f"PATH holds {', '.join(literal)} as written: nothing is expanded there, as under cron"
        yield warning("path", text, "write the directories in full")


def _text(subject: Subject, files: Files, start: str | None) -> Iterator[Finding]:
    if not subject.text.strip():
        yield warning("empty", "the command is empty: the shell starts and does nothing")
    flavour = programs.flavour(files.program_name(subject.shell))
    if flavour is None:
        return
    script = commands.read(subject.text)
    if script.problem:
        yield error("syntax", f"the shell will refuse the command: {script.problem}", "correct the command")
        return
    walk = Walk(files=files, account=subject.account, flavour=flavour, shell=subject.shell)
    yield from walk.findings(script, directory=start, variables=subject.environment)
    for name in sorted(walk.unset):
        yield _unset(name, subject, flavour)


def _unset(name: str, subject: Subject, flavour: Flavour) -> Finding:
    if name in (programs.BASH.sets or ()):
        text = f"${name} is empty: it is a variable of bash, and {subject.shell} is {flavour.name}"
        return warning("variable", text, "choose the shell /bin/bash for the schedule")
    if name in subject.added_by_cron:
        value, source = subject.added_by_cron[name]
        text = f"${name} is empty here; cron sets it to {value} (from {source})"
    else:
        text = f"${name} is empty: no run has it, although a login shell may"
    return warning("variable", text, f"add a line {name}=... to the schedule's environment")


def _added_by_cron(subject: Subject) -> Iterator[Finding]:
    """What a run lacks that the same line had under this machine's cron. The locale is so common: a note."""
    for name, (value, source) in sorted(subject.added_by_cron.items()):
        if name in subject.environment:
            continue
        is_locale = name in ("LANG", "LANGUAGE") or name.startswith("LC_")
        say = note if is_locale else warning
        text = f"cron sets {name}={value} (from {source}); a run has no {name}"
        yield say("cron_environment", text, f"add {name}={value} to the environment if the command needs it")


def _distinct(findings: list[Finding]) -> list[Finding]:
    return list(dict.fromkeys(findings))
