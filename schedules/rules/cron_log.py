"""cron's own log lines: what was started, for which account, when. Pure: lines of bytes come in.

Read are `(account) CMD (command)` of CRON, CROND and cron in syslog's classic form (no year), with ISO
8601 times (rsyslog, `journalctl -o short-iso`), and as objects of `journalctl -o json`. What a log says
of a command is not its bytes: control characters are `^X` there and other bytes `\\ooo`, so commands
are compared in that form (`logged`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

LONGEST_LINE = 65_536
"""Bytes of a line that are looked at."""

MOST_STARTS = 1_000_000
"""More would fill the memory; a year of 200 jobs an hour is less than twice that."""

_MESSAGE = re.compile(r"\(([^()]{1,100})\) CMD \((.*)", re.DOTALL)
_PROGRAMS = frozenset({"CRON", "CROND", "cron", "crond"})
_CLASSIC = re.compile(r"([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) ")
_ISO = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)(Z|[+-]\d\d:?\d\d) ")
_PID = re.compile(r"\[\d+\] ")
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HALF_A_YEAR = 6


@dataclass(frozen=True, slots=True)
class Start:
    """One job that cron started. `command` is as logged; with `is_cut` the log lost its end."""

    at: datetime
    account: str
    command: str
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class CronLog:
    """`first` and `last` are the times of the first and last line of any kind; None: no line had one.

    With `is_full` there were more starts than are kept, and `last` is the time of the last that is.
    """

    starts: tuple[Start, ...]
    first: datetime | None
    last: datetime | None
    lines: int
    is_full: bool = False


def logged(command: str) -> str:
    """How cron writes a command into its log."""
    return "".join(map(_logged_byte, command.encode("utf-8", "surrogateescape")))


def _logged_byte(byte: int) -> str:
    if byte < 0x20:
        return "^" + chr(byte + 0x40)
    if byte < 0x7F:
        return chr(byte)
    return "^?" if byte == 0x7F else f"\\{byte:03o}"


def without_pid(command: str) -> str:
    """The command where cron's option -L 8 wrote the number of the process before it."""
    return _PID.sub("", command, count=1) if _PID.match(command) else command


def read(lines: Iterable[bytes], *, zone: tzinfo, written_at: datetime) -> CronLog:
    """Reads a log, oldest line first, line by line.

    Times without an offset are in `zone`; those without a year are taken so that the last line is
    not later than a day after `written_at`, the file's last change.
    """
    reader = _Reader()
    for line in lines:
        reader.read(line)
    return reader.log(zone, written_at)


@dataclass(frozen=True, slots=True)
class _Stamp:
    """A time as written: an instant, or a wall clock in a year counted from the log's first line."""

    instant: datetime | None = None
    year: int = 0
    parts: tuple[int, int, int, int, int] = (1, 1, 0, 0, 0)


What = tuple[str, str, bool]
"""Account, command, whether its end is lost."""


@dataclass
class _Reader:
    found: list[tuple[_Stamp, What]] = field(default_factory=list)
    first: _Stamp | None = None
    last_line: str = ""
    lines: int = 0
    _year: int = 0
    _month: int = 0
    _text: str = ""
    _same: _Stamp | None = None
    _seen: dict[What, What] = field(default_factory=dict)

    def read(self, raw: bytes) -> None:
        self.lines += 1
        if self.first is not None and b"CMD (" not in raw:  # nearly every line of most logs
            self.last_line = raw[: LONGEST_LINE if raw[:1] == b"{" else 100].decode("utf-8", "replace")
            return
        text = raw[:LONGEST_LINE].decode("utf-8", "replace").rstrip("\r\n")
        stamp = self._stamp(text)
        self.first = self.first or stamp
        message = _message_of(text)
        found = _MESSAGE.match(message) if message and stamp else None
        if stamp and found and len(self.found) < MOST_STARTS:
            is_cut = not found[2].endswith(")")
            what = (found[1], found[2] if is_cut else found[2][:-1], is_cut)
            self.found.append((stamp, self._seen.setdefault(what, what)))
            self.last_line = ""

    def _stamp(self, text: str) -> _Stamp | None:
        """Of the beginning of a line. Lines of one second share one value, as many do."""
        if text.startswith("{"):
            return _json_stamp(text)
        if text[:15] != self._text or text[:1].isdecimal():
            self._text, self._same = text[:15], self._read_stamp(text)
        return self._same

    def _read_stamp(self, text: str) -> _Stamp | None:
        if found := _ISO.match(text):
            return _iso_stamp(found)
        found = _CLASSIC.match(text)
        if found is None or found[1] not in _MONTHS[1:]:
            return None
        month = _MONTHS.index(found[1])
        if self._month and month < self._month - _HALF_A_YEAR:  # from December to January
            self._year += 1
        self._month = month
        day, hour, minute, second = (int(found[group]) for group in range(2, 6))
        return _Stamp(None, self._year, (month, day, hour, minute, second))

    def log(self, zone: tzinfo, written_at: datetime) -> CronLog:
        newest = self.found[-1][0] if self.found else self.first
        is_full = len(self.found) >= MOST_STARTS
        last = (None if is_full else self._stamp(self.last_line)) or newest
        year = _year_of_last(last, zone, written_at) - (last.year if last else 0)
        clock = _WallClock(zone, year)
        first = clock.instant(self.first) if self.first else None
        starts = [Start(at, *what) for stamp, what in self.found if (at := clock.instant(stamp)) is not None]
        end = clock.instant(last) if last else None
        return CronLog(tuple(starts), first, end, self.lines, is_full)


@dataclass
class _WallClock:
    """Wall-clock times, in the order of the log, to instants. In a repeated hour the order decides."""

    zone: tzinfo
    year: int
    _before: datetime | None = None
    _stamp: _Stamp | None = None

    def instant(self, stamp: _Stamp) -> datetime | None:
        """None for a time that no calendar has."""
        if stamp.instant is not None:
            return stamp.instant
        if stamp is self._stamp:
            return self._before
        month, day, hour, minute, second = stamp.parts
        try:
            local = datetime(
                self.year + stamp.year, month, day, hour, minute, min(second, 59), tzinfo=self.zone
            )
        except ValueError:  # 30 February
            return None
        at, later = local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
        if self._before is not None and at < self._before - timedelta(minutes=5) and later > at:
            at = later
        self._stamp, self._before = stamp, at
        return at


def _year_of_last(last: _Stamp | None, zone: tzinfo, written_at: datetime) -> int:
    year = written_at.astimezone(zone).year
    if last is None or last.instant is not None:
        return year
    at = _WallClock(zone, year - last.year).instant(last)
    return year if at is None or at <= written_at + timedelta(days=1) else year - 1


def _message_of(text: str) -> str | None:
    """What cron said, without time, host and program."""
    if text.startswith("{"):
        return _json_message(text)
    head, _, message = text.partition(": ")
    tag = head.rpartition(" ")[2].partition("[")[0].rpartition("/")[2]
    return message.removeprefix("(CRON) ") if tag in _PROGRAMS else None


def _iso_stamp(found: re.Match[str]) -> _Stamp | None:
    try:
        clock = found[1].replace(",", ".")
        return _Stamp(datetime.fromisoformat(clock[:26] + found[2]).astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def _object(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _json_stamp(text: str) -> _Stamp | None:
    try:
        micros = int(str(_object(text).get("__REALTIME_TIMESTAMP")))
        return _Stamp(datetime.fromtimestamp(micros / 1_000_000, UTC))
    except (ValueError, OverflowError, OSError):
        return None


def _json_message(text: str) -> str | None:
    entry = _object(text)
    if str(entry.get("SYSLOG_IDENTIFIER", "")).lower() not in ("cron", "crond"):
        return None
    said = entry.get("MESSAGE")
    if isinstance(said, list):  # bytes that are not UTF-8
        said = bytes(it for it in said if isinstance(it, int) and 0 <= it < 256).decode("utf-8", "replace")
    return said if isinstance(said, str) else None
