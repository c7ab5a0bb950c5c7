"""The reusable retry policy. How it decides is `rules.retry`; a revision embeds its values."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from schedules.rules import retry


class RetryPolicy(models.Model):  # type: ignore[django-manager-missing]  # `schedules` is defined later
    """Named, shared by any number of schedules. Lengths are seconds."""

    name = models.CharField(max_length=100, unique=True)
    description = models.CharField(max_length=255, blank=True)
    max_attempts = models.PositiveSmallIntegerField(
        default=3,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text="How many attempts a run has at most, the first included.",
    )
    delays = models.JSONField(
        default=list,
        blank=True,
        help_text="Seconds before attempt 2, 3, …; the last one repeats. Empty: exponential, see below.",
    )
    initial_interval = models.FloatField(
        default=30,
        validators=[MinValueValidator(0)],
        help_text="Seconds before the second attempt.",
    )
    backoff_coefficient = models.FloatField(
        default=2,
        validators=[MinValueValidator(1)],
        help_text="Each wait is this many times the one before.",
    )
    maximum_interval = models.FloatField(
        default=3600,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="Seconds; no wait is longer.",
    )
    jitter = models.CharField(
        max_length=10,
        default=retry.Jitter.NONE.value,
        choices=[
            (retry.Jitter.NONE.value, "none: wait exactly as long as said"),
            (retry.Jitter.EQUAL.value, "equal: wait between half of it and all of it"),
            (retry.Jitter.FULL.value, "full: wait between nothing and all of it"),
        ],
    )
    give_up_after = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="Seconds from the start of the first attempt; no attempt starts later.",
    )
    rules = models.JSONField(
        default=list,
        blank=True,
        help_text="In order; the first that matches decides; where none matches, the attempt is retried.",
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        verbose_name_plural = "retry policies"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        problems = [*self._problems_of_delays(), *self._problems_of_rules()]
        if problems:
            raise ValidationError(problems)

    def _problems_of_delays(self) -> list[str]:
        if not isinstance(self.delays, list):
            return ["Delays: give a list of seconds, such as [30, 300, 3600]."]
        wrong = [delay for delay in self.delays if not isinstance(delay, int | float) or delay < 0]
        return [f"Delays: {delay!r} is not a number of seconds." for delay in wrong]

    def _problems_of_rules(self) -> list[str]:
        try:
            policy = retry.RetryPolicy.from_dict({"rules": self.rules})
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            return [
                f'Rules: {error}. A rule is {{"condition": "exit_code", "value": "75", "verdict": "retry"}}.'
            ]
        return [f"Rules: {problem}." for rule in policy.rules if (problem := retry.check(rule))]

    @property
    def value(self) -> retry.RetryPolicy:
        return retry.RetryPolicy.from_dict(
            {
                "name": self.name,
                "max_attempts": self.max_attempts,
                "delays": self.delays,
                "initial_interval": self.initial_interval,
                "backoff_coefficient": self.backoff_coefficient,
                "maximum_interval": self.maximum_interval,
                "jitter": self.jitter,
                "give_up_after": self.give_up_after,
                "rules": self.rules,
            }
        )
