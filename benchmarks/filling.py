"""Many schedules in seconds: one by the app's writer for each expression, the others copied by PostgreSQL.

The copies are what the writer would have made: a parent, a child and a revision with a name and a digest
of their own, and the fingerprint by which `reconcile` sees that nothing changed.
"""

from __future__ import annotations

COPIES = """
from django.db import connection
from schedules import catalog
from schedules.sql import source_keys
from schedules.models import Schedule
count, expressions = {count}, {expressions!r}
first = catalog.create_many(
    [
        Schedule(name=f"job 0-{{n}}", cron=cron, timezone="UTC", command="true")
        for n, cron in enumerate(expressions)
    ],
    by="benchmark",
)
def columns(table, *, but):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table]
        )
        return ", ".join(sorted({{name for name, in cursor.fetchall()}} - set(but)))
parents = columns("django_celery_beat_periodictask", but=["id", "name"])
children = columns("schedules_schedule", but=["periodictask_ptr_id", "revision_id"])
with connection.cursor() as cursor:
    copies = -(-count // len(first))
    cursor.execute(
        f"INSERT INTO django_celery_beat_periodictask (name, {{parents}}) "
        f"SELECT 'job ' || copy || '-' || split_part(name, '-', 2), {{parents}} "
        "FROM django_celery_beat_periodictask, generate_series(1, %s) AS copy "
        "ORDER BY copy, id LIMIT %s", [copies - 1, max(count - len(first), 0)])
    of = "split_part(parent.name, '-', 2) = split_part(original.name, '-', 2)"
    source = (
        "FROM django_celery_beat_periodictask AS parent JOIN django_celery_beat_periodictask AS original "
        f"ON {{of}} AND original.name LIKE 'job 0-%%' JOIN schedules_schedule AS schedule "
        "ON schedule.periodictask_ptr_id = original.id "
    )
    copied = ", ".join(f"schedule.{{name}}" for name in children.split(", "))
    cursor.execute(
        f"INSERT INTO schedules_schedule (periodictask_ptr_id, {{children}}) "
        f"SELECT parent.id, {{copied}} {{source}} WHERE parent.name NOT LIKE 'job 0-%%'")
    cursor.execute(
        "INSERT INTO schedules_revision "
        "(schedule_id, number, definition, digest, changed_by, changed_at, note) "
        "SELECT parent.id, 1, jsonb_set(revision.definition, '{{name}}', to_jsonb(parent.name)), "
        "encode(sha256(parent.name::bytea), 'hex'), 'benchmark', revision.changed_at, '' "
        f"{{source}} JOIN schedules_revision AS revision "
        "ON revision.id = schedule.revision_id "
        "WHERE parent.name NOT LIKE 'job 0-%%'")
    keyed = Schedule.objects.annotate(key=source_keys.source_key()).values_list("pk", "key")
    keys, given = keyed.query.sql_with_params()
    cursor.execute(
        "UPDATE schedules_schedule AS schedule SET source_key = keys.key, revision_id = revision.id "
        f"FROM ({{keys}}) AS keys (pk, key), schedules_revision AS revision "
        "WHERE keys.pk = schedule.periodictask_ptr_id AND revision.schedule_id = keys.pk", given)
    for table in ("schedules_schedule", "schedules_revision", "django_celery_beat_periodictask"):
        cursor.execute(f"VACUUM ANALYZE {{table}}")
"""


def filling(count: int, expressions: list[str]) -> str:
    """Code for `Installation.run`: `count` enabled command schedules that share `expressions` in turn."""
    return COPIES.format(count=count, expressions=expressions)


def due_at(moment: str) -> str:
    """Code that makes every schedule due at `moment`, ISO 8601; it must be an instant of each timing."""
    return (
        "from schedules.models import Schedule\n"
        f"Schedule.objects.filter(next_run_at__isnull=False).update(next_run_at={moment!r})\n"
    )
