"""How the form of a schedule is laid out and what stands beside its boxes: groups, labels, help."""

from __future__ import annotations

from dataclasses import dataclass

from django.forms import BoundField, ModelForm

from schedules.rules.cron import Dialect
from schedules.rules.cron.clock import Gap, Repeat

DIALECTS = [
    (Dialect.CRON.value, "as Debian's cron reads it"),
    (Dialect.CRONIE.value, "as cronie reads it (Red Hat)"),
    (Dialect.CELERY.value, "as Celery reads it"),
    (Dialect.EXTENDED.value, "extended"),
]
GAPS = [
    ("", "as the dialect does"),
    (Gap.SKIP.value, "is left out"),
    (Gap.RUN.value, "runs right after"),
]
REPEATS = [
    ("", "as the dialect does"),
    (Repeat.FIRST.value, "runs the first time"),
    (Repeat.BOTH.value, "runs both times"),
]

LABELS = {
    "task": "Task",
    "queue": "Queue",
    "routing_key": "Routing key",
    "exchange": "Exchange",
    "description": "Description",
    "enabled": "Enabled",
    "mode": "Mode",
    "delivery": "Executed by",
    "run_as": "Account",
    "background": "Processes left behind",
    "timeout": "Timeout",
    "kill_grace": "Grace",
    "memory_limit": "Memory",
    "cpu_limit": "Processor time",
    "file_size_limit": "Size of a file",
    "overlap": "While another run is active",
    "catch_up": "What a downtime missed",
    "catch_up_window": "Catch-up window",
    "retry_policy": "Retries",
    "on_worker_lost": "When the worker vanishes",
    "start_time": "Start",
    "expires": "End",
    "expire_seconds": "Start deadline",
    "one_off": "Only once",
    "keep_days": "Days kept",
    "keep_failed_days": "Days kept, of those that failed",
    "keep_runs": "And always the last",
}

HELP = {
    "name": "Unique. Lists, logs and the commands of manage.py name it so.",
    "task": "A Celery task that the workers know.",
    "working_directory": "Empty: HOME of the environment, or the account's home.",
    "run_as": "Empty: the worker's own. Another one needs a worker that runs as root.",
    "shell": "Empty: SHELL of the environment, or /bin/sh.",
    "background": "What becomes of processes that the command leaves running when it ends.",
    "timeout": "Seconds; then the command and all it started are ended. Empty: no limit.",
    "memory_limit": "MiB, of a run's processes together, or of each: as its worker can. Empty: no limit.",
    "cpu_limit": "Seconds, of the command and all it started together. Empty: no limit.",
    "file_size_limit": "MiB; no file can be written beyond it. Empty: no limit.",
    "kill_grace": "Seconds between the request to end (SIGTERM) and the end (SIGKILL).",
    "overlap": "Active: it waits for a worker, runs, or waits for its retry.",
    "catch_up": "Missed: more than a minute late, because no beat ran.",
    "catch_up_window": "Seconds; what is older is not made up for. Empty: no limit.",
    "retry_policy": "Empty: one attempt, as under cron.",
    "on_worker_lost": "Then nobody knows how far the command came.",
    "queue": "Empty: commands go to the commands queue, tasks where Celery routes them.",
    "routing_key": "Instead of a queue, for tasks: the queue whose pattern fits takes it.",
    "exchange": "Of the routing key. Empty: the installation's own.",
    "priority": "0 to 255, where the broker knows priorities.",
    "start_time": "Nothing is due before. Intervals count from here.",
    "expires": "Nothing is due from here on.",
    "expire_seconds": "Seconds; a run that has not started by then is skipped.",
    "one_off": "The schedule is disabled once it has started a run.",
    "enabled": "Otherwise nothing is due; “Run now” works.",
    "delivery": "A message is sent to its queue once: no retries, no timeout, no overlap policy.",
    "mode": "A shadow runs only by hand. Use it beside cron, to compare.",
    "description": "For people: what it is for, and what to do when it fails.",
    "tags": "Words, separated by blanks.",
    "keep_days": "Since a run ended. Empty: as the grey number says.",
    "keep_failed_days": "Failed, timed out or lost. It counts where it is more than the days of all.",
    "keep_runs": "Runs, at any age. 1 day and 500 runs keep little more than the last 500.",
}


@dataclass(frozen=True)
class Group:
    """A part of the form: rows of fields, each row beside one another."""

    title: str
    rows: list[list[BoundField]]
    folded: bool = False
    key: str = ""


LAYOUT: tuple[tuple[str, str, bool, tuple[tuple[str, ...], ...]], ...] = (
    (
        "What",
        "what",
        False,
        (
            ("name",),
            ("kind",),
            ("command",),
            ("working_directory", "run_as", "shell"),
            ("environment", "stdin"),
            ("task", "delivery"),
            ("args", "kwargs"),
        ),
    ),
    ("When", "when", False, (("when",), ("timezone", "dialect", "mode", "enabled"))),
    (
        "If things go wrong",
        "wrong",
        False,
        (
            ("retry_policy", "overlap"),
            ("timeout", "kill_grace"),
            ("catch_up", "catch_up_window"),
            ("on_worker_lost", "background"),
        ),
    ),
    ("Limits", "limits", False, (("memory_limit", "cpu_limit", "file_size_limit"),)),
    ("How long runs are kept", "keep", True, (("keep_days", "keep_failed_days", "keep_runs"),)),
    (
        "More: queue, start and end, clock changes, description",
        "more",
        True,
        (
            ("queue", "priority"),
            ("routing_key", "exchange"),
            ("start_time", "expires"),
            ("gap", "repeat"),
            ("expire_seconds", "one_off"),
            ("tags",),
            ("description",),
        ),
    ),
)


def groups(form: ModelForm) -> list[Group]:  # type: ignore[type-arg]
    """The form's parts in order; a folded part opens where one of its fields has an error."""
    return [
        Group(
            title,
            [[form[name] for name in row] for row in rows],
            folded and not any(name in form.errors for row in rows for name in row),
            key,
        )
        for title, key, folded, rows in LAYOUT
    ]
