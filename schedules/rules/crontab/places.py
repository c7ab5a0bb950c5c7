"""Which files the daemons read at all: names, owners, modes and links. Pure: the facts come in.

Debian's cron 3.0pl1 (database.c: process_crontab, valid_name) and cronie 1.7 (src/database.c:
check_open, not_a_crontab). Every rule is one that makes the daemon ignore a file.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from schedules.rules.crontab.grammar import Daemon

ROOT = 0
"""The user id of root."""

_CRON_D_NAME = re.compile(r"[A-Za-z0-9_-]+")
_LEFTOVERS = ("~", ".rpmsave", ".rpmorig", ".rpmnew")


class Place(StrEnum):
    """What kind of directory a file lies in. /etc/crontab counts as a member of a system directory."""

    SYSTEM = "system"
    SPOOL = "spool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the file system says of a file. `owner` and `link_owner` are user ids.

    `link_owner` is None where the path is no symbolic link; the other facts are then of its target.
    `mode` are the permission bits; `account` is the user id that a spool file belongs to.
    """

    owner: int
    mode: int
    links: int
    is_regular: bool = True
    link_owner: int | None = None
    account: int | None = None


def ignored_name(name: str, daemon: Daemon = Daemon.CRON) -> str | None:
    """Why the daemon ignores a file of this name in /etc/cron.d; None if it reads the file."""
    complaint = name_complaint(name, Place.SYSTEM, daemon)
    return f'{daemon} ignores "{name}": {complaint}' if complaint else None


def ignored_spool_name(name: str, daemon: Daemon = Daemon.CRON) -> str | None:
    """The same for a spool of users' crontabs, where any name is an account but for hidden files."""
    complaint = name_complaint(name, Place.SPOOL, daemon)
    return f'{daemon} ignores "{name}": {complaint}' if complaint else None


def name_complaint(name: str, place: Place, daemon: Daemon) -> str:
    """What is wrong with the name, in words that are the same for all names of a sort; "" if nothing is."""
    if daemon is Daemon.CRONIE:
        is_left_over = name.startswith((".", "#")) or name.endswith(_LEFTOVERS)
        return "it is the name of a hidden or left-over file" if is_left_over else ""
    if place is Place.SPOOL:
        return "its name begins with a dot" if name.startswith(".") else ""
    if _CRON_D_NAME.fullmatch(name):
        return ""
    strange = next((character for character in name if not _CRON_D_NAME.match(character)), "")
    return 'the name of a file in /etc/cron.d may hold only ASCII letters, digits, "_" and "-"' + (
        f', not "{strange}"' if strange else ""
    )


def why_ignored(place: Place, daemon: Daemon, facts: Facts) -> str:
    """Why the daemon ignores a file with these facts; "" where it reads it."""
    for is_broken, reason in _RULES[place, daemon]:
        if is_broken(facts):
            return reason
    return ""


Rule = tuple[Callable[[Facts], bool], str]

_REGULAR: Rule = (lambda facts: not facts.is_regular, "it is not a regular file")
_ONE_NAME: Rule = (
    lambda facts: facts.links != 1,
    "it has more than one hard link",
)
_NO_LINK: Rule = (lambda facts: facts.link_owner is not None, "it is a symbolic link")
_ROOTS_LINK: Rule = (
    lambda facts: facts.link_owner not in (None, ROOT),
    "it is a symbolic link that does not belong to root",
)
_ROOTS: Rule = (lambda facts: facts.owner != ROOT, "it does not belong to root")
_OWN: Rule = (
    lambda facts: facts.owner not in (ROOT, facts.account),
    "it belongs neither to its account nor to root",
)
_ONLY_OWNER_WRITES: Rule = (lambda facts: bool(facts.mode & 0o022), "its group or others may write to it")
_PRIVATE: Rule = (lambda facts: facts.mode != 0o600, "its mode is not 0600")
_CRONIES_MODE: Rule = (
    lambda facts: facts.mode & 0o7533 != 0o400,
    "its mode lets others write to it, lets somebody execute it, or does not let its owner read it",
)

_RULES: dict[tuple[Place, Daemon], tuple[Rule, ...]] = {
    (Place.SYSTEM, Daemon.CRON): (_ROOTS_LINK, _ROOTS, _REGULAR, _ONLY_OWNER_WRITES, _ONE_NAME),
    (Place.SPOOL, Daemon.CRON): (_NO_LINK, _OWN, _REGULAR, _PRIVATE, _ONE_NAME),
    (Place.SYSTEM, Daemon.CRONIE): (_REGULAR, _CRONIES_MODE, _ROOTS),
    (Place.SPOOL, Daemon.CRONIE): (_REGULAR, _CRONIES_MODE, _OWN, _ONE_NAME),
}
