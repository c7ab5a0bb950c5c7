"""How a piece of work ended, whether it was a command or a Celery task: what `execute` records."""

from __future__ import annotations

from dataclasses import dataclass, field

from schedules.rules.states import Outcome

Piece = tuple[str, str]
"""A stream ("stdout", "stderr") and its text."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """`exceptions` are the class and its bases with their modules; `final` forbids a retry."""

    outcome: Outcome
    exit_code: int | None = None
    signal: int | None = None
    error_class: str = ""
    error: str = ""
    traceback: str = ""
    exceptions: tuple[str, ...] = ()
    final: bool = False
    result: str = ""
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    leftovers: int = 0
    head: tuple[Piece, ...] = ()
    tail: tuple[Piece, ...] = ()
    bytes_seen: int = 0
    bytes_dropped: int = 0
    notes: tuple[str, ...] = field(default=())

    @property
    def text(self) -> str:
        return "".join(text for _, text in (*self.head, *self.tail))
