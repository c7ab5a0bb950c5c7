"""An import that counts only if it is proved: otherwise it is undone. Called by `import_crontab`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from django.db import transaction

from schedules.importing import flow as importing
from schedules.importing.flow import Fate
from schedules.proving import flow as proving
from schedules.proving.flow import Progress
from schedules.proving.lines import imported, vanished
from schedules.querysets import database_now
from schedules.rules.daemon import Window


def import_proved(
    run_import: Callable[[], importing.Report], *, years: int, dry_run: bool, progress: Progress
) -> tuple[importing.Report, proving.Report | None]:
    """Imports, and compares what was written with the files, in one transaction.

    A dry run and an import that is not proved are rolled back. There is no proof where the import
    refused to write anything.
    """
    with transaction.atomic():
        report = replace(run_import(), is_dry_run=dry_run)
        if not report.is_imported:
            return report, None
        read = [replace(file, state="as it was read") for file in imported(_sources(report))]
        files = [*read, *vanished(_vanished_sources(report))]
        window = Window.of_years(database_now(), years)
        proof = proving.prove(files, window, new_may_be_disabled=True, progress=progress)
        if dry_run or not proof.is_proved:
            transaction.set_rollback(True)
            report = replace(report, is_imported=False)
    return report, proof


def _sources(report: importing.Report) -> list[str]:
    return [source.label for source, _ in report.plan.files]


def _vanished_sources(report: importing.Report) -> list[str]:
    """Files that an imported folder no longer holds."""
    gone = {item.schedule.source for item in report.of(Fate.GONE)}
    return sorted(gone - set(_sources(report)))
