"""Manifests: no text becomes something else, and everything wrong is told with its place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedules.rules import manifest
from schedules.rules.manifest import nodes
from schedules.rules.manifest.nodes import MAX_BYTES
from schedules.rules.manifest.values import read_length, write_length
from tests.rules.manifest_samples import NAME, POLICY, SCHEDULE


def read(text: str | bytes) -> manifest.Manifest:
    """A manifest without problems."""
    found, problems = manifest.read([("m.yaml", text.encode() if isinstance(text, str) else text)])
    assert problems == []
    return found


def complaints(*files: str | bytes) -> list[str]:
    contents = [file.encode() if isinstance(file, str) else file for file in files]
    return [str(it) for it in manifest.read([(f"{n}.yaml", it) for n, it in enumerate(contents, 1)])[1]]


def values(yaml: str) -> dict[str, object]:
    """Those of one schedule, given without its name."""
    lines = "".join(f"    {line}\n" for line in yaml.split("\n"))
    return read(f"schedules:\n  job:\n{lines}").schedules["job"].values


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(NAME, POLICY, max_size=2), st.dictionaries(NAME, SCHEDULE, max_size=3))
def test_what_is_written_is_read_back(policies, schedules):
    text = manifest.write(policies, schedules)

    found = read(text)

    assert {name: entry.values for name, entry in found.policies.items()} == policies
    assert {name: entry.values for name, entry in found.schedules.items()} == schedules
    assert [list(entry.values) for entry in found.schedules.values()] == [
        list(schedules[name]) for name in found.schedules
    ]


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(NAME, SCHEDULE, max_size=3))
def test_same_content_is_the_same_text_whatever_its_order(schedules):
    turned = {name: dict(reversed(schedules[name].items())) for name in reversed(schedules)}
    known = read(manifest.write({}, turned)).schedules

    assert manifest.write({}, {name: entry.values for name, entry in known.items()}) == manifest.write(
        {}, schedules
    )


@pytest.mark.parametrize("word", ["1e5", "-2E3", "12", "null", "", "~", "yes", "010", "8:30", "=", "[1]"])
def test_text_among_arguments_is_written_so_that_it_stays_a_text(word):
    text = manifest.write({}, {"job": {"task": "t", "args": [word]}})

    assert read(text).schedules["job"].values["args"] == [word]


@pytest.mark.parametrize(
    "word", ["yes", "on", "no", "08:30", "010", "1e3", "0x1F", "true", "2026-12-01", "1_0"]
)
def test_text_stays_as_written(word):
    found = values(f"command: {word}\nstdin: {word}\nenvironment: {{A: {word}}}\ntags: [{word}]")

    assert (found["command"], found["stdin"], found["environment"]) == (word, word, {"A": word})
    assert found["tags"] == [word]


def test_arguments_of_tasks_are_json():
    found = values('task: t\nargs: [1, 1.5, -2e3, true, null, "yes", text, [1], {a: "1"}, "null"]')

    assert found["args"] == [1, 1.5, -2000.0, True, None, "yes", "text", [1], {"a": "1"}, "null"]
    assert isinstance(found["args"][0], int)


@pytest.mark.parametrize(
    "word", ["yes", "Off", "010", "0x1F", "8:30", "1_000", ".5", "2026-12-01", "NULL", "True"]
)
def test_argument_that_versions_of_yaml_read_differently_is_refused(word):
    (complaint,) = complaints(f"schedules:\n  job:\n    task: t\n    args:\n    - {word}\n")

    assert complaint.startswith(f'1.yaml:5:7: "job": "args": {word} is read differently')


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("90", "90s"),
        ("60", "1m"),
        ("1.5h", "90m"),
        ("0.5", "0.5s"),
        ("2 h", "2h"),
        ("1w", "7d"),
        ("24h", "1d"),
    ],
)
def test_length_has_one_form(typed, canonical):
    assert values(f"command: x\ntimeout: {typed}")["timeout"] == canonical


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 1e12, allow_nan=False))
def test_length_is_read_back_exactly(seconds):
    assert read_length(write_length(seconds)) == seconds


def test_defaults_are_left_out_however_they_are_typed():
    found = values("command: x\nenabled: true\ntags: []\nkill_grace: 10\noverlap: allow\ndescription: ''")

    assert found == {"command": "x"}


def test_moment_is_kept_in_utc():
    found = values("command: x\nat: 2026-12-01T05:00+01:00")

    assert found["at"] == "2026-12-01T04:00:00Z"


@pytest.mark.parametrize(
    ("yaml", "complaint"),
    [
        (
            "command: x\ntiemout: 3",
            '1.yaml:4:5: "job": The key "tiemout" is not known. Did you mean "timeout"?',
        ),
        ("command: x\nfoo: 3", 'The key "foo" is not known. docs/cli.md lists them.'),
        ("command: [a]", '1.yaml:3:14: "job": "command": A text is wanted, not a list.'),
        ("command:", '"command" has no value. Leave the key out.'),
        (
            "command: x\nqueue: ~",
            '"queue": There is no value. Leave the key out, or write "" for an empty text.',
        ),
        ("command: x\nenabled: yes", "\"enabled\": Write true or false, not 'yes'."),
        ('command: x\nenabled: "true"', "Write true or false"),
        ("command: x\noverlap: no", "Write one of allow, skip, not 'no'."),
        ("command: x\ntimeout: 08:30", "Write a length such as 90s, 15m, 2h or 1d, not '08:30'."),
        ("command: x\ntimeout: -1", "Write a length"),
        ("command: x\nstart_deadline: 0.5", "Write a length in whole seconds"),
        ("command: x\npriority: 256", "Write a whole number from 0 to 255, not '256'."),
        (
            "command: x\nmemory_limit: 64M",
            "Write a whole number of MiB from 1 to 2,147,483,647, without the unit, not '64M'.",
        ),
        (
            "command: x\ncpu_limit: 1m",
            "Write a whole number of seconds from 1 to 2,147,483,647, without the unit, not '1m'.",
        ),
        (
            "command: x\nkeep_days: 2w",
            "Write a number of days, 1 or more, without a unit, such as 30 or 1.5, not '2w'.",
        ),
        ("command: x\nfile_size_limit: 2147483648", "Write a whole number of MiB from 0 to 2,147,483,647"),
        ("task: x\nmemory_limit: 100", '"memory_limit" is for commands only.'),
        ("command: x\nat: 2026-12-01T04:00", "Write a moment with its offset"),
        ("command: x\nat: 0001-01-01T00:00+14:00", "outside the calendar"),
        (
            "command: x\ncron: 61 * * * *",
            '"job": "cron": Cron expression "61 * * * *" is not valid: minute 61',
        ),
        ('command: x\ncron: "@daily"\ntimezone: Mars/X', '"timezone": Time zone "Mars/X" is not known'),
        ("command: x\ncron: 1 1 1 1 *\nevery: hour", '"every" and "cron" both say when it runs.'),
        ("command: x\nevery: 5 minuts", '"every": "minuts" is not a unit.'),
        ("command: x\nevery: 1 day\ngap: run", '"gap" belongs to "cron", which is not there.'),
        ("command: x\ntask: y", '"command" and "task" both say what it runs.'),
        ("cron: 1 1 1 1 *", 'Nothing says what it runs. Give a "command" or a "task".'),
        ("command: x\nargs: [1]", '"args" is for tasks only.'),
        ("task: x\nrun_as: ada", '"run_as" is for commands only.'),
        ("command: x\nat: 2026-12-01T04:00Z\none_off: true", '"one_off" out'),
        ("command: x\npause_note: y", '"pause_note" belongs to "paused_until"'),
        ("command: x\ncrontab: {minutes: 1}", '"minutes" is not known here. Known are: minute, hour,'),
        ("command: x\ntags: [a b]", "A word is wanted, without blanks, not 'a b'."),
        ("command: x\ncommand: y", '"command" is here twice; first in line 3.'),
        ('command: "a\\0b"', "The text holds a NUL character"),
        ("task: x\nargs: [1e999]", "The number is too large."),
    ],
)
def test_mistake_is_told_with_its_place(yaml, complaint):
    lines = "".join(f"    {line}\n" for line in yaml.split("\n"))
    (found,) = complaints(f"schedules:\n  job:\n{lines}")

    assert complaint in found
    assert found.startswith("1.yaml:")


def test_all_mistakes_are_told_at_once():
    found = complaints(
        "schedules:\n  a: {}\n  b: {command: [], timeout: x}\nx: 1\n", "schedules:\n  b: {task: t}\n"
    )

    assert [line.split(" ")[0] for line in found] == [
        "1.yaml:2:3:",
        "1.yaml:3:16:",
        "1.yaml:3:29:",
        "1.yaml:4:1:",
        "2.yaml:2:3:",
    ]
    assert '"b" is here twice; first in 1.yaml:3:3.' in found[-1]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("schedules:\n  a:\n    cron: */5 * * * *\n", '1.yaml:3:'),
        ("schedules:\n  a:\n    cron: @daily\n", "has to stand in quotes"),
        ("schedules: &x {}\n", "1.yaml:1:12: Anchors are not read."),
        ("schedules: *x\n", "1.yaml:1:12: Aliases are not read."),
        ("a: !!python/object/apply:os.system [id]\n", "1.yaml:1:4: Tags are not read."),
        ("a: !!str b\n", "Tags are not read."),
        ("a: 1\n---\nb: 2\n", '1.yaml:2:1: There is a second document ("---"); a file has one.'),
        ("- a\n", 'The file has to begin with "schedules:" or "retry_policies:".'),
        ("schedules: [a]\n", "It has to be a mapping of names to what they stand for."),
        ("schedules: {[a]: b}\n", "A key has to be a text."),
        ("schedules: {a: b}\n", "It has to be a mapping of keys to values."),
        ("a: \x07\n", "1.yaml:1:4: A control character cannot stand in YAML as it is."),
        (b"# ok\na: \xff\n", "1.yaml:2:4: The file is not UTF-8."),
        ('a: "\\ud800"\n', "1.yaml:1:"),
        ("[" * 100_000, "It is nested more than 20 levels deep."),
        (b"#" * (MAX_BYTES + 1), "The file is larger than 16 MiB."),
        ("schedule:\n", 'The key "schedule" is not known. Did you mean "schedules"?'),
    ],
)  # fmt: skip
def test_file_that_cannot_be_read_says_where_and_why(text, complaint):
    assert any(complaint in found for found in complaints(text))


def test_file_with_too_many_values_is_refused(monkeypatch):
    monkeypatch.setattr(nodes, "MAX_NODES", 10)

    assert complaints("- 1\n" * 11) == ["1.yaml:10:3: The file has more than 10 values."]


def test_billion_laughs_are_refused_at_the_first():
    bomb = "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n"

    assert [line.split(" ")[1] for line in complaints(bomb)] == ["Anchors"]


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "schedules:\n", "schedules: {}\n", "---\n", "\ufeffschedules: {}\n"]
)
def test_empty_manifest_is_one_without_entries(text):
    assert read(text) == manifest.Manifest()


def test_long_command_stays_in_one_line_and_lines_in_a_block():
    text = manifest.write({}, {"a": {"command": "x" * 500, "stdin": "one\ntwo\n"}})

    assert f"    command: {'x' * 500}\n" in text
    assert "    stdin: |\n      one\n      two\n" in text


def test_rules_of_a_retry_policy_are_checked():
    (found,) = complaints(
        "retry_policies:\n  p:\n    rules:\n    - {condition: exit_code, value: 999, verdict: retry}\n"
    )

    assert found.startswith('1.yaml:4:7: "p": "rules": exit_code rule: "999" is not a range within 0-255.')
