"""Whether jobs that an import would create are known already, under another label. Reads the database only.

A file that was moved, copied or piped has a new label, so nothing links its lines to their schedules:
the import would make a second set, and every job would run twice. Called by `importing.planning`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from schedules.importing.values import Remark
from schedules.models import Schedule

NEARLY_ALL = 0.8
"""Of the new jobs of a file; one of them may have been edited since."""

Job = tuple[str, str, str | None]
"""Time, command, standard input."""


def copy_warnings(new: Sequence[tuple[str, Schedule]]) -> Iterator[Remark]:
    """One for each file whose new schedules nearly all equal those of one other source.

    `new` are files with a schedule that would be created.
    """
    jobs: dict[tuple[str, str], list[Schedule]] = defaultdict(list)
    for file, schedule in new:
        jobs[file, schedule.source].append(schedule)
    others = _known_elsewhere([label for _, label in jobs]) if jobs else {}
    for (file, label), schedules in jobs.items():
        source, count = _best(schedules, others)
        if count >= NEARLY_ALL * len(schedules):
            yield Remark(
                file=file,
                reason=f'these jobs are known from "{source}": imported again under another name, they '
                f"would run twice. To update the known ones instead, add --source {source}",
                kind="same-jobs",
                detail=f"{count:,} of {len(schedules):,}",
            )
        for schedule in schedules:
            others.setdefault(label, Counter())[_job(schedule), schedule.run_as] += 1


def deleted_warnings(new: Sequence[tuple[str, Schedule]]) -> Iterator[Remark]:
    """One for each file with jobs that somebody deleted here, and that would come back with it. One query."""
    jobs: dict[tuple[str, str], list[Schedule]] = defaultdict(list)
    for file, schedule in new:
        jobs[file, schedule.source].append(schedule)
    labels = [label for _, label in jobs]
    rows = Schedule.objects.filter(deleted_at__isnull=False, source__in=labels) if labels else ()
    gone = {(row.source, _job(row)) for row in rows}
    for (file, label), schedules in jobs.items():
        back = [schedule.name for schedule in schedules if (label, _job(schedule)) in gone]
        if back:
            yield Remark(
                file=file,
                reason="schedules of these jobs were deleted here, and would be created again. Take their "
                "lines out of the file; or disable the schedules instead of deleting them",
                kind="deleted-before",
                detail=", ".join(back[:5]) + (f" and {len(back) - 5:,} more" if len(back) > 5 else ""),
            )


def _known_elsewhere(labels: Sequence[str]) -> dict[str, Counter[tuple[Job, str]]]:
    """The jobs of every other source, with their accounts."""
    rows = Schedule.objects.live().exclude(source="").exclude(source__in=labels)
    found: dict[str, Counter[tuple[Job, str]]] = defaultdict(Counter)
    for source, *job, account in rows.values_list("source", "cron", "command", "stdin", "run_as"):
        found[source][tuple(job), account] += 1
    return found


def _best(schedules: Sequence[Schedule], others: dict[str, Counter[tuple[Job, str]]]) -> tuple[str, int]:
    """The other source that has most of these jobs, and how many."""
    wanted = Counter((_job(schedule), schedule.run_as) for schedule in schedules)
    counts = {source: _in_common(wanted, jobs) for source, jobs in others.items()}
    source = max(counts, key=lambda name: counts[name], default="")
    return source, counts.get(source, 0)


def _in_common(wanted: Counter[tuple[Job, str]], known: Counter[tuple[Job, str]]) -> int:
    """How many are in both. An account that only one of them names does not tell them apart."""
    by_job: dict[Job, Counter[str]] = defaultdict(Counter)
    for (job, account), number in known.items():
        by_job[job][account] += number
    count = 0
    for (job, account), number in wanted.items():
        alike = by_job.get(job, Counter())
        same = sum(alike.values()) if not account else alike[account] + alike[""]
        count += min(number, same)
    return count


def _job(schedule: Schedule) -> Job:
    return schedule.cron, schedule.command, schedule.stdin
