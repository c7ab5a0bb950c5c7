"""Goes through a command as its shell would, and says what is missing where it is reached.

Called by `command.check`. The walk follows what is certain: assignments, `cd`, what an earlier command
makes or asks for. After `eval`, `.` and the like anything may be defined, so it ends there.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from schedules.rules.command import files as checks
from schedules.rules.command.files import Files, Place
from schedules.rules.command.findings import Finding, Level, error, note
from schedules.rules.shell import programs
from schedules.rules.shell.commands import AndOr, Group, Redirection, Script, Simple
from schedules.rules.shell.programs import Flavour, Words
from schedules.rules.shell.words import Word

_DEFINES_ANYTHING = frozenset(("eval", ".", "source", "alias", "enable", "builtin"))
_ASSIGNS = frozenset(("export", "readonly", "local", "declare", "typeset"))
_SETS_A_NAME = frozenset(("read", "getopts", "mapfile", "readarray", "printf", "let", "unset"))
_READS, _WRITES = frozenset(("<",)), frozenset((">", ">>", ">|", "<>", "&>", "&>>"))


@dataclass
class _State:
    """What the shell has become. A subshell changes a copy. None: not certain any more."""

    directory: str | None
    variables: dict[str, str | None]
    is_over: bool = False

    def copy(self) -> _State:
        return replace(self, variables=dict(self.variables))


@dataclass(frozen=True)
class _Reach:
    """`sometimes`: behind a test or `||`. `guards`: what such tests asked for, by path and by name."""

    sometimes: bool = False
    guards: frozenset[str] = frozenset()

    def behind(self, words: Words) -> _Reach:
        names = {word for word in words[1:] if word}
        return _Reach(True, self.guards | names | {posixpath.basename(name) for name in names})

    def asked_for(self, name: str) -> bool:
        return name in self.guards or posixpath.basename(name) in self.guards


@dataclass
class Walk:
    """One walk. `unset`: variables that were read and are not set."""

    files: Files
    account: str
    flavour: Flavour
    shell: str
    unset: set[str] = field(default_factory=set)
    # Words that earlier commands had: they may have made such files.
    _made: list[str] = field(default_factory=list)
    _has_run: bool = False

    def findings(
        self, script: Script, *, directory: str | None, variables: Mapping[str, str]
    ) -> Iterator[Finding]:
        yield from self._lists(script.lists, _Reach(), _State(directory, dict(variables)))

    def _lists(self, lists: Sequence[AndOr], reach: _Reach, state: _State) -> Iterator[Finding]:
        for and_or in lists:
            yield from self._and_or(and_or, reach, state.copy() if and_or.is_background else state)

    def _and_or(self, and_or: AndOr, reach: _Reach, state: _State) -> Iterator[Finding]:
        for step in and_or.steps:
            if step.joint == "||":
                reach = replace(reach, sometimes=True)
            for command in step.commands:
                own = state if len(step.commands) == 1 else state.copy()
                if not own.is_over:
                    yield from self._command(command, reach, own)
            words = self._guard(step.commands[-1], state)
            reach = reach.behind(words) if words else reach

    def _guard(self, command: Simple | Group, state: _State) -> Words:
        """The words of a command that only asks something; empty for all others."""
        if isinstance(command, Group) or not command.words:
            return ()
        words = [word.expanded(state.variables) for word in command.words]
        return words if programs.is_guard(words) else ()

    def _command(self, command: Simple | Group, reach: _Reach, state: _State) -> Iterator[Finding]:
        yield from self._redirections(command.redirections, reach, state)
        if isinstance(command, Simple):
            yield from self._simple(command, reach, state)
        else:
            yield from self._lists(command.lists, reach, state.copy() if command.is_subshell else state)

    def _simple(self, command: Simple, reach: _Reach, state: _State) -> Iterator[Finding]:
        words = [word.expanded(state.variables) for word in command.words]
        if not (words and programs.is_guard(words)):
            self._note_unset(command, state)
        path = state.variables.get("PATH")
        for name, value in command.assignments:
            if name == "PATH":
                path = value.expanded(state.variables)
            if not words:
                state.variables[name] = None if reach.sometimes else value.expanded(state.variables)
        if words and words[0] is not None:
            yield from self._program(command, words, reach, state, path)

    def _note_unset(self, command: Simple, state: _State) -> None:
        if self.flavour.sets is None:
            return
        read = [(name, "") for word in command.words for name in _read_by(word)]
        read += [(name, own) for own, value in command.assignments for name in value.names]
        read += [(name, "") for each in command.redirections for name in each.target.names]
        known = self.flavour.sets | state.variables.keys()
        self.unset |= {name for name, own in read if name != own} - known

    def _program(
        self, command: Simple, words: Words, reach: _Reach, state: _State, path: str | None
    ) -> Iterator[Finding]:
        place = self._place(state, path)
        for stage in programs.stages(words):
            name = stage[0]
            if name is None:
                break
            if name in self.flavour.builtins:
                yield from self._builtin(command, stage, reach, state)
                continue
            found, problems = self._found(name, place)
            yield from self._leveled(problems, name, reach, place)
            if found is None:
                break
            yield from self._arguments(stage, reach, place)
        self._remember(words, state)

    def _found(self, name: str, place: Place) -> tuple[str | None, list[Finding]]:
        found, problems = checks.program_findings(name, place)
        if found is None and name in programs.BASH.builtins and self.flavour is programs.DASH:
            problems = [self._of_bash(f'"{name}"', "does not know it")]
        return found, problems

    def _of_bash(self, what: str, effect: str) -> Finding:
        text = f"{what} is bash's, and {self.shell} is {self.flavour.name}, which {effect}"
        return error("bash_only", text, "choose the shell /bin/bash for the schedule, or write it for sh")

    def _arguments(self, stage: Words, reach: _Reach, place: Place) -> Iterator[Finding]:
        """Scripts of interpreters, and the directory of run-parts."""
        script = programs.script_of(stage)
        if script is not None:
            by_shell = programs.is_shell(stage[0] or "")
            yield from self._leveled(
                checks.script_findings(script, place, by_shell=by_shell), script, reach, place
            )
        if posixpath.basename(stage[0] or "") == "run-parts" and len(stage) > 1:
            path = place.absolute(stage[-1] or "")
            if path is not None and not (stage[-1] or "-").startswith("-"):
                found = checks.directory_findings(path, place, purpose="the directory")
                yield from self._leveled(found, path, reach, place)

    def _builtin(self, command: Simple, words: Words, reach: _Reach, state: _State) -> Iterator[Finding]:
        name = words[0]
        if name in ("cd", "chdir"):
            yield from self._cd(words, reach, state)
        elif name in ("pushd", "popd"):
            state.directory = None
        elif name in _DEFINES_ANYTHING:
            yield from self._sourced(words, reach, state)
            state.is_over = True
        elif name in ("exit", "return") or (name == "exec" and len(words) > 1):
            state.is_over = not reach.sometimes
        elif name in _ASSIGNS:
            for word in command.words[1:]:
                self._assign(word, reach, state)
        elif name in _SETS_A_NAME:
            state.variables.update(dict.fromkeys((word for word in words[1:] if word), None))

    def _assign(self, word: Word, reach: _Reach, state: _State) -> None:
        if assigned := word.assignment:
            name, value = assigned
            state.variables[name] = None if reach.sometimes else value.expanded(state.variables)

    def _sourced(self, words: Words, reach: _Reach, state: _State) -> Iterator[Finding]:
        file = words[1] if words[0] in (".", "source") and len(words) > 1 else None
        if file and "/" in file:
            place = self._place(state, None)
            problems = checks.script_findings(file, place, by_shell=True)
            yield from self._leveled(problems, file, reach, place)

    def _cd(self, words: Words, reach: _Reach, state: _State) -> Iterator[Finding]:
        operands = [word for word in words[1:] if word not in ("-P", "-L", "--")]
        wanted = operands[0] if operands else state.variables.get("HOME")
        place = self._place(state, None)
        path = place.absolute(wanted) if wanted and wanted != "-" else None
        state.directory = None if reach.sometimes else path
        if path is None:
            return
        found = checks.directory_findings(path, place, purpose="the directory")
        if found:
            state.directory = None
        yield from self._leveled(found, path, reach, place)

    def _redirections(
        self, redirections: Sequence[Redirection], reach: _Reach, state: _State
    ) -> Iterator[Finding]:
        place = self._place(state, None)
        for each in redirections:
            yield from self._misunderstood(each, reach)
            name = each.target.expanded(state.variables)
            path = place.absolute(name) if name else None
            if path is None:
                continue
            if each.operator in _READS:
                yield from self._leveled(checks.input_findings(path, place), path, reach, place)
            elif each.operator in _WRITES:
                yield from self._leveled(checks.output_findings(path, place), path, reach, place)
                self._made.append(path)

    def _misunderstood(self, redirection: Redirection, reach: _Reach) -> Iterator[Finding]:
        if self.flavour is not programs.DASH:
            return
        if redirection.operator in ("&>", "&>>"):
            effect = "starts the command in the background and leaves its output as it is"
            found = self._of_bash(f'"{redirection.operator}"', effect)
            yield replace(found, level=Level.WARNING, advice="write > FILE 2>&1, or choose /bin/bash")
        elif redirection.operator == "<<<":
            yield self._of_bash('"<<<"', "refuses it")

    def _leveled(
        self, problems: Sequence[Finding], name: str, reach: _Reach, place: Place
    ) -> Iterator[Finding]:
        """An error where it is sure to be met; a warning where it is met sometimes, or mended before."""
        path = place.absolute(name) or name
        for problem in problems:
            is_absent = problem.code in ("missing", "not_in_path", "directory", "input", "output")
            if is_absent and self._may_be_made(path):
                continue
            if is_absent and reach.asked_for(name):
                text = f"{problem.text}; the command asks for it first, and does nothing without it"
                yield note("guarded", text)
            elif problem.level is Level.ERROR and (reach.sometimes or self._may_appear(name, is_absent)):
                yield replace(problem, level=Level.WARNING, text=f"{problem.text} (if it comes to that)")
            else:
                yield problem

    def _may_be_made(self, path: str) -> bool:
        """Whether an earlier command names the path, or a directory above it: it may make it."""
        return any(path == made or path.startswith(made.rstrip("/") + "/") for made in self._made)

    def _may_appear(self, name: str, is_absent: bool) -> bool:
        """A relative path after another program has run: a checkout or a build may bring it."""
        return is_absent and self._has_run and not name.startswith("/") and "/" in name

    def _remember(self, words: Words, state: _State) -> None:
        if words[0] in ("cd", "chdir") or programs.is_guard(words):
            return
        self._has_run = self._has_run or words[0] not in self.flavour.builtins
        place = self._place(state, None)
        for word in words[1:]:
            for text in (word or "", (word or "").partition("=")[2], (word or "")[2:]):
                path = place.absolute(text) if text else None
                self._made += [path] if path and path != "/" else []

    def _place(self, state: _State, path: str | None) -> Place:
        home = state.variables.get("HOME") or ""
        return Place(self.files, self.account, state.directory, path, home)


def _read_by(word: Word) -> Sequence[str]:
    """`export NAME=$NAME:more` appends: an empty value is expected there."""
    assigned = word.assignment
    return [name for name in word.names if assigned is None or name != assigned[0]]
