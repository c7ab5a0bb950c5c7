"""How long the runs of a schedule are kept, in its form and in manifests."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from schedules.models import Schedule
from tests.admin.conftest import form_url
from tests.factories import make_later, make_schedule

pytestmark = pytest.mark.django_db

MANIFEST = """\
schedules:
  backup:
    every: hour
    command: backup
"""
KEPT = "    keep_days: 400\n    keep_failed_days: 800\n    keep_runs: 0\n"


def kept(schedule: Schedule) -> tuple[float | None, float | None, int | None]:
    schedule.refresh_from_db()
    return schedule.keep_days, schedule.keep_failed_days, schedule.keep_runs


def test_the_form_keeps_what_is_typed_and_makes_no_revision(root, form_data):
    schedule = make_later()
    before = Schedule.objects.get(pk=schedule.pk)

    data = form_data(root, schedule.pk, keep_days="3", keep_failed_days="90.5", keep_runs="0")
    assert root.post(form_url(schedule.pk), data).status_code == 302

    assert kept(schedule) == (3, 90.5, 0)
    assert (schedule.revision_id, schedule.next_run_at) == (before.revision_id, before.next_run_at)


def test_empty_boxes_show_what_the_installation_says_and_stay_empty(root, form_data, settings):
    settings.BEATKEEPER = {"retention_days": 45, "retention_failed_days": 90, "retention_runs": 7}
    schedule = make_schedule(keep_days=3, keep_runs=1)
    page = root.get(form_url(schedule.pk)).content.decode()
    assert all(f'placeholder="{number}"' in page for number in (45, 90, 7))

    root.post(form_url(schedule.pk), form_data(root, schedule.pk, keep_days="", keep_runs=""))

    assert kept(schedule) == (None, None, None)


@pytest.mark.parametrize(
    ("box", "typed"),
    [("keep_days", "0.5"), ("keep_failed_days", "0"), ("keep_days", "nan"), ("keep_runs", "-1")],
)
def test_what_cannot_be_kept_is_refused_at_its_box_which_opens(root, form_data, box, typed):
    schedule = make_schedule()

    page = root.post(form_url(schedule.pk), form_data(root, schedule.pk, **{box: typed}))

    assert box in page.context["form"].errors
    assert not next(group for group in page.context["groups"] if group.key == "keep").folded
    assert kept(schedule) == (None, None, None)


@pytest.fixture
def apply(tmp_path):
    def apply(text: str) -> Schedule:
        path = tmp_path / "schedules.yaml"
        path.write_text(text)
        call_command("apply_schedules", str(path))
        found: Schedule = Schedule.objects.get(name="backup")
        return found

    return apply


def test_a_manifest_says_it_and_an_export_says_it_again(apply, capsys):
    schedule = apply(MANIFEST + KEPT)
    assert kept(schedule) == (400, 800, 0)

    capsys.readouterr()
    call_command("export_schedules")
    assert KEPT in capsys.readouterr().out


def test_a_manifest_that_changes_it_alone_makes_no_revision(apply):
    before = apply(MANIFEST)

    after = apply(MANIFEST + KEPT)

    assert (after.revision_id, after.next_run_at) == (before.revision_id, before.next_run_at)
    assert kept(after) == (400, 800, 0)
    assert kept(apply(MANIFEST)) == (None, None, None)
