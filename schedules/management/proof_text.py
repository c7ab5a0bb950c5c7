"""The equivalence report as text for people and as JSON. Called by `prove_import` and `import_crontab`."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from schedules.management.output import counted, iso, printable
from schedules.proving.flow import FAILURES, Report, Result, Verdict
from schedules.rules.daemon import minute_of
from schedules.rules.equivalence import Comparison, Differing
from schedules.rules.equivalence.causes import clock_note

YEARS, MOST_YEARS = 2, 20
"""From now on: the default, and the most."""
MOST_SHOWN = 20
"""Lines of one kind; `--json` has them all."""

_MOST_NAMES = 3
_TITLES = {
    Verdict.DIFFERENT: "Different",
    Verdict.NOT_IMPORTED: "Not imported: cron starts them, no schedule does",
    Verdict.NOT_IN_FILE: "Not in the file: a schedule starts them, cron does not",
    Verdict.NOT_PROVED: "Not proved",
    Verdict.NOT_CLOCKED: "Not by the clock",
    Verdict.NEVER: "Not due in this time, neither by cron nor by Beatkeeper",
}


def years(text: str) -> int:
    """A number of years on the command line."""
    if text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_YEARS:
        return int(text)
    raise argparse.ArgumentTypeError(
        f'"{printable(text)}" is no number of years from 1 to {MOST_YEARS}; files stand before this option'
    )


def proof_text(report: Report) -> str:
    parts = [_files(report), *(_section(report, verdict) for verdict in _TITLES), _notes(report)]
    return "\n\n".join([*filter(None, parts), summary(report)])


def summary(report: Report) -> str:
    """One sentence: how much was compared, over which time, and what came of it."""
    window = report.window
    what = f"{counted(report.lines, 'line')}, {counted(report.instants, 'instant')}"
    when = f"from {window.start:%Y-%m-%d} to {window.end:%Y-%m-%d}"
    return f"{what} {when} ({_clock_changes(report)}): {_outcome(report)}."


def complaint(report: Report) -> str:
    """For stderr, where the report is no proof."""
    return f"{_unproved(report)} Correct the schedule or the file, or decide that it shall differ."


def gate_complaint(report: Report, *, dry_run: bool) -> str:
    """The same, where an import depends on it."""
    would = "would be" if dry_run else "was"
    return f"Nothing {would} imported: {_unproved(report)} Without --prove it is imported all the same."


def with_proof(shape: dict[str, Any], report: Report | None) -> dict[str, Any]:
    return {**shape, "proof": proof_shape(report)} if report else shape


def with_proof_text(text: str, report: Report | None) -> str:
    return f"{text}\n\n{proof_text(report)}" if report else text


def _unproved(report: Report) -> str:
    failed = report.of(*FAILURES)
    are = "is" if len(failed) == 1 else "are"
    return f"{counted(len(failed), 'line')} {are} not proved to start as under cron; above is why."


def proof_shape(report: Report) -> dict[str, Any]:
    return {
        "proved": report.is_proved,
        "from": iso(report.window.start),
        "until": iso(report.window.end),
        "files": [
            {"source": file.source, "state": file.state, "timezone": file.zone, "dialect": file.dialect}
            for file in report.files
        ],
        "clock_changes": {
            zone: [iso(report.window.instant(change.at - report.window.first)) for change in changes]
            for zone, changes in report.zones.items()
        },
        "lines": report.lines,
        "instants": report.instants,
        "results": [_result_shape(result) for result in report.results],
    }


def _result_shape(result: Result) -> dict[str, Any]:
    line, compared = result.line, result.comparison
    return {
        "verdict": result.verdict.value,
        "source": line.file.source,
        "line": line.number,
        "name": line.schedule.name if line.schedule else None,
        "instants": compared.instants if compared else None,
        "only_cron": compared.only_cron if compared else None,
        "only_beatkeeper": compared.only_stored if compared else None,
        "first_differences": [
            {"at": iso(it.at), "only": "cron" if it.by_cron else "beatkeeper"}
            for it in (compared.first if compared else ())
        ],
        "causes": [cause.text for cause in result.causes],
        "notes": list(result.notes),
    }


def _outcome(report: Report) -> str:
    counts = {verdict: len(report.of(verdict)) for verdict in Verdict}
    identical = counts.pop(Verdict.IDENTICAL)
    others = [f"{count:,} {verdict.value}" for verdict, count in counts.items() if count]
    if not report.lines:
        return "there was nothing to compare"
    if report.is_proved and identical:
        return ", ".join(["identical", *others])
    return ", ".join([f"{identical:,} identical", *others])


def _clock_changes(report: Report) -> str:
    found = [f"{zone}: {_count_of_changes(len(changes))}" for zone, changes in sorted(report.zones.items())]
    return "; ".join(found) or "no zone"


def _count_of_changes(count: int) -> str:
    return counted(count, "clock change") if count else "no clock changes"


def _files(report: Report) -> str:
    lines = [f"{printable(file.shown)} {file.state}" for file in report.files]
    return "\n".join(["Compared with", *(f"  {line}" for line in _first(lines))])


def _section(report: Report, verdict: Verdict) -> str:
    """Lines that have nothing to show but the same causes are told together."""
    results = report.of(verdict)
    if not results:
        return ""
    alike: dict[object, list[Result]] = defaultdict(list)
    for index, result in enumerate(results):
        shows_more = bool(_differing(result)) or verdict is Verdict.DIFFERENT
        alike[index if shows_more else result.causes].append(result)
    blocks = ["\n".join(_block(group)) for group in alike.values()]
    return "\n".join([f"{_TITLES[verdict]} ({len(results):,})", *_first(blocks)])


def _block(alike: Sequence[Result]) -> Iterator[str]:
    yield from _first([f"  {_place(result)}  {_name(result)}" for result in alike])
    result = alike[0]
    yield from (f"    {printable(cause.text)}" for cause in result.causes)
    compared = _differing(result)
    if compared:
        yield f"    {_counts(compared.only_cron, compared.only_stored)}; the first:"
        yield from (f"      {_instant(result.line.file.zone, it)}" for it in compared.first)
    elif result.verdict is Verdict.DIFFERENT and result.comparison:
        yield f"    its {counted(result.instants, 'instant')} are identical"


def _differing(result: Result) -> Comparison | None:
    compared = result.comparison
    return None if compared is None or compared.is_identical else compared


def _place(result: Result) -> str:
    return printable(f"{result.line.file.shown}:{result.line.number}")


def _name(result: Result) -> str:
    line = result.line
    return printable(line.schedule.name if line.schedule else line.job.command if line.job else "")


def _counts(only_cron: int, only_ours: int) -> str:
    found = ((only_cron, "only by cron"), (only_ours, "only by Beatkeeper"))
    return ", ".join(f"{counted(count, 'instant')} {by}" for count, by in found if count)


def _instant(zone: str, differing: Differing) -> str:
    local = differing.at.astimezone(ZoneInfo(zone))
    note = clock_note(zone, minute_of(differing.at))
    by = "only cron" if differing.by_cron else "only Beatkeeper"
    words = f"{local:%Y-%m-%d %H:%M:%S %Z} = {_utc(differing.at)}  {by}"
    return f"{words}  ({note})" if note else words


def _utc(moment: datetime) -> str:
    return iso(moment) or ""


def _notes(report: Report) -> str:
    """What many schedules have in common is said once."""
    names: dict[str, list[str]] = defaultdict(list)
    for result in report.results:
        for note in result.notes:
            names[note].append(result.line.schedule.name if result.line.schedule else "")
    lines = [f"  {printable(note)}: {_names(found)}" for note, found in names.items()]
    return "\n".join([f"Notes ({len(lines):,})", *_first(lines)]) if lines else ""


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(map(printable, names[:_MOST_NAMES]))
    return f"{shown} and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else shown


def _first(blocks: Sequence[str]) -> list[str]:
    more = len(blocks) - MOST_SHOWN
    return [*blocks[:MOST_SHOWN], *([f"  ... and {more:,} more; --json lists all"] if more > 0 else [])]
