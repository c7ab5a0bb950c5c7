"""Are the processes there that the schedules need? Beats, workers, their accounts, clocks and versions.

Called by `production`. Reads the rows that the processes write; asks none of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from schedules import conf, zone_data
from schedules.models import Beat, Schedule, Worker, ZoneData
from schedules.production import queues
from schedules.production.broker import Fleet
from schedules.production.queues import START_WORKER
from schedules.rules.production import Finding, error, ok, some, span, warning

REMEMBERED = timedelta(hours=1)
STUCK_SECONDS = 60
SKEW_WARNING, SKEW_ERROR = 5.0, 60.0
OVERDUE = timedelta(minutes=3)

START_BEAT = "celery -A scheduler beat"
RESTART = "systemctl restart beatkeeper-beat 'beatkeeper-worker@*'"


class Snapshot:
    """The rows, read once. `now` is the database's."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        since = now - REMEMBERED
        self._beats = list(Beat.objects.unexplained().filter(seen_at__gte=since))
        self._workers = list(Worker.objects.unexplained().filter(seen_at__gte=since))

    @property
    def beats(self) -> list[Beat]:
        return [row for row in self._beats if self._lives(row)]

    @property
    def workers(self) -> list[Worker]:
        return [row for row in self._workers if self._lives(row)]

    def missing(self, kind: type[Beat] | type[Worker]) -> Sequence[Beat | Worker]:
        """Vanished without a word within the last hour, and nobody of that name is back."""
        rows: Sequence[Beat | Worker] = self._beats if kind is Beat else self._workers
        back = {row.name for row in rows if self._lives(row)}
        return [row for row in rows if not self._lives(row) and row.name not in back]

    def _lives(self, row: Beat | Worker) -> bool:
        return row.stopped_at is None and self.now - row.seen_at <= conf.current().lease

    def fleet(self) -> Fleet:
        return Fleet(frozenset(row.name for row in self.workers), frozenset(row.name for row in self.beats))


def look(snapshot: Snapshot) -> Iterator[Finding]:
    yield from _beats(snapshot)
    yield from _workers(snapshot)
    yield from queues.look(snapshot.workers)
    yield from _accounts(snapshot)
    yield from _clocks(snapshot)
    yield from _versions(snapshot)
    yield from _zones(snapshot)


def _beats(snapshot: Snapshot) -> Iterator[Finding]:
    yield from _silent(snapshot.missing(Beat), "beats", "systemctl restart beatkeeper-beat", snapshot)
    if not snapshot.beats:
        yield error(
            "beats.none",
            "No beat is alive.",
            why="Nothing becomes due, no message is sent, no lost run is noticed.",
            do=f"Start one: {START_BEAT}",
            run=START_BEAT,
        )
        return
    stuck = [
        f"{row.name} ({part}, {span(age)})"
        for row in snapshot.beats
        for part, age in _ages(row, snapshot.now)
        if age > STUCK_SECONDS
    ]
    if stuck:
        yield error(
            "beats.stuck",
            f"Parts of a beat make no progress: {some(stuck)}.",
            why="The part publish hangs on the broker, the others on the database.",
            do="Its log says why; a beat that stays stuck is to be restarted.",
            run="systemctl restart beatkeeper-beat",
        )
    late = _overdue(snapshot.now)
    if late:
        yield error(
            "beats.overdue",
            f"Schedules are overdue although a beat is alive: {some(late)}.",
            why="The clock guard may have stopped claims, or somebody holds the locks.",
            do="Look at beat's log (clock_jumped, part_failed) and at pg_stat_activity.",
            run="journalctl -u beatkeeper-beat -g 'clock_jumped|part_failed'",
        )
    if not stuck and not late:
        names = sorted({row.name for row in snapshot.beats})
        alone = "" if len(names) > 1 else "; a second one on another host would take over"
        yield ok("beats.alive", f"Beats at work: {some(names)}{alone}.")


def _ages(row: Beat, now: datetime) -> Iterator[tuple[str, float]]:
    for part, at in row.parts.items():
        yield part, (now - datetime.fromisoformat(at)).total_seconds()


def _overdue(now: datetime) -> list[str]:
    rows = Schedule.objects.live().filter(enabled=True, next_run_at__lt=now - OVERDUE)
    return list(rows.order_by("next_run_at").values_list("name", flat=True)[:100])


def _workers(snapshot: Snapshot) -> Iterator[Finding]:
    if not snapshot.workers:
        yield error(
            "workers.none",
            "No worker is alive.",
            why="Runs wait, and those with a start deadline are skipped.",
            do=f"Start one: {START_WORKER.format(queue='commands -P threads -c 100')}",
            run=START_WORKER.format(queue="commands -P threads -c 100"),
        )
    else:
        names = sorted({row.name for row in snapshot.workers})
        yield ok("workers.alive", f"Workers at work: {some(names)}.")
    yield from _silent(
        snapshot.missing(Worker), "workers", "systemctl restart 'beatkeeper-worker@*'", snapshot
    )


def _silent(rows: Sequence[Beat | Worker], kind: str, restart: str, snapshot: Snapshot) -> Iterator[Finding]:
    if rows:
        gone = sorted({f"{row.name} ({span((snapshot.now - row.seen_at).total_seconds())})" for row in rows})
        yield warning(
            f"{kind}.silent",
            f"Gone without a word within the last hour: {some(gone)}.",
            why="They were killed, or cannot reach the database.",
            do=f"Look whether their hosts are up, and start these {kind} again.",
            run=restart,
        )


def _accounts(snapshot: Snapshot) -> Iterator[Finding]:
    roots = sorted({row.name for row in snapshot.workers if row.account == "root"})
    if not roots:
        return
    others = Schedule.objects.live().filter(enabled=True).exclude(run_as="")
    needed = list(others.exclude(run_as="root").values_list("name", flat=True)[:100])
    if needed:
        yield ok(
            "accounts.root", f"Run as root, because schedules name accounts ({some(needed)}): {some(roots)}."
        )
    else:
        yield warning(
            "accounts.root",
            f"Workers run as root, and no schedule names another account: {some(roots)}.",
            why="Whoever may edit a command is root on that host.",
            do="Run them as an account of their own; for several accounts, a worker and a queue for each.",
            run="useradd --system beatkeeper  (and User=beatkeeper in the unit)",
        )


def _clocks(snapshot: Snapshot) -> Iterator[Finding]:
    skews = _latest_facts(snapshot, "skew")
    off = {host: skew for host, skew in skews.items() if abs(float(skew)) > SKEW_WARNING}
    for host, skew in sorted(off.items()):
        make = error if abs(float(skew)) > SKEW_ERROR else warning
        yield make(
            "clocks.skew",
            f"The clock of {host} is {_apart(float(skew))} the database's.",
            why="Schedules go by the database's clock, but commands there see their host's.",
            do="Synchronise it (chrony, systemd-timesyncd): timedatectl",
            run="timedatectl set-ntp true",
        )
    if skews and not off:
        worst = max(abs(float(skew)) for skew in skews.values())
        yield ok(
            "clocks.skew", f"Clocks of {len(skews)} hosts agree with the database's (within {span(worst)})."
        )


def _apart(skew: float) -> str:
    return f"{span(abs(skew))} {'ahead of' if skew > 0 else 'behind'}"


def _versions(snapshot: Snapshot) -> Iterator[Finding]:
    for name in ("beatkeeper", "celery", "python"):
        found = Counter(str(row.facts[name]) for row in _rows(snapshot) if row.facts.get(name))
        if len(found) > 1:
            usual = found.most_common(1)[0][0]
            other = sorted(
                {
                    f"{row.name} ({row.facts[name]})"
                    for row in _rows(snapshot)
                    if row.facts.get(name, usual) != usual
                }
            )
            yield warning(
                "versions.mixed",
                f"Most processes have {name} {usual}, others do not: {some(other)}.",
                why="What one version writes another may not read.",
                do="Upgrade and restart them; a rolling upgrade shows this while it lasts.",
                run=RESTART,
            )


def _zones(snapshot: Snapshot) -> Iterator[Finding]:
    if zone_data.version() < zone_data.PACKAGE:
        yield warning(
            "zones.machine",
            f"This machine's time zones are of {zone_data.version() or 'an unknown version'}; "
            f"those of the package tzdata are of {zone_data.PACKAGE}.",
            why="Python reads the machine's, as cron does; where clocks changed since, jobs keep old hours.",
            do="Upgrade the system's tzdata, or set PYTHONTZPATH= (empty) for beat, workers and web alike.",
            run="apt-get install --only-upgrade tzdata",
        )
    computed = ZoneData.objects.order_by("-version").values_list("version", flat=True).first() or ""
    newest = max([computed, zone_data.version(), *map(str, _latest_facts(snapshot, "tzdata").values())])
    old = {host: version for host, version in _latest_facts(snapshot, "tzdata").items() if version != newest}
    for host, version in sorted(old.items()):
        yield warning(
            "zones.old",
            f"{host} reads time zones of {version or 'an unknown version'}; the newest here are {newest}.",
            why="Where a country changed its clocks since, that host works out other instants.",
            do="Upgrade the package tzdata there (and the system's), and restart beat and workers.",
            run=f"apt-get install --only-upgrade tzdata && {RESTART}",
        )
    if computed and computed != newest:
        yield warning(
            "zones.computed",
            f"What is due next was worked out with time zones of {computed}; {newest} are installed.",
            why="Beat does that at its start, in steps; it has not finished, or has not been restarted.",
            do="Restart beat, and look again in a few minutes.",
            run="systemctl restart beatkeeper-beat",
        )
    elif not old:
        yield ok("zones.computed", f"Time zones are those of {newest} everywhere.")


def _latest_facts(snapshot: Snapshot, name: str) -> dict[str, Any]:
    """By host, from the process that was heard of last. Processes of an older version say nothing."""
    rows = sorted(_rows(snapshot), key=lambda row: row.seen_at)
    return {row.host: row.facts[name] for row in rows if name in row.facts}


def _rows(snapshot: Snapshot) -> Sequence[Beat | Worker]:
    return (*snapshot.beats, *snapshot.workers)
