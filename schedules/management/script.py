"""The base of all commands for scripts: `--json`, exit statuses, and errors as one sentence on stderr.

A command parses its arguments, calls one flow or reads a fixed number of queries, and prints. Exit
statuses: 0 done; 1 it was refused, or is not there; 2 the command line cannot be understood.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from schedules.errors import BeatkeeperError
from schedules.importing.sources import own_account, printable_path
from schedules.management.output import as_json, printable

REFUSED, USAGE = 1, 2
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Error(CommandError):
    """What went wrong, for stderr. Its name is what people see in front of the sentence."""


def usage_error(sentence: str) -> Error:
    return Error(sentence, returncode=USAGE)


class ScriptCommand(BaseCommand):
    """Subclasses define `arguments(parser)` and `run(options)`."""

    requires_system_checks = []  # scripts ask often; `up` and `check` run them
    file_names: Collection[str] = ("paths", "log", "output")
    """Options that the file system gets as they were typed; others go to the database, as text."""

    def add_arguments(self, parser: CommandParser) -> None:
        self.arguments(parser)
        parser.add_argument(
            "--json",
            action="store_true",
            dest="as_json",
            help="print JSON and nothing else on standard output",
        )

    def arguments(self, parser: CommandParser) -> None:
        """Adds the command's own arguments."""

    def run(self, options: dict[str, Any]) -> None:
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        with _quiet_log(options["verbosity"]):
            try:
                self.run({name: self._as_text(name, value) for name, value in options.items()})
            except BeatkeeperError as error:
                raise Error(printable(str(error)), returncode=REFUSED) from error

    def _as_text(self, name: str, value: Any) -> Any:
        """Bytes that are not UTF-8 reach a program in a form that no database takes: they become `\\xNN`."""
        if name in self.file_names:
            return value
        if isinstance(value, list):
            return [self._as_text(name, item) for item in value]
        return printable_path(value) if isinstance(value, str) else value

    def run_from_argv(self, argv: list[str]) -> None:
        _tolerate_any_locale()
        try:
            super().run_from_argv(argv)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(REFUSED)
        except KeyboardInterrupt:
            sys.exit(130)

    def show(self, options: dict[str, Any], value: Any, text: str) -> None:
        """Prints `value` as JSON, or else `text`."""
        self.stdout.write(as_json(value) if options["as_json"] else text)

    def remark(self, text: str) -> None:
        """A sentence beside the result, on stderr."""
        self.stderr.write(printable(text, keep="\n"), style_func=str)

    def width(self) -> int | None:
        """Columns of the terminal; None where the output goes elsewhere and is not cut."""
        return shutil.get_terminal_size().columns if self.stdout.isatty() else None


def author() -> str:
    """Who edits, for the history: the account at this command line, through sudo or not."""
    account = os.environ.get("SUDO_USER") or own_account()
    return f"{printable(account)[:100]}@command line"


def length(text: str) -> timedelta | None:
    """A length such as "90s", "15m", "2h", "3d", "1w"; None for any other text."""
    found = _LENGTH.fullmatch(text.strip())
    return timedelta(seconds=float(found[1]) * _SECONDS[found[2]]) if found else None


def moment(text: str, *, now: datetime, sign: int, option: str) -> datetime:
    """A time as people write it: ISO 8601, or a length before (`sign` -1) or after (1) `now`.

    Without an offset it is in the installation's zone. Raises Error for anything else.
    """
    try:
        span = length(text)
        if span is not None:
            return now + sign * span
        given = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise usage_error(
            f'{option} "{printable(text)}" is not a time. Give one such as 2026-01-31T18:00, '
            "2026-01-31T17:00Z, or a length such as 90s, 15m, 2h, 3d, 1w."
        ) from None
    return given if given.tzinfo else given.replace(tzinfo=ZoneInfo(settings.TIME_ZONE))


@contextmanager
def _quiet_log(verbosity: int) -> Iterator[None]:
    """The log tells of every row; at a command line the result says enough (`-v 2` shows both)."""
    log = logging.getLogger("beatkeeper")
    before = log.level
    if verbosity < 2:
        log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)


def _tolerate_any_locale() -> None:
    """A name that the terminal's character set lacks is escaped instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
