"""A month of history, written by the database itself: runs with attempts, and output for every tenth.

Skewed as histories are: a few schedules have most of the runs, little fails. What few runs answer lies
far back (losses in the first fifth, manual runs in the first half), where a scan from the newest run
would take longest to find it. Called by `history`.
"""

from __future__ import annotations

import time
from typing import Any

CHUNK = 1_000_000
WORKERS = 50
SECONDS = 30 * 86_400

_WORDS = {
    "postgresql": {
        "at": "to_timestamp(s)",
        "ended": "to_timestamp(s + 2)",
        "tomorrow": "to_timestamp({now} + 86400)",
        "series": "generate_series({first}::bigint, {last}) AS series(n)",
        "uuid": "gen_random_uuid()",
        "array": "jsonb_build_array",
    },
    "sqlite": {
        "at": "strftime('%Y-%m-%d %H:%M:%f', s, 'unixepoch')",
        "ended": "strftime('%Y-%m-%d %H:%M:%f', s + 2, 'unixepoch')",
        "tomorrow": "strftime('%Y-%m-%d %H:%M:%f', {now} + 86400, 'unixepoch')",
        "series": "(WITH RECURSIVE counted(n) AS (VALUES ({first}) UNION ALL SELECT n + 1 FROM counted"
        " WHERE n < {last}) SELECT n FROM counted) AS series",
        "uuid": "lower(hex(randomblob(16)))",
        "array": "json_array",
    },
}
"""What the engines say differently. `s` are seconds since 1970."""

_STATE = """
    CASE WHEN n > {runs} - 20 THEN 'running'
         WHEN n > {runs} - 200 THEN 'queued'
         WHEN n > {runs} - 2500 THEN 'pending'
         WHEN m < 300 THEN 'failed'
         WHEN m < 350 THEN 'timed_out'
         WHEN m < 355 AND n < {runs} / 5 THEN 'lost'
         WHEN m BETWEEN 400 AND 600 THEN 'skipped'
         WHEN m BETWEEN 601 AND 650 THEN 'cancelled'
         ELSE 'succeeded' END"""
_TRIGGER = """
    CASE WHEN k < 50 AND n < {runs} / 2 THEN 'manual'
         WHEN k BETWEEN 50 AND 60 AND n > 10000 THEN 'rerun'
         WHEN k BETWEEN 61 AND 110 THEN 'catch_up'
         ELSE 'schedule' END"""
_NUMBERS = """
    SELECT n, (n * 7919 + 13) % 10000 AS m, (n * 15485863) % 10000 AS k,
           c.pk, c.revision, c.name, {now} - {seconds} + n * ({seconds} * 1.0 / {runs}) AS s
    FROM {series}
    JOIN chosen c ON c.rank = floor({schedules} * power(((n * 104729) % 1000003) / 1000003.0, 2.5))"""

_RUNS = """
INSERT INTO schedules_run (
    id, name, scheduled_for, trigger, triggered_by, queue, state, reason, detail, missed_count, attempt,
    max_attempts, token, cancel_requested, concurrency_key, exclusive, created_at, available_at, dispatches,
    queued_at, started_at, finished_at, rerun_of_id, revision_id, schedule_id, worker_id, decided_by,
    redispatch_at)
SELECT n, name, {at}, trigger, '', 'commands', state,
    CASE state WHEN 'skipped' THEN 'overlap' ELSE '' END,
    CASE state WHEN 'skipped' THEN 'Another run was active.' ELSE '' END,
    0,
    CASE WHEN state IN ('skipped', 'cancelled', 'queued') THEN 0
         WHEN state = 'pending' THEN CASE WHEN n % 8 = 0 THEN 1 ELSE 0 END
         WHEN m BETWEEN 700 AND 800 THEN 2 ELSE 1 END,
    3, CASE state WHEN 'running' THEN {uuid} END, false, '', false, {at},
    CASE state WHEN 'pending' THEN {tomorrow} ELSE {at} END, 1, {at},
    CASE WHEN state NOT IN ('skipped', 'cancelled', 'pending', 'queued') THEN {at} END,
    CASE WHEN state NOT IN ('pending', 'queued', 'running') THEN {ended} END,
    CASE WHEN trigger = 'rerun' THEN n - 5000 END, revision, pk,
    CASE WHEN state NOT IN ('skipped', 'cancelled', 'pending', 'queued')
         THEN (SELECT min(id) FROM schedules_worker) + n * {workers} / ({runs} + 1) END,
    'celerybeat@benchmark', CASE state WHEN 'queued' THEN {tomorrow} END
FROM (SELECT *, {state} AS state, {trigger} AS trigger FROM ({numbers}) numbers) rows
ORDER BY n"""

_ATTEMPTS = """
INSERT INTO schedules_attempt (
    id, number, token, planned_at, started_at, finished_at, outcome, exit_code, error_class, error, traceback,
    fingerprint, result, worker_name, pid, cpu_seconds, peak_memory, leftovers, notes, late_result, decision,
    decision_rule, decision_text, run_id, worker_id)
SELECT r.id * 2 + number, number, {uuid}, r.scheduled_for, r.started_at, r.finished_at,
    CASE WHEN r.state = 'running' THEN '' WHEN r.state = 'timed_out' THEN 'timed_out'
         WHEN r.state = 'lost' THEN 'worker_lost'
         WHEN r.state = 'succeeded' AND number = r.attempt THEN 'succeeded' ELSE 'failed' END,
    CASE WHEN r.state = 'succeeded' AND number = r.attempt THEN 0 WHEN r.state = 'failed' THEN 1 END,
    '', '', '', '', '', 'worker@benchmark', 4242, 0.01, 4000000, 0, '', '', '', '', '', r.id, r.worker_id
FROM schedules_run r JOIN (SELECT 1 AS number UNION ALL SELECT 2) numbers ON number <= r.attempt
WHERE r.id BETWEEN {first} AND {last} AND r.started_at IS NOT NULL
ORDER BY r.id"""

_OUTPUTS = """
INSERT INTO schedules_attemptoutput (attempt_id, head, tail, bytes_seen, bytes_dropped)
SELECT id, {array}({array}('stdout', repeat('a line of output ' || id, 6))), '[]', 150, 0
FROM schedules_attempt WHERE run_id BETWEEN {first} AND {last} AND run_id % 10 = 0"""


def fill(connection: Any, *, runs: int, schedules: int) -> None:
    """Fills the tables; indexes that are no constraints are built at the end, foreign keys not checked."""
    with connection.cursor() as cursor:
        for setting in _FAST[connection.vendor]:
            cursor.execute(setting)
        cursor.execute(
            "CREATE TEMPORARY TABLE chosen AS SELECT row_number() OVER (ORDER BY s.periodictask_ptr_id) - 1"
            " AS rank, s.periodictask_ptr_id AS pk, s.revision_id AS revision, p.name"
            " FROM schedules_schedule s"
            " JOIN django_celery_beat_periodictask p ON p.id = s.periodictask_ptr_id"
        )
        cursor.execute("CREATE INDEX chosen_rank ON chosen (rank)")
        indexes = _dropped_indexes(cursor, _INDEXES[connection.vendor])
        words = {"runs": runs, "schedules": schedules, "workers": WORKERS, "seconds": SECONDS}
        words["now"] = int(time.time())
        for first in range(1, runs + 1, CHUNK):
            began = time.monotonic()
            last = min(first + CHUNK - 1, runs)
            for statement in statements(connection.vendor, words | {"first": first, "last": last}):
                cursor.execute(statement)
            print(f"{last:12,} runs, {time.monotonic() - began:.0f} s", flush=True)
        for definition in indexes:
            cursor.execute(definition)
        for statement in _finish(connection.vendor):
            cursor.execute(statement)


def statements(vendor: str, words: dict[str, int]) -> list[str]:
    said = {name: text.format(**words) for name, text in _WORDS[vendor].items()}
    numbers = _NUMBERS.format(**words, **said)
    state, trigger = _STATE.format(**words), _TRIGGER.format(**words)
    return [
        _RUNS.format(state=state, trigger=trigger, numbers=numbers, **words, **said),
        _ATTEMPTS.format(**words, **said),
        _OUTPUTS.format(**words, **said),
    ]


_FAST = {
    "postgresql": ["SET session_replication_role = replica", "SET maintenance_work_mem = '512MB'"],
    "sqlite": ["PRAGMA foreign_keys = OFF", "PRAGMA cache_size = -500000"],
}
_INDEXES = {
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('schedules_run',"
    " 'schedules_attempt') AND indexname NOT IN (SELECT conname FROM pg_constraint)"
    " AND indexname <> 'run_once_per_instant'",
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name IN ('schedules_run',"
    " 'schedules_attempt') AND sql LIKE 'CREATE INDEX%'",
}


def _dropped_indexes(cursor: Any, query: str) -> list[str]:
    cursor.execute(query)
    found = list(cursor.fetchall())
    for name, _ in found:
        cursor.execute(f'DROP INDEX "{name}"')
    return [definition for _, definition in found]


def _finish(vendor: str) -> list[str]:
    """Keys go on from here, and the settings are those of every day. SQLite has no statistics then either."""
    if vendor == "sqlite":
        return ["PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA cache_size = -2000", "PRAGMA foreign_keys = ON"]
    sequences = [
        f"SELECT setval(pg_get_serial_sequence('schedules_{table}', 'id'), max(id)) FROM schedules_{table}"
        for table in ("run", "attempt")
    ]
    tables = ("run", "attempt", "attemptoutput", "schedule", "worker")
    vacuum = [f"VACUUM (ANALYZE) schedules_{table}" for table in tables]
    return [*sequences, *vacuum, "SET session_replication_role = DEFAULT"]
