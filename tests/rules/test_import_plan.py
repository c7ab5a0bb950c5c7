"""Which line continues which schedule after a crontab was edited."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from schedules.rules.import_plan import Entry, pair


def entry(key: int, command: str, expression: str = "0 5 * * *", *, line: int = 0, **rest) -> Entry:
    values = {"account": "", "stdin": None, "environment": ()} | rest
    return Entry(key=key, line=line or key, expression=expression, command=command, **values)


def numbered(*commands: str, start: int = 0) -> list[Entry]:
    return [entry(start + index, command) for index, command in enumerate(commands, 1)]


def test_every_line_of_the_same_file_continues_its_own_schedule():
    lines = numbered("a", "b", "a", "a")

    assert pair(lines, numbered("a", "b", "a", "a", start=0)) == {1: 1, 2: 2, 3: 3, 4: 4}


def test_line_inserted_at_the_top_moves_the_others_and_is_new():
    old = numbered("a", "b", "c", start=10)

    assert pair(numbered("new", "a", "b", "c"), old) == {2: 11, 3: 12, 4: 13}


def test_edited_time_is_recognised_by_the_command():
    old = [entry(10, "backup", "0 5 * * *"), entry(11, "report", "0 5 * * *")]

    assert pair([entry(1, "backup", "0 6 * * *"), entry(2, "report")], old) == {1: 10, 2: 11}


def test_changed_setting_at_the_top_keeps_every_schedule():
    old = [entry(10 + n, "job", f"{n} * * * *", environment=(("A", "1"),)) for n in range(3)]
    new = [entry(n, "job", f"{n} * * * *", environment=(("A", "2"),)) for n in range(3)]

    assert pair(new, old) == {0: 10, 1: 11, 2: 12}


def test_only_changed_line_among_unchanged_neighbours_is_an_edit():
    old = numbered("a", "rsync /home host:", "c", start=10)

    assert pair(numbered("a", "/usr/local/bin/sync-home", "c"), old)[2] == 12


def test_time_and_command_slightly_edited_is_recognised_by_its_place():
    old = [entry(11, "a"), entry(12, "/opt/report --daily", "0 5 * * *"), entry(13, "c")]
    new = [entry(1, "a"), entry(2, "/opt/report --daily --mail", "5 5 * * *"), entry(3, "c")]

    assert pair(new, old)[2] == 12


def test_different_line_in_the_place_of_another_is_new():
    old = [entry(11, "a"), entry(12, "/opt/report --daily", "0 5 * * *"), entry(13, "c")]
    new = [entry(1, "a"), entry(2, "true", "@reboot"), entry(3, "c")]

    assert pair(new, old) == {1: 11, 3: 13}


def test_swapped_lines_keep_their_schedules():
    assert pair(numbered("b", "a"), numbered("a", "b", start=10)) == {1: 12, 2: 11}


def test_removed_copy_of_a_repeated_line_leaves_one_schedule_over():
    pairs = pair(numbered("a", "a"), numbered("a", "a", "a", start=10))

    assert pairs == {1: 11, 2: 12}


def test_nothing_is_paired_where_there_was_nothing():
    assert pair(numbered("a"), []) == {}
    assert pair([], numbered("a")) == {}


commands = st.lists(st.sampled_from(["a", "b", "c --long-option", "c --long-opinion"]), max_size=8)


@given(commands, commands)
def test_no_schedule_continues_two_lines_and_equal_lines_never_go_unpaired(new, old):
    lines, rows = numbered(*new), numbered(*old, start=100)

    pairs = pair(lines, rows)

    assert len(set(pairs.values())) == len(pairs)
    for command in set(new) | set(old):
        both = min(new.count(command), old.count(command))
        kept = [key for key in pairs if new[key - 1] == command and old[pairs[key] - 101] == command]
        assert len(kept) == both
    assert pairs == pair([replace(line) for line in reversed(lines)], list(reversed(rows)))
