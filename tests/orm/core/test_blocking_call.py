"""A blocking call as a sentence: the fact, the place, the remedy."""

import asyncio
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.utils import asyncio as django_asyncio
from django.utils.asyncio import async_unsafe

from daf_orm import BlockingCallError
from daf_orm._core.blocking_call import DJANGOS_SENTENCE, SQL_LENGTH
from daf_orm.detection import BlockingCall

pytestmark = pytest.mark.no_database


def call(**changes: Any) -> BlockingCall:
    facts: dict[str, Any] = {
        "filename": str(Path.cwd() / "shop/views.py"),
        "lineno": 41,
        "function": "detail",
        "module": "shop.views",
        "expression": "book.author",
        "operation": "ForwardManyToOneDescriptor",
        "model": "shop.Book",
        "field": "author",
        "sql": "SELECT author.id, author.name, author.email FROM author",
        "suggestion": 'Add select_related("author"), or await book.afetch_related("author").',
    }
    return BlockingCall(**facts | changes)


def test_it_reads_as_a_sentence() -> None:
    assert str(call()) == (
        "shop/views.py:41 in detail: book.author → loads Book.author (SELECT … FROM author) on the event loop. "
        'Add select_related("author"), or await book.afetch_related("author").'
    )


def test_an_error_has_djangos_own_sentence_and_survives_a_pickle() -> None:
    error = pickle.loads(pickle.dumps(BlockingCallError(call())))

    assert str(error) == f"{call()} You cannot call this from an async context - use a thread or sync_to_async."
    assert error.call == call()
    with pytest.raises(SynchronousOnlyOperation, match="You cannot call this from an async context"):
        raise error


def test_djangos_sentence_is_the_one_of_this_version(monkeypatch: pytest.MonkeyPatch) -> None:
    async def call_it() -> None:
        async_unsafe(lambda: None)()

    monkeypatch.setattr(django_asyncio, "os", os)
    with pytest.raises(SynchronousOnlyOperation) as raised:
        asyncio.run(call_it())

    assert str(raised.value) == DJANGOS_SENTENCE


def test_a_query_names_its_operation_and_model() -> None:
    sql = 'SELECT COUNT(*) AS "__count" FROM book'
    sentence = str(call(field=None, operation="QuerySet.count", sql=sql))

    assert f"→ runs QuerySet.count of shop.Book ({sql}) on the event loop." in sentence


def test_a_related_manager_names_its_field() -> None:
    assert "→ runs ManyRelatedManager.add of Book.tags on the event loop." in str(
        call(field="tags", operation="ManyRelatedManager.add", sql=None)
    )


def test_a_call_of_the_connection_names_no_model() -> None:
    assert "→ runs connection.cursor on the event loop." in str(
        call(field=None, model=None, sql=None, operation="connection.cursor")
    )


def test_it_names_the_place_in_a_template() -> None:
    assert "in template shop/detail.html:12 on the event loop." in str(call(template="shop/detail.html:12"))


def test_it_says_that_the_error_was_swallowed() -> None:
    assert str(call(swallowed=True)).endswith("The error was swallowed.")


def test_without_source_it_begins_with_the_fact() -> None:
    assert str(call(expression="")).startswith("shop/views.py:41 in detail: loads Book.author")


def test_a_file_elsewhere_keeps_its_whole_name() -> None:
    assert call(filename="/srv/shop/views.py").site == "/srv/shop/views.py:41 in detail"


def test_a_long_statement_is_cut_in_the_message_only() -> None:
    sql = f"UPDATE book SET {', '.join(f'column_{n} = %s' for n in range(100))}"
    long = call(sql=sql)

    assert f"({sql[: SQL_LENGTH - 1]}…)" in str(long)
    assert long.as_dict()["sql"] == sql
