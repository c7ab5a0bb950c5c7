"""Generated crontabs: every sort of line that a person may write, good and bad, in any order."""

from __future__ import annotations

from hypothesis import strategies as st

BLANKS = st.text(" \t", min_size=1, max_size=3)
TEXT = st.text(st.characters(blacklist_characters="\n\0", blacklist_categories=["Cs"]), max_size=12)
TIME = st.sampled_from(
    ["* * * * *", "*/5 8-18 1 * mon-fri", "08 02 1,15 jan,Feb 7", "5#2 * * * 9–17", "@daily", "@reboot"]
)
COMMAND = st.lists(
    st.sampled_from(["%", "\\", "\\%", "\\\\", " ", "\t", "'", '"', "=", "#", "a", "date", "é", "\r", "*"]),
    max_size=9,
).map("".join)
NAMES = ["A", "B", "PATH", "MAILTO"]
VALUE = st.one_of(
    st.sampled_from(["1", "''", '""', "'a b '", "\"'q '\"", "a'b\"", "'x' # y", "$HOME", " b ", "'open"]),
    TEXT,
)
ACCOUNT = st.sampled_from(["root", "ada", "www-data"])


@st.composite
def job_line(draw: st.DrawFn, format: str = "user") -> str:
    time = draw(TIME).replace(" ", draw(BLANKS))
    account = draw(ACCOUNT) + draw(BLANKS) if format == "system" else ""
    return draw(st.sampled_from(["", " ", "\t"])) + time + draw(BLANKS) + account + draw(COMMAND)


@st.composite
def setting_line(draw: st.DrawFn) -> str:
    name, value = draw(st.sampled_from([*NAMES, "'A B'", '"B"'])), draw(VALUE)
    return f"{draw(st.sampled_from(['', ' ']))}{name}{draw(st.sampled_from(['=', ' = ', '=  ']))}{value}"


@st.composite
def crontab_text(draw: st.DrawFn, format: str = "user") -> str:
    comment = TEXT.map(lambda text: f"#{text}")
    blank = st.sampled_from(["", " ", "\t"])
    line = st.one_of(job_line(format), job_line(format), setting_line(), comment, blank, TEXT)
    text = "".join(f"{one}\n" for one in draw(st.lists(line, max_size=12)))
    return text + draw(st.sampled_from(["", "# no line end", "* * * * * lost"]))
