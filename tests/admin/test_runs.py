"""The list of runs and the page of one: what happened, why, and what can be done now."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from schedules import catalog, finishing
from schedules.models import Attempt, AttemptOutput, Run
from schedules.querysets import database_now
from schedules.rules.states import Outcome, State
from schedules.worker.work import Ended
from tests.admin.conftest import count_queries, said
from tests.factories import claimed, make_history, make_policy, make_run, make_schedule

pytestmark = pytest.mark.django_db
LIST = "/admin/schedules/run/"


def page_url(run: Run) -> str:
    return reverse("admin:schedules_run_change", args=[run.pk])


def attempt(run: Run, outcome: Outcome = Outcome.FAILED, **more) -> Run:
    """One more attempt of the run, ended like that."""
    Run.objects.filter(pk=run.pk).update(available_at=database_now() - timedelta(seconds=1))
    finishing.finish(claimed(run), Ended(outcome=outcome, **more))
    run.refresh_from_db()
    return run


@pytest.fixture
def patient():
    """A schedule whose runs have three attempts, an hour apart."""
    return make_schedule(retry_policy=make_policy(delays=[3600]))


def html(response):
    return response.content.decode()


@pytest.mark.parametrize(
    ("endings", "sentence"),
    [
        ([{"outcome": Outcome.SUCCEEDED, "exit_code": 0}], "Succeeded"),
        (
            [{"exit_code": 75}, {"outcome": Outcome.SUCCEEDED, "exit_code": 0}],
            "Succeeded on attempt 2 of 3",
        ),
        ([{"exit_code": 75}], "Waits for attempt 2 of 3, in"),
        ([{"exit_code": 75}] * 3, "Failed on attempt 3 of 3: exit code 75 (temporary failure)."),
        ([{"signal": 9}] * 3, "Failed on attempt 3 of 3: ended by SIGKILL (9)."),
        (
            [{"error_class": "ConnectionError", "error": "refused\nmore"}] * 3,
            "Failed on attempt 3 of 3: ConnectionError: refused.",
        ),
    ],
)
def test_the_page_begins_with_what_became_of_the_run(root, patient, endings, sentence):
    run = make_run(patient)
    for ending in endings:
        attempt(run, **{"outcome": Outcome.FAILED} | ending)

    assert sentence in root.get(page_url(run)).context["sentence"]


def test_a_skipped_run_says_why(root, patient):
    run = make_run(patient, state=State.SKIPPED, detail="Another run was active.", finished_at=database_now())

    assert root.get(page_url(run)).context["sentence"] == "Skipped: Another run was active."


def test_a_row_of_the_list_says_how_many_instants_it_stands_for(root, patient):
    make_run(patient, state=State.SKIPPED, reason="missed", missed_count=1440, finished_at=database_now())

    assert "missed, 1,440 instants" in html(root.get(reverse("admin:schedules_run_changelist")))


def test_every_attempt_is_there_with_its_decision_and_output(root, patient):
    run = make_run(patient)
    attempt(run, exit_code=75, head=(("stdout", "\x1b[31mfirst"), ("stderr", "<script>")), bytes_seen=99)
    attempt(
        run,
        exit_code=75,
        head=(("stdout", "second"),),
        tail=(("stdout", "end"),),
        bytes_seen=9,
        bytes_dropped=2048,
    )

    page = html(root.get(page_url(run)))

    assert page.index("Attempt 2 of 3") < page.index("Attempt 1 of 3")
    assert "Attempt 3 of 3 follows after 60 min." in page
    assert '<span class="ansi-fg-1">first</span><span class="bk-stderr">&lt;script&gt;</span>' in page
    assert "2.0\u00a0KB were not kept" in page
    assert "<script>" not in page.replace('<script src="/static/', "")


def test_what_earlier_attempts_printed_is_open_where_it_is_short(root):
    run = make_run(make_schedule(retry_policy=make_policy(max_attempts=4, delays=[3600])))
    for size in (2000, 2001, 30_000):
        attempt(run, exit_code=75, head=(("stdout", "x"),), bytes_seen=size)

    blocks = root.get(page_url(run)).context["blocks"]

    assert [(block.number, block.is_open) for block in blocks] == [(3, True), (2, False), (1, True)]


def test_hostile_errors_and_tracebacks_are_text(root, patient):
    run = make_run(patient)
    attempt(
        run, error_class="E", error="<script>e</script>\u202e", traceback="<script>t</script>\x1b]0;x\x07"
    )

    page = html(root.get(page_url(run)))

    assert "<script>e" not in page
    assert "<script>t" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_an_active_run_refreshes_by_itself_until_told_not_to(root, patient):
    run = make_run(patient)

    assert root.get(page_url(run)).headers["Refresh"] == "5"
    assert "Refresh" not in root.get(page_url(run), {"still": ""}).headers
    attempt(run, Outcome.SUCCEEDED)
    assert "Refresh" not in root.get(page_url(run)).headers


def test_only_the_buttons_that_apply_are_offered(root, patient):
    waiting, over = make_run(patient), make_run(patient)
    assert root.get(page_url(waiting)).context["buttons"] == {"cancel"}

    attempt(waiting, exit_code=75)
    attempt(over, Outcome.SUCCEEDED)

    assert root.get(page_url(waiting)).context["buttons"] == {"cancel", "retry"}
    assert root.get(page_url(over)).context["buttons"] == {"again"}


def test_the_buttons_do_what_they_say(root, patient):
    run = attempt(make_run(patient), exit_code=75)

    hastened = root.post(reverse("admin:schedules_run_retry", args=[run.pk]), follow=True)
    assert "Attempt 2 of run" in said(hastened)
    root.post(reverse("admin:schedules_run_cancel", args=[run.pk]))
    run.refresh_from_db()
    assert (run.state, run.detail) == (State.CANCELLED, "Cancelled by root.")
    root.post(reverse("admin:schedules_run_again", args=[run.pk]))
    again = Run.objects.get(rerun_of=run)
    assert (again.trigger, again.triggered_by) == ("rerun", "root")


def test_a_button_pressed_too_late_says_why_it_was_refused(root, patient):
    run = attempt(make_run(patient), Outcome.SUCCEEDED)

    response = root.post(reverse("admin:schedules_run_cancel", args=[run.pk]), follow=True)

    assert "is over already (succeeded)" in said(response)


@pytest.mark.parametrize("verb", ["again", "cancel", "retry"])
def test_nothing_changes_by_get(root, patient, verb):
    run = make_run(patient)

    assert root.get(reverse(f"admin:schedules_run_{verb}", args=[run.pk])).status_code == 405


def test_the_run_shows_what_it_ran_and_what_changed_since(root, patient):
    run = make_run(patient)
    catalog.change([patient.pk], by="bob", command="something new")

    since = root.get(page_url(run)).context["since"]

    assert [(change.field, change.before, change.after) for change in since] == [
        ("command", "true", "something new")
    ]


def test_the_timeline_shows_attempts_and_the_waits_between(root, patient):
    run = make_run(patient)
    attempt(run, exit_code=75)
    attempt(run, Outcome.SUCCEEDED)

    tones = [segment.tone for segment in root.get(page_url(run)).context["segments"]]

    assert [tone for tone in tones if tone != "gap"] == ["bad", "good"]


def test_output_downloads_as_a_file_that_no_browser_opens(root, patient):
    run = attempt(make_run(patient), exit_code=1, head=(("stdout", "\x1b[31m<b>"),), bytes_seen=8)
    url = reverse("admin:schedules_run_output", args=[run.pk, 1])

    response = root.get(url)

    assert response.content == b"\x1b[31m<b>"
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Content-Disposition"].startswith("attachment")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response.headers["Content-Security-Policy"]
    assert root.get(url, {"plain": ""}).content == b"<b>"


def test_the_page_costs_the_same_for_two_and_for_forty_attempts(root):
    schedule = make_schedule(retry_policy=make_policy(max_attempts=60))
    run = make_run(schedule)
    for _ in range(2):
        attempt(run, exit_code=75, head=(("stdout", "x"),), bytes_seen=1)
    few = count_queries(root, page_url(run))

    for _ in range(40):
        attempt(run, exit_code=75, head=(("stdout", "x"),), bytes_seen=1)

    assert count_queries(root, page_url(run)) == few


def test_a_run_of_a_schedule_that_is_gone_still_has_its_page(root, patient):
    run = attempt(make_run(patient), Outcome.SUCCEEDED)
    patient.delete()

    assert root.get(page_url(run)).status_code == 200


def test_the_list_costs_the_same_for_five_and_for_fifty_runs_and_counts_nothing(root, patient):
    make_history(patient, [State.SUCCEEDED] * 5)
    few = count_queries(root, LIST)

    make_history(patient, [State.FAILED] * 45)

    assert count_queries(root, LIST) == few


def test_the_list_shows_attempts_and_when_the_next_one_is(root, patient):
    run = attempt(make_run(patient), exit_code=75)

    page = html(root.get(LIST))

    assert '<span class="bk-badge bk-plain">1/3</span>' in page
    assert "next attempt in 59 min" in page
    assert "exit code 75" in page
    assert page_url(run) in page


def test_the_list_filters_by_what_people_ask_for(root, patient):
    other = make_schedule("other")
    mended = attempt(attempt(make_run(patient), exit_code=75), Outcome.SUCCEEDED)
    retrying = attempt(make_run(patient), exit_code=75)
    waiting = make_run(other)
    failed = attempt(make_run(other), exit_code=1)

    def found(**query):
        return {run.pk for run in root.get(LIST, query).context["cl"].result_list}

    assert found(state="mended") == {mended.pk}
    assert found(state="retrying") == {retrying.pk}
    assert found(state="waiting") == {waiting.pk}
    assert found(state="bad") == {failed.pk}
    assert found(state="succeeded") == {mended.pk}
    assert found(schedule=str(other.pk)) == {waiting.pk, failed.pk}
    assert found(trigger="schedule") == set()
    assert found(due="today") | found(due="hour") == found() == found(due="7d")
    assert found(q="oth") == {waiting.pk, failed.pk}


def test_actions_say_how_many_they_did_and_which_were_refused(root, patient):
    over, waiting = attempt(make_run(patient), Outcome.SUCCEEDED), make_run(patient)
    chosen = {"action": "again_selected", "_selected_action": [over.pk, waiting.pk]}

    response = root.post(LIST, chosen, follow=True)

    assert "1 run repeated." in said(response)
    assert "1 refused." in said(response)
    assert "is not over yet" in said(response)


def test_runs_and_attempts_cannot_be_edited(root, patient):
    run = make_run(patient)

    assert root.post(page_url(run), {"state": "succeeded"}).status_code in (200, 403, 405)
    run.refresh_from_db()
    assert run.state == State.PENDING
    assert root.get("/admin/schedules/run/add/").status_code == 403
    assert root.post(reverse("admin:schedules_run_delete", args=[run.pk])).status_code == 403
    assert not Attempt.objects.exists()
    assert not AttemptOutput.objects.exists()


@pytest.mark.parametrize(
    "query",
    [
        {"p": "0"},
        {"p": "99999999999999999999"},
        {"p": "x"},
        {"state": "\x00"},
        {"state": "<script>"},
        {"q": "\x00"},
    ],
)
def test_an_address_that_makes_no_sense_is_no_error(root, patient, query):
    make_run(patient)

    response = root.get(LIST, query, follow=True)

    assert response.status_code == 200
    assert b"<script>" not in response.content.replace(b"<script src=", b"")


@pytest.mark.parametrize(
    "query", [{"schedule": "x"}, {"schedule": "99999999999999999999"}, {"token": "1"}, {"worker__name": "x"}]
)
def test_runs_are_looked_up_by_keys_of_schedules_and_workers_alone(root, query):
    assert root.get(LIST, query).status_code == 400


@pytest.mark.parametrize("address", ["0", "99999999999999999999", "x", "\u0663"])
def test_a_run_that_is_not_there_leads_to_the_list(root, address):
    response = root.get(f"/admin/schedules/run/{address}/change/", follow=True)

    assert "There is no run" in said(response)
