"""Reads words and operators from a shell's command line, by POSIX's quoting rules (XCU 2.2 to 2.6).

Where a construct could mean several things, or other things to another shell, reading ends with
`Unreadable` rather than with a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from schedules.rules.shell.words import Home, Operator, Part, Text, Token, Unknown, Variable, Word

# Longest first.
_OPERATORS = (
    *("&>>", "<<<", "<<-", "&&", "||", ";;", "|&", "<<", ">>", "<&", ">&", "<>", ">|", "&>"),
    *(";", "&", "|", "(", ")", "<", ">", "\n"),
)
REDIRECTIONS = frozenset(("<", ">", ">>", "<>", ">|", "&>", "&>>", "<&", ">&", "<<<"))
# Here-documents, `case` branches, and a pipe that shells disagree about.
_UNREAD = frozenset(("<<", "<<-", ";;", "|&"))

_BLANKS = " \t"
_ENDS_A_WORD = frozenset(" \t\n;&|()<>")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRACED_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SPECIAL = re.compile(r"[0-9@*#?$!-]")
_DESCRIPTOR = re.compile(r"\d+(?=[<>])")
# To bash the blanks that follow belong to it.
_OPEN_SUBSCRIPT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\[[^\]]*$")
_PATTERN = re.compile(r"[*?]|\[.*\]", re.DOTALL)
_BRACES = re.compile(r"\{.*(?:,|\.\.).*\}", re.DOTALL)


class Unreadable(Exception):
    """From here on nothing certain can be said."""


class Malformed(Exception):
    """The shell will refuse the text; the message says what is wrong, without a full stop."""


class Lexer:
    """Hands out one token after the other; `at` is the offset behind the last one."""

    def __init__(self, text: str, at: int = 0) -> None:
        self._text, self.at = text, at

    def token(self) -> Token | None:
        """None at the end. Raises Unreadable and Malformed."""
        self._skip_blanks()
        if self.at >= len(self._text):
            return None
        if number := _DESCRIPTOR.match(self._text, self.at):
            self.at = number.end()
        for operator in _OPERATORS:
            if self._text.startswith(operator, self.at):
                return self._operator(operator)
        return _Reader(self._text, self).word()

    def _operator(self, operator: str) -> Operator:
        self.at += len(operator)
        is_process = operator in ("<", ">") and self._text.startswith("(", self.at)
        is_continued = operator != "\n" and self._text.startswith("\\\n", self.at)  # perhaps `&\<newline>&`
        if operator in _UNREAD or is_process or is_continued:
            raise Unreadable
        return Operator(operator)

    def _skip_blanks(self) -> None:
        text = self._text
        while self.at < len(text):
            if text[self.at] in _BLANKS:
                self.at += 1
            elif text.startswith("\\\n", self.at):
                self.at += 2
            elif text[self.at] == "#":
                end = text.find("\n", self.at)
                self.at = len(text) if end < 0 else end
            else:
                return


@dataclass
class _Reader:
    """One word."""

    text: str
    lexer: Lexer
    parts: list[Part] = field(default_factory=list)
    # The word with every quoted character replaced, to look for patterns in.
    bare: list[str] = field(default_factory=list)

    def word(self) -> Word:
        begin = self.lexer.at
        if self._next() == "~":
            self._tilde()
        while (character := self._next()) and character not in _ENDS_A_WORD:
            self._character(character)
        if character == "(":  # a function, an array, an extended pattern
            raise Unreadable
        bare = "".join(self.bare)
        raw = self.text[begin : self.lexer.at]
        if _OPEN_SUBSCRIPT.match(raw):
            raise Unreadable
        return Word(raw, tuple(self.parts), bool(_PATTERN.search(bare) or _BRACES.search(bare)))

    def _next(self) -> str:
        return self.text[self.lexer.at : self.lexer.at + 1]

    def _take(self, count: int = 1) -> str:
        begin = self.lexer.at
        self.lexer.at += count
        return self.text[begin : self.lexer.at]

    def _add(self, text: str, *, bare: bool = False) -> None:
        self.bare.append(text if bare else "x" * len(text))
        if self.parts and isinstance(self.parts[-1], Text):
            text = self.parts.pop().text + text  # type: ignore[union-attr]
        self.parts.append(Text(text))

    def _tilde(self) -> None:
        """`~` alone is HOME; `~name`, or what variables and quotes make of it, is not looked up."""
        self._take()
        following = self._next()
        self.parts.append(Home() if not following or following in "/ \t\n;&|()<>" else Unknown())

    def _character(self, character: str) -> None:
        if character == "\\":
            self._escape()
        elif character == "'":
            self._take()
            self._add(self._up_to("'"))
        elif character == '"':
            self._take()
            self._double_quotes()
        elif character == "`":
            self._backquotes()
        elif character == "$":
            self._dollar(quoted=False)
        else:
            self._add(self._take(), bare=True)

    def _escape(self) -> None:
        self._take()
        following = self._take()
        if not following:  # shells differ
            raise Unreadable
        if following != "\n":
            self._add(following)

    def _up_to(self, quote: str) -> str:
        end = self.text.find(quote, self.lexer.at)
        if end < 0:
            raise Malformed(f"a quotation begins with {quote} and does not end")
        found = self._take(end - self.lexer.at)
        self._take()
        return found

    def _double_quotes(self) -> None:
        self._add("")
        while (character := self._next()) != '"':
            if not character:
                raise Malformed('a quotation begins with " and does not end')
            if character == "\\" and self.text[self.lexer.at + 1 : self.lexer.at + 2] in tuple('$`"\\\n'):
                self._escape()
            elif character == "`":
                self._backquotes()
            elif character == "$":
                self._dollar(quoted=True)
            else:
                self._add(self._take())
        self._take()

    def _backquotes(self) -> None:
        self._take()
        begin = self.lexer.at
        while (character := self._take()) != "`":
            if not character:
                raise Malformed("a substitution begins with ` and does not end")
            if character == "\\":
                self._take()
        inner = re.sub(r"\\([$`\\])", r"\1", self.text[begin : self.lexer.at - 1])
        self.parts.append(Unknown(tuple(_names_in(inner))))

    def _dollar(self, *, quoted: bool) -> None:
        self._take()
        if self.text.startswith("((", self.lexer.at):
            self._arithmetic()
        elif self._next() == "(":
            self._substitution()
        elif braced := _BRACED_NAME.match(self.text, self.lexer.at):
            self._take(len(braced[0]))
            self.parts.append(Variable(braced[1], quoted))
        elif self._next() == "{":
            self._parameter()
        elif name := _NAME.match(self.text, self.lexer.at):
            self._take(len(name[0]))
            self.parts.append(Variable(name[0], quoted))
        elif _SPECIAL.match(self._next()):
            self._take()
            self.parts.append(Unknown())
        elif self._is_odd(quoted=quoted):
            raise Unreadable
        else:
            self._add("$")

    def _is_odd(self, *, quoted: bool) -> bool:
        """bash's own quotes and arithmetic, and a name that continues on the next line."""
        following = self._next()
        is_continued = self.text.startswith("\\\n", self.lexer.at)
        return following == "[" or is_continued or (not quoted and following in ("'", '"'))

    def _arithmetic(self) -> None:
        """Up to the `))` that closes it. Names in it are variables, with or without `$`."""
        end = self.text.find("))", self.lexer.at)
        inner = self.text[self.lexer.at + 2 : end]
        if end < 0 or re.search(r"[^\w\s$+*/%<>=!&|^~?:,-]", inner):
            raise Unreadable
        self.lexer.at = end + 2
        self.parts.append(Unknown(tuple(_NAME.findall(inner))))

    def _substitution(self) -> None:
        """Up to the `)` that closes it. A `case` in it has closing parentheses of its own."""
        inner = Lexer(self.text, self.lexer.at + 1)
        depth, names = 1, list[str]()
        while depth:
            token = inner.token()
            if token is None:
                raise Malformed("a substitution begins with $( and does not end")
            if isinstance(token, Word):
                if token.raw == "case":
                    raise Unreadable
                names += token.names
            depth += {"(": 1, ")": -1}.get(token.text, 0) if isinstance(token, Operator) else 0
        self.lexer.at = inner.at
        self.parts.append(Unknown(tuple(names)))

    def _parameter(self) -> None:
        """`${name:-default}` and its kind: whoever writes that has thought of a missing value."""
        end = self.text.find("}", self.lexer.at)
        inner = self.text[self.lexer.at : end]
        if end < 0 or re.search(r"['\"`$\\{]", inner[1:]):
            raise Unreadable
        self.lexer.at = end + 1
        self.parts.append(Unknown())


def _names_in(text: str) -> Iterator[str]:
    """Variables that are read in a text of its own, as far as it can be read."""
    lexer = Lexer(text)
    try:
        while (token := lexer.token()) is not None:
            yield from token.names if isinstance(token, Word) else ()
    except (Unreadable, Malformed):
        return
