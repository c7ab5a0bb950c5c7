"""Which line of a crontab is which schedule of the last import. Pure: the importer reads and writes.

A crontab has no keys, so a line is recognised by what it says, then by where it stands. The answer
depends on nothing but the two lists. Called by `importing`.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

ALIKE = 0.6
"""How similar two lines must be (0 to 1) to be one line, edited, where their place agrees."""

_MOST_COMPARISONS = 2500
"""In one gap. Where more lines than that have changed, only the places decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A job line, or a schedule as it was imported. `key` is the caller's."""

    key: int
    line: int
    expression: str
    account: str
    command: str
    stdin: str | None
    environment: tuple[tuple[str, str], ...]


Key = Callable[[Entry], Hashable]
Pairs = dict[int, int]


def _content(entry: Entry) -> Hashable:
    return (entry.expression, entry.account, entry.command, entry.stdin, entry.environment)


_SAME: tuple[Key, ...] = (
    lambda entry: (entry.line, _content(entry)),
    _content,
    lambda entry: (entry.expression, entry.account, entry.command, entry.stdin),
    lambda entry: (entry.account, entry.command, entry.stdin),
    lambda entry: (entry.expression, entry.command),
    lambda entry: entry.command,
)
"""What must be equal, from everything to the command alone. A repeated line has as many schedules."""


def pair(new: Sequence[Entry], old: Sequence[Entry]) -> Pairs:
    """Keys of `new` to the keys of the `old` entries that they continue; each occurs at most once."""
    new, old = sorted(new, key=_place), sorted(old, key=_place)
    pairs: Pairs = {}
    for same in _SAME:
        _pair_equal(new, old, same, pairs)
    _pair_by_place(new, old, pairs)
    return pairs


def _place(entry: Entry) -> tuple[int, int]:
    return entry.line, entry.key


def _pair_equal(new: Sequence[Entry], old: Sequence[Entry], same: Key, pairs: Pairs) -> None:
    used = set(pairs.values())
    waiting: dict[Hashable, deque[int]] = defaultdict(deque)
    for entry in old:
        if entry.key not in used:
            waiting[same(entry)].append(entry.key)
    for entry in new:
        if entry.key not in pairs and waiting.get(same(entry)):
            pairs[entry.key] = waiting[same(entry)].popleft()


def _pair_by_place(new: Sequence[Entry], old: Sequence[Entry], pairs: Pairs) -> None:
    """Pairs what changed between neighbours that did not."""
    changed = _gaps(new, pairs)
    missing = _gaps(old, {key: key for key in pairs.values()})
    for neighbour in changed.keys() & missing.keys():
        pairs.update(_pair_gap(changed[neighbour], missing[neighbour]))


def _gaps(entries: Sequence[Entry], known: Pairs) -> dict[int | None, list[Entry]]:
    """Unpaired entries by the paired one above them, which is named by its old key."""
    gaps: dict[int | None, list[Entry]] = defaultdict(list)
    above: int | None = None
    for entry in entries:
        if entry.key in known:
            above = known[entry.key]
        else:
            gaps[above].append(entry)
    return gaps


def _pair_gap(new: Sequence[Entry], old: Sequence[Entry]) -> Pairs:
    if len(new) == len(old) == 1 and new[0].expression == old[0].expression:
        return {new[0].key: old[0].key}
    if len(new) * len(old) > _MOST_COMPARISONS:
        candidates = list(zip(new, old, strict=False))
    else:
        candidates = [(left, right) for left in new for right in old]
    pairs: Pairs = {}
    likely = sorted(((_likeness(*both), both) for both in candidates), key=lambda it: -it[0])
    for likeness, (left, right) in likely:
        if likeness >= ALIKE and left.key not in pairs and right.key not in pairs.values():
            pairs[left.key] = right.key
    return pairs


def _likeness(left: Entry, right: Entry) -> float:
    return SequenceMatcher(None, _text(left), _text(right), autojunk=False).ratio()


def _text(entry: Entry) -> str:
    return f"{entry.expression} {entry.command}"
