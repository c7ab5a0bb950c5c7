"""The driver's unusable rows: it says so when one of them is not set aside."""

from __future__ import annotations

import random

import pytest
from django_celery_beat.models import PeriodicTask

from benchmarks.chaos import evidence, poison
from schedules import dispatch, reconcile
from schedules.models import Schedule
from schedules.querysets import database_now
from tests.factories import make_later

pytestmark = pytest.mark.django_db


def test_each_kind_is_set_aside_and_stops_nothing_else():
    fine = make_later("fine")
    for number, kind in enumerate(poison.KINDS):
        kind(f"{poison.PREFIX}{number}")
    assert len(list(poison.unnoticed())) == len(poison.KINDS)

    reconcile.reconcile()
    dispatch.dispatch_due(database_now())

    assert evidence.set_aside() == []
    assert Schedule.objects.exclude(timing_error="").count() == len(poison.KINDS)
    assert Schedule.objects.get(pk=fine.pk).timing_error == ""


def test_no_more_than_enough_are_inserted():
    chance = random.Random(1)
    assert sum(poison.insert(chance) for _ in range(poison.MOST + 3)) == poison.MOST
    assert PeriodicTask.objects.count() == poison.MOST
