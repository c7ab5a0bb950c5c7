"""`manage.py test`: runs the test suite on both database engines. The work is in `tests.running`."""

from __future__ import annotations

import sys

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Run the tests on SQLite, then on PostgreSQL. Arguments go to pytest."

    def run_from_argv(self, argv: list[str]) -> None:
        """Past Django's own parser: every argument is pytest's."""
        from tests.running import main

        sys.exit(main(argv[2:]))
