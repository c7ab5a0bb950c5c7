"""`manage.py import_crontab`: crontabs become schedules. The work is in `schedules.importing`."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from django.core.management.base import CommandParser

from schedules.errors import CrontabRefused, InvalidSchedule
from schedules.importing.flow import Options, Report, check, import_crontabs
from schedules.importing.sources import LONGEST_LABEL, read
from schedules.importing.values import Reading, Sources
from schedules.management.import_text import complaint, shape, spoiled_advice, text
from schedules.management.output import printable
from schedules.management.proof_gate import import_proved
from schedules.management.proof_text import YEARS, gate_complaint, with_proof, with_proof_text, years
from schedules.management.script import REFUSED, Error, ScriptCommand, author, usage_error
from schedules.models import RetryPolicy
from schedules.proving.flow import Report as Proof
from schedules.rules.crontab.grammar import Daemon
from schedules.rules.crontab.lines import Format

LARGE = 500
"""Schedules from which on a person wants to see progress."""
LONGEST_ACCOUNT = 100
BAR = 30
"""Characters."""


class Command(ScriptCommand):
    help = (
        "Import crontabs. A second import of the same file updates what its lines say, creates what is "
        "new and leaves the rest alone. All files are imported together, or none."
    )

    def arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add(
            "paths",
            metavar="FILE|DIR|-",
            nargs="+",
            help='crontabs; a directory is read like /etc/cron.d; "-" is standard input',
        )
        add(
            "--format",
            choices=[format.value for format in Format],
            help="user: as crontab -l prints it (the default); system: with an account in each line; "
            "anacrontab: anacron's table",
        )
        add(
            "--dialect",
            choices=[daemon.value for daemon in Daemon],
            default=Daemon.CRON.value,
            help="whose rules the files follow: Debian's cron (the default), or cronie (Fedora, Red Hat, "
            "SUSE, Arch), where CRON_TZ counts",
        )
        add(
            "--spool",
            action="store_true",
            help="a directory is a spool: each file is named after its account",
        )
        add(
            "--strict",
            action="store_true",
            help="leave out of any directory what the daemon would ignore for its owner, mode or links "
            "(always so in /etc/cron.d and in the spool itself)",
        )
        add("--no-anacron", action="store_true", help="refuse anacron's table")
        add(
            "--source",
            metavar="LABEL",
            default="",
            help="the name under which the jobs of this one file are known (default: its path)",
        )
        add("--account", metavar="NAME", help="the owner of a user's crontab, who runs its commands")
        add("--timezone", metavar="TZ", default="", help="IANA name (default: this machine's zone)")
        add("--queue", metavar="Q", default="", help="the queue of new schedules")
        add(
            "--retry-policy",
            metavar="NAME",
            default="",
            help="of new schedules (default: one attempt, as cron)",
        )
        add("--tag", metavar="T", action="append", default=[], help="for new schedules; may be repeated")
        add("--prefix", metavar="P", default="", help="goes before the names of new schedules")
        add("--disabled", action="store_true", help="create new schedules disabled")
        add(
            "--shadow",
            action="store_true",
            help="new schedules record what would start, and start nothing",
        )
        add("--dry-run", action="store_true", help="show what would be done, and change nothing")
        add("--partial", action="store_true", help="import the good lines of files that cron would ignore")
        add(
            "--prove",
            nargs="?",
            const=YEARS,
            type=years,
            metavar="YEARS",
            help=f"import only if every line is proved to start as under cron, for YEARS (default: {YEARS})",
        )

    def run(self, options: dict[str, Any]) -> None:
        reading, chosen = _reading(options), _options(options)
        try:
            sources = read(options["paths"], reading)
        except CrontabRefused as error:
            raise usage_error(str(error)) from error
        report, proof = self._import(sources, chosen, options)
        words = with_proof_text(text(report, self.width()), proof)
        self.show(options, with_proof(shape(report), proof), words)
        if proof and not proof.is_proved:
            why = f"{gate_complaint(proof, dry_run=options['dry_run'])} {spoiled_advice(report)}".rstrip()
            raise Error(why, returncode=REFUSED)
        if report.plan.refused:
            why = complaint(report, partial=chosen.partial, prove=options["prove"] is not None)
            raise Error(why, returncode=REFUSED)

    def _import(
        self, sources: Sources, chosen: Options, options: dict[str, Any]
    ) -> tuple[Report, Proof | None]:
        run_import = partial(import_crontabs, sources, chosen, by=author(), progress=self._progress)
        dry_run = options["dry_run"]
        if options["prove"] is None:
            return run_import(dry_run=dry_run), None
        compared = partial(self._progress, noun="timings compared")
        return import_proved(run_import, years=options["prove"], dry_run=dry_run, progress=compared)

    def _progress(self, done: int, total: int, noun: str = "schedules") -> None:
        """A bar, where a person is waiting; nothing in a script's log."""
        if total < LARGE or not sys.stderr.isatty():
            return
        filled = BAR * done // total
        bar = "#" * filled + "." * (BAR - filled)
        end = "\n" if done == total else ""
        self.stderr.write(f"\r[{bar}] {done:,} of {total:,} {noun}", style_func=str, ending=end)
        self.stderr.flush()


def _reading(options: dict[str, Any]) -> Reading:
    format = Format(options["format"]) if options["format"] else None
    account = options["account"]
    if format is Format.SYSTEM and account:
        raise usage_error("--account does not go with --format system: there each line names its account.")
    if account is not None and not account.strip():
        raise usage_error("--account is empty. Name the owner of the crontab, or leave --account out.")
    if len(account or "") > LONGEST_ACCOUNT:
        raise usage_error(f"--account: no account has a name of more than {LONGEST_ACCOUNT} characters.")
    if options["spool"] and format not in (None, Format.USER):
        raise usage_error(f"--spool does not go with --format {format}: a spool holds users' crontabs.")
    if options["paths"].count("-") > 1:
        raise usage_error('"-" can be given only once: there is one standard input.')
    return Reading(
        format=format,
        account=account,
        daemon=Daemon(options["dialect"]),
        spool=options["spool"],
        strict=options["strict"],
        label=_label(options["source"]),
    )


def _label(text: str) -> str:
    if len(text) > LONGEST_LABEL or not text.isprintable():
        raise usage_error(f"--source: a name has at most {LONGEST_LABEL} characters, all of them printable.")
    return text


def _options(given: dict[str, Any]) -> Options:
    options = Options(
        timezone=given["timezone"],
        queue=given["queue"],
        retry_policy=_policy(given["retry_policy"]),
        tags=_tags(given["tag"]),
        enabled=not given["disabled"],
        partial=given["partial"],
        shadow=given["shadow"],
        prefix=given["prefix"],
        no_anacron=given["no_anacron"],
    )
    try:
        check(options)
    except InvalidSchedule as error:
        raise usage_error(f"{error}.".replace("..", ".").replace("?.", "?")) from error
    return options


def _tags(words: list[str]) -> str:
    tags = " ".join(dict.fromkeys(" ".join(words).split()))
    if len(tags) > 255 or not tags.isprintable():
        raise usage_error(
            "--tag: all tags together may have 255 characters, none of them a control character."
        )
    return tags


def _policy(name: str) -> RetryPolicy | None:
    if not name:
        return None
    known = {policy.name: policy for policy in RetryPolicy.objects.all()}
    if name in known:
        return known[name]
    there_are = f"There are: {', '.join(sorted(known))}." if known else "There are none yet."
    raise usage_error(
        f'There is no retry policy "{printable(name)}". {there_are} '
        "Some to begin with: manage.py loaddata fixtures/retry_policies.json"
    )
