"""What the change lists share: pages that are not counted, rows that arrive with what they show."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from schedules.admin.ansi import visible
from schedules.querysets import database_now

MOST_PAGES = 1000
"""Nobody pages that far by hand, and each page costs as much as all before it."""


class RowsAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A list whose check boxes name rows as safely as its columns do."""

    def action_checkbox(self, obj: Model) -> SafeString:
        return format_html(
            '<input type="checkbox" name="{}" value="{}" class="action-select" aria-label="Select {}">',
            ACTION_CHECKBOX_NAME,
            obj.pk,
            visible(str(obj)),
        )


class Uncounted(Paginator):  # type: ignore[type-arg]
    """Pages of a table whose rows are never counted: there is a next page where one more row was found."""

    @property
    def count(self) -> int:
        return 0


def show_page(changes: Any, request: HttpRequest) -> None:
    """Tells Django's templates of a change list that `result_list` is all there is to know."""
    changes.result_count = changes.full_result_count = len(changes.result_list)
    changes.show_full_result_count = False
    changes.show_admin_actions = True
    changes.can_show_all = False
    changes.multi_page = False
    changes.paginator = Uncounted(changes.result_list, changes.list_per_page)


class UncountedChangeList(ChangeList):
    """Newest first, `list_per_page` at a time, with "newer" and "older". Costs one query.

    For tables of some thousand rows: a page is found by passing over those in front of it.
    """

    has_older = False

    def get_results(self, request: HttpRequest) -> None:
        if not 1 <= self.page_num <= MOST_PAGES:
            raise IncorrectLookupParameters
        size = self.list_per_page
        first = (self.page_num - 1) * size
        rows = list(self.queryset[first : first + size + 1])
        self.has_older = len(rows) > size
        self.result_list = rows[:size]
        show_page(self, request)

    @property
    def newer_url(self) -> str:
        return self.get_query_string({"p": str(self.page_num - 1)}) if self.page_num > 1 else ""

    @property
    def older_url(self) -> str:
        return self.get_query_string({"p": str(self.page_num + 1)}) if self.has_older else ""


class TimedChangeList(ChangeList):
    """A list whose columns tell ages: all by one reading of the database's clock."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        now = database_now()
        rows = self.rows()
        for row in rows:
            row.read_at = now
        self.complete(rows)
        self.result_list = rows

    def rows(self) -> list[Any]:
        return list(self.result_list)

    def complete(self, rows: list[Any]) -> None:
        """Fetches, set-based, what the columns of these rows show besides."""
