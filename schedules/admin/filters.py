"""The filters beside the lists. None of them reads distinct values out of the history."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from schedules import conf
from schedules.admin import queries
from schedules.models import Schedule
from schedules.querysets import database_now
from schedules.rules.definition import Kind, Mode
from schedules.rules.states import FAILURES, WAITING, State, Trigger
from schedules.sql.indexed import StateAmong

Choices = list[tuple[str, str]]


class Filter(admin.SimpleListFilter):
    """A menu above the list."""

    template = "schedules/admin/filter.html"

    def value(self) -> str | None:
        """What the address says; nothing where no column could hold it."""
        found = super().value()
        return None if found is None or "\x00" in found else found


class StateFilter(Filter):
    title = "state"
    parameter_name = "is"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(word, word) for word in ("enabled", "overdue", "paused", "disabled", "not usable")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now = database_now()
        paused, sound = Q(paused_until__gt=now), Q(timing_error="")
        conditions = {
            "enabled": Q(enabled=True) & ~paused & sound,
            "overdue": Q(enabled=True, next_run_at__lt=now - timedelta(minutes=1)),
            "paused": Q(enabled=True) & paused & sound,
            "disabled": Q(enabled=False) & sound,
            "not usable": ~sound,
        }
        wanted = conditions.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(wanted)


class ModeFilter(Filter):
    title = "mode"
    parameter_name = "mode"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(Mode.LIVE.value, "live"), (Mode.SHADOW.value, "shadow")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(mode=self.value()) if self.value() else queryset


class LastOutcomeFilter(Filter):
    title = "last run"
    parameter_name = "last"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [
            ("bad", "failed"),
            ("good", "succeeded"),
            ("sent", "sent"),
            ("skipped", "skipped"),
            ("none", "never ran"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        conditions = {
            "good": Q(last_state=State.SUCCEEDED),
            "sent": Q(last_state=State.SENT),
            "skipped": Q(last_state=State.SKIPPED),
            "none": Q(last_state__isnull=True),
        }
        if self.value() == "bad":
            return queryset.filter(pk__in=queries.last_failed())
        wanted = conditions.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(pk__in=queries.with_last_state(wanted))


class KindFilter(Filter):
    title = "kind"
    parameter_name = "runs"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(Kind.COMMAND.value, "command"), (Kind.TASK.value, "Celery task")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


class TagFilter(Filter):
    """Tags and imported files of the schedules there are."""

    title = "tag or source"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        rows = Schedule.objects.live().exclude(tags="", source="").values_list("tags", "source").distinct()
        tags: set[str] = set()
        sources: set[str] = set()
        for tagged, source in rows[:500]:
            tags.update(tagged.split())
            sources.add(source)
        named = [(f"tag:{tag}", tag) for tag in sorted(tags)[:30]]
        return named + [(f"source:{source}", source) for source in sorted(sources - {""})[:30]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        kind, _, value = (self.value() or "").partition(":")
        if not value:
            return queryset
        return queryset.filter(source=value) if kind == "source" else queryset.filter(tagged(value))


def tagged(tag: str) -> Q:
    """The tag as a whole word."""
    return (
        Q(tags=tag)
        | Q(tags__startswith=f"{tag} ")
        | Q(tags__endswith=f" {tag}")
        | Q(tags__contains=f" {tag} ")
    )


class QueueFilter(Filter):
    title = "queue"
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("-", "not named"), *((name, name) for name in conf.current().queues)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = self.value()
        if not name:
            return queryset
        unnamed = Q(queue__isnull=True) | Q(queue="")
        return queryset.filter(unnamed if name == "-" else Q(queue=name))


class RunStateFilter(Filter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        words = [(state.value, state.replace("_", " ")) for state in State if state not in WAITING]
        return [
            ("waiting", "waiting to start"),
            ("retrying", "retrying"),
            *words[:2],
            ("mended", "succeeded after retry"),
            ("bad", "failed, timed out or lost"),
            *words[2:],
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        conditions = {
            "waiting": Q(state__in=WAITING, attempt=0),
            "retrying": Q(state__in=WAITING, attempt__gt=0),
            "mended": Q(state=State.SUCCEEDED, attempt__gt=1),
            "bad": Q(StateAmong(FAILURES)),
        }
        if not value:
            return queryset
        return queryset.filter(conditions.get(value, Q(state=value)))


class TriggerFilter(Filter):
    title = "trigger"
    parameter_name = "trigger"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        offered = (Trigger.SCHEDULE, Trigger.CATCH_UP, Trigger.MANUAL, Trigger.RERUN)
        return [(trigger.value, trigger.replace("_", " ")) for trigger in offered]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(trigger=self.value()) if self.value() else queryset


class DueFilter(Filter):
    title = "due"
    parameter_name = "due"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("hour", "in the last hour"), ("today", "today"), ("7d", "in the last 7 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now = timezone.localtime(database_now())
        since = {
            "hour": now - timedelta(hours=1),
            "today": now.replace(hour=0, minute=0, second=0, microsecond=0),
            "7d": now - timedelta(days=7),
        }.get(self.value() or "")
        return queryset if since is None else queryset.filter(scheduled_for__gte=since)
