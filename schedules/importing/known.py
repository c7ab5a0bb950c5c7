"""Which crontabs were imported, for the refusal of a name that none of them has. Reads the database only."""

from __future__ import annotations

from schedules.models import CrontabFile

SHOWN = 5


def imported_were() -> str:
    """One sentence."""
    sources = list(CrontabFile.objects.order_by("source").values_list("source", flat=True))
    if not sources:
        return "No crontab has been imported yet."
    more = f" and {len(sources) - SHOWN:,} more" if len(sources) > SHOWN else ""
    return f"Imported were: {', '.join(sources[:SHOWN])}{more}."
