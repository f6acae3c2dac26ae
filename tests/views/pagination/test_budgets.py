"""The cost of a page: one hop, and no query beside those of the queryset except a count for page numbers."""

import pytest

from daf_orm.test import count_hops
from daf_views.exceptions import NotFoundError
from daf_views.pagination import CursorPagination, PageNumberPagination
from tests.project.library.models import Author, Book, Tag
from tests.views.pagination.conftest import follow, page

pytestmark = pytest.mark.django_db  # queries are counted on the test's own connection


@pytest.fixture
async def books():
    """A hundred, with an author and a tag each."""
    author, tag = await Author.objects.acreate(name="A"), await Tag.objects.acreate(name="t")
    await Book.objects.abulk_create(Book(title=f"Z{number:03}", author=author) for number in range(100))
    await tag.books.aset([book async for book in Book.objects.all()])
    return Book.objects.select_related("author").prefetch_related("tags")


def relations(book):
    return book.author.name, [tag.name for tag in book.tags.all()]


async def test_a_page_by_cursor_has_the_querysets_own_queries(books, django_assert_num_queries):
    pagination = CursorPagination(size=100, ordering=["author__name", "-title"])
    with django_assert_num_queries(2), count_hops(at_most=1):
        here = await page(pagination, books)
    assert [book.title for book in here.items] == [f"Z{number:03}" for number in reversed(range(100))]
    assert {str(relations(book)) for book in here.items} == {"('A', ['t'])"}


async def test_a_page_by_cursor_costs_the_same_wherever_it_is(books, django_assert_num_queries):
    pagination = CursorPagination(size=40, ordering=["author__name", "-title"])
    here = await page(pagination, books)
    for rel in ("next", "next", "prev"):
        with django_assert_num_queries(2), count_hops(at_most=1):
            here = await follow(pagination, books, here.links[rel])
        assert len(here.items) in {40, 20}


async def test_a_page_by_number_has_one_more_for_the_count(books, django_assert_num_queries):
    with django_assert_num_queries(3), count_hops(at_most=1):
        here = await page(PageNumberPagination(size=100), books.order_by("title"))
    assert here.count == len(here.items) == 100
    assert {str(relations(book)) for book in here.items} == {"('A', ['t'])"}


async def test_a_page_beyond_the_last_is_only_the_count(books, django_assert_num_queries):
    with django_assert_num_queries(1), count_hops(at_most=1), pytest.raises(NotFoundError):
        await page(PageNumberPagination(size=100), books.order_by("title"), page=1000)


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("title", '"title" >= '),
        ("-title", '"title" <= '),
        pytest.param("published", '"published" >= ', marks=pytest.mark.sqlite),  # NULLs come first there
        pytest.param("-published", '"published" <= ', marks=pytest.mark.postgresql),
    ],
)
async def test_an_index_can_begin_at_the_first_key(books, django_assert_num_queries, name, condition):
    await Book.objects.aupdate(published="2026-01-01")
    pagination = CursorPagination(size=2, ordering=[name])
    here = await page(pagination, Book.objects)
    with django_assert_num_queries(1) as captured:
        await follow(pagination, Book.objects, here.links["next"])
    assert f'"library_book".{condition}' in captured[0]["sql"]
