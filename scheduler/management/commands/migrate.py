"""`manage.py migrate`: Django's, which makes an SQLite database as `up` does, for its owner alone."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate

from scheduler import installation


class Command(migrate.Command):
    def execute(self, *args: Any, **options: Any) -> str | None:
        """Before the checks, which ask the database what it can."""
        if not (options["check_unapplied"] or options["plan"]):
            installation.make_database_file(options["database"])
        return super().execute(*args, **options)
