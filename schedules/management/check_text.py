"""What `check_commands` prints: one table of what is wrong, worst first, and who did not answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from schedules.checking.flow import Answer, Request
from schedules.management.output import counted, iso, table
from schedules.models import CommandCheck
from schedules.rules.command.findings import OK, SEVERITY, Level, result

HEAD = ("NAME", "WORKER", "RESULT", "WHAT IS WRONG", "WHAT TO DO")
START_A_WORKER = "celery -A scheduler worker -P threads -Q {queue}"


@dataclass(frozen=True)
class Report:
    """A request and the rows that came for it. `names`: of the schedules, by primary key."""

    request: Request
    rows: Sequence[CommandCheck]
    names: dict[int, str]

    @property
    def missing(self) -> dict[Answer, list[int]]:
        """Schedules for which no row came in time, by the worker that owes it."""
        there = {(row.worker_name, row.schedule_id) for row in self.rows}
        owed: dict[str, list[int]] = {}
        for worker, pk in self.request.expected():
            if (worker, pk) not in there:
                owed.setdefault(worker, []).append(pk)
        return {each: owed[each.worker] for each in self.request.answers if each.worker in owed}

    @property
    def refusals(self) -> list[Answer]:
        """Workers that serve what was asked about, and will not look."""
        return [each for each in self.request.answers if each.problem]

    @property
    def is_good(self) -> bool:
        no_errors = all(row.is_ok for row in self.rows)
        return no_errors and not (self.missing or self.refusals or self.request.unserved)

    def counts(self) -> dict[str, int]:
        """Checks by result."""
        found = Counter(result(row.findings) for row in self.rows)
        return {name: found[name] for name in (Level.ERROR.value, Level.WARNING.value, OK)}


def text(report: Report, *, show_all: bool, width: int | None) -> str:
    parts = [
        _problems(report, show_all=show_all, width=width),
        _unserved(report, width),
        _unanswered(report, width),
        _differences(report),
        _summary(report, show_all=show_all),
    ]
    return "\n\n".join(part for part in parts if part)


def _problems(report: Report, *, show_all: bool, width: int | None) -> str:
    rows = sorted(
        report.rows, key=lambda row: (SEVERITY[result(row.findings)], report.names[row.schedule_id])
    )
    lines = [line for row in rows for line in _lines(row, report.names[row.schedule_id], show_all=show_all)]
    return table(HEAD, lines, width=width) if lines else ""


def _lines(row: CommandCheck, name: str, *, show_all: bool) -> Iterator[Sequence[str]]:
    """One for each finding; the notes that many share stand below the table unless all is to be shown."""
    place = (name, _place(row))
    shown = [each for each in row.findings if show_all or _is_own(each)]
    for finding in sorted(shown, key=lambda each: SEVERITY[each["level"]]):
        yield (*place, finding["level"], finding["text"], finding.get("advice", ""))
    if not shown and show_all:
        yield (*place, OK, "", "")


def _place(row: CommandCheck) -> str:
    """Workers are mostly named after their hosts."""
    name: str = row.worker_name
    return name if name.endswith(f"@{row.host}") else f"{name} ({row.host})"


def _is_own(finding: dict[str, Any]) -> bool:
    """Not one of those that nearly every command of a host has."""
    return bool(finding["level"] != Level.NOTE or finding["code"] == "guarded")


def _differences(report: Report) -> str:
    """Notes that do not depend on the command: what cron does otherwise on a host, once."""
    found = Counter(
        (row.host, finding["text"]) for row in report.rows for finding in row.findings if not _is_own(finding)
    )
    lines = [
        f"  {host}: {text} ({counted(count, 'schedule')})" for (host, text), count in sorted(found.items())
    ]
    return "\n".join([f"Good to know ({len(lines)})", *lines]) if lines else ""


def _unserved(report: Report, width: int | None) -> str:
    unserved = report.request.unserved
    rows = [
        (report.names[pk], queue, f"start a worker: {START_A_WORKER.format(queue=queue)}")
        for queue, pks in sorted(unserved.items())
        for pk in pks
    ]
    body = table(("NAME", "QUEUE", "WHAT TO DO"), rows, width=width)
    return f"Schedules in queues that no worker serves ({len(rows)})\n{_indented(body)}" if rows else ""


def _unanswered(report: Report, width: int | None) -> str:
    rows = [(each.worker, "", each.problem) for each in report.refusals]
    for answer, pks in report.missing.items():
        why = "it did not finish in time" if answer.heard else "it did not answer: is it stuck, or gone?"
        rows.append((answer.worker, f"{len(pks)}", f"{why} (wait longer with --timeout)"))
    body = table(("WORKER", "SCHEDULES", "WHY"), rows, width=width)
    return f"Workers that did not answer ({len(rows)})\n{_indented(body)}" if rows else ""


def _summary(report: Report, *, show_all: bool) -> str:
    counts = report.counts()
    workers = len({row.worker_name for row in report.rows})
    shown = "" if show_all or not counts[OK] else " (--all lists them)"
    checked = len({row.schedule_id for row in report.rows})
    found = (
        f"{counts[Level.ERROR]:,} with errors, {counts[Level.WARNING]:,} with warnings, "
        f"{counts[OK]:,} ok{shown}"
    )
    return f"Checked: {counted(checked, 'schedule')} by {counted(workers, 'worker')}: {found}."


def _indented(block: str) -> str:
    return "\n".join(f"  {line}" for line in block.splitlines())


def shape(report: Report) -> dict[str, Any]:
    """What `--json` prints."""
    names = report.names
    return {
        "good": report.is_good,
        "counts": report.counts(),
        "checks": [_check_shape(row, names[row.schedule_id]) for row in report.rows],
        "unserved": [
            {"schedule": names[pk], "queue": queue}
            for queue, pks in sorted(report.request.unserved.items())
            for pk in pks
        ],
        "unanswered": [
            {"worker": each.worker, "reason": each.problem, "schedules": []} for each in report.refusals
        ]
        + [
            {
                "worker": answer.worker,
                "reason": "too late" if answer.heard else "no answer",
                "schedules": [names[pk] for pk in pks],
            }
            for answer, pks in report.missing.items()
        ],
    }


def _check_shape(row: CommandCheck, name: str) -> dict[str, Any]:
    return {
        "schedule": name,
        "worker": row.worker_name,
        "host": row.host,
        "account": row.account,
        "result": result(row.findings),
        "checked_at": iso(row.checked_at),
        "findings": row.findings,
    }
