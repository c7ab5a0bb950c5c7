"""A month of history, written by PostgreSQL itself: runs with attempts, and output for every tenth.

Skewed as histories are: a few schedules have most of the runs, little fails. What few runs answer lies
far back (losses in the first fifth, manual runs in the first half), where a scan from the newest run
would take longest to find it. Called by `history`.
"""

from __future__ import annotations

import time
from typing import Any

CHUNK = 1_000_000
WORKERS = 50

_WHEN = "now() - interval '30 days' + n * (interval '30 days' / {runs})"
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
           s.pk, s.revision, s.name, {when} AS at
    FROM generate_series({first}::bigint, {last}) n
    JOIN chosen s ON s.rank = floor({schedules} * power(((n * 104729) % 1000003) / 1000003.0, 2.5))"""

_RUNS = """
INSERT INTO schedules_run (
    id, name, scheduled_for, trigger, triggered_by, queue, state, reason, detail, missed_count, attempt,
    max_attempts, token, cancel_requested, concurrency_key, exclusive, created_at, available_at, dispatches,
    queued_at, started_at, finished_at, rerun_of_id, revision_id, schedule_id, worker_id, decided_by,
    redispatch_at)
SELECT n, name, at, trigger, '', 'commands', state,
    CASE state WHEN 'skipped' THEN 'overlap' ELSE '' END,
    CASE state WHEN 'skipped' THEN 'Another run was active.' ELSE '' END,
    0,
    CASE WHEN state IN ('skipped', 'cancelled', 'queued') THEN 0
         WHEN state = 'pending' THEN CASE WHEN n % 8 = 0 THEN 1 ELSE 0 END
         WHEN m BETWEEN 700 AND 800 THEN 2 ELSE 1 END,
    3, CASE state WHEN 'running' THEN gen_random_uuid() END, false, '', false, at,
    CASE state WHEN 'pending' THEN now() + interval '1 day' ELSE at END, 1, at,
    CASE WHEN state NOT IN ('skipped', 'cancelled', 'pending', 'queued') THEN at END,
    CASE WHEN state NOT IN ('pending', 'queued', 'running') THEN at + interval '2 seconds' END,
    CASE WHEN trigger = 'rerun' THEN n - 5000 END, revision, pk,
    CASE WHEN state NOT IN ('skipped', 'cancelled', 'pending', 'queued')
         THEN (SELECT min(id) FROM schedules_worker) + n * {workers} / ({runs} + 1) END,
    'celerybeat@benchmark', CASE state WHEN 'queued' THEN now() + interval '1 day' END
FROM (SELECT *, {state} AS state, {trigger} AS trigger FROM ({numbers}) numbers) rows
ORDER BY n"""

_ATTEMPTS = """
INSERT INTO schedules_attempt (
    id, number, token, planned_at, started_at, finished_at, outcome, exit_code, error_class, error, traceback,
    fingerprint, result, worker_name, pid, cpu_seconds, peak_memory, leftovers, notes, late_result, decision,
    decision_rule, decision_text, run_id, worker_id)
SELECT r.id * 2 + number, number, gen_random_uuid(), r.scheduled_for, r.started_at, r.finished_at,
    CASE WHEN r.state = 'running' THEN '' WHEN r.state = 'timed_out' THEN 'timed_out'
         WHEN r.state = 'lost' THEN 'worker_lost'
         WHEN r.state = 'succeeded' AND number = r.attempt THEN 'succeeded' ELSE 'failed' END,
    CASE WHEN r.state = 'succeeded' AND number = r.attempt THEN 0 WHEN r.state = 'failed' THEN 1 END,
    '', '', '', '', '', 'worker@benchmark', 4242, 0.01, 4000000, 0, '', '', '', '', '', r.id, r.worker_id
FROM schedules_run r, generate_series(1, r.attempt) number
WHERE r.id BETWEEN {first} AND {last} AND r.started_at IS NOT NULL
ORDER BY r.id"""

_OUTPUTS = """
INSERT INTO schedules_attemptoutput (attempt_id, head, tail, bytes_seen, bytes_dropped)
SELECT id, jsonb_build_array(jsonb_build_array('stdout', repeat('a line of output ' || id, 6))), '[]', 150, 0
FROM schedules_attempt WHERE run_id BETWEEN {first} AND {last} AND run_id % 10 = 0"""


def fill(cursor: Any, *, runs: int, schedules: int) -> None:
    """Fills the tables; indexes that are no constraints are built at the end, foreign keys not checked."""
    cursor.execute("SET session_replication_role = replica")
    cursor.execute("SET maintenance_work_mem = '512MB'")
    cursor.execute(
        "CREATE TEMPORARY TABLE chosen AS SELECT row_number() OVER (ORDER BY s.periodictask_ptr_id) - 1"
        " AS rank, s.periodictask_ptr_id AS pk, s.revision_id AS revision, p.name FROM schedules_schedule s"
        " JOIN django_celery_beat_periodictask p ON p.id = s.periodictask_ptr_id"
    )
    indexes = _dropped_indexes(cursor)
    words = {"runs": runs, "schedules": schedules, "workers": WORKERS}
    for first in range(1, runs + 1, CHUNK):
        began = time.monotonic()
        span = {"first": first, "last": min(first + CHUNK - 1, runs)}
        numbers = _NUMBERS.format(when=_WHEN.format(**words), **span, **words)
        state, trigger = _STATE.format(**words), _TRIGGER.format(**words)
        cursor.execute(_RUNS.format(state=state, trigger=trigger, numbers=numbers, **words))
        cursor.execute(_ATTEMPTS.format(**span))
        cursor.execute(_OUTPUTS.format(**span))
        print(f"{span['last']:12,} runs, {time.monotonic() - began:.0f} s", flush=True)
    for definition in indexes:
        cursor.execute(definition)
    for table in ("run", "attempt"):
        cursor.execute(
            f"SELECT setval(pg_get_serial_sequence('schedules_{table}', 'id'), max(id))"
            f" FROM schedules_{table}"
        )
    for table in ("run", "attempt", "attemptoutput", "schedule", "worker"):
        cursor.execute(f"VACUUM (ANALYZE) schedules_{table}")
    cursor.execute("SET session_replication_role = DEFAULT")


def _dropped_indexes(cursor: Any) -> list[str]:
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('schedules_run', 'schedules_attempt')"
        " AND indexname NOT IN (SELECT conname FROM pg_constraint) AND indexname <> 'run_once_per_instant'"
    )
    found = list(cursor.fetchall())
    for name, _ in found:
        cursor.execute(f'DROP INDEX "{name}"')
    return [definition for _, definition in found]
