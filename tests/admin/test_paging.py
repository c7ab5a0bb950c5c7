"""Pages of the list of runs: beside a key, along an index, within a budget."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import chain

import pytest
from django.db import connection

from schedules.admin import paging, queries
from schedules.admin.paging import Place, page_of, streams_of
from schedules.models import Run
from schedules.models.run import UNUSUAL, UNUSUAL_TRIGGERS
from schedules.querysets import database_now
from schedules.rules.states import FAILURES, State
from tests.admin.conftest import count_queries
from tests.factories import make_history, make_run, make_schedule

pytestmark = pytest.mark.django_db
LIST = "/admin/schedules/run/"
GOOD, BAD = State.SUCCEEDED, State.FAILED
PRIMARY_KEY = "schedules_run_pkey" if connection.vendor == "postgresql" else "INTEGER PRIMARY KEY"


def walk(client, url: str = LIST) -> list[list[int]]:
    """The keys of each page, from the newest to the oldest, by the links of the pages."""
    pages = []
    while True:
        changes = client.get(url).context["cl"]
        pages.append([run.pk for run in changes.result_list])
        if not changes.older_url:
            return pages
        url = LIST + changes.older_url
        assert len(pages) < 100


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr("schedules.admin.run.RunAdmin.list_per_page", 4)


def newest_first(runs: list[Run]) -> list[int]:
    return sorted((run.pk for run in runs), reverse=True)


def test_older_leads_through_every_run_once_and_newer_leads_back(root, small_pages):
    runs = make_history(make_schedule(), [GOOD] * 10)
    pages = walk(root)

    assert [len(page) for page in pages] == [4, 4, 2]
    assert list(chain(*pages)) == newest_first(runs)

    last = root.get(LIST, {"before": pages[1][-1]}).context["cl"]
    middle = root.get(LIST + last.newer_url).context["cl"]
    first = root.get(LIST + middle.newer_url).context["cl"]
    assert [run.pk for run in middle.result_list] == pages[1]
    assert [run.pk for run in first.result_list] == pages[0]
    assert first.newer_url == ""
    assert root.get(LIST + last.newest_url).context["cl"].place == Place()


def test_runs_that_come_meanwhile_do_not_move_the_pages(root, small_pages):
    schedule = make_schedule()
    make_history(schedule, [GOOD] * 8)
    first = root.get(LIST).context["cl"]
    make_history(schedule, [GOOD] * 3)

    second = root.get(LIST + first.older_url).context["cl"]

    assert second.result_list[0].pk == first.result_list[-1].pk - 1


@pytest.mark.parametrize(
    "query",
    [
        {"state": "bad"},
        {"state": "failed"},
        {"state": "succeeded"},
        {"state": "mended"},
        {"state": "waiting"},
        {"trigger": "manual"},
        {"trigger": "schedule"},
        {"due": "hour"},
        {"due": "today", "state": "bad"},
        {"schedule": "mine"},
        {"schedule": "mine", "state": "bad", "trigger": "manual"},
        {"q": "mine"},
        {"q": "in", "state": "bad"},
        {"q": "nothing"},
        {"q": "gone"},
    ],
)
@pytest.mark.parametrize("budget", [4, 300])
def test_every_filter_finds_what_a_plain_query_finds_however_little_a_page_looks_at(
    root, small_pages, monkeypatch, query, budget
):
    mine, other, gone = make_schedule("mine"), make_schedule("in other words"), make_schedule("gone")
    for schedule in (mine, other, gone, mine, other):
        make_history(schedule, [GOOD, BAD, GOOD, State.TIMED_OUT, State.SKIPPED])
        make_run(schedule)
    Run.objects.filter(schedule=gone).update(schedule=None)
    Run.objects.filter(state=GOOD, pk__in=list(Run.objects.values_list("pk", flat=True))[::3]).update(
        attempt=2
    )
    Run.objects.filter(pk__in=list(Run.objects.values_list("pk", flat=True))[::4]).update(trigger="rerun")
    wanted = _plainly(query, mine.pk)
    monkeypatch.setattr(paging, "BUDGET", budget)
    url = (
        LIST
        + "?"
        + "&".join(f"{name}={mine.pk if name == 'schedule' else value}" for name, value in query.items())
    )

    assert list(chain(*walk(root, url))) == wanted


def _plainly(query: dict[str, str], mine: int) -> list[int]:
    states = {
        "bad": [BAD, State.TIMED_OUT],
        "mended": [GOOD],
        "waiting": [State.PENDING, State.QUEUED],
    }
    runs = Run.objects.order_by("-pk")
    if state := query.get("state"):
        runs = runs.filter(state__in=states.get(state, [state]))
    if query.get("state") == "mended":
        runs = runs.filter(attempt=2)
    if "trigger" in query:
        runs = runs.filter(trigger=query["trigger"])
    if "schedule" in query:
        runs = runs.filter(schedule=mine)
    if "q" in query:
        runs = runs.filter(name__contains=query["q"])
    return list(runs.values_list("pk", flat=True))


def test_a_page_that_found_little_says_how_far_it_looked_and_goes_on_from_there(root, monkeypatch):
    monkeypatch.setattr(paging, "BUDGET", 5)
    schedule = make_schedule()
    runs = make_history(schedule, [BAD] + [GOOD] * 20, age=timedelta(hours=2))

    page = root.get(LIST, {"schedule": schedule.pk, "state": "bad"})

    assert page.context["cl"].result_list == []
    assert "looked back to" in page.content.decode()
    assert page.context["cl"].older_url.startswith(f"?before={runs[-5].pk}&")


def test_a_filter_begins_at_the_top_again(root, small_pages):
    make_history(make_schedule(), [GOOD] * 10)

    page = root.get(LIST, {"before": 7}).content.decode()

    assert "state=failed&amp;before" not in page
    assert 'href="?state=failed"' in page


@pytest.mark.parametrize("few", [0, 5000])
def test_waiting_runs_are_found_whether_they_are_few_or_many(root, monkeypatch, few):
    monkeypatch.setattr(paging, "FEW_ACTIVE", few)
    schedule = make_schedule()
    waiting = [make_run(schedule) for _ in range(3)]
    make_history(schedule, [GOOD] * 3)

    assert walk(root, LIST + "?state=waiting") == [newest_first(waiting)]


def test_a_page_costs_the_same_at_the_top_and_at_the_end(root, small_pages):
    runs = make_history(make_schedule(), [GOOD] * 30)

    assert count_queries(root, LIST) == count_queries(root, f"{LIST}?before={runs[2].pk}")


class TestPlans:
    """Each stream has an index in its order: no row is sorted, and none is read that is not shown."""

    @pytest.fixture(autouse=True)
    def as_in_a_large_table(self):
        if connection.vendor == "sqlite":
            return  # it has no statistics, and plans as for a large table
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
            cursor.execute("SET LOCAL enable_sort = off")

    @pytest.mark.parametrize(
        ("asked", "index"),
        [
            ({}, PRIMARY_KEY),
            ({"schedule": "1"}, "run_of_schedule"),
            ({"state": "bad"}, "run_failures"),
            ({"state": "mended"}, "run_mended"),
            *(({"state": state.value}, "run_ended_as") for state in sorted(UNUSUAL - FAILURES)),
            *(({"state": state.value}, "run_ended_as|run_failures") for state in sorted(FAILURES)),
            *(({"trigger": trigger.value}, "run_by_trigger") for trigger in sorted(UNUSUAL_TRIGGERS)),
        ],
    )
    def test_a_stream_is_read_in_the_order_of_its_index(self, asked, index):
        streams = streams_of(asked, None)
        assert streams.exact
        runs = Run.objects.filter(streams.conditions[0], pk__lt=5_000_000).order_by("-pk")[:51]

        plan = runs.values("pk").explain()

        assert re.search(index, plan)
        assert "Sort" not in plan
        assert "TEMP B-TREE" not in plan


def test_a_search_through_many_schedules_looks_at_names_instead(root, monkeypatch):
    monkeypatch.setattr(queries, "MOST_NAMED", 2)
    runs = [make_history(make_schedule(f"job {number}"), [GOOD])[0] for number in range(4)]

    assert walk(root, LIST + "?q=job") == [newest_first(runs)]
    assert walk(root, LIST + "?q=job+3") == [[runs[3].pk]]


def test_a_page_beyond_the_end_is_empty_and_leads_back(root):
    runs = make_history(make_schedule(), [GOOD] * 3)
    beyond = root.get(LIST, {"before": runs[0].pk}).context["cl"]

    assert (beyond.result_list, beyond.older_url) == ([], "")
    back = root.get(LIST + beyond.newer_url).context["cl"]
    assert [run.pk for run in back.result_list] == newest_first(runs)


def test_keys_that_no_column_holds_are_passed_by(root):
    runs = make_history(make_schedule(), [GOOD] * 2)
    for key in ("x", "-1", "9" * 30, "", "\x00"):
        changes = root.get(LIST, {"before": key}).context["cl"]
        assert [run.pk for run in changes.result_list] == newest_first(runs)


def test_page_of_reads_two_statements_at_most(django_assert_max_num_queries):
    make_history(make_schedule(), [GOOD] * 3)
    runs = Run.objects.filter(scheduled_for__gte=database_now() - timedelta(days=1))

    with django_assert_max_num_queries(2):
        page_of(runs, streams_of({"due": "hour"}, None), Place(), size=10)
