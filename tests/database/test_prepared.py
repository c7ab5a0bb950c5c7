"""Prepared statements: planned once, and given up where a pooler comes between."""

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from schedules.sql import prepared

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL prepares statements"),
]


SQL = "SELECT %(n)s::int + %(n)s"


@pytest.fixture(autouse=True)
def _preparing_works_again():
    yield
    prepared.known.works = True


def fetched(number: int) -> list[str]:
    """The statements that were sent; the answer has to be right in any case."""
    with CaptureQueriesContext(connection) as sent:
        assert prepared.fetch_one(connection, SQL, {"n": number}) == (2 * number,)
    return [query["sql"].split()[0] for query in sent]


@pytest.fixture(autouse=True)
def _new_connection():
    connection.close()


def test_a_statement_is_prepared_at_its_second_use_and_then_only_executed():
    assert [fetched(1), fetched(2), fetched(3)] == [["SELECT"], ["PREPARE", "EXECUTE"], ["EXECUTE"]]


def test_one_that_is_seldom_used_is_sent_as_it_is(monkeypatch):
    monkeypatch.setattr(prepared, "PLAN_SECONDS", -1.0)
    assert [fetched(1), fetched(2)] == [["SELECT"], ["SELECT"]]


def test_a_new_connection_prepares_anew():
    fetched(1), fetched(2)
    connection.close()
    assert [fetched(1), fetched(2)] == [["SELECT"], ["PREPARE", "EXECUTE"]]


def test_within_a_transaction_nothing_is_prepared():
    with transaction.atomic():
        assert fetched(1) == ["SELECT"]


def test_a_plan_is_made_anew_after_a_while():
    fetched(1), fetched(2)
    [use] = prepared.known.of(connection.connection).values()
    use.prepared_at -= prepared.PLAN_SECONDS + 1
    assert [fetched(3), fetched(4)] == [["DEALLOCATE", "EXECUTE"], ["EXECUTE"]]


def test_behind_a_pooler_the_statement_is_sent_as_it_is():
    """The use before went through a server connection that this one does not get."""
    fetched(1), fetched(2)
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")

    assert fetched(3) == ["EXECUTE", "SELECT"]
    assert [fetched(4), fetched(5)] == [["SELECT"], ["SELECT"]]


def test_what_another_client_of_the_pooler_prepared_is_no_trouble():
    fetched(1)
    with connection.cursor() as cursor:
        cursor.execute(prepared._prepared(SQL).prepare)

    assert fetched(2) == ["PREPARE", "SELECT"]
    assert fetched(3) == ["SELECT"]


def test_an_error_of_the_statement_itself_is_raised_and_preparing_goes_on():
    for _ in range(2):
        with pytest.raises(Exception, match="division by zero"):
            prepared.fetch_one(connection, "SELECT 1 / %(n)s::int", {"n": 0})
    assert prepared.known.works
