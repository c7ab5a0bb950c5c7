"""Values that an expression leaves open, chosen once and for all by a seed: `~` of cronie, `H`.

The same seed gives the same value in every process and every version; another column or another seed
gives an unrelated one. Changing the sum here would move schedules that exist.
"""

from hashlib import blake2b


def chosen(seed: str, column: str, count: int) -> int:
    """A number from 0 to `count - 1` for that column of the schedule that the seed names."""
    digest = blake2b(f"{column}\x1f{seed}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count
