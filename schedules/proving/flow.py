"""The equivalence report: for each line of a crontab, does its schedule start exactly what cron starts, when?

Cron's instants are computed from the file's text by `rules.daemon`, the schedule's from the definition in
force by the engine; the two share nothing. Writes nothing. Called by `prove_import` and `import_crontab`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from schedules.proving.cases import EDITED_LINE, NO_LINE, NO_SCHEDULE, UNEXPLAINED, Case, case_of
from schedules.proving.edits import Deletions, Edits
from schedules.proving.lines import File, Line, lines_of
from schedules.rules.daemon import Entry, Window, starts
from schedules.rules.daemon.clock import Change, changes
from schedules.rules.equivalence import Comparison, Stored, compare, stored_minutes
from schedules.rules.equivalence.causes import Cause

Progress = Callable[[int, int], None]
"""Called with how many distinct timings are compared, and of how many."""


class Verdict(StrEnum):
    """What came of one line. Those in `FAILURES` leave the move unproved."""

    IDENTICAL = "identical"
    DIFFERENT = "different"
    NOT_IMPORTED = "not imported"  # cron starts it, no schedule does
    NOT_IN_FILE = "not in the file"  # a schedule starts something that cron does not
    NOT_PROVED = "not proved"
    NOT_CLOCKED = "not by the clock"
    NEVER = "never due"


FAILURES = (Verdict.DIFFERENT, Verdict.NOT_IMPORTED, Verdict.NOT_IN_FILE, Verdict.NOT_PROVED)


@dataclass(frozen=True, kw_only=True)
class Result:
    """`comparison` is None where no instants were compared. `causes` are sentences without a full stop."""

    verdict: Verdict
    line: Line
    comparison: Comparison | None = None
    causes: tuple[Cause, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def instants(self) -> int:
        return self.comparison.instants if self.comparison else 0


@dataclass(frozen=True, kw_only=True)
class Report:
    """Results in the order of the files. `zones`: the changes of the clock in each zone of a file."""

    window: Window
    files: tuple[File, ...]
    results: tuple[Result, ...]
    zones: dict[str, tuple[Change, ...]]

    def of(self, *verdicts: Verdict) -> list[Result]:
        return [result for result in self.results if result.verdict in verdicts]

    @property
    def is_proved(self) -> bool:
        return not self.of(*FAILURES)

    @property
    def lines(self) -> int:
        return sum(result.line.job is not None for result in self.results)

    @property
    def instants(self) -> int:
        """What cron starts in the window, as far as it could be computed."""
        return sum(result.instants for result in self.results)


def prove(
    files: Sequence[File],
    window: Window,
    *,
    new_may_be_disabled: bool = False,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Compares every line. With `new_may_be_disabled`, schedules that were created disabled are
    compared as if they were enabled, and a note says so. Reads the database with a few queries.
    """
    cases = [case_of(line, new_may_be_disabled=new_may_be_disabled) for line in lines_of(files)]
    comparisons = _compare(cases, window, progress)
    judged = [_judge(case, comparison) for case, comparison in zip(cases, comparisons, strict=True)]
    return Report(
        window=window,
        files=tuple(files),
        results=tuple(_with_authors([result for result in judged if result is not None])),
        zones={file.zone: changes(file.zone, window.first, window.last) for file in files},
    )


def _compare(cases: Sequence[Case], window: Window, progress: Progress) -> list[Comparison | None]:
    """Each distinct pair of a line's times and a schedule's is computed once."""
    groups: dict[tuple[Entry | None, str, Stored], list[int]] = defaultdict(list)
    for index, case in enumerate(cases):
        if case.has_instants:
            groups[case.entry, case.zone, case.stored].append(index)
    found: list[Comparison | None] = [None] * len(cases)
    for done, ((entry, zone, stored), indexes) in enumerate(groups.items(), 1):
        by_cron = starts(entry, zone, window) if entry else 0
        comparison = compare(by_cron, stored_minutes(stored, window), window)
        for index in indexes:
            found[index] = comparison
        progress(done, len(groups))
    return found


def _judge(case: Case, comparison: Comparison | None) -> Result | None:
    """None for a schedule without a line that starts nothing."""
    verdict, causes, notes = _verdict(case, comparison)
    if verdict is None:
        return None
    return Result(
        verdict=verdict,
        line=case.line,
        comparison=None if verdict is Verdict.NOT_PROVED else comparison,
        causes=tuple(causes),
        notes=tuple(notes),
    )


Judgement = tuple[Verdict | None, Sequence[Cause], Sequence[str]]


def _verdict(case: Case, comparison: Comparison | None) -> Judgement:
    if case.line.job is None:
        starts_nothing = comparison is not None and comparison.is_identical
        return (None if starts_nothing else Verdict.NOT_IN_FILE), [NO_LINE], case.notes
    if case.line.schedule is None:
        return (Verdict.NOT_PROVED if case.unproved else Verdict.NOT_IMPORTED), case.reasons(NO_SCHEDULE), []
    differs_in_time = comparison is not None and not comparison.is_identical
    when = case.when_causes
    if case.unproved:
        differences = [] if case.line.ignored else [*when, *case.work_causes]
        return Verdict.NOT_PROVED, [*case.reasons(), *differences], case.notes
    if differs_in_time or case.work_causes or (comparison is None and when):
        unexplained = [UNEXPLAINED] if differs_in_time and not when else []
        edited = [EDITED_LINE] if case.is_edited_line else []
        return Verdict.DIFFERENT, [*edited, *when, *unexplained, *case.work_causes], case.notes
    if comparison is None:
        return Verdict.NOT_CLOCKED, [case.why_not_clocked], case.notes
    alike = [f"{cause.text}; in this time that makes no difference" for cause in when]
    return (Verdict.IDENTICAL if comparison.instants else Verdict.NEVER), [], [*alike, *case.notes]


def _with_authors(results: Sequence[Result]) -> list[Result]:
    """Says who made each difference, where somebody made it after the import."""
    differing = [result.line.schedule for result in results if result.verdict is Verdict.DIFFERENT]
    edits = Edits([schedule.pk for schedule in differing if schedule is not None])
    deletions = Deletions([result.line for result in results if result.verdict is Verdict.NOT_IMPORTED])
    named = []
    for result in results:
        by = deletions if result.verdict is Verdict.NOT_IMPORTED else edits
        causes = (replace(cause, text=cause.text + by.author(result.line, cause)) for cause in result.causes)
        named.append(replace(result, causes=tuple(causes)))
    return named
