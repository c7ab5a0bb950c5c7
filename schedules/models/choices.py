"""Enumerations as plain strings, in a fixed order, so that a migration does not depend on the code."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


def choices(kind: type[StrEnum]) -> list[tuple[str, str]]:
    """Django's choices: the value, and the same in words."""
    return [(member.value, member.value.replace("_", " ")) for member in kind]


def values(members: Iterable[StrEnum]) -> list[str]:
    return sorted(member.value for member in members)
