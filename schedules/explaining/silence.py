"""Why nothing is due at a moment: not yet there, deleted, set aside, disabled, paused, or not by its timing.

The part of `explaining` that asks the history and the timing only; what became of a due instant is there.
"""

from __future__ import annotations

from collections.abc import Callable

from schedules.explaining.explanation import Explanation, Question, Verdict
from schedules.models import Run
from schedules.models.schedule import FOREVER
from schedules.revisions import SET_ASIDE
from schedules.rules import cron, wording
from schedules.rules.explaining import compare_fields, say_clock_change
from schedules.rules.history import Version
from schedules.rules.timing import (
    BootTiming,
    CronTiming,
    IntervalTiming,
    MomentTiming,
    NoTiming,
    SolarTiming,
    WindowTiming,
)


def why_silent(question: Question) -> Explanation:
    """For a question at whose moment nothing is due."""
    return _Silence(
        question.schedule, question.history, question.asked, question.now, question.here
    ).explained()


class _Silence(Question):
    def explained(self) -> Explanation:
        at, version = self.asked.at, self.version
        if version is None:
            return self._before_the_first()
        if version.timing is None:
            told = self.tell(
                at, Verdict.SET_ASIDE, f"Nobody can tell: revision {version.number} is unreadable."
            )
            told.say("problem", version.problem)
            return told
        if not version.enabled:
            return self._off(version)
        if version.is_paused(at):
            return self._paused(version)
        return self._by_timing(version)

    def _before_the_first(self) -> Explanation:
        first = self.history.versions[0] if self.history.versions else None
        if first is None:
            told = self.tell(
                self.asked.at, Verdict.SET_ASIDE, "Never runs: it was never defined so that it can."
            )
            told.say("set aside", self.schedule.timing_error or "why is not recorded")
            return told
        sentence = f"Did not exist yet at {self.when(self.asked.at)}."
        told = self.tell(self.asked.at, Verdict.NOT_YET_CREATED, sentence)
        told.say("created", f"{self.when(first.changed_at)} by {first.changed_by or 'unknown'}")
        return told

    def _off(self, version: Version) -> Explanation:
        since = self._since(version, lambda other: not other.enabled)
        deleted_at = self.schedule.deleted_at
        if deleted_at is not None and self.asked.at > deleted_at:
            verdict, word = Verdict.DELETED, "deleted"
            since = next((v for v in reversed(self.history.versions) if v.changed_at == deleted_at), since)
        elif since.note.startswith(SET_ASIDE):
            verdict, word = Verdict.SET_ASIDE, "set aside"
        else:
            verdict, word = Verdict.DISABLED, "disabled"
        told = self.tell(self.asked.at, verdict, self._did_not(word))
        told.say(word, self.by(since))
        self._say_otherwise(told, version)
        return told

    def _paused(self, version: Version) -> Explanation:
        since = self._since(version, lambda other: other.paused_until == version.paused_until)
        until = version.paused_until
        assert until is not None
        end = "until somebody resumes it" if until >= FOREVER else f"until {self.when(until)}"
        told = self.tell(self.asked.at, Verdict.PAUSED, self._did_not(f"paused {end}"))
        told.say("paused", self.by(since))
        self._say_otherwise(told, version)
        return told

    def _did_not(self, state: str) -> str:
        at = self.asked.at
        if at == self.now:
            return f"Does not run: it is {state}."
        did, was = ("Did", "was") if at < self.now else ("Will", "is")
        return f"{did} not run at {self.when(at)}: it {was} {state}."

    def _since(self, version: Version, holds: Callable[[Version], bool]) -> Version:
        """The first of the revisions, up to `version`, since which something holds."""
        found = version
        for other in reversed(self.history.versions[: self.history.versions.index(version)]):
            if not holds(other):
                break
            found = other
        return found

    def _say_otherwise(self, told: Explanation, version: Version) -> None:
        """Whether the timing alone would have made it due."""
        assert version.timing is not None
        if self.asked.at != self.now:
            due = any(version.timing.between(self.asked.at, self.asked.until))
            told.say("otherwise", "it would be due at that moment" if due else "it would not be due anyway")

    def _by_timing(self, version: Version) -> Explanation:
        timing, at = version.timing, self.asked.at
        if isinstance(timing, WindowTiming):
            if timing.not_before is not None and at < timing.not_before:
                return self._is_not_due(f"it starts only {self.when(timing.not_before)}")
            if timing.not_after is not None and at >= timing.not_after:
                return self._is_not_due(f"it ended {self.when(timing.not_after)}")
        match version.plain_timing:
            case BootTiming():
                return self._not_by_clock("Runs when the host of a worker boots, not by the clock.")
            case NoTiming():
                return self._not_by_clock("Runs by hand only, not by the clock.")
            case MomentTiming(due):
                return self._is_not_due(f"it is due once, {self.when(due)}")
            case IntervalTiming() | SolarTiming() as other:
                return self._is_not_due(f"it runs {wording.describe(other)}, and not then")
            case CronTiming() as found:
                return self._by_cron(found)
        raise AssertionError(version)

    def _by_cron(self, timing: CronTiming) -> Explanation:
        plan = cron.parse(timing.expression, timing.dialect, seed=timing.seed)
        if plan.never_fires:
            return self.tell(self.asked.at, Verdict.NEVER_DUE, f"Never runs: {plan.why_never}.")
        wall, change = self.wall(timing), self.change(timing)
        shown = f"{wall:%a %Y-%m-%d %H:%M}" if change is not None and change.is_gap else ""
        fields = compare_fields(timing, wall)
        if fields.failing:
            return self._is_not_due(fields.sentence, shown)
        if change is not None:
            return self._is_not_due(say_clock_change(timing, change, wall, runs_after=False)[1], shown)
        return self._is_not_due(f"the rules of the dialect {timing.dialect} give no start then")

    def _is_not_due(self, reason: str, shown: str = "") -> Explanation:
        """`shown` stands for a moment that no clock shows."""
        at = self.asked.at
        was = "Was" if at < self.now else "Is"
        return self.tell(at, Verdict.NOT_DUE, f"{was} not due at {shown or self.when(at)}: {reason}.")

    def _not_by_clock(self, sentence: str) -> Explanation:
        told = self.tell(self.asked.at, Verdict.NOT_BY_CLOCK, sentence)
        last = Run.objects.filter(schedule=self.schedule).order_by("-pk").first()
        if last is None:
            told.say("last run", "none is on record")
        else:
            told.say("last run", f"run {last.pk}, {self.when(last.scheduled_for)}: {last.label}", last.pk)
        return told
