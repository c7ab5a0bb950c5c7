"""The accounts of this machine, as far as somebody asks. No database."""

from __future__ import annotations

import os
import pwd
from collections.abc import Collection, Iterator


class Accounts(Collection[str]):
    """Asked one by one: directories such as LDAP cannot always list their accounts."""

    def __init__(self) -> None:
        self._known: dict[str, int | None] = {}

    def number(self, name: str) -> int | None:
        """The user id; None where there is no such account."""
        if name not in self._known:
            self._known[name] = _number(name)
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        return self.number(str(name)) is not None

    def __iter__(self) -> Iterator[str]:
        return (entry.pw_name for entry in pwd.getpwall())

    def __len__(self) -> int:
        return len(pwd.getpwall())

    def __bool__(self) -> bool:
        return True


def own_account() -> str:
    """The account of this process; its number where it has no name."""
    return account_name(os.geteuid())


def account_name(number: int) -> str:
    """The name of a user id; the number as text where it has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _number(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError, UnicodeError):
        return None
