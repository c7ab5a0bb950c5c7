"""The fingerprint of a schedule's row: equal where nothing that decides its definition has changed since.

Computed by the database. `revisions` keeps it beside what it was made from, `reconcile` compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import CharField, F, Func, TextField, Value
from django.db.models.functions import MD5, Cast, Coalesce

from schedules.models import Schedule

PARENT_COLUMNS = (
    *("name", "task", "args", "kwargs", "queue", "exchange", "routing_key", "headers", "priority"),
    *("expires", "expire_seconds", "one_off", "start_time", "enabled"),
    *("interval__every", "interval__period", "clocked__clocked_time", "solar__event"),
    *("solar__latitude", "solar__longitude"),
    *(f"crontab__{column}" for column in ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")),
    "crontab__timezone",
)
OWN_COLUMNS = (
    *(
        "kind",
        "mode",
        "cron",
        "dialect",
        "gap",
        "repeat",
        "timezone",
        "command",
        "stdin",
        "environment",
        "working_directory",
    ),
    *("run_as", "shell", "background", "retry_policy_id", "overlap"),
    *("catch_up", "catch_up_window", "timeout", "kill_grace", "on_worker_lost", "paused_until"),
    *("memory_limit", "cpu_limit", "file_size_limit", "delivery", "deleted_at"),
    *("retry_policy__name", "retry_policy__max_attempts", "retry_policy__delays"),
    *("retry_policy__initial_interval", "retry_policy__backoff_coefficient"),
    *("retry_policy__maximum_interval", "retry_policy__jitter", "retry_policy__give_up_after"),
    "retry_policy__rules",
)


SEPARATOR = "\x1f"


class Joined(Func):
    """Texts, each followed by the separator.

    On PostgreSQL in one call, at most 100 arguments: of `||` each step makes another, longer text, 25 KB of
    them for a schedule.
    """

    template, arg_joiner = "(%(expressions)s)", " || "
    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return super().as_sql(
            compiler,
            connection,
            template=f"(CONCAT_WS('{SEPARATOR}', %(expressions)s) || '{SEPARATOR}')",
            arg_joiner=", ",
            **context,
        )

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        after_each = f" || '{SEPARATOR}'"
        return super().as_sql(
            compiler,
            connection,
            template=f"(%(expressions)s{after_each})",
            arg_joiner=f"{after_each} || ",
            **context,
        )


def source_key() -> MD5:
    """Fingerprint of everything that decides a definition, computed by the database from the row as it is."""
    columns = (*PARENT_COLUMNS, *OWN_COLUMNS)
    parts = [Coalesce(Cast(F(column), TextField()), Value("")) for column in columns]
    return MD5(Joined(*parts), output_field=CharField())


def source_keys(pks: Sequence[int]) -> dict[int, str]:
    return dict(Schedule.objects.filter(pk__in=pks).annotate(key=source_key()).values_list("pk", "key"))
