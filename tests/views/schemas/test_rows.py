"""A queryset of a typed handler is read from its columns where its instances would show the same, and only there."""

import dataclasses
import datetime as dt
import functools
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Optional, TypedDict, Union

import msgspec
import pydantic
import pytest
from django.db import connection, models
from django.db.models import Count, F, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.fields.related_descriptors import ForwardManyToOneDescriptor
from django.db.models.query import ModelIterable, RelatedPopulator
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init
from django.test.utils import CaptureQueriesContext, isolate_apps

from daf_views import AsyncAPIView
from daf_views._django.columns import is_plain, makes_plain_rows
from daf_views.schemas import rows, schema_of
from daf_views.schemas.readers import Rows
from tests.project.library.models import Author, Book, Counter, CreditedBook, Novel, Profile, Publisher, Reading, Tag

pytestmark = pytest.mark.django_db


class AuthorOut(msgspec.Struct):
    name: str
    id: int


class PublisherOut(msgspec.Struct, tag="publisher"):
    name: str


class BookOut(msgspec.Struct, rename="camel"):
    title: str
    author: AuthorOut
    pk: int
    author_id: int
    price: Decimal
    published: dt.date | None
    publisher: PublisherOut | None


@dataclasses.dataclass
class AuthorData:
    name: str
    id: int


@dataclasses.dataclass
class BookData:
    title: str
    author: AuthorData
    publisher_id: int | None = None


class AuthorDict(TypedDict):
    name: str
    id: int


class BookDict(TypedDict):
    author: AuthorDict
    title: str


class AuthorModel(pydantic.BaseModel):
    name: str
    id: int


class PublisherModel(pydantic.BaseModel):
    name: str


class BookModel(pydantic.BaseModel):
    title: str = pydantic.Field(serialization_alias="Title")
    author: AuthorModel
    publisher: PublisherModel | None
    price: Decimal


class TitleOut(msgspec.Struct):
    title: str
    stock: int


class SizedOut(msgspec.Struct):
    title: str
    size: int


class CreditOut(msgspec.Struct):
    title: str
    credit: str


class TagOut(msgspec.Struct):
    name: str


class TaggedOut(msgspec.Struct):
    title: str
    tags: list[TagOut]


class NamedOut(msgspec.Struct):
    title: str
    subtitle: str = "none"


class NovelOut(msgspec.Struct):
    pages: int
    title: str
    author: AuthorOut


class ParentOut(msgspec.Struct):
    book_ptr: TitleOut


class ProfileOut(msgspec.Struct):
    biography: str
    author: AuthorOut


class ReadingOut(msgspec.Struct):
    serial: uuid.UUID
    payload: list[TagOut] | None
    level: Decimal | None
    raw: bytes | None
    lasted: dt.timedelta | None
    taken_at: dt.datetime | None
    is_valid: bool | None


class NodeOut(msgspec.Struct):
    number: int | None
    after: Optional["NodeOut"]


class AfterOut(msgspec.Struct):
    number: int | None
    after: "NumberOut | None"


class NumberOut(msgspec.Struct):
    number: int | None


class FlatAuthorOut(msgspec.Struct):
    author: Any


class EmptyOut(msgspec.Struct):
    pass


class EmptyAuthorOut(msgspec.Struct):
    stock: int
    author: EmptyOut


class PagesOut(msgspec.Struct):
    pages: int


class StockOut(msgspec.Struct):
    """Of columns in no index, or in all of one, which a database may read in another order."""

    author_id: int
    title: str


BOOKS = Book.objects.order_by("title")
JOINED = BOOKS.select_related("author", "publisher")
JOINED_TO_ALL = Novel.objects.all()
JOINED_TO_ALL.query.select_related = True  # by select_related() without names, which Django 6.1 deprecates


@pytest.fixture(autouse=True)
def books() -> None:
    author = Author.objects.create(name="a")
    publisher = Publisher.objects.create(name="p")
    tag = Tag.objects.create(name="t")
    for title, each in (("x", publisher), ("y", None), ("z", publisher)):
        book = Book.objects.create(title=title, author=author, publisher=each, price=Decimal("1.50"), stock=3)
        book.tags.add(tag)
    Novel.objects.create(title="n", author=author, pages=5)
    Profile.objects.create(author=author, biography="b")
    last = Reading.objects.create(number=1, payload=[{"name": "t", "more": 1}], level=Decimal("1.5"), raw=b"r")
    Reading.objects.create(number=2, after=last, taken_at=dt.datetime(2026, 1, 2, tzinfo=dt.UTC), is_valid=True)


def read_both_ways(kind: Any, queryset: QuerySet) -> bool:
    """Assert that a type shows the same as of instances, in as many queries; return True if there were none."""
    schema = schema_of(list[kind])
    schema.prepare_output()
    with CaptureQueriesContext(connection) as ours:
        found = rows.fetcher(schema.reader, queryset.all())()
    with CaptureQueriesContext(connection) as theirs:
        instances = [*queryset.all()]
    assert len(ours) == len(theirs)
    assert schema.reader(found) == schema.reader(instances)
    assert repr(schema.reader(found)) == repr(schema.reader(instances))  # the order, too
    assert schema.dump(schema.shape(found, is_checked=True)) == schema.dump(schema.shape(instances, is_checked=True))
    return type(found) is Rows


@pytest.mark.parametrize(
    ("kind", "queryset"),
    [
        (BookOut, JOINED),
        (BookOut, JOINED.filter(author__name="a", publisher=None)),
        (BookOut, JOINED.exclude(publisher__name="p")),
        (BookOut, JOINED.filter(tags__name="t")[1:3]),
        (BookOut, JOINED.none()),
        (BookData, JOINED),
        (BookData, BOOKS.select_related("author")),
        (BookDict, JOINED),
        (BookModel, JOINED),
        (BookModel | None, JOINED),
        (TitleOut, BOOKS),
        (TitleOut, BOOKS.reverse()),
        (TitleOut, JOINED),
        (TitleOut, CreditedBook.objects.order_by("pk")),
        (TitleOut, Novel.objects.all()),
        (NovelOut, Novel.objects.select_related("author")),
        (ProfileOut, Profile.objects.select_related("author")),
        (ReadingOut, Reading.objects.order_by("pk")),
        (AfterOut, Reading.objects.select_related("after").order_by("pk")),
        (EmptyOut, BOOKS),
        (EmptyAuthorOut, BOOKS.select_related("author")),
        (TitleOut, BOOKS.select_related("publisher", "author")),
        (PagesOut, Novel.objects.extra(where=["library_book.stock > 2"])),
        (PagesOut, Novel.objects.filter(RawSQL("library_book.stock > %s", (2,), output_field=models.BooleanField()))),
        (StockOut, Book.objects.all()),
    ],
)
def test_columns_are_read_without_instances(kind: Any, queryset: QuerySet) -> None:
    assert read_both_ways(kind, queryset)


@pytest.mark.parametrize("queryset", [BOOKS, JOINED, Novel.objects.all(), BOOKS.select_related("publisher")[1:3]])
def test_the_sql_is_that_of_instances(queryset: QuerySet) -> None:
    schema = schema_of(list[TitleOut])
    schema.prepare_output()
    with CaptureQueriesContext(connection) as queries:
        rows.fetcher(schema.reader, queryset.all())()
        list(queryset.all())

    assert queries[0]["sql"] == queries[1]["sql"]


def test_rows_of_a_related_manager_are_read_from_columns() -> None:
    author = Author.objects.get()

    assert read_both_ways(TitleOut, author.books.order_by("title"))
    assert read_both_ways(BookData, author.books.select_related("author"))


def test_a_key_of_the_row_that_rows_were_found_by_is_read_from_instances() -> None:
    class KeyOut(msgspec.Struct):
        author_id: Any

    author = Author.objects.get()
    author.pk = float(author.pk)  # Django gives the rows that same object

    assert not read_both_ways(KeyOut, author.books.order_by("title"))


@pytest.mark.parametrize(
    ("kind", "queryset"),
    [
        (SizedOut, BOOKS.annotate(size=Count("tags"))),
        (TitleOut, BOOKS.annotate(size=Count("tags"))),
        (TitleOut, BOOKS.alias(size=F("stock"))),
        (TitleOut, BOOKS.only("title", "stock")),
        (TitleOut, BOOKS.defer("price")),
        (TitleOut, BOOKS.distinct()),
        (NovelOut, JOINED_TO_ALL),
        (ParentOut, Novel.objects.select_related("book_ptr")),
        (TitleOut, BOOKS.select_related("author__profile")),
        (TitleOut, Book.objects.union(Book.objects.all())),
        (TitleOut, BOOKS.extra(select={"more": "1"})),
        (TitleOut, BOOKS.values("title", "stock")),
        (TitleOut, BOOKS.prefetch_related("tags")),
        (TaggedOut, BOOKS.prefetch_related("tags")),
        (NamedOut, BOOKS),
        (BookOut, BOOKS.select_related("author", "publisher", "author__profile").only("title", "author", "publisher")),
        (Union[TitleOut, None] | CreditOut, BOOKS.select_related("author")),  # noqa: UP007
    ],
)
def test_everything_else_is_read_from_instances(kind: Any, queryset: QuerySet) -> None:
    try:
        assert not read_both_ways(kind, queryset)
    except TypeError as error:  # msgspec refuses some unions
        assert "union" in str(error)  # noqa: PT017


@pytest.mark.parametrize("kind", [CreditOut, NodeOut, FlatAuthorOut])
def test_fields_that_are_no_columns_are_read_from_instances(kind: Any) -> None:
    schema = schema_of(list[kind])
    schema.prepare_output()
    queryset = Reading.objects.select_related("after") if kind is NodeOut else JOINED

    assert rows.fetcher(schema.reader, queryset).func is list


@pytest.mark.parametrize("named", [(), ("publisher",)])
def test_a_relation_that_is_not_joined_is_read_from_instances(named: tuple[str, ...]) -> None:
    schema = schema_of(list[BookOut])
    schema.prepare_output()

    assert rows.fetcher(schema.reader, BOOKS.select_related(*named) if named else BOOKS.all()).func is list


def test_rows_that_were_fetched_are_not_fetched_again() -> None:
    schema = schema_of(list[TitleOut])
    schema.prepare_output()
    fetched = BOOKS.all()
    len(fetched)
    with CaptureQueriesContext(connection) as queries:
        rows.fetcher(schema.reader, fetched)()

    assert len(queries) == 0


@contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(owner, name, value, raising=False)
    try:
        yield
    finally:
        patch.undo()


@contextmanager
def received(signal: Any, sender: Any) -> Iterator[None]:
    def shout(instance: Any = None, **_: Any) -> None:
        if instance is not None:
            instance.title = f"{getattr(instance, 'title', '')}!"

    signal.connect(shout, sender=sender)
    try:
        yield
    finally:
        signal.disconnect(shout, sender=sender)


def wrapped(owner: Any, name: str) -> Any:
    original = getattr(owner, name)
    return patched(owner, name, lambda *args, **kwargs: original(*args, **kwargs))


def _shouted(cls: Any, *args: Any, **kwargs: Any) -> Any:
    instance = models.Model.from_db.__func__(cls, *args, **kwargs)
    instance.title = f"{getattr(instance, 'title', '')}!"
    return instance


CHANGES: dict[str, Callable[[], Any]] = {
    "post_init": lambda: received(post_init, Book),
    "post_init of any model": lambda: received(post_init, None),
    "post_init of a related model": lambda: received(post_init, Author),
    "pre_init": lambda: received(pre_init, Book),
    "from_db": lambda: patched(Book, "from_db", classmethod(_shouted)),
    "from_db of a related model": lambda: patched(Author, "from_db", classmethod(_shouted)),
    "__init__": lambda: patched(Book, "__init__", functools.partialmethod(models.Model.__init__)),
    "__getattribute__": lambda: patched(
        Book, "__getattribute__", lambda self, name: object.__getattribute__(self, name)
    ),
    "__setattr__": lambda: patched(
        Book, "__setattr__", lambda self, name, value: object.__setattr__(self, name, value)
    ),
    "a call of the class": lambda: patched(type(Book), "__call__", lambda cls, *row: type.__call__(cls, *row)),
    "the maker of instances": lambda: wrapped(ModelIterable, "__iter__"),
    "the maker of related instances": lambda: wrapped(RelatedPopulator, "populate"),
    "the reader of columns": lambda: wrapped(DeferredAttribute, "__get__"),
    "the reader of relations": lambda: wrapped(ForwardManyToOneDescriptor, "__get__"),
    "a step of the queryset": lambda: patched(type(JOINED), "_fetch_all", functools.partialmethod(QuerySet._fetch_all)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_model_whose_instances_are_made_otherwise_is_read_from_instances(change: str) -> None:
    assert read_both_ways(BookData, JOINED)
    with CHANGES[change]():
        assert not read_both_ways(BookData, JOINED)
    assert read_both_ways(BookData, JOINED)


def test_a_from_db_that_is_no_class_method_is_called() -> None:
    with patched(Book, "from_db", staticmethod(lambda *row: _shouted(Book, *row))):
        assert not is_plain(Book)


def test_an_attribute_that_is_replaced_later_is_read_from_instances() -> None:
    schema = schema_of(list[TitleOut])
    schema.prepare_output()
    assert rows.fetcher(schema.reader, BOOKS.all()).func is not list
    with patched(Book, "title", property(lambda _: "property", lambda *_: None)):
        assert rows.fetcher(schema.reader, BOOKS.all()).func is list


def test_attributes_with_another_meaning_are_read_from_instances() -> None:
    class Loud(DeferredAttribute):
        def __get__(self, instance: Any, cls: Any = None) -> Any:
            return self if instance is None else super().__get__(instance, cls).upper()

    class LoudField(models.CharField):
        descriptor_class = Loud

    class InOtherOrder(QuerySet):
        def __iter__(self) -> Iterator[Any]:
            return iter([*super().__iter__()][::-1])

    class NameOut(msgspec.Struct):
        name: str

    Counter.objects.create(name="a")
    Counter.objects.create(name="b")
    meta = {"app_label": "library", "db_table": Counter._meta.db_table, "managed": False}
    with isolate_apps("tests.project.library"):

        class LoudCounter(models.Model):
            name = LoudField(max_length=9)
            found = InOtherOrder.as_manager()
            Meta = type("Meta", (), meta)

        class SpokenCounter(models.Model):
            name = models.CharField(max_length=9)
            Meta = type("Meta", (), meta)

    SpokenCounter.name = property(lambda _: "property", lambda *_: None)

    assert not read_both_ways(NameOut, LoudCounter._base_manager.all())
    assert not read_both_ways(NameOut, SpokenCounter._base_manager.all())
    assert not makes_plain_rows(LoudCounter.found.all())


@pytest.mark.django_db(transaction=True)
async def test_a_handler_answers_from_columns(async_rf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(
        rows, "_fetched", functools.partial(lambda get, *args: made.append(get(*args)) or made[-1], rows._fetched)
    )

    class BooksView(AsyncAPIView):
        async def get(self, request: Any) -> list[BookOut]:
            return JOINED.all()

    response = await BooksView.as_view()(async_rf.get("/"))

    assert [each["title"] for each in msgspec.json.decode(response.content)] == ["n", "x", "y", "z"]
    assert len(made) == 1
