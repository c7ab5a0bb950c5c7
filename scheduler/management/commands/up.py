"""`manage.py up`: sets everything up and runs web, beat and workers. The work is in `scheduler.up`."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from scheduler.listening import DEFAULT, Address
from scheduler.up import Plan, start


def _slots(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f'"{text}" is no number of 1 or more')
    return int(text)


class Command(BaseCommand):
    help = "Run Beatkeeper: web admin, beat and workers. The first start also prepares everything."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--bind", metavar="HOST:PORT", default=DEFAULT, help=f"where to listen (default {DEFAULT})"
        )
        parser.add_argument(
            "--state",
            metavar="DIR",
            help=f"database, queue and secret key of the embedded default (now {settings.STATE_DIR})",
        )
        parser.add_argument(
            "--commands",
            metavar="N",
            type=_slots,
            default=100,
            help="commands at the same time (default 100)",
        )
        parser.add_argument(
            "--tasks", metavar="N", type=_slots, default=2, help="Celery tasks at the same time (default 2)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # --state was taken by scheduler.bootstrap, before the settings were read.
        start(
            Plan(
                address=Address.parse(options["bind"]),
                command_slots=options["commands"],
                task_slots=options["tasks"],
            )
        )
