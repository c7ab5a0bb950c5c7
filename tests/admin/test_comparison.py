"""Comparisons with cron's log, and shadow schedules, as the pages show them."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils.html import strip_tags

from schedules.models import CronComparison, CutOver, Schedule
from schedules.querysets import database_now
from tests.admin.conftest import VIEWER, count_queries, form_url, said
from tests.factories import make_schedule

LIST = "admin:schedules_croncomparison_changelist"


def line(schedule: str, pk: int | None = None, **values: object) -> dict[str, object]:
    given: dict[str, object] = {
        "schedule": schedule,
        "id": pk,
        "account": "root",
        "command": "true",
        "mode": "shadow",
        "source": "/etc/cron.d/jobs",
        "line": 3,
        "matched": 2,
        "both_ran": 0,
        "only_cron": 0,
        "only_us": 0,
        "drift_p50": -0.5,
        "drift_max": 61.0,
        "first_only_cron": [],
        "first_only_us": [],
        "note": "",
    }
    return given | values


def comparison(*lines: dict[str, object], **values: int) -> CronComparison:
    now = database_now()
    counts = {"matched": 2, "only_cron": 0, "only_us": 0} | values
    return CronComparison.objects.create(
        compared_at=now, compared_by="me", log="/var/log/syslog", since=now, until=now, result=lines, **counts
    )


def page(row: CronComparison) -> str:
    return reverse("admin:schedules_croncomparison_change", args=[row.pk])


def test_the_list_says_which_differ(root):
    comparison()
    comparison(only_us=3)
    text = root.get(reverse(LIST)).content.decode()
    assert (text.count(">different<"), text.count(">equal<")) == (1, 1)


def test_the_page_shows_differences_first_and_links_the_schedules(root):
    schedule = make_schedule("sync")
    at = "2026-11-21T04:05:01+00:00"
    row = comparison(
        line("other"),
        line("sync", schedule.pk, only_cron=1, first_only_cron=[at]),
        line("", account="adm", command="run-parts", only_cron=9),
        only_cron=1,
    )
    text = root.get(page(row)).content.decode()
    assert text.index("Different (1)") < text.index("Equal (1)") < text.index("of no schedule (1)")
    assert form_url(schedule.pk) in text
    assert 'datetime="2026-11-21T04:05:01Z"' in text
    assert ("-0.5 s" in text, "+61.0 s" in text, "run-parts" in text) == (True, True, True)


def test_what_people_and_logs_say_is_escaped(root):
    row = comparison(line("<b>x</b>", note="<i>", only_us=1), line("", command="<script>\x1b"), only_us=1)
    text = root.get(page(row)).content.decode()
    assert "<b>x</b>" not in text
    assert "<script>\x1b" not in text


def test_a_page_costs_the_same_however_long_it_is(root):
    short, long = comparison(line("a")), comparison(*(line(f"job {number}") for number in range(50)))
    assert count_queries(root, page(short)) == count_queries(root, page(long))


def test_a_comparison_that_is_not_there(root):
    assert (
        root.get(reverse("admin:schedules_croncomparison_change", args=[99]), follow=True).status_code == 200
    )


def test_who_may_not_see_comparisons_does_not(person):
    row = comparison()
    client = person(*VIEWER)
    assert client.get(page(row)).status_code == 403
    assert "Comparisons" not in client.get("/admin/").content.decode()
    allowed = person("view_croncomparison", name="bob")
    assert allowed.get(page(row)).status_code == 200


SCHEDULES = "/admin/schedules/schedule/"


def act(client, action: str, *schedules: Schedule):
    sent = {"action": action, "_selected_action": [row.pk for row in schedules]}
    return client.post(SCHEDULES, sent, follow=True)


def test_shadows_are_marked_and_can_be_filtered(root):
    make_schedule("ghost", mode="shadow")
    make_schedule("real")
    text = root.get(SCHEDULES).content.decode()
    assert text.count(">shadow</span>") == 1
    shadows = root.get(SCHEDULES, {"mode": "shadow"}).content.decode()
    assert ("ghost" in shadows, "real" in shadows) == (True, False)


@pytest.mark.parametrize(
    ("action", "before", "after"), [("live", "shadow", "live"), ("shadow", "live", "shadow")]
)
def test_the_mode_changes_in_bulk_with_the_right_to_pause(person, action, before, after):
    rows = [make_schedule(name, mode=before) for name in ("a", "b")]
    client = person(*VIEWER, "pause_schedule")
    assert "2 schedules made" in said(act(client, f"{action}_selected", *rows))
    assert set(Schedule.objects.values_list("mode", flat=True)) == {after}


def test_the_mode_does_not_change_without_it(person):
    row = make_schedule(mode="shadow")
    act(person(*VIEWER), "live_selected", row)
    assert Schedule.objects.get().mode == "shadow"


def test_making_an_imported_shadow_live_warns_that_cron_still_runs_it(root):
    row = make_schedule(mode="shadow", source="/etc/cron.d/jobs")
    assert "cron still runs these lines" in said(act(root, "live_selected", row))


def cut_over(row: Schedule) -> None:
    now = database_now()
    CutOver.objects.create(
        schedule=row, name=row.name, path="/etc/cron.d/jobs", line=3, text=b"x", backup="b", effective_at=now
    )


def test_what_was_cut_over_cannot_be_made_a_shadow(root, form_data):
    row = make_schedule(source="/etc/cron.d/jobs")
    cut_over(row)
    assert "cut_over --undo" in said(act(root, "shadow_selected", row))
    refused = root.post(form_url(row.pk), form_data(root, row.pk, mode="shadow"))
    assert "cut_over --undo" in refused.content.decode()
    assert Schedule.objects.get().mode == "live"


def test_the_form_changes_the_mode(root, form_data):
    row = make_schedule(mode="shadow")
    assert "A shadow: it records" in root.get(form_url(row.pk)).content.decode()
    root.post(form_url(row.pk), form_data(root, row.pk, mode="live"))
    assert Schedule.objects.get().mode == "live"


def test_a_shadow_whose_line_is_cut_over_is_told_with_both_ways_to_repair_it(root):
    row = make_schedule(mode="shadow", source="/etc/cron.d/jobs")
    cut_over(row)
    text = root.get(form_url(row.pk)).content.decode()
    assert "Neither cron nor Beatkeeper runs it" in text
    for way in ("cut_over", "cut_over --undo"):
        assert f"manage.py {way} /etc/cron.d/jobs --name {row.name}" in strip_tags(text)
    assert ">run by nobody</span>" in root.get(SCHEDULES).content.decode()
    Schedule.objects.update(mode="live")
    text = root.get(form_url(row.pk)).content.decode()
    assert ("Neither cron" in text, "Instead of cron" in text) == (False, True)


@pytest.mark.parametrize(("both_ran", "word"), [(2, "run by both"), (0, "equal")])
def test_the_list_says_where_a_line_was_run_by_both(root, both_ran, word):
    now = database_now()
    row = CronComparison.objects.create(
        compared_at=now,
        since=now,
        until=now,
        log="syslog",
        matched=5,
        only_cron=0,
        only_us=0,
        result=[{"schedule": "", "both_ran": 0}, {"schedule": "", "both_ran": both_ran}],
    )

    listed = root.get(f"/admin/schedules/{row._meta.model_name}/").content.decode()

    assert f">{word}</span>" in listed
