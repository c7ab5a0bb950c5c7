"""What the parts of an import hand to each other: what the operator said, what was found, what to tell."""

from __future__ import annotations

from dataclasses import dataclass, field

from schedules.rules.crontab.grammar import Daemon
from schedules.rules.crontab.lines import Format


@dataclass(frozen=True, kw_only=True)
class Remark:
    """Something to tell the operator; `line` is 0 where it is about the whole file.

    Remarks of one `kind` with one `reason` are told together; `detail` is what is special about this.
    """

    file: str
    line: int = 0
    reason: str
    kind: str = ""
    detail: str = ""

    @property
    def text(self) -> str:
        """The whole sentence."""
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


@dataclass(frozen=True, kw_only=True)
class Source:
    """One crontab. `account` runs its jobs in the user format; None: nobody said which.

    `path` is where it was read, "" for a pipe. `prefix` goes before the names of its schedules, where
    several files may be imported together. `is_dormant` says that the daemon ignores it today;
    `is_crons_own` that it is /etc/crontab or lies in /etc/cron.d, whose format is beyond doubt.
    """

    label: str
    file: str
    path: str = ""
    format: Format
    daemon: Daemon = Daemon.CRON
    account: str | None = None
    prefix: str = ""
    is_dormant: bool = False
    is_crons_own: bool = False
    text: bytes


@dataclass
class Sources:
    """What was found. `folders` are directories that were read whole, `unread` labels of refused files."""

    found: list[Source] = field(default_factory=list)
    refused: list[Remark] = field(default_factory=list)
    notes: list[Remark] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the operator said about all paths. None: infer it from the path, and say so.

    `daemon` is never inferred. `spool`: directories are spools of users' crontabs. `strict`: owner,
    mode and links count in any directory. `label`: the name under which the jobs are known, where it
    is not the path.
    """

    format: Format | None = None
    account: str | None = None
    daemon: Daemon = Daemon.CRON
    spool: bool = False
    strict: bool = False
    label: str = ""
