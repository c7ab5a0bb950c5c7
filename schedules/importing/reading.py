"""What the sources of an import say: their jobs, what is refused, what the operator should know. No database.

The grammar is in `rules.crontab` and `rules.anacrontab`; which schedules the jobs become is decided in
`importing.planning`, the only caller.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from schedules.accounts import Accounts, own_account
from schedules.importing.values import Remark, Source, Sources
from schedules.models import Schedule
from schedules.rules import anacrontab, crontab
from schedules.rules.crontab import Crontab
from schedules.rules.crontab.grammar import Daemon, grammar_of
from schedules.rules.crontab.lines import Format, Job, LineKind, Problem
from schedules.rules.crontab.refusals import in_crons_own_file

ANACRON = "/usr/sbin/anacron"
ANACRONS_ACCOUNT = "root"
_NOT_WANTED = "it is anacron's table, and --no-anacron leaves its jobs to anacron"
_NOT_UTF8 = (
    "the line, or a setting above it, holds bytes that are not UTF-8, which a database cannot "
    "hold. Convert the file, for example with: iconv -f latin1 -t utf-8"
)


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """One source, read. Its jobs are those that could be imported, whatever else is refused.

    `source` says what the file turned out to be, where that differs from what it was taken for.
    `is_spoiled`: because of a bad line, its daemon runs none of the jobs.
    """

    source: Source
    jobs: tuple[Job, ...]
    refused: tuple[Remark, ...]
    warnings: tuple[Remark, ...]
    commented_out: tuple[int, ...] = ()
    is_spoiled: bool = False


def parse(sources: Sources, *, no_anacron: bool = False) -> list[Parsed]:
    accounts = Accounts()
    return [_parse(source, accounts, no_anacron=no_anacron) for source in sources.found]


def account_of(job: Job, source: Source) -> str | None:
    """Whom the line names; None where neither the line nor the operator says."""
    return job.user if job.user is not None else source.account


def _parse(source: Source, accounts: Accounts, *, no_anacron: bool) -> Parsed:
    source, read = _read(source, accounts)
    if source.format is Format.ANACRONTAB and no_anacron:
        refusal = Remark(file=source.file, reason=_NOT_WANTED)
        return Parsed(source=source, jobs=(), refused=(refusal,), warnings=())
    unstorable = [Problem(job.line, why) for job in read.jobs if (why := _why_unstorable(job))]
    problems = sorted([*read.errors, *unstorable], key=lambda problem: problem.line)
    bad = {problem.line for problem in problems}
    jobs = tuple(job for job in read.jobs if job.line not in bad)
    spoiling = _spoiling_line(source, read) if jobs else None
    return Parsed(
        source=source,
        jobs=jobs,
        refused=tuple(_refusal(source, problem) for problem in problems),
        warnings=(
            *(_remark(source, problem) for problem in read.warnings),
            *_dormant_warning(source, spoiling, jobs),
            *_anacron_warning(source, jobs),
            *_account_warnings(source, jobs, accounts),
            *_mail_warning(source, jobs),
        ),
        commented_out=read.commented_out,
        is_spoiled=spoiling is not None,
    )


def _read(source: Source, accounts: Accounts) -> tuple[Source, Crontab]:
    """The content by its grammar. A table of anacron gives itself away, whatever it was taken for."""
    if source.format is not Format.ANACRONTAB:
        read = crontab.parse(
            source.text, source.format, accounts, dialect=source.daemon, account=source.account
        )
        if not read.is_anacrontab:
            return source, read
    account = source.account or ANACRONS_ACCOUNT
    source = replace(source, format=Format.ANACRONTAB, daemon=Daemon.CRON, account=account)
    return source, anacrontab.parse(source.text)


def _why_unstorable(job: Job) -> str:
    """Why the daemon runs the line and Beatkeeper cannot hold it; "" where it can."""
    texts = (job.raw, job.command, job.stdin or "", *(text for pair in job.environment for text in pair))
    if not all(_is_utf8(text) for text in texts):
        return _NOT_UTF8
    longest = Schedule._meta.get_field("cron").max_length or 0
    if len(job.expression) > longest:
        return f"the time fields are longer than {longest:,} characters; split the line in two"
    return ""


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refusal(source: Source, problem: Problem) -> Remark:
    if source.is_crons_own:
        ignored = "the file" if _ignores_whole_files(source) else "the line"
        problem = replace(problem, reason=in_crons_own_file(problem.reason, ignored=ignored))
    return _remark(source, problem)


def _remark(source: Source, problem: Problem) -> Remark:
    return Remark(
        file=source.file,
        line=problem.line,
        reason=problem.reason,
        kind=problem.kind,
        detail=problem.detail,
    )


def _ignores_whole_files(source: Source) -> bool:
    """Whether the daemon ignores a file as a whole for one bad line."""
    return source.format is not Format.ANACRONTAB and grammar_of(source.daemon).is_spoiled_by_a_bad_line


def _spoiling_line(source: Source, read: Crontab) -> int | None:
    """The first line for which the daemon ignores the file; None where it reads it."""
    if not _ignores_whole_files(source):
        return None
    return next((line.number for line in read.lines if line.kind is LineKind.BAD), None)


def _dormant_warning(source: Source, bad: int | None, jobs: Sequence[Job]) -> Iterator[Remark]:
    """For a part of a file that cron ignores as a whole: under Beatkeeper it runs."""
    if bad is not None and not source.is_dormant:
        yield Remark(
            file=source.file,
            line=bad,
            reason="cron ignores the file because of this line: none of its jobs runs today. Those that are "
            "imported with --partial will",
            kind="dormant",
            detail=_count(len(jobs), "job"),
        )


def _anacron_warning(source: Source, jobs: Sequence[Job]) -> Iterator[Remark]:
    if source.format is Format.ANACRONTAB and jobs:
        yield Remark(
            file=source.file,
            reason="anacron goes on running these jobs until it is disabled, so they would run twice. It "
            "counts days since the last run; Beatkeeper goes by the calendar",
            kind="anacron",
            detail=f"{ANACRON} is {'' if os.path.exists(ANACRON) else 'not '}installed here",
        )


def _account_warnings(source: Source, jobs: Sequence[Job], accounts: Accounts) -> Iterator[Remark]:
    """One for each account that needs a worker with special rights."""
    mine = own_account()
    if jobs and source.format is Format.USER and source.account is None and mine == "root":
        yield Remark(
            file=source.file,
            reason="no account is named, so the worker's own account runs the commands. "
            "Name the crontab's owner with --account",
            kind="account",
        )
    lines: dict[str, list[int]] = defaultdict(list)
    for job in jobs:
        lines[account_of(job, source) or mine].append(job.line)
    for account, numbers in lines.items():
        if account != mine:
            unknown = "" if account in accounts else "; this machine has no such account: is the name right?"
            yield Remark(
                file=source.file,
                line=numbers[0],
                reason=f'commands of the account "{account}" need a worker that runs as root or as '
                f"{account}{unknown}",
                kind="account",
                detail=_count(len(numbers), "line"),
            )


def _mail_warning(source: Source, jobs: Sequence[Job]) -> Iterator[Remark]:
    """cron mails what a command prints; here it is kept, and somebody who counts on the mail must know."""
    addresses = {value for job in jobs for name, value in job.environment if name == "MAILTO" and value}
    if addresses:
        yield Remark(
            file=source.file,
            reason="nothing is mailed: what commands print is kept with their runs, and the address with "
            "the schedule. `list_runs --state failed` tells what to look at",
            kind="mail",
            detail=", ".join(sorted(addresses)),
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
