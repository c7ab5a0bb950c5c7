"""Generated contents of a manifest: canonical values, as hostile as a database can hold them."""

from __future__ import annotations

from hypothesis import strategies as st

from schedules.rules.manifest.keys import POLICY_KEYS, SCHEDULE_KEYS, without_defaults
from schedules.rules.manifest.values import write_length

STORABLE = st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])
TRAPS = st.sampled_from(
    [
        *(
            "yes",
            "no",
            "on",
            "null",
            "~",
            "",
            "true",
            "010",
            "8:30",
            "1e5",
            "0x1F",
            "1_000",
            ".5",
            "2026-12-01",
        ),
        *("=", "<<", "- a", "a: b", "#c", " a", "a ", "a\n", "\n", "a\n\n b \n", "a\r\nb", "\x85", "\u2028"),
        *("\ufeff", "'", '"', "%", "@x", "*x", "&x", "!x", "|", ">", "{", "[", "\t", "\x1b[31m", "é"),
        *("\U0001f600", "a" * 300),
    ]
)
TEXT = st.one_of(TRAPS, st.text(STORABLE, max_size=20))
NAME = st.one_of(TRAPS, st.text(STORABLE, max_size=12)).filter(lambda text: bool(text.strip()))
LENGTH = st.one_of(st.sampled_from([0.5, 1, 90, 3600, 86_400]), st.floats(0.1, 1e9, allow_nan=False)).map(
    write_length
)
WHOLE_LENGTH = st.integers(1, 10**8).map(write_length)
MOMENT = st.sampled_from(["2026-12-01T04:00:00Z", "2030-01-31T23:59:59.123456Z"])
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXT
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
TIMING = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {
            "cron": st.sampled_from(["30 2 * * *", "*/5 * * * *", "@daily", "@reboot"]),
            "timezone": st.just("UTC"),
        },
        optional={"gap": st.sampled_from(["skip", "run"]), "repeat": st.sampled_from(["first", "both"])},
    ),
    st.just({"cron": "0 30 2 L * ?", "dialect": "extended", "timezone": "Europe/Berlin"}),
    st.fixed_dictionaries({"every": st.sampled_from(["15 minutes", "hour", "3650 days"])}),
    st.fixed_dictionaries({"at": MOMENT}),
    st.just({"crontab": {"minute": "0", "hour": "*/2", "timezone": "Asia/Tokyo"}}),
)
WORK = st.one_of(
    st.fixed_dictionaries(
        {"command": TEXT},
        optional={
            "stdin": TEXT,
            "environment": st.dictionaries(TEXT, TEXT, max_size=3),
            "working_directory": TEXT,
            "run_as": TEXT,
            "shell": st.sampled_from(["/bin/sh", "yes"]),
            "background": st.sampled_from(["kill", "keep"]),
            "memory_limit": st.integers(1, 2**31 - 1),
            "cpu_limit": st.integers(1, 2**31 - 1),
            "file_size_limit": st.integers(0, 2**31 - 1),
        },
    ),
    st.fixed_dictionaries(
        {"task": TEXT.filter(lambda text: bool(text.strip()))},
        optional={
            "args": st.lists(JSON, max_size=3),
            "kwargs": st.dictionaries(TEXT, JSON, max_size=3),
            "headers": st.dictionaries(TEXT, JSON, max_size=2),
        },
    ),
)
POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "overlap": st.sampled_from(["allow", "skip"]),
        "catch_up": st.sampled_from(["skip", "latest", "all"]),
        "catch_up_window": LENGTH,
        "start_deadline": WHOLE_LENGTH,
        "timeout": LENGTH,
        "kill_grace": LENGTH,
        "on_worker_lost": st.sampled_from(["lost", "retry"]),
        "priority": st.integers(0, 255),
        "mode": st.sampled_from(["live", "shadow"]),
        "enabled": st.booleans(),
        "description": TEXT,
        "tags": st.lists(st.sampled_from(["a", "yes", "010", "é"]), unique=True, max_size=3),
        "keep_days": st.sampled_from([1, 1.5, 30, 36_500]),
        "keep_failed_days": st.sampled_from([1, 90]),
        "keep_runs": st.integers(0, 1_000_000),
        "mail_to": TEXT,
        "starts_at": MOMENT,
        "paused_until": st.sampled_from(["forever", "2999-01-01T00:00:00Z"]),
    },
)
SCHEDULE = st.tuples(TIMING, WORK, POLICIES).map(
    lambda parts: without_defaults(parts[0] | parts[1] | parts[2], SCHEDULE_KEYS)
)
POLICY = st.fixed_dictionaries(
    {},
    optional={
        "description": TEXT.filter(lambda text: len(text) <= 255),
        "max_attempts": st.integers(1, 1000).filter(lambda number: number != 3),
        "delays": st.lists(LENGTH, min_size=1, max_size=3),
        "backoff_coefficient": st.sampled_from([1, 1.5, 10]),
        "maximum_interval": st.sampled_from(["none", "2h"]),
        "jitter": st.sampled_from(["equal", "full"]),
        "give_up_after": st.just("1d"),
        "rules": st.just([{"condition": "output", "value": "yes", "verdict": "give_up"}]),
    },
).map(lambda values: without_defaults(values, POLICY_KEYS))
