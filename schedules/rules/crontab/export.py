"""Where jobs and settings stand in a crontab: `rewrite` one that was imported, or `compose` a new one.

`rewrite` changes only the lines of schedules that say something else than their line; `compose`
groups by environment. A schedule that cron cannot run becomes a comment with the reason. Lines are
put down in `crontab.sheet`; what a schedule wants is decided in `exporting`, the only caller.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from schedules.rules.crontab import Crontab
from schedules.rules.crontab.grammar import CRON, Grammar
from schedules.rules.crontab.lines import Format, Job, Line, LineKind
from schedules.rules.crontab.sheet import Environment, Following, Sheet, Wanted, Written, setting_of, text_of
from schedules.rules.crontab.writing import write_comment


def rewrite(
    read: Crontab, wanted: Mapping[int, Wanted], *, format: Format, grammar: Grammar = CRON
) -> Written:
    """The file that was read, with the lines of `wanted` (by line number) saying what they ask for.

    Job lines that `wanted` does not name stay as they are.
    """
    jobs = {job.line: job for job in read.jobs}
    asked = [wanted.get(job.line) or _as_it_stands(job) for job in read.jobs]
    sheet = Sheet(format, grammar)
    following = dict(zip(jobs, _following(read.lines, asked, grammar), strict=True))
    by_line = dict(zip(jobs, asked, strict=True))
    for line in read.lines:
        if line.kind is LineKind.JOB:
            sheet.put_in_place(by_line[line.number], jobs[line.number].raw, following[line.number])
        else:
            sheet.put_line(line)
    sheet.put_deferred()
    return sheet.checked()


def compose(wanted: Sequence[Wanted], *, format: Format, head: Sequence[str]) -> Written:
    """A new crontab for Debian's cron, under the comment lines `head`.

    Settings hold for all lines below and cannot be taken back, so schedules with the fewest
    variables come first; what would then find one too many above it is a comment.
    """
    sheet = Sheet(format, CRON)
    sheet.lines += [f"{write_comment(text)}\n" for text in head]
    refused = sheet.put_groups(_groups(wanted))
    sheet.put_refused([*refused, *(one for one in wanted if one.why_not)])
    return sheet.checked()


def _following(lines: Sequence[Line], asked: Sequence[Wanted], grammar: Grammar) -> Iterator[Following]:
    """One for each job, in the order of the file."""
    found: list[Following] = []
    names: frozenset[str] | None = None
    values: Environment = {}
    given: set[str] = set()
    waiting = list(asked)
    for line in reversed(lines):
        if line.kind is LineKind.SETTING:
            given.add(setting_of(line.raw, grammar).name)
        elif line.kind is LineKind.JOB:
            found.append(Following(names, values, frozenset(given)))
            one = waiting.pop()
            if one.job is not None and not one.why_not:
                names = frozenset(one.environment) & (frozenset(one.environment) if names is None else names)
                values, given = one.environment, set()
    return reversed(found)


def _as_it_stands(job: Job) -> Wanted:
    return Wanted(name="", job=text_of(job), environment=dict(job.environment))


def _groups(wanted: Iterable[Wanted]) -> list[list[Wanted]]:
    """Schedules of equal environment together, in an order in which as many as possible can be written."""
    groups: dict[frozenset[tuple[str, str]], list[Wanted]] = {}
    for one in wanted:
        if not one.why_not:
            groups.setdefault(frozenset(one.environment.items()), []).append(one)
    by_names: dict[frozenset[str], list[list[Wanted]]] = {}
    for group in groups.values():
        by_names.setdefault(frozenset(group[0].environment), []).append(group)
    chain = _best_chain({names: sum(map(len, some)) for names, some in by_names.items()})
    rest = [names for names in by_names if names not in chain]
    return [group for names in (*chain, *rest) for group in by_names[names]]


def _best_chain(weights: Mapping[frozenset[str], int]) -> list[frozenset[str]]:
    """Sets of variables, each within the next, that together stand for the most schedules."""
    best: dict[frozenset[str], tuple[int, list[frozenset[str]]]] = {}
    for names in sorted(weights, key=len):
        below = max((best[other] for other in best if other < names), key=lambda it: it[0], default=(0, []))
        best[names] = (below[0] + weights[names], [*below[1], names])
    return max(best.values(), key=lambda it: it[0], default=(0, []))[1]
