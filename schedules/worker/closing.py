"""How an ended attempt is written down: the columns that close it, its output, its fingerprint."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import Any

from django.db.models.functions import Now

from schedules.models import Attempt
from schedules.rules import retry
from schedules.rules.states import Outcome
from schedules.sql.statements import Closing
from schedules.worker.work import Ended

Decision = retry.RetryAt | retry.GiveUp

LATE_SECONDS = 5


def closing_of(attempt: Attempt, ended: Ended, decision: Decision | None) -> Closing:
    """What is written, and what `attempt`, as the events see it, then holds."""
    columns: dict[str, Any] = {
        "outcome": ended.outcome,
        "exit_code": ended.exit_code,
        "signal": ended.signal,
        "error_class": ended.error_class[:255],
        "error": storable(ended.error),
        "traceback": storable(ended.traceback),
        "result": storable(ended.result),
        "fingerprint": fingerprint(ended),
        "cpu_seconds": ended.cpu_seconds,
        "peak_memory": ended.peak_memory,
        "leftovers": ended.leftovers,
        "notes": storable("\n".join(ended.notes)),
        **_decided(decision),
    }
    vars(attempt).update(columns)
    return Closing(attempt.pk, columns | {"finished_at": Now()}, _output(attempt, ended))


def _decided(decision: Decision | None) -> dict[str, Any]:
    if decision is None:
        return {}
    said = {"decision_rule": decision.code, "decision_text": decision.sentence}
    if isinstance(decision, retry.RetryAt):
        return said | {"decision": "retry", "decision_delay": decision.delay.total_seconds()}
    return said | {"decision": "give_up"}


def _output(attempt: Attempt, ended: Ended) -> dict[str, Any] | None:
    if not ended.bytes_seen:
        return None
    return {
        "attempt_id": attempt.pk,
        "head": list(ended.head),
        "tail": list(ended.tail),
        "bytes_seen": ended.bytes_seen,
        "bytes_dropped": ended.bytes_dropped,
    }


def noted(ended: Ended, late_seconds: float) -> Ended:
    """The time on record is that of the recording: only this host knows when the work was over."""
    if late_seconds < LATE_SECONDS:
        return ended
    said = f"It ended {late_seconds:.0f} s before this could be recorded."
    return replace(ended, notes=(*ended.notes, said))


def reduced(ended: Ended, error: Exception) -> Ended:
    return replace(
        ended,
        error_class=type(error).__name__,
        error=f"The result could not be recorded in full: {storable(str(error))}",
        traceback="",
        result="",
        notes=(),
        head=(),
        tail=(),
        bytes_seen=0,
    )


def storable(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def fingerprint(ended: Ended) -> str:
    """Equal for failures of the same kind: numbers and addresses in the message do not count."""
    if ended.outcome == Outcome.SUCCEEDED:
        return ""
    last = ended.error or next((line for line in reversed(ended.text.splitlines()) if line.strip()), "")
    shape = re.sub(r"0x[0-9a-f]+|\d+", "#", last.strip())[:500]
    parts = (ended.outcome, ended.error_class, ended.exit_code, ended.signal, shape)
    return hashlib.sha256(repr(tuple(map(str, parts))).encode("utf-8", "replace")).hexdigest()[:16]
