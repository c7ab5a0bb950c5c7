"""Output is hostile: what it may do to a page is to be text in fixed colours."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.admin.ansi import render, visible, without_sequences

ESC = "\x1b"


def shown(text: str, stream: str = "stdout") -> str:
    return render([(stream, text)])


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain", "plain"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        (f"{ESC}[31mred{ESC}[0m.", '<span class="ansi-fg-1">red</span>.'),
        (f"{ESC}[1;92mok{ESC}[m", '<span class="ansi-bold ansi-fg-10">ok</span>'),
        (f"{ESC}[44m {ESC}[49mx", '<span class="ansi-bg-4"> </span>x'),
        (f"{ESC}[38;5;196mx", '<span class="ansi-fg-9">x</span>'),
        (f"{ESC}[38;2;0;200;0mx", '<span class="ansi-fg-10">x</span>'),
        (f"{ESC}[38;5mx", '<span class="ansi-fg-0">x</span>'),
        (f"{ESC}[31m<b>{ESC}[39m", '<span class="ansi-fg-1">&lt;b&gt;</span>'),
        (f"a{ESC}[2J{ESC}[10;10Hb", "ab"),
        (f"{ESC}]8;;http://evil{ESC}\\link{ESC}]8;;{ESC}\\", "link"),
        (f"{ESC}]0;title\x07after", "after"),
        (f"{ESC}]8;;never ended\nnext", "\nnext"),
        (f"{ESC}", ""),
        ("\x9b31mred", '<span class="ansi-fg-1">red</span>'),
        ("50%\r100%\r\ndone", "50%\n100%\ndone"),
        ("a\x00b", "a\ufffdb"),
        ("a\x08b", "a\u2408b"),
        ("\u202eevil", "⟨U+202E⟩evil"),
        (f"{ESC}[{'9' * 5000}mx", "x"),
    ],
)
def test_colours_stay_and_everything_else_is_harmless(text, html):
    assert shown(text) == html


def test_stderr_is_marked_and_keeps_its_own_colours():
    html = render([("stdout", f"{ESC}[31mred"), ("stderr", "err"), ("stdout", "still red")])

    assert html == (
        '<span class="ansi-fg-1">red</span><span class="bk-stderr">err</span>'
        '<span class="ansi-fg-1">still red</span>'
    )


@given(
    st.text(alphabet=st.one_of(st.sampled_from("\x1b[]0;38mK\\\x07<>&\"'\x9b\u202e\r\n"), st.characters()))
)
def test_no_text_becomes_markup(text):
    html = shown(text)

    tags = set(re.findall(r"<[^>]*>", html))
    assert all(re.fullmatch(r'</span>|<span class="[a-z0-9 -]+">', tag) for tag in tags)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", html)
    html.encode()


def test_a_name_shows_what_would_reorder_it():
    assert visible("a\u202eb\x1bc\ud800") == "a⟨U+202E⟩b\u241bc?"


def test_the_plain_download_has_no_sequences():
    assert without_sequences(f"{ESC}[1mbold{ESC}]0;t\x07 <b>") == "bold <b>"
