"""The report of an import: as text for people, as dictionaries for scripts. Called by `import_crontab`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from schedules.importing.flow import Fate, Item, Report
from schedules.importing.reading import Parsed, account_of
from schedules.importing.values import Remark
from schedules.management.output import counted, iso, local, printable, table

MOST_SHOWN = 60
"""Rows of one table; `--json` has them all."""
MOST_PLACES = 12
"""Places named for one remark."""
_CORRECT = "Correct what is refused above."


def shape(report: Report) -> dict[str, Any]:
    return {
        "sources": [_source_shape(parsed) for parsed in report.plan.read],
        **{fate.value: [_item_shape(item) for item in report.of(fate)] for fate in Fate},
        "refused": [_remark_shape(remark) for remark in report.plan.refused],
        "warnings": [_remark_shape(remark) for remark in report.plan.warnings],
        "dry_run": report.is_dry_run,
        "imported": report.is_imported,
    }


def _source_shape(parsed: Parsed) -> dict[str, Any]:
    source = parsed.source
    return {
        "source": source.label,
        "file": source.file,
        "format": source.format.value,
        "dialect": source.daemon.value,
        "jobs": len(parsed.jobs),
        "accounts": dict(_accounts(parsed)),
        "commented_out": list(parsed.commented_out),
    }


def _accounts(parsed: Parsed) -> Counter[str]:
    """How many jobs each account has; "" where nobody names one."""
    return Counter(account_of(job, parsed.source) or "" for job in parsed.jobs)


def _item_shape(item: Item) -> dict[str, Any]:
    current = item.schedule
    return {
        "name": current.name,
        "file": item.file,
        "line": item.line,
        "expression": item.values.get("cron", current.cron),
        "command": item.values.get("command", current.command),
        "account": item.values.get("run_as", current.run_as),
        "dialect": item.values.get("dialect", current.dialect),
        "timezone": item.values.get("timezone", current.timezone),
        "mode": current.mode,
        "mail_to": item.values.get("mail_to", current.mail_to),
        "next_run": iso(item.next_run_at),
        **({"changes": list(item.changes)} if item.fate == Fate.CHANGED else {}),
    }


def _remark_shape(remark: Remark) -> dict[str, Any]:
    return {"file": remark.file, "line": remark.line, "kind": remark.kind, "reason": remark.text}


def text(report: Report, width: int | None) -> str:
    parts = [
        _sources_text(report.plan.read, width),
        _created_text(report, width),
        _changed_text(report, width),
        _unchanged_text(report, width),
        _gone_text(report, width),
        _remarks_text("Refused", report.plan.refused),
        _remarks_text("Warnings", report.plan.warnings),
        _summary(report),
    ]
    return "\n\n".join(part for part in parts if part)


def _sources_text(read: Sequence[Parsed], width: int | None) -> str:
    """What was read, to be compared with what the machine has: nothing may be missing."""
    if not read:
        return ""
    head = ("FILE", "READ AS", "JOBS", "COMMENTED OUT", "ACCOUNTS")
    rows = [_source_cells(parsed) for parsed in read[:MOST_SHOWN]]
    body = table(head, rows, width=None if width is None else width - 2)
    lines = [f"Read ({len(read):,})", *(f"  {line}" for line in body.split("\n"))]
    return "\n".join([*lines, *_more(len(read))])


def _source_cells(parsed: Parsed) -> tuple[str, ...]:
    source = parsed.source
    accounts = ", ".join(f"{name} {count}" for name, count in _accounts(parsed).most_common() if name)
    commented = f"{len(parsed.commented_out)}" if parsed.commented_out else "-"
    read_as = f"{source.format}, {source.daemon}" if source.format != "anacrontab" else "anacrontab"
    return source.file, read_as, f"{len(parsed.jobs)}", commented, accounts


def _created_text(report: Report, width: int | None) -> str:
    head = ("NAME", "LINE", "TIME", "ZONE", "ACCOUNT", "NEXT RUN", "COMMAND")
    return _items_text("Would be created", "Created", report, Fate.CREATED, head, _created_cells, width)


def _changed_text(report: Report, width: int | None) -> str:
    head = ("NAME", "LINE", "NEXT RUN", "WHAT CHANGES")
    return _items_text("Would be changed", "Changed", report, Fate.CHANGED, head, _changed_cells, width)


def _unchanged_text(report: Report, width: int | None) -> str:
    head = ("NAME", "LINE", "NEXT RUN")
    return _items_text("Unchanged", "Unchanged", report, Fate.UNCHANGED, head, _plain_cells, width)


def _gone_text(report: Report, width: int | None) -> str:
    title = "Gone from the file; left as they are"
    text = _items_text(title, title, report, Fate.GONE, ("NAME", "LINE", "NEXT RUN"), _plain_cells, width)
    advice = "To stop one: manage.py pause_schedule NAME, or disable or delete it in the admin."
    return f"{text}\n  {advice}" if text else ""


def _items_text(
    planned: str,
    done: str,
    report: Report,
    fate: Fate,
    head: tuple[str, ...],
    cells: Callable[[Item], tuple[str, ...]],
    width: int | None,
) -> str:
    items = report.of(fate)
    if not items:
        return ""
    body = table(
        head, [cells(item) for item in items[:MOST_SHOWN]], width=None if width is None else width - 2
    )
    lines = [f"{done if report.is_imported else planned} ({len(items):,})"]
    lines += [f"  {line}" for line in body.split("\n")]
    return "\n".join([*lines, *_more(len(items))])


def _more(total: int, noun: str = "") -> list[str]:
    return [f"  ... and {total - MOST_SHOWN:,} more{noun}; --json has all"] if total > MOST_SHOWN else []


def _created_cells(item: Item) -> tuple[str, ...]:
    said = item.values
    account = said.get("run_as", "")
    return (
        *(item.schedule.name, _place(item), said["cron"], said["timezone"], account),
        *(_next_run(item), said["command"]),
    )


def _changed_cells(item: Item) -> tuple[str, ...]:
    return item.schedule.name, _place(item), _next_run(item), "; ".join(item.changes)


def _plain_cells(item: Item) -> tuple[str, ...]:
    return item.schedule.name, _place(item), _next_run(item)


def _next_run(item: Item) -> str:
    if item.next_run_at is not None:
        return local(item.next_run_at, item.values.get("timezone") or item.schedule.timezone)
    if not item.schedule.enabled:
        return "disabled"
    if item.schedule.paused_until is not None:
        return "paused"
    return "at boot" if item.values.get("cron", item.schedule.cron) == "@reboot" else "never"


def _remarks_text(title: str, remarks: Sequence[Remark]) -> str:
    """Equal remarks are told once, with all their places."""
    if not remarks:
        return ""
    together: dict[str, list[Remark]] = {}
    for remark in remarks:
        together.setdefault(remark.reason, []).append(remark)
    lines = [line for reason, alike in together.items() for line in _remark_lines(reason, alike)]
    return "\n".join([f"{title} ({len(remarks):,})", *lines[:MOST_SHOWN], *_more(len(lines), " lines")])


def _remark_lines(reason: str, alike: Sequence[Remark]) -> list[str]:
    if len(alike) == 1:
        return [f"  {_where(alike[0].file, [alike[0].line])}: {printable(alike[0].text)}"]
    places: dict[tuple[str, str], list[int]] = {}
    for remark in alike:
        places.setdefault((remark.file, remark.detail), []).append(remark.line)
    lines = [
        f"    {_where(file, numbers)}{f' ({printable(detail)})' if detail else ''}"
        for (file, detail), numbers in places.items()
    ]
    more = len(lines) - MOST_PLACES
    rest = [f"    ... and in {more:,} more places"] if more > 0 else []
    return [f"  {printable(reason)}", *lines[:MOST_PLACES], *rest]


def _summary(report: Report) -> str:
    changing = "" if report.is_imported else "would be "
    counts = [
        f"{len(report.of(Fate.CREATED)):,} {changing}created",
        f"{len(report.of(Fate.CHANGED)):,} {changing}changed",
        f"{len(report.of(Fate.UNCHANGED)):,} unchanged",
        f"{len(report.of(Fate.GONE)):,} gone",
        f"{len(report.plan.refused):,} refused",
    ]
    if report.is_imported:
        return f"Imported: {', '.join(counts)}."
    return f"Nothing was imported{' (dry run)' if report.is_dry_run else ''}: {', '.join(counts)}."


def complaint(report: Report, *, partial: bool, prove: bool) -> str:
    """Why the status is not 0 where something was refused, and what helps."""
    what = counted(len(report.plan.refused), "problem")
    if report.is_imported:
        return f"{what}: what is refused above was left out, everything else was imported."
    if report.is_dry_run and partial:
        return f"{what}: what is refused above would be left out."
    unproved = spoiled_advice(report) if prove else ""
    helps = not unproved and _helps_partial(report)
    if report.is_dry_run and helps:
        return f"{what}: the import would be refused as a whole, unless --partial is given."
    if report.is_dry_run:
        return f"{what}: the import would be refused as a whole. {unproved or _CORRECT}"
    why = f"Nothing was imported because of {what}: all of it is imported, or nothing."
    if helps:
        return f"{why} Correct what is refused above, or import the rest with --partial."
    return f"{why} {unproved or _CORRECT}"


def spoiled_advice(report: Report) -> str:
    """Why files with a bad line cannot be proved, and what to do; "" where there are none."""
    files = [printable(parsed.source.file) for parsed in report.plan.read if parsed.is_spoiled]
    if not files:
        return ""
    named = ", ".join(files[:MOST_PLACES])
    more = f" and {len(files) - MOST_PLACES:,} more" if len(files) > MOST_PLACES else ""
    them = "it" if len(files) == 1 else "them"
    return (
        f"cron ignores the whole of {named}{more} because of a bad line, so its jobs do not run today and "
        f"cannot be proved. Correct {them}, or import the good files by naming them."
    )


def _helps_partial(report: Report) -> bool:
    """Whether lines are what is refused, and others are left. It does not make a path readable."""
    read = report.plan.read
    return any(parsed.refused for parsed in read) and any(parsed.jobs for parsed in read)


def _place(item: Item) -> str:
    return f"{item.file}:{item.line}"


def _where(file: str, lines: Sequence[int]) -> str:
    ranges = _ranges([line for line in lines if line])
    more = f" and {len(ranges) - MOST_PLACES:,} more" if len(ranges) > MOST_PLACES else ""
    return printable(f"{file}:{', '.join(ranges[:MOST_PLACES])}{more}" if ranges else file)


def _ranges(numbers: Sequence[int]) -> list[str]:
    """Ascending numbers, those that follow each other as one: 3-5, 9."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return [f"{first}" if first == last else f"{first}-{last}" for first, last in found]
