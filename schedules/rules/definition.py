"""What a run executes and by which policies: the content of a revision, as one frozen value.

A run carries its revision, so an edit never changes what is already due. No storage here.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from schedules.rules.retry import RetryPolicy


class Kind(StrEnum):
    COMMAND = "command"
    TASK = "task"


class Overlap(StrEnum):
    ALLOW = "allow"
    SKIP = "skip"


class Mode(StrEnum):
    LIVE = "live"
    SHADOW = "shadow"  # records what would start, and starts nothing


class CatchUp(StrEnum):
    SKIP = "skip"
    LATEST = "latest"
    ALL = "all"


class OnWorkerLost(StrEnum):
    LOST = "lost"
    RETRY = "retry"


class Delivery(StrEnum):
    """Who executes a task schedule."""

    RUN = "run"  # a worker of ours, on record
    MESSAGE = "message"  # workers of another codebase: sent to them as django-celery-beat sends


class Background(StrEnum):
    """What becomes of processes that a command leaves behind when it ends by itself."""

    KILL = "kill"
    KEEP = "keep"  # as under cron: a line may start a daemon


ADDED: dict[str, Any] = {
    "memory_limit": None,
    "cpu_limit": None,
    "file_size_limit": None,
    "delivery": Delivery.RUN,
}
"""Fields that older revisions do not have, with what they then mean."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """Lengths are seconds; None means no limit. `args` and `kwargs` are JSON text as the parent has them.

    `memory_limit` and `file_size_limit` are MiB; `cpu_limit` is seconds of processor time.
    """

    name: str
    kind: Kind
    task: str = ""
    args: str = "[]"
    kwargs: str = "{}"
    headers: str = "{}"
    command: str = ""
    stdin: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    working_directory: str = ""
    run_as: str = ""
    shell: str = ""
    background: Background = Background.KILL
    queue: str = ""
    exchange: str = ""
    routing_key: str = ""
    priority: int | None = None
    timeout: float | None = None
    kill_grace: float = 10
    memory_limit: int | None = None
    cpu_limit: int | None = None
    file_size_limit: int | None = None
    overlap: Overlap = Overlap.ALLOW
    catch_up: CatchUp = CatchUp.LATEST
    catch_up_window: float | None = None
    start_deadline: float | None = None
    on_worker_lost: OnWorkerLost = OnWorkerLost.LOST
    mode: Mode = Mode.LIVE
    delivery: Delivery = Delivery.RUN
    one_off: bool = False
    enabled: bool = True
    paused_until: str = ""
    timing: dict[str, Any] = field(default_factory=dict)
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it. What later versions added is left out while it says nothing: digests stay."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values |= {"timing": dict(self.timing), "retry": asdict(self.retry)}
        return {name: value for name, value in values.items() if ADDED.get(name, ...) != value}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Definition:
        known = {key: value for key, value in values.items() if key in cls.__dataclass_fields__}
        known["kind"] = Kind(known["kind"])
        known["environment"] = tuple((name, value) for name, value in known.get("environment", ()))
        known["background"] = Background(known.get("background", Background.KILL))
        known["overlap"] = Overlap(known.get("overlap", Overlap.ALLOW))
        known["mode"] = Mode(known.get("mode", Mode.LIVE))
        known["delivery"] = Delivery(known.get("delivery", Delivery.RUN))
        known["catch_up"] = CatchUp(known.get("catch_up", CatchUp.LATEST))
        known["on_worker_lost"] = OnWorkerLost(known.get("on_worker_lost", OnWorkerLost.LOST))
        known["retry"] = RetryPolicy.from_dict(known.get("retry", {}))
        return cls(**known)

    @property
    def digest(self) -> str:
        """Equal for equal definitions, whatever wrote them. 64 hexadecimal digits."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def when(self) -> tuple[Any, ...]:
        """What decides the next due instant: where it is equal, an edit moves nothing."""
        return (json.dumps(self.timing, sort_keys=True), self.enabled, self.paused_until)
