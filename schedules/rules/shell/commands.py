"""A shell's command line as a tree: lists of pipelines of simple commands, and groups of lists.

What runs only sometimes or more than once (`if`, loops, functions) is not read: the tree ends before
it and says so. Nothing is judged here; `command.check` walks the tree.
"""

from __future__ import annotations

from dataclasses import dataclass

from schedules.rules.shell.lexer import REDIRECTIONS, Lexer, Malformed, Unreadable
from schedules.rules.shell.words import Operator, Word

_UNREAD_WORDS = frozenset(
    ("if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac")
) | frozenset(("select", "function", "coproc", "[["))
_CLOSING = {"(": ")", "{": "}"}


@dataclass(frozen=True)
class Redirection:
    operator: str
    target: Word


@dataclass(frozen=True)
class Simple:
    """One command. `words` is empty where the line only assigns or redirects."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirections: tuple[Redirection, ...]


@dataclass(frozen=True)
class Group:
    """`( ... )` or `{ ...; }`; the former leaves variables and directory as they were."""

    lists: tuple[AndOr, ...]
    redirections: tuple[Redirection, ...]
    is_subshell: bool


@dataclass(frozen=True)
class Step:
    """A pipeline, and what joins it to the one before: "", "&&" or "||"."""

    joint: str
    commands: tuple[Simple | Group, ...]


@dataclass(frozen=True)
class AndOr:
    steps: tuple[Step, ...]
    is_background: bool


@dataclass(frozen=True)
class Script:
    """`is_whole`: all of the text was read. `problem`: why the shell will refuse it, "" where it will not."""

    lists: tuple[AndOr, ...]
    is_whole: bool
    problem: str = ""


def read(text: str) -> Script:
    """As much of the text as is certain, from its begin on."""
    parser = _Parser(text)
    lists = parser.lists(until="")
    return Script(lists, not parser.is_stopped, parser.problem)


class _Parser:
    """Recursive descent. Once stopped there is no token any more, and everything returns what it has."""

    def __init__(self, text: str) -> None:
        self._lexer = Lexer(text)
        self.is_stopped, self.problem = False, ""
        self._token: Word | Operator | None = None
        self._advance()

    def lists(self, *, until: str) -> tuple[AndOr, ...]:
        found: list[AndOr] = []
        self._skip_newlines()
        while self._token is not None and not self._is_at(until):
            steps = self._steps()
            if steps:
                found.append(AndOr(steps, self._text() == "&"))
            if self._text() in (";", "&", "\n"):
                self._advance()
                self._skip_newlines()
            elif self._token is not None and not self._is_at(until):
                self._refuse(self._unexpected())
        return tuple(found)

    def _steps(self) -> tuple[Step, ...]:
        found: list[Step] = []
        joint = ""
        while True:
            commands = self._pipeline(after=joint)
            if commands:
                found.append(Step(joint, commands))
            joint = self._text()
            if joint not in ("&&", "||"):
                return tuple(found)
            self._advance()
            self._skip_newlines()

    def _pipeline(self, *, after: str) -> tuple[Simple | Group, ...]:
        found: list[Simple | Group] = []
        while self._raw() == "!":
            after = "!"
            self._advance()
        while True:
            command = self._command()
            if command is not None:
                found.append(command)
            elif after == "!":  # alone: bash takes it
                self._stop()
            elif not self.is_stopped:
                self._refuse(f"nothing follows {after}" if after else self._unexpected())
            after = self._text()
            if after != "|":
                return tuple(found)
            self._advance()
            self._skip_newlines()

    def _command(self) -> Simple | Group | None:
        opening = self._text() if self._text() == "(" else self._raw()
        if opening in _CLOSING:
            return self._group(opening)
        if opening in _UNREAD_WORDS:
            self._stop()
            return None
        return self._simple()

    def _group(self, opening: str) -> Group | None:
        """A `{` that is not closed may be an argument of something else: then nothing is known of it."""
        self._advance()
        lists = self.lists(until=_CLOSING[opening])
        if self._token is None and not self.is_stopped:
            self._refuse(f"{opening} is not closed")
        self._advance()
        redirections = self._redirections()
        return Group(lists, redirections, opening == "(") if lists else None

    def _simple(self) -> Simple | None:
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirections: list[Redirection] = []
        while True:
            redirections += self._redirections()
            if not isinstance(self._token, Word):
                break
            assigned = self._token.assignment if not words else None
            if assigned:
                assignments.append(assigned)
            else:
                words.append(self._token)
            self._advance()
        if self._text() == "(":  # of a function
            self._stop()
        found = Simple(tuple(assignments), tuple(words), tuple(redirections))
        is_empty = not (assignments or words or redirections)
        return None if self.is_stopped or is_empty else found

    def _redirections(self) -> tuple[Redirection, ...]:
        found: list[Redirection] = []
        while (operator := self._text()) in REDIRECTIONS:
            self._advance()
            if not isinstance(self._token, Word):
                if not self.is_stopped:
                    self._refuse(f"no file follows {operator}")
                break
            found.append(Redirection(operator, self._token))
            self._advance()
        return tuple(found)

    def _unexpected(self) -> str:
        return f"{self._text() or 'the end'} is not expected there"

    def _is_at(self, closing: str) -> bool:
        return bool(closing) and self._text() == closing

    def _text(self) -> str:
        """The operator at hand, or a `}` that closes; "" for words and the end."""
        if isinstance(self._token, Operator):
            return self._token.text
        return "}" if self._raw() == "}" else ""

    def _raw(self) -> str:
        return self._token.raw if isinstance(self._token, Word) else ""

    def _skip_newlines(self) -> None:
        while self._text() == "\n":
            self._advance()

    def _advance(self) -> None:
        if self.is_stopped:
            return
        try:
            self._token = self._lexer.token()
        except Unreadable:
            self._stop()
        except Malformed as error:
            self._refuse(str(error))

    def _stop(self) -> None:
        self.is_stopped, self._token = True, None

    def _refuse(self, problem: str) -> None:
        self.problem = problem
        self._stop()
