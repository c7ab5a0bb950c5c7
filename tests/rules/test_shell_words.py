"""Command lines as the shell reads them: compared with tables, and with the shells themselves."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schedules.rules.shell.commands import Group, Script, Simple, read
from schedules.rules.shell.lexer import Lexer
from schedules.rules.shell.words import Word

VARIABLES = {"HOME": "/home/ada", "x": "1", "two": "a b", "hidden": None}
SHELLS = ("/bin/sh", "/bin/bash")


def words_of(text: str) -> list[str | None]:
    lexer, found = Lexer(text), []
    while (token := lexer.token()) is not None:
        assert isinstance(token, Word)
        found.append(token.expanded(VARIABLES))
    return found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a 'b c' \"d e\" f\\ g", ["a", "b c", "d e", "f g"]),
        ("'a'\"b\"c", ["abc"]),
        ("''", [""]),
        ('"a\\"b\\$c\\d"', ['a"b$c\\d']),
        ("a\\\nb c", ["ab", "c"]),
        ("a#b # c", ["a#b"]),
        ('$HOME/bin ${x}y "$two"', ["/home/ada/bin", "1y", "a b"]),
        ("~ ~/bin a~b '~'", ["/home/ada", "/home/ada/bin", "a~b", "~"]),
        ("$ 5$ a$", ["$", "5$", "a$"]),
        ("[ -f {} ]", ["[", "-f", "{}", "]"]),
    ],
)
def test_certain_words(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize(
    "text",
    [
        "$two",  # two words
        "$unset",
        "$hidden",
        "*.log",
        "a?",
        "[ab]",
        "{a,b}",
        "{1..3}",
        "~ada/x",
        "a=~",
        "PATH=/x:~/bin",
        "$(date)",
        "`date`",
        "${x:-y}",
        "$((1+1))",
        "$1",
        "a$?",
    ],
)
def test_what_only_the_shell_can_tell_stays_open(text):
    assert words_of(text) == [None]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('"$FOO" ${BAR}', ["FOO", "BAR"]),
        ("'$FOO' \\$FOO \"\\$FOO\"", []),
        ('$(a "$(b $IN)") `c $TICK`', ["IN", "TICK"]),
        ("$((RANDOM % 60))", ["RANDOM"]),
        ("${FOO:-x} ${FOO+y} ${#FOO}", []),
        ("awk '{print $NF}'", []),
    ],
)
def test_variables_that_are_read(text, names):
    lexer, found = Lexer(text), []
    while (token := lexer.token()) is not None:
        found += token.names if isinstance(token, Word) else []
    assert found == names


def outline(script: Script) -> list:
    return [
        [(step.joint, [_command(each) for each in step.commands]) for step in each.steps]
        for each in script.lists
    ]


def _command(command: Simple | Group):
    if isinstance(command, Group):
        return outline(Script(command.lists, True))
    return " ".join(word.raw for word in command.words)


@pytest.mark.parametrize(
    ("text", "lists"),
    [
        ("a && b || c; d | e", [[("", ["a"]), ("&&", ["b"]), ("||", ["c"])], [("", ["d", "e"])]]),
        ("a & b\nc", [[("", ["a"])], [("", ["b"])], [("", ["c"])]]),
        ("( cd / && a )", [[("", [[[("", ["cd /"]), ("&&", ["a"])]]])]]),
        ("{ a; b; } > x", [[("", [[[("", ["a"])], [("", ["b"])]]])]]),
        ("! a b >x 2>&1 <y", [[("", ["a b"])]]),
        ("echo } {", [[("", ["echo } {"])]]),
        ("a &&\n b", [[("", ["a"]), ("&&", ["b"])]]),
    ],
)
def test_lists_pipelines_and_groups(text, lists):
    script = read(text)

    assert (outline(script), script.is_whole, script.problem) == (lists, True, "")


def test_assignments_and_redirections_are_no_words():
    [step] = read("A=1 B='2 3' cmd >out A=x <<<y 2>/dev/null").lists[0].steps
    [command] = step.commands

    assert [(name, value.expanded({})) for name, value in command.assignments] == [("A", "1"), ("B", "2 3")]
    assert [word.raw for word in command.words] == ["cmd", "A=x"]
    assert [(each.operator, each.target.raw) for each in command.redirections] == [
        (">", "out"),
        ("<<<", "y"),
        (">", "/dev/null"),
    ]


@pytest.mark.parametrize(
    ("text", "read_so_far"),
    [
        ("cd /x && if a; then b; fi", ["cd /x"]),
        ("a; for i in 1 2; do b; done", ["a"]),
        ("a; f() { b; }; f", ["a"]),
        ("a; [[ b < c ]]", ["a"]),
        ("a; cat <<EOF\nx\nEOF", ["a"]),
        ("a; b=(1 2)", ["a"]),
        ("a; !", ["a"]),
        ("a; b\\", ["a"]),
        ("a; diff <(b) <(c)", ["a"]),
        ("a; echo $'x'", ["a"]),
        ('a; echo "$[1 + 1]"', ["a"]),
        ("a; echo $(case x in x) b;; esac)", ["a"]),
    ],
)
def test_reading_ends_before_what_is_not_certain(text, read_so_far):
    script = read(text)

    found = [_command(command) for each in script.lists for step in each.steps for command in step.commands]
    assert (found, script.is_whole, script.problem) == (read_so_far, False, "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('date "+', 'a quotation begins with " and does not end'),
        ("echo it's", "a quotation begins with ' and does not end"),
        ("a &&", "nothing follows &&"),
        ("a |", "nothing follows |"),
        ("&& a", "&& is not expected there"),
        ("a; )", ") is not expected there"),
        ("( a", "( is not closed"),
        ("echo $(a", "a substitution begins with $( and does not end"),
        ("a >", "no file follows >"),
    ],
)
def test_what_the_shell_will_refuse(text, problem):
    assert read(text).problem == problem


SAFE = st.text(st.sampled_from("abx ~/=#'\"\\$*?[]{},.\n"), max_size=14)
EVERYTHING = st.text(st.sampled_from("ab ;|&(){}<>'\"\\$`#!\n"), max_size=10)
SOME = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SOME
@given(SAFE)
def test_certain_words_are_those_that_the_shells_see(tmp_path, text):
    """Only printf can run here: the alphabet has no operators. The directory is empty: no pattern matches."""
    script = read(f"printf '%s\\0' start {text}")
    commands = [each for lists in script.lists for step in lists.steps for each in step.commands]
    if script.problem or not script.is_whole or len(commands) != 1:
        return
    words = [word.expanded({"HOME": "/home/ada", "a": "1", "b": "2"}) for word in commands[0].words]
    if None in words:
        return
    for shell in SHELLS:
        done = subprocess.run(
            [shell, "-c", f"printf '%s\\0' start {text}"],
            env={"HOME": "/home/ada", "a": "1", "b": "2"},
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
        assert done.stdout.decode().split("\0")[:-1] == words[2:]


@SOME
@given(EVERYTHING)
def test_what_is_called_malformed_is_refused_by_the_shells(text):
    """-n reads and runs nothing."""
    if read(text).problem:
        for shell in SHELLS:
            assert subprocess.run([shell, "-n", "-c", text], capture_output=True, check=False).returncode


@given(st.text(max_size=200))
def test_any_text_can_be_read(text):
    read(text)
