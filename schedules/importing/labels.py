"""Labels of sources: by these names a later import finds their schedules. Called by `importing.sources`."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

LONGEST_LABEL = 255
OF_AN_ACCOUNT = "crontab:"
"""Before the account, in the label of what was read from a pipe."""


def label_of(path: Path) -> str:
    """The absolute path; a longer one than the column takes keeps its end and a digest of the rest."""
    text = printable_path(os.path.abspath(path))
    if len(text) <= LONGEST_LABEL:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"…{digest}…{text[-(LONGEST_LABEL - 18) :]}"


def printable_path(path: str) -> str:
    """A path as text that every database stores: bytes that are not UTF-8 become `\\xNN`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
