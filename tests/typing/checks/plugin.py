"""Types that mypy knows by the plugin of django-stubs, without annotations. Pyright is not shown this."""

from __future__ import annotations

from typing import assert_type

from shop.models import Author, Book, BookQuerySet, Review, Summary, Tag

from daf_orm import AsyncManager, AsyncQuerySet


async def rows_that_are_no_models() -> None:
    assert_type(await Author.objects.values_list("name", flat=True).alist(), list[str])
    assert_type(await Author.objects.values_list("pk", "name").alist(), list[tuple[int, str]])
    assert_type(await Book.objects.cheap().values_list("pk", "title").alist(), list[tuple[int, str]])
    assert_type([name async for name in Author.objects.values_list("name", flat=True)], list[str])
    async for row in Author.objects.values("pk", "name"):
        assert_type(row["name"], str)
    Author.objects.values_list("nonsense")  # type: ignore[misc]
    Author.objects.filter(nonsense=1)  # type: ignore[misc]


async def a_generic_manager() -> None:
    assert_type(Review.objects.mine(), AsyncQuerySet[Review])
    assert_type(await Review.objects.mine().alist(), list[Review])


async def relations(book: Book, tag: Tag, review: Review) -> None:
    assert_type(await book.reviews.alist(), list[Review])
    assert_type(await book.reviews.filter(pk=1).alist(), list[Review])
    assert_type(await book.reviews.mine().alist(), list[Review])
    assert_type(await tag.reviews.filter(pk=1).alist(), list[Review])
    assert_type(await review.tags.filter(pk=1).alist(), list[Tag])
    assert_type(review.summary, Summary)
    assert_type(review.book, Book)
    assert_type(review.book.author.name, str)
    assert_type(await review.book.author.books.alist(), list[Book])


def managers_with_a_queryset_s_methods(queryset: BookQuerySet) -> AsyncManager[Book]:
    assert_type(Book.objects.get_queryset(), AsyncQuerySet[Book])
    Book.objects.db_manager("default").cheap()
    for _ in Book.objects:  # type: ignore[attr-defined]
        pass
    return Book.objects
