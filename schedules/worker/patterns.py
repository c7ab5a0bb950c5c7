"""Patterns of retry rules, searched in output under a time limit. Called by `execute`.

People write the patterns, and commands write the text: together they can keep Python's `re` busy for
hours, with the whole process waiting. So the search is done by a process that can be killed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from schedules import events

LIMIT_SECONDS = 5.0
SEARCH = (
    "import json, re, sys; given = json.load(sys.stdin); "
    "json.dump([p for p in given[0] if re.search(p, given[1])], sys.stdout)"
)


def found(patterns: Sequence[str], text: str) -> frozenset[str]:
    """Those of `patterns` that occur in `text`; none where the search fails or takes too long."""
    if not patterns:
        return frozenset()
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", SEARCH],
            input=json.dumps([list(patterns), text]),
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=True,
        )
        return frozenset(json.loads(done.stdout))
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        events.patterns_failed(error)
        return frozenset()
