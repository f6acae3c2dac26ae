import datetime as dt
import decimal
import enum
import json
import uuid
from dataclasses import dataclass

import pytest
from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy

from daf_orm.test import record_blocking
from daf_views.http.json import encode
from tests.project.library.models import Author, Book


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    when: dt.date


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), "2026-01-02T03:04:05Z"),
        (dt.time(3, 4), "03:04:00"),
        (dt.timedelta(days=1, seconds=2), "P1DT00H00M02S"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        ({3}, [3]),
        (frozenset({3}), [3]),
        (gettext_lazy("Title"), "Title"),
        (Point(1, dt.date(2026, 1, 2)), {"x": 1, "when": "2026-01-02"}),
        ("é", "é"),
        ("\ud800", "\ud800"),
        (None, None),
    ],
)
def test_values(value, expected):
    assert json.loads(encode(value)) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_a_value_that_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(value)


@pytest.mark.parametrize("value", [b"x", bytearray(b"x"), memoryview(b"x")])
def test_bytes_are_refused_with_the_remedy(value):
    with pytest.raises(TypeError, match="b64encode"):
        encode(value)


def test_a_model_is_its_fields_with_foreign_keys_as_ids():
    book = Book(pk=1, title="Emma", author=Author(pk=7), price=decimal.Decimal("1.50"))
    assert json.loads(encode(book)) == {
        "id": 1,
        "title": "Emma",
        "author_id": 7,
        "publisher_id": None,
        "price": "1.50",
        "stock": 0,
        "published": None,
    }


async def test_a_deferred_field_is_left_out_and_nothing_is_loaded(db):
    author = await Author.objects.acreate(name="Jane")
    await Book.objects.acreate(title="Emma", author=author)
    book = await Book.objects.only("title").aget()
    with record_blocking() as calls:
        assert json.loads(encode(book)) == {"id": book.pk, "title": "Emma"}
    assert calls == []


async def test_an_evaluated_queryset_is_a_list(db):
    await Author.objects.acreate(name="Jane")
    authors = Author.objects.only("name")
    async for _ in authors:
        pass
    assert [row["name"] for row in json.loads(encode(authors))] == ["Jane"]


def test_a_queryset_that_is_not_evaluated_is_refused_with_the_remedy():
    with pytest.raises(TypeError, match=r"queryset of Author .* `await queryset.alist\(\)`"):
        encode(Author.objects.all())
    with pytest.raises(TypeError, match="alist"):
        encode(Author.objects.raw("SELECT * FROM library_author"))


def test_a_manager_is_refused_with_the_remedy():
    with pytest.raises(TypeError, match=r"manager\.all\(\)"):
        encode(Author.objects)


def test_a_user_is_refused_because_of_the_password():
    with pytest.raises(TypeError, match=r"User has a password"):
        encode([User(username="ada")])


async def test_a_user_whose_password_was_not_loaded_is_encoded(db):
    await User.objects.acreate(username="ada", password="hash")
    user = await User.objects.only("username").aget()
    assert json.loads(encode(user)) == {"id": user.pk, "username": "ada"}


@pytest.mark.parametrize("rows", [User.objects.values, User.objects.values_list])
def test_rows_that_name_no_field_are_refused_because_of_the_password(db, rows):
    User.objects.create(username="ada", password="hash")
    queryset, named = rows(), rows("username")
    assert len(queryset) == len(named) == 1
    with pytest.raises(TypeError, match=r"name the fields you mean, in a dict or User\.objects\.values\('pk'"):
        encode(queryset)
    assert b"ada" in encode(named)


def test_rows_of_a_model_without_a_password_need_no_names(db):
    Author.objects.create(name="Ada")
    queryset = Author.objects.values()
    assert len(queryset) == 1
    assert b"Ada" in encode(queryset)


def test_a_type_is_not_its_instance():
    with pytest.raises(TypeError):
        encode(Point)


async def rows():
    yield 1


def test_a_value_that_was_not_awaited_is_named_with_the_remedy():
    coroutine = User.objects.afirst()
    with pytest.raises(TypeError, match="A coroutine has no value yet: `await` it"):
        encode({"user": coroutine})
    coroutine.close()
    with pytest.raises(TypeError, match=r"JSON has no async_generator: return `\[each"):
        encode(rows())
