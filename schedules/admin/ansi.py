"""A command's output as HTML: text escaped, SGR colours as spans of fixed classes, the rest of it harmless.

Whatever the command printed is hostile: cursor movements, titles, links and other control sequences
are taken out, single control characters and bidirectional overrides are made visible. Nothing that
the command printed becomes markup. Colours are classes of our own style sheet. Called by the run page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from django.utils.html import escape
from django.utils.safestring import SafeString

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)(?P<sgr>[0-9;:]{0,100})m"  # colours: the only sequence with an effect here
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # cursor movements, erasures, modes
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # titles, links, strings
    r"|\x1b[ -/]*[0-~]?"  # everything else that begins with an escape
)
# Line feed and tab stay; a carriage return of a progress bar begins a line of its own.
_CONTROLS = {code: chr(0x2400 + code) for code in range(0x20) if code not in (0x09, 0x0A)} | {0x7F: "\u2421"}
_CONTROLS |= dict.fromkeys(range(0x80, 0xA0), "\ufffd") | {0x00: "\ufffd", 0x07: ""}
# Characters that reorder or hide what stands beside them.
_INVISIBLE = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C, 0x200B, 0xFEFF)
_VISIBLE = _CONTROLS | {code: f"\u27e8U+{code:04X}\u27e9" for code in _INVISIBLE}

_COLOURS = 8
_EMPHASES = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike"}
_ENDS = {
    22: ("bold", "dim"),
    23: ("italic",),
    24: ("underline",),
    27: ("inverse",),
    29: ("strike",),
}


def visible(text: str) -> str:
    """The text with control and bidirectional characters shown instead of obeyed. Not escaped."""
    sound = text.encode("utf-8", "replace").decode()
    return sound.replace("\r\n", "\n").translate(_VISIBLE)


@dataclass(frozen=True)
class Style:
    """What is switched on. Colours are 0-15 of the palette, None is the page's own."""

    foreground: int | None = None
    background: int | None = None
    emphases: frozenset[str] = frozenset()

    @property
    def classes(self) -> str:
        names = [f"ansi-{name}" for name in sorted(self.emphases)]
        if self.foreground is not None:
            names.append(f"ansi-fg-{self.foreground}")
        if self.background is not None:
            names.append(f"ansi-bg-{self.background}")
        return " ".join(names)


PLAIN = Style()


def render(pieces: Iterable[tuple[str, str]]) -> SafeString:
    """Pieces of (stream, text) in the order in which they arrived, stderr marked."""
    styles: dict[str, Style] = {}
    html: list[str] = []
    for stream, text in pieces:
        shown, styles[stream] = _piece(text, styles.get(stream, PLAIN))
        html.append(f'<span class="bk-stderr">{shown}</span>' if stream == "stderr" else shown)
    return SafeString("".join(html))  # built above from escaped text and our own class names alone


def without_sequences(text: str) -> str:
    """The text with every control sequence taken out and the rest made visible. Not escaped."""
    return visible(_SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


def _piece(text: str, style: Style) -> tuple[str, Style]:
    html: list[str] = []
    last = style
    for part, last in _styled(text.replace("\r\n", "\n").replace("\r", "\n"), style):
        shown = escape(visible(part))
        html.append(f'<span class="{last.classes}">{shown}</span>' if last.classes and part else shown)
    return "".join(html), last


def _styled(text: str, style: Style) -> Iterator[tuple[str, Style]]:
    """Stretches of plain text, each with the style it is shown in; ends with the style that goes on."""
    at = 0
    for found in _SEQUENCE.finditer(text):
        yield text[at : found.start()], style
        at = found.end()
        if found["sgr"] is not None:
            style = _after(style, found["sgr"])
    yield text[at:], style


def _after(style: Style, parameters: str) -> Style:
    codes = [int(code[:4] or "0") for code in parameters.replace(":", ";").split(";")]
    rest = iter(codes)
    for code in rest:
        style = _apply(style, code, rest)
    return style


def _apply(style: Style, code: int, rest: Iterator[int]) -> Style:
    if code == 0:
        return PLAIN
    if code in _EMPHASES:
        return replace(style, emphases=style.emphases | {_EMPHASES[code]})
    if code in _ENDS:
        return replace(style, emphases=style.emphases.difference(_ENDS[code]))
    if code in (38, 48):
        side = "foreground" if code == 38 else "background"
        return replace(style, **{side: _extended(rest)})  # type: ignore[arg-type]
    return _basic_colour(style, code)


def _basic_colour(style: Style, code: int) -> Style:
    tens, colour = divmod(code, 10)
    if colour < _COLOURS and tens in (3, 9):
        return replace(style, foreground=colour + (_COLOURS if tens == 9 else 0))
    if colour < _COLOURS and tens in (4, 10):
        return replace(style, background=colour + (_COLOURS if tens == 10 else 0))
    if code == 39:
        return replace(style, foreground=None)
    return replace(style, background=None) if code == 49 else style


def _extended(rest: Iterator[int]) -> int | None:
    """The palette's nearest colour for `5;n` and `2;r;g;b`; None for what is incomplete."""
    kind = next(rest, None)
    if kind == 5:
        return _of_256(next(rest, 0))
    if kind == 2:
        return _nearest(next(rest, 0), next(rest, 0), next(rest, 0))
    return None


def _of_256(number: int) -> int:
    if number < 16:
        return number
    if number >= 232:
        grey = 8 + 10 * (min(number, 255) - 232)
        return _nearest(grey, grey, grey)
    red, rest = divmod(number - 16, 36)
    green, blue = divmod(rest, 6)
    return _nearest(red * 51, green * 51, blue * 51)


def _nearest(red: int, green: int, blue: int) -> int:
    """One bit for each primary that is near the strongest; bright where that one is strong."""
    strongest = max(red, green, blue)
    if strongest < 48:
        return 0
    bits = sum(1 << at for at, part in enumerate((red, green, blue)) if part > strongest / 2)
    return bits + (_COLOURS if strongest > 191 else 0)
