"""Has commands looked at, by one small process for each account, within limits of time.

The worker never touches a file that a command names: a dead network mount would hold it. It starts
`checking.child`, reads its answers, and kills it where none comes. Called by `checking`.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from schedules.rules.command.findings import Finding, error
from schedules.runner.messages import Command

# Looking at a command takes a millisecond; a path that does not answer for this long is dead.
STALL_SECONDS = 5.0
# Commands of one account that may hang before its others are given up for this time.
HANGS = 3
_REAP_SECONDS = 1.0
_PACKAGES = str(Path(__file__).resolve().parents[2])
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from schedules.checking.child import main; main()"

Findings = list[dict[str, str]]


def examine(
    commands: Mapping[int, Command], *, stall: float = STALL_SECONDS
) -> Iterator[tuple[int, Findings]]:
    """What is to be said of each command, as the answers come; every command gets one."""
    accounts = dict.fromkeys(command.run_as for command in commands.values())
    for account in accounts:
        own = {number: command for number, command in commands.items() if command.run_as == account}
        yield from _of_account(account, own, stall)


def _of_account(
    account: str | None, commands: dict[int, Command], stall: float
) -> Iterator[tuple[int, Findings]]:
    waiting = dict(commands)
    for _ in range(HANGS):
        if not waiting:
            return
        child = _Child(account, waiting)
        for number, findings in child.answers(stall):
            del waiting[number]
            yield number, findings
        if child.hung_at is not None:
            del waiting[child.hung_at]
            yield child.hung_at, [_hung(stall).to_dict()]
        elif waiting:
            break
    for number in waiting:
        yield number, [_not_looked_at(child.failure).to_dict()]


def _hung(stall: float) -> Finding:
    return error(
        "hangs",
        f"a directory or file that it names did not answer within {stall:g} s",
        "look for a dead network mount: the command would hang there too",
    )


def _not_looked_at(failure: str) -> Finding:
    if failure:
        return error(
            "not_looked_at", f"the process that looks at commands failed: {failure}", "see the worker's log"
        )
    return error(
        "not_looked_at", f"not looked at, because {HANGS} commands of its account hung", "mend those first"
    )


@dataclass
class _Child:
    """One process. `hung_at`: the command at which it was killed. `failure`: why it came to no end."""

    account: str | None
    commands: Mapping[int, Command]
    hung_at: int | None = None
    failure: str = ""
    _looking: int | None = None
    _received: bytes = field(default=b"")

    def answers(self, stall: float) -> Iterator[tuple[int, Findings]]:
        with tempfile.TemporaryFile() as question, tempfile.TemporaryFile() as errors:
            self._write(question)
            process = _start(question, errors)
            assert process.stdout is not None
            try:
                yield from self._read(process.stdout.fileno(), stall)
            finally:
                _end(process)
            self.failure = self.failure or _last_line(errors)

    def _write(self, question: IO[bytes]) -> None:
        messages = [(number, command.to_message()) for number, command in self.commands.items()]
        question.write(json.dumps({"run_as": self.account, "commands": messages}).encode())
        question.seek(0)

    def _read(self, source: int, stall: float) -> Iterator[tuple[int, Findings]]:
        while (piece := _piece(source, stall)) != b"":
            if piece is None:
                self.hung_at = self._looking
                if self._looking is None:
                    self.failure = f"it did not begin within {stall:g} s"
                return
            *lines, self._received = (self._received + piece).split(b"\n")
            for line in map(json.loads, lines):
                self._looking = line.get("looking")
                if "id" in line:
                    yield line["id"], line["findings"]


def _piece(source: int, stall: float) -> bytes | None:
    """What has come; b"" at the end, None where nothing comes."""
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return os.read(source, 1 << 16) if poll.poll(stall * 1000) else None


def _start(question: IO[bytes], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """-I and -S as for the runner: small, and deaf to the worker's directory and PYTHON* variables."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _PROGRAM, _PACKAGES],
        stdin=question,
        stdout=subprocess.PIPE,
        stderr=errors,
        cwd="/",
        env={name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """A process in an uninterruptible call outlives SIGKILL: it is not waited for."""
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_REAP_SECONDS)
    if process.stdout is not None:
        process.stdout.close()


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read(1 << 16).decode("utf-8", "replace").splitlines()
    return lines[-1][:300] if lines else ""
