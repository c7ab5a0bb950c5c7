"""Lines taken out of a crontab and put back, byte for byte."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schedules.rules import cut_over_lines as lines
from schedules.rules.crontab import LineKind, parse

CRONTAB = b"# head\nPATH=/bin\n30 2 * * * root /bin/backup --full\n*/5 * * * * root true\n"

anything = st.lists(st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"")), max_size=8)


def test_a_line_that_is_out_is_a_comment_in_place():
    mark = lines.mark_of(12, b"30 2 * * * root /bin/backup --full")

    out = lines.take_out(CRONTAB, {3: mark})

    assert out.split(b"\n")[2] == b"# cut over to Beatkeeper (" + mark.encode() + (
        b"): 30 2 * * * root /bin/backup --full"
    )
    assert [line.kind for line in parse(out, "system").lines] == [
        *(LineKind.COMMENT, LineKind.SETTING, LineKind.COMMENT, LineKind.JOB)
    ]


@given(content=anything, last=st.booleans(), data=st.data())
def test_put_back_undoes_take_out(content, last, data):
    text = b"\n".join(content) + (b"\n" if last else b"")
    numbered = dict(enumerate(lines.lines_of(text), 1))
    chosen = data.draw(st.sets(st.sampled_from(sorted(numbered)))) if numbered else set()
    marks = {number: lines.mark_of(number, numbered[number]) for number in chosen}
    assume(not lines.taken(text))

    out = lines.take_out(text, marks)

    assert lines.put_back(out) == text
    assert lines.put_back(out, list(marks.values())) == text
    assert out.count(b"\n") == text.count(b"\n")


def test_only_named_lines_are_put_back():
    first, second = lines.mark_of(1, CRONTAB.split(b"\n")[2]), lines.mark_of(2, CRONTAB.split(b"\n")[3])
    out = lines.take_out(CRONTAB, {3: first, 4: second})

    back = lines.put_back(out, {second})

    assert lines.taken(back) == [lines.Taken(3, first, b"30 2 * * * root /bin/backup --full")]
    assert lines.put_back(back, {first}) == CRONTAB


@pytest.mark.parametrize("text", [b"* * * * * a\r", b"\t* * * * *  \xff\xfe", b"* * * * * x%y\\%"])
def test_every_byte_of_a_line_comes_back(text):
    content = text + b"\n"
    out = lines.take_out(content, {1: lines.mark_of(1, text)})

    [found] = lines.taken(out)

    assert (found.text, found.is_intact) == (text, True)
    assert lines.put_back(out) == content


def test_an_edited_line_is_not_intact_and_stays_unless_it_is_named():
    mark = lines.mark_of(7, b"* * * * * true")
    edited = lines.take_out(b"* * * * * true\n", {1: mark}).replace(b"true", b"false")

    [found] = lines.taken(edited)

    assert not found.is_intact
    assert lines.put_back(edited) == edited
    assert lines.put_back(edited, [mark]) == b"* * * * * false\n"


def test_a_comment_that_only_looks_like_one_is_left_alone():
    text = b"# cut over to Beatkeeper (me): * * * * * true\n #cut over to Beatkeeper (1-00000000): x\n"
    assert lines.taken(text) == []
    assert lines.put_back(text) == text
