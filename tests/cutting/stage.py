"""What the tests of cutting over play on: a crontab's lines, their shadows, a clock, a beat, a worker."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from schedules import host_clock
from schedules.cutting_over import flow as cutting_over
from schedules.cutting_over.flow import Report, Request
from schedules.cutting_over.plan import Wanted
from schedules.models import Beat, Schedule
from schedules.querysets import database_now
from schedules.rules import cut_over_lines
from tests.factories import make_schedule, make_worker

LINES = ("*/5 * * * * root /bin/sync", "30 2 * * * root /bin/backup --full", "@reboot root /bin/up")
CRONTAB = "# jobs\nPATH=/bin\n" + "".join(f"{line}\n" for line in LINES)


class Clock(host_clock.Clock):
    """Agrees with the database to the minute and stands at `second`; sleeping moves it on."""

    def __init__(self, second: float = 20, apart: float = 0) -> None:
        self.start = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(seconds=second)
        self.slept: list[float] = []
        self._apart = apart

    def now(self) -> datetime:
        return self.start + timedelta(seconds=sum(self.slept))

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def apart(self) -> float:
        return self._apart


def write(path: Path, text: str = CRONTAB, mode: int = 0o644) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def import_lines(path: Path, **columns: object) -> list[Schedule]:
    """Shadows of the lines, as an import makes them."""
    found = []
    for number, raw in enumerate(path.read_text().splitlines(), 1):
        if not raw.endswith(("sync", "full", "up")):
            continue
        time, _, command = raw.rpartition(" root ")
        given = {
            "cron": time,
            "command": command,
            "run_as": "root",
            "environment": [["PATH", "/bin"]],
            "mode": "shadow",
            "catch_up": "skip",
            "source": str(path),
            "source_line": number,
            "source_text": raw,
        }
        found.append(make_schedule(command.split()[0].rpartition("/")[2], **(given | columns)))
    return found


def alive() -> None:
    """A beat and a worker that may become anybody."""
    now = database_now()
    parts = {part: now.isoformat() for part in ("dispatch", "publish")}
    Beat.objects.create(name="beat", host="h", pid=1, started_at=now, seen_at=now, parts=parts)
    make_worker(queues="commands", account="root")


def run(
    path: Path | str,
    *,
    undo: bool = False,
    clock: Clock | None = None,
    names: Sequence[str] = (),
    lines: Sequence[int] = (),
    force: bool = False,
    dry_run: bool = False,
) -> Report:
    wanted = Wanted(source=str(path), names=names, lines=lines)
    request = Request(wanted=wanted, by="me", undo=undo, force=force, dry_run=dry_run)
    return cutting_over.run(request, clock=clock or Clock())


def reasons(report: Report) -> str:
    return " / ".join(it.reason for it in report.objections)


def modes() -> dict[str, str]:
    return dict(Schedule.objects.live().order_by("name").values_list("name", "mode"))


def nobody_or_both(path: Path) -> list[str]:
    """Names whose line and schedule disagree on who runs them."""
    out = {one.text.decode() for one in cut_over_lines.taken(path.read_bytes())}
    rows = Schedule.objects.live().exclude(source="").order_by("pk")
    return [row.name for row in rows if (row.source_text in out) != (row.mode == "live")]
