"""Exported crontabs: untouched lines stay byte for byte, and cron reads exactly what is wanted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedules.errors import NotPossible
from schedules.rules import crontab
from schedules.rules.crontab.export import compose, rewrite
from schedules.rules.crontab.grammar import CRON
from schedules.rules.crontab.lines import Format, Job, JobText
from schedules.rules.crontab.sheet import Environment, Fate, Sheet, Wanted, text_of
from tests.rules.crontab_samples import ACCOUNT, COMMAND, TEXT, TIME, crontab_text

FORMATS = (Format.USER, Format.SYSTEM)


def wanted(job: Job, /, **changes) -> Wanted:
    """What the line says, under the name of its number."""
    same = Wanted(name=f"line {job.line}", job=text_of(job), environment=dict(job.environment))
    return replace(same, **changes)


def edited(text: str, **changes: dict[str, Any]) -> str:
    """The file with the lines whose command is named changed."""
    read = crontab.parse(text)
    asked = {job.line: wanted(job, **changes.get(job.command, {})) for job in read.jobs}
    return rewrite(read, asked, format=Format.USER).text


def meanings(text: str, format: Format = Format.USER) -> list[tuple[JobText, Environment]]:
    return [(text_of(job), dict(job.environment)) for job in crontab.parse(text, format).jobs]


@settings(deadline=None)
@given(st.sampled_from(FORMATS).flatmap(lambda it: st.tuples(st.just(it), crontab_text(it))))
def test_file_comes_back_byte_for_byte_where_nothing_was_edited(given_file):
    format, text = given_file
    read = crontab.parse(text, format)

    written = rewrite(read, {job.line: wanted(job) for job in read.jobs}, format=format)

    assert written.text == text
    assert {one.fate for one in written.schedules} <= {Fate.KEPT}
    assert [one.line for one in written.schedules] == [job.line for job in read.jobs]


@st.composite
def edited_file(draw: st.DrawFn) -> tuple[Format, str, dict[int, Wanted]]:
    format = draw(st.sampled_from(FORMATS))
    text = draw(crontab_text(format))
    asked = {job.line: draw(edit_of(job, format)) for job in crontab.parse(text, format).jobs}
    return format, text, asked


def edit_of(job: Job, format: Format) -> st.SearchStrategy[Wanted]:
    texts = st.builds(
        JobText,
        st.one_of(st.just(job.expression), TIME),
        st.just(job.user) if format is Format.USER else st.one_of(st.just(job.user), ACCOUNT),
        st.one_of(st.just(job.command), COMMAND, TEXT),
        st.one_of(st.just(job.stdin), st.sampled_from([None, "", "a\n", "50%\n", "bad"])),
    )
    names, values = st.sampled_from(["A", "B", "PATH", "NEW"]), st.sampled_from(["", "1", " x ", '"', "a\nb"])
    changes = st.dictionaries(names, values, max_size=2)
    return st.one_of(
        st.just(wanted(job)),
        st.just(wanted(job)),
        st.builds(lambda text: wanted(job, job=text), texts),
        st.builds(lambda more: wanted(job, environment=dict(job.environment) | more), changes),
        st.builds(lambda only: wanted(job, environment=only), changes),
        st.just(wanted(job, why_not="it is disabled")),
        st.just(wanted(job, job=None, why_not="it calls a task")),
    )


@settings(deadline=None)
@given(edited_file())
def test_edited_file_says_what_is_wanted_and_leaves_the_other_lines_alone(given_file):
    format, text, asked = given_file
    read = crontab.parse(text, format)

    written = rewrite(read, asked, format=format)

    fates = {one.name: one for one in written.schedules}
    assert fates.keys() == {one.name for one in asked.values()}
    alive = [one for one in asked.values() if fates[one.name].fate != Fate.COMMENTED]
    alive.sort(key=lambda one: fates[one.name].line)
    assert meanings(written.text, format) == [(one.job, dict(one.environment)) for one in alive]
    lines = [line.raw for line in crontab.parse(written.text, format).lines]
    for line in read.lines:
        one = asked.get(line.number)
        untouched = one is None or one == wanted(next(job for job in read.jobs if job.line == line.number))
        if untouched:
            assert line.raw in lines
        if untouched and one is not None:
            assert fates[one.name].fate == Fate.KEPT
    for one in fates.values():
        assert bool(one.reason) == (one.fate == Fate.COMMENTED)


def test_changed_value_is_set_before_the_line_and_set_back_behind_it():
    text = "A=1\n* * * * * x\n* * * * * y\n# end\n"

    assert edited(text, x={"environment": {"A": "2"}}) == ("A=1\nA=2\n* * * * * x\nA=1\n* * * * * y\n# end\n")


def test_value_is_not_set_back_where_nobody_needs_it():
    text = "A=1\n* * * * * x\nA=3\n* * * * * y\n"

    assert edited(text, x={"environment": {"A": "2"}}) == "A=1\nA=2\n* * * * * x\nA=3\n* * * * * y\n"
    assert edited(text, y={"environment": {"A": "2"}}) == "A=1\n* * * * * x\nA=3\nA=2\n* * * * * y\n"


def test_same_change_on_neighbours_is_set_once():
    text = "A=1\n* * * * * x\n* * * * * y\n* * * * * z\n"
    changed = {"environment": {"A": "2"}}

    assert edited(text, x=changed, y=changed) == ("A=1\nA=2\n* * * * * x\n* * * * * y\nA=1\n* * * * * z\n")


def test_line_with_a_variable_of_its_own_moves_to_the_end():
    text = "* * * * * x\n\n* * * * * y\n# no line end"

    assert edited(text, x={"environment": {"A": "2"}}) == (
        "# line 1: see the end of this file, with variables of its own\n\n* * * * * y\n"
        "\nA=2\n# line 1\n* * * * * x\n# no line end"
    )


def test_variable_that_all_following_lines_have_too_is_set_in_place():
    text = "* * * * * x\n* * * * * y\n"
    changed = {"environment": {"A": "2"}}

    assert edited(text, x=changed, y=changed) == "A=2\n* * * * * x\n* * * * * y\n"


def test_line_without_a_variable_that_stands_above_it_is_a_comment():
    text = "A=1\n* * * * * x\n* * * * * y\n"

    assert edited(text, x={"environment": {}}) == (
        "A=1\n# line 2: it runs without A, which a line above sets, and cron cannot unset; "
        "export it by its name, into a file of its own\n"
        "#* * * * * x\n* * * * * y\n"
    )


def test_disabled_line_is_commented_out_as_it_would_now_be():
    job = JobText("5 5 * * *", None, "x", None)

    assert edited("0  5 * * * x\n", x={"job": job, "why_not": "it is disabled"}) == (
        "# line 1: it is disabled\n#5  5 * * * x\n"
    )


def test_name_cannot_break_out_of_its_comment():
    text = edited("* * * * * x\n", x={"name": "a\n* * * * * evil", "why_not": "it is\r\ndisabled"})

    assert meanings(text) == []


def test_result_that_reads_otherwise_is_not_given_out():
    sheet = Sheet(Format.USER, CRON)
    sheet.lines.append("* * * * * unexpected\n")

    with pytest.raises(NotPossible, match="1 jobs were read where 0 were meant"):
        sheet.checked()


def test_result_with_too_many_lines_is_not_given_out():
    text = "A=1\n" + "* * * * * x\n" * 9_999
    read = crontab.parse(text)
    asked = {2: wanted(read.jobs[0], environment={"A": "2"})}

    with pytest.raises(NotPossible, match="10,000 lines"):
        rewrite(read, asked, format=Format.USER)


def one(
    name: str, command: str, *, notes: tuple[str, ...] = (), why_not: str = "", **environment: str
) -> Wanted:
    job = JobText("@daily", None, command, None)
    return Wanted(name=name, job=job, environment=environment, notes=notes, why_not=why_not)


def test_composed_crontab_groups_by_environment_and_names_every_line():
    written = compose(
        [
            one("backup", "backup", MAILTO="ops"),
            one("plain", "date +%F", notes=("not under cron: at most 3 attempts",)),
            one("report", "report", MAILTO="ops"),
            one("off", "off", why_not="it is disabled"),
            one("other", "other", SHELL="/bin/bash"),
        ],
        format=Format.USER,
        head=["From Beatkeeper"],
    )

    assert written.text == (
        "# From Beatkeeper\n"
        "\n# plain\n# not under cron: at most 3 attempts\n@daily date +\\%F\n"
        "\nMAILTO=ops\n# backup\n@daily backup\n# report\n@daily report\n"
        "\n# Not run by this crontab:\n"
        "# other: it runs without MAILTO, which a line above sets, and cron cannot unset; "
        "export it by its name, into a file of its own\n#@daily other\n"
        "# off: it is disabled\n#@daily off\n"
    )


COMPOSED = st.builds(
    lambda name, command, stdin, environment: Wanted(
        name=name, job=JobText("@daily", None, command, stdin), environment=environment
    ),
    TEXT.map(lambda text: f"name {text}"),
    st.one_of(COMMAND, TEXT),
    st.sampled_from([None, "", "a\n"]),
    st.dictionaries(st.sampled_from(["A", "B"]), st.sampled_from(["", "1", "x y"])),
)


@settings(deadline=None)
@given(st.lists(COMPOSED, max_size=6))
def test_composed_crontab_says_what_is_wanted_or_why_not(asked):
    written = compose(asked, format=Format.USER, head=["x"])

    refused = [one for one in written.schedules if one.fate == Fate.COMMENTED]
    assert len(written.schedules) == len(asked)
    assert len(meanings(written.text)) == len(asked) - len(refused)
    assert all(one.reason for one in refused)
