"""People with different rights, and what they see."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

VIEWER = ("view_schedule", "view_run")


@pytest.fixture
def person(db):
    """A client of somebody with exactly these permissions of the app."""

    def login(*permissions: str, name: str = "ann") -> Client:
        user = User.objects.create_user(name, is_staff=True)
        found = Permission.objects.filter(content_type__app_label="schedules", codename__in=permissions)
        assert found.count() == len(set(permissions))
        user.user_permissions.set(found)
        client = Client()
        client.force_login(user)
        return client

    return login


@pytest.fixture
def root(db):
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def form_data():
    """What a browser sends for the schedule form as the page shows it, with changes."""

    def data(client: Client, pk: int | None = None, **changes: object) -> dict[str, object]:
        page = client.get(form_url(pk)).context["form"]
        sent = {}
        for bound in page:
            value = bound.value()
            if isinstance(value, bool):
                value = "on" if value else None
            if value is not None and not bound.field.disabled:
                sent[bound.name] = bound.field.widget.format_value(bound.field.prepare_value(value))
                if isinstance(sent[bound.name], list):
                    sent[bound.name] = sent[bound.name][0] if sent[bound.name] else ""
        sent |= changes
        return {name: value for name, value in sent.items() if value is not None}

    return data


def form_url(pk: int | None = None) -> str:
    if pk is None:
        return reverse("admin:schedules_schedule_add")
    return reverse("admin:schedules_schedule_change", args=[pk])


def said(response) -> str:
    """The messages of a response, in one line."""
    return " ".join(str(message) for message in response.context["messages"])


def count_queries(client: Client, url: str) -> int:
    """How many queries the page costs."""
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def plans(client: Client, url: str) -> list[str]:
    """How the database answers each query of the page, with the parameters that it had."""
    asked = []

    def note(execute, sql, params, many, context):
        asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        assert client.get(url).status_code == 200
    with connection.cursor() as cursor:
        return [_plan(cursor, sql, params) for sql, params in asked if sql.startswith("SELECT")]


def _plan(cursor, sql, params) -> str:
    cursor.execute(f"EXPLAIN {'QUERY PLAN ' if connection.vendor == 'sqlite' else ''}{sql}", params)
    return "\n".join(str(row[-1]) for row in cursor.fetchall())
