"""Every exception that Beatkeeper raises on purpose; callers catch these, never bare ValueError.

BeatkeeperError
├── InvalidSchedule          a schedule's definition cannot be used
│   ├── CronError            a cron expression is refused (field, position, reason)
│   └── TimingError          another timing (interval, moment, zone) is refused
├── CrontabRefused           a crontab file is refused as a whole
├── NotWritable              no crontab can express a schedule
├── ManifestRefused          a file of schedules is refused as a whole
├── UnknownSchedule          no schedule has that name
├── NotPossible              an operator's request does not fit the state of the run or schedule
└── RunnerError              a command could not be started or its runner was lost
"""


class BeatkeeperError(Exception):
    """The root. Its message says what happened, why, and what to do."""


class InvalidSchedule(BeatkeeperError, ValueError):
    """A schedule's definition cannot be used. `column` of the row is to blame; "" where several are."""

    def __init__(self, message: str, *, column: str = "") -> None:
        super().__init__(message)
        self.column = column


class CronError(InvalidSchedule):
    """A cron expression is refused.

    `field` is "minute", "hour", "day of month", "month", "day of week", or "" for the whole
    expression; `position` is the 0-based offset into the expression at which reading stopped;
    `reason` is a sentence without a full stop, such as "minute 61 is outside 0-59".
    """

    def __init__(self, expression: str, *, field: str, position: int, reason: str) -> None:
        super().__init__(f'cron expression "{expression}" is not valid: {reason}')
        self.expression = expression
        self.field = field
        self.position = position
        self.reason = reason


class TimingError(InvalidSchedule):
    """An interval, a moment or a time zone is refused."""


class CrontabRefused(BeatkeeperError):
    """A crontab file is refused as a whole; `errors` names every bad line."""


class NotWritable(BeatkeeperError):
    """No crontab can express a job or a setting; the message is the reason, a clause without a full stop."""


class ManifestRefused(BeatkeeperError):
    """A manifest is refused as a whole; `problems` are sentences, each with its file, line and column."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class UnknownSchedule(BeatkeeperError):
    """No schedule has that name."""


class NotPossible(BeatkeeperError):
    """A request does not fit the state of the run or schedule, such as to cancel a finished run."""


class RunnerError(BeatkeeperError):
    """A command could not be started, or the process that looked after it was lost."""
