"""What a schedule asks of cron: a line, an environment, or the reason why cron cannot run it. No queries.

Called by `exporting`. Where the lines stand is decided in `rules.crontab.export`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from schedules.models import Schedule
from schedules.models.schedule import FOREVER
from schedules.rules.cron.clock import Gap, Repeat
from schedules.rules.crontab.grammar import Grammar
from schedules.rules.crontab.lines import BLANKS, Format, JobText
from schedules.rules.crontab.sheet import Wanted
from schedules.rules.definition import Background, CatchUp, Kind, Mode, Overlap

_BLANKS = re.compile(rf"[{BLANKS}]+")
_MAIL = (("MAILTO", "mail_to"), ("MAILFROM", "mail_from"))


@dataclass(frozen=True, kw_only=True)
class Target:
    """The crontab for which schedules are judged, at the instant `now`.

    `account` is the owner of a user's crontab, "" where nobody said; in the system format it stands
    for schedules that name none. `timezone` is the zone by which its daemon reads times.
    """

    format: Format
    grammar: Grammar
    account: str
    timezone: str
    now: datetime


def wanted(row: Schedule, target: Target) -> Wanted:
    """The line in the target's format; the reason where the schedule must not run there."""
    return Wanted(
        name=name_of(row),
        job=_job(row, target),
        environment=environment_of(row),
        why_not=next(_reasons(row, target), ""),
        notes=tuple(_notes(row)),
    )


def name_of(row: Schedule) -> str:
    """As it was before it was deleted."""
    return str(row.name).removesuffix(f"~deleted~{row.pk}") if row.is_deleted else str(row.name)


def environment_of(row: Schedule) -> dict[str, str]:
    """With what is a column here and a variable under cron: the shell, and who gets the mail."""
    environment = dict(row.environment)
    if row.shell and environment.get("SHELL") != row.shell:
        environment["SHELL"] = row.shell
    return environment | {name: getattr(row, column) for name, column in _MAIL if getattr(row, column)}


def beyond_cron(row: Schedule) -> Iterator[str]:
    """What Beatkeeper does for this schedule and cron does not, one clause each."""
    policy = row.retry_policy
    if policy is not None and policy.max_attempts > 1:
        yield f"up to {policy.max_attempts} attempts"
    if row.timeout is not None:
        yield f"ended after {row.timeout:g} s"
    if row.memory_limit is not None:
        yield f"at most {row.memory_limit} MiB of memory"
    if row.cpu_limit is not None:
        yield f"at most {row.cpu_limit} s of processor time"
    if row.file_size_limit is not None:
        yield f"no file above {row.file_size_limit} MiB"
    if row.overlap != Overlap.ALLOW:
        yield "no start while a run is active"
    if row.catch_up != CatchUp.SKIP and row.cron != "@reboot":
        yield "a missed start is made up for"
    if row.expire_seconds is not None:
        yield f"no start more than {row.expire_seconds} s late"
    if row.background != Background.KEEP:
        yield "what it leaves running is ended"


def _job(row: Schedule, target: Target) -> JobText | None:
    is_line = row.kind == Kind.COMMAND and row.cron and row.dialect == target.grammar.daemon
    if not is_line or not row.has_own_timing:
        return None
    user = (row.run_as or target.account) if target.format is Format.SYSTEM else None
    expression = " ".join(_BLANKS.split(row.cron.strip(BLANKS)))
    return JobText(expression, user, row.command, row.stdin)


def _notes(row: Schedule) -> Iterator[str]:
    if row.description:
        yield " ".join(str(row.description).split())
    if row.mode == Mode.SHADOW:
        yield "a shadow in Beatkeeper: cron is to run it"
    more = list(beyond_cron(row))
    if more:
        yield f"not under cron: {'; '.join(more)}"


def _reasons(row: Schedule, target: Target) -> Iterator[str]:
    """Why cron must not run it, or cannot; the most telling first."""
    if row.is_deleted:
        yield "it was deleted in Beatkeeper"
    yield from _other_kinds(row)
    yield from _other_times(row, target)
    yield from _limits_in_time(row, target)
    yield from _other_places(row, target)
    yield from _stops(row, target)


def _other_kinds(row: Schedule) -> Iterator[str]:
    if row.kind != Kind.COMMAND:
        yield f"it calls the Celery task {row.task}, and cron runs commands only"
    elif not row.has_own_timing:
        yield f"it runs {_foreign_timing(row)}, and cron knows only its own time fields"
    elif not row.cron:
        yield "it is started by hand only"


def _foreign_timing(row: Schedule) -> str:
    if row.interval is not None:
        return f"every {row.interval.every} {row.interval.period}"
    if row.clocked is not None:
        return f"once, at {row.clocked.clocked_time.isoformat()}"
    return "by a crontab of django-celery-beat" if row.crontab is not None else "by the sun"


def _other_times(row: Schedule, target: Target) -> Iterator[str]:
    if row.timing_error:
        yield f"its time cannot be used: {row.timing_error}"
    if row.dialect != target.grammar.daemon:
        yield f'its time is in the dialect "{row.dialect}", this crontab is read as "{target.grammar.daemon}"'
    zone = _zone_under(row, target)
    if row.timezone and row.timezone != zone and row.cron != "@reboot":
        yield f"its times are those of {row.timezone}, this crontab's are those of {zone}"
    if row.gap not in ("", Gap.RUN) or row.repeat not in ("", Repeat.FIRST):
        yield "it has a rule of its own for changes of the clock"


def _zone_under(row: Schedule, target: Target) -> str:
    own = environment_of(row).get("CRON_TZ", "") if target.grammar.has_zones else ""
    return own or target.timezone


def _limits_in_time(row: Schedule, target: Target) -> Iterator[str]:
    if row.start_time is not None and row.start_time > target.now:
        yield f"it begins at {_local(row.start_time, target)}, and cron would begin at once"
    if row.expires is not None:
        yield f"it ends at {_local(row.expires, target)}, and cron would go on"
    if row.one_off:
        yield "it is to run only once"


def _other_places(row: Schedule, target: Target) -> Iterator[str]:
    if row.working_directory:
        yield f"it runs in {row.working_directory}, and cron runs everything in the account's home"
    if target.format is Format.SYSTEM:
        if not (row.run_as or target.account):
            yield "it names no account; say with --account who runs those"
    elif row.run_as != target.account:
        whose = f"the crontab of {target.account}" if target.account else "a crontab of no named account"
        yield f"it runs as {row.run_as or 'the account of its worker'}, and this is {whose}"


def _stops(row: Schedule, target: Target) -> Iterator[str]:
    if not row.enabled:
        yield "it is disabled"
    elif row.is_paused(target.now):
        assert row.paused_until is not None
        until = "" if row.paused_until == FOREVER else f" until {_local(row.paused_until, target)}"
        yield f"it is paused{until}{f': {row.pause_note}' if row.pause_note else ''}"


def _local(moment: datetime, target: Target) -> str:
    return f"{moment.astimezone(ZoneInfo(target.timezone)):%Y-%m-%d %H:%M:%S}"


def shared_account(rows: Sequence[Schedule]) -> str | None:
    """The account of all of them, "" where none names one; None where they differ."""
    accounts = {row.run_as for row in rows} or {""}
    return accounts.pop() if len(accounts) == 1 else None
