"""Blocking calls are grouped by their site, as text, as JSON, and in the log."""

import json
import logging
from typing import Any

import pytest

from daf_orm.detection import BlockingCall, report

pytestmark = pytest.mark.no_database


def call(lineno: int = 41, **changes: Any) -> BlockingCall:
    facts: dict[str, Any] = {
        "filename": "/srv/shop/views.py",
        "function": "detail",
        "module": "shop.views",
        "expression": "Book.objects.count()",
        "operation": "QuerySet.count",
        "model": "shop.Book",
    }
    return BlockingCall(lineno=lineno, **facts | changes)


@pytest.fixture(autouse=True)
def nothing_logged_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_logged", report.Counter())


def test_calls_are_grouped_by_site_and_operation_most_frequent_first() -> None:
    calls = [call(1), call(2), call(2), call(2, operation="QuerySet.get")]

    assert report.group(calls) == [(calls[1], 2), (calls[0], 1), (calls[3], 1)]


def test_a_group_shows_a_swallowed_call_if_it_has_one() -> None:
    ((shown, count),) = report.group([call(), call(swallowed=True), call()])

    assert shown.swallowed
    assert count == 3


def test_text_has_a_line_for_each_site_and_its_count() -> None:
    lines = report.as_text([call(1), call(2), call(2)]).splitlines()

    assert [line.endswith(" (2 times)") for line in lines] == [True, False]
    assert "views.py:2 in detail: Book.objects.count() → runs QuerySet.count" in lines[0]


def test_no_calls_are_no_text() -> None:
    assert report.as_text([]) == ""


def test_json_has_every_field_and_the_count() -> None:
    (entry,) = json.loads(report.as_json([call(), call()]))

    assert entry == {**call().as_dict(), "count": 2}


def test_the_log_has_the_sentence_and_the_fields(caplog: pytest.LogCaptureFixture) -> None:
    report.log(call(), logging.ERROR)

    (record,) = caplog.records
    assert (record.name, record.levelno) == ("daf_orm.blocking", logging.ERROR)
    assert record.getMessage() == str(call())
    assert record.blocking_call == {**call().as_dict(), "count": 1}


def test_the_log_is_not_filled_by_one_site(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(150):
        report.log(call(), logging.WARNING)

    assert [record.blocking_call["count"] for record in caplog.records] == [1, 10, 100]
    assert "(for the 100th time)" in caplog.text


def test_the_log_forgets_sites_before_it_fills_the_memory(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MAX_SITES", 2)

    for lineno in (1, 2, 3, 1):
        report.log(call(lineno), logging.WARNING)

    assert len(report._logged) == 2
    assert len(caplog.records) == 4
