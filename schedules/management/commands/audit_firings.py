"""`manage.py audit_firings`: proves that every due instant has exactly one run, or says which has not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from schedules import auditing, catalog
from schedules.auditing import SKIPPED, Audit, ScheduleAudit
from schedules.errors import UnknownSchedule
from schedules.management.output import counted, iso, local, printable
from schedules.management.script import REFUSED, Error, ScriptCommand, moment, usage_error
from schedules.models import Schedule
from schedules.querysets import database_now
from schedules.rules.audit import MOST_FINDINGS, Finding

DEFAULT_SPAN = timedelta(days=1)
SHOWN = 50
"""Findings that are printed; JSON has more."""


class Command(ScriptCommand):
    help = "Prove that every due instant had exactly one run, or name those that had not (exit status 1)."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", metavar="NAME", nargs="*", help="only these schedules")
        parser.add_argument("--from", metavar="T", default="", help="a time, or a length ago (default: 1d)")
        parser.add_argument("--to", metavar="T", default="", help="a time, or a length ago (default: now)")
        parser.add_argument("--tag", metavar="T", default="", help="only schedules with this tag")

    def run(self, options: dict[str, Any]) -> None:
        now = database_now()
        start = _moment(options["from"], now, "--from") or now - DEFAULT_SPAN
        end = _moment(options["to"], now, "--to")
        if start >= (end or now):
            raise usage_error("--from is not before --to. Give the earlier time with --from.")
        pks = [catalog.find_any(name).pk for name in options["names"]] or None
        _check_tag(options["tag"])
        done = auditing.audit(start=start, end=end, schedules=pks, tag=options["tag"])
        self.show(options, audit_shape(done), audit_text(done))
        if not done.is_clean:
            raise Error(f"The audit found what should not be: {_wrong(done)}.", returncode=REFUSED)


def _moment(text: str, now: datetime, option: str) -> datetime | None:
    return moment(text, now=now, sign=-1, option=option) if text else None


def _check_tag(tag: str) -> None:
    """An audit of nothing would say that nothing is wrong."""
    tagged = Schedule.objects.filter(tags__contains=tag).values_list("tags", flat=True)
    if tag and not any(tag in tags.split() for tags in tagged):
        raise UnknownSchedule(f'No schedule has the tag "{tag}". All tags: manage.py list_schedules --json')


def audit_text(done: Audit) -> str:
    return "\n".join([_verdict(done), *_findings(done), *_not_judged(done)])


def _verdict(done: Audit) -> str:
    zone = settings.TIME_ZONE
    where = f"from {local(done.start)} to {local(done.end)} ({zone})"
    head = f"{counted(len(done.schedules), 'schedule')}, {counted(done.due, 'due instant')} {where}"
    if not done.is_clean:
        return f"{head}: {_wrong(done)}{_became(done)}."
    if not done.due:
        return f"{head}. Nothing missing, doubled or extra."
    each = "it has" if done.due == 1 else "each has"
    return f"{head}: {each} exactly one run{_became(done)}. Nothing missing, doubled or extra."


def _became(done: Audit) -> str:
    """ " (39,000 started, 2,100 skipped: overlap 12, missed 2,088)"."""
    became = done.became
    others = {word: count for word, count in became.items() if not word.startswith(SKIPPED)}
    parts = [f"{count:,} {_words(word)}" for word, count in sorted(others.items())]
    skipped = {word.removeprefix(SKIPPED): became[word] for word in became if word.startswith(SKIPPED)}
    if skipped:
        reasons = ", ".join(f"{_words(reason)} {count:,}" for reason, count in sorted(skipped.items()))
        parts.append(f"{sum(skipped.values()):,} skipped: {reasons}")
    return f" ({', '.join(parts)})" if parts else ""


def _findings(done: Audit) -> Iterator[str]:
    for shown, (schedule, finding) in enumerate(done.findings()):
        if shown == SHOWN:
            yield f"… and more: manage.py audit_firings --json has up to {MOST_FINDINGS} a schedule"
            return
        yield f"{_words(finding.wrong)}: {_name(schedule)}, {iso(finding.at)}: {printable(finding.what)}"
        yield f"    {printable(finding.cause)}"


def _not_judged(done: Audit) -> Iterator[str]:
    if done.pending:
        yield f"Not judged: {counted(done.pending, 'instant')} just now, which beat is about to decide."
    if done.by_boot:
        yield f"Not judged: {counted(done.by_boot, 'run')} of @reboot schedules, which no clock decides."
    yield from (f"Not judged: {remark}." for remark in done.remarks)
    for schedule in done.schedules:
        for remark in schedule.verdict.unjudged:
            yield f"Not judged: {_name(schedule)}: {printable(remark)}."


def _wrong(done: Audit) -> str:
    """ "3 missing, 1 doubled"."""
    return ", ".join(f"{count:,} {_words(kind)}" for kind, count in done.wrong.items())


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _name(schedule: ScheduleAudit) -> str:
    return printable(schedule.name) + (" (deleted)" if schedule.is_deleted else "")


def audit_shape(done: Audit) -> dict[str, Any]:
    """The evidence that `--json` prints: documented in docs/cli.md."""
    return {
        "from": iso(done.start),
        "to": iso(done.end),
        "judged_at": iso(done.now),
        "clean": done.is_clean,
        "due": done.due,
        "became": dict(done.became),
        "wrong": dict(done.wrong),
        "not_yet_decided": done.pending,
        "by_boot": done.by_boot,
        "remarks": done.remarks,
        "schedules": [_schedule_shape(schedule) for schedule in done.schedules],
    }


def _schedule_shape(schedule: ScheduleAudit) -> dict[str, Any]:
    verdict = schedule.verdict
    return {
        "id": schedule.pk,
        "name": schedule.name,
        "deleted": schedule.is_deleted,
        "due": verdict.due,
        "became": dict(verdict.became),
        "wrong": dict(verdict.wrong),
        "not_yet_decided": verdict.pending,
        "by_boot": verdict.by_boot,
        "not_judged": verdict.unjudged,
        "findings": [_finding_shape(finding) for finding in verdict.findings],
    }


def _finding_shape(finding: Finding) -> dict[str, Any]:
    return {
        "wrong": finding.wrong,
        "at": iso(finding.at),
        "until": iso(finding.until),
        "count": finding.count,
        "revision": finding.revision,
        "runs": list(finding.runs),
        "what": finding.what,
        "cause": finding.cause,
    }
