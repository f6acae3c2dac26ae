"""Managers, querysets and related managers know their model."""

from __future__ import annotations

import datetime as dt
from typing import Any, TypeVar, assert_type

from django.db import models
from django.db.models import Prefetch
from django.shortcuts import aget_object_or_404
from shop.models import Author, Book, BookQuerySet, Profile, Publisher, Tag, User

from daf_orm import AsyncManager, AsyncModel, AsyncQuerySet

M = TypeVar("M", bound=models.Model)
T = TypeVar("T", bound=AsyncModel)


async def of_a_model_that_names_no_manager() -> None:
    assert_type(Author.objects, AsyncManager[Author])
    assert_type(Author.objects.filter(name="a"), AsyncQuerySet[Author])
    assert_type(await Author.objects.alist(), list[Author])
    assert_type(await Author.objects.aget(pk=1), Author)
    assert_type(await Author.objects.all()[:3].alist(), list[Author])
    assert_type(await Author.objects.afirst(), Author | None)


async def of_a_stock_model() -> None:
    assert_type(Publisher.objects, AsyncManager[Publisher])
    assert_type(await Publisher.objects.filter(name="a").alist(), list[Publisher])


async def chains(books: AsyncQuerySet[Book]) -> None:
    chained = Author.objects.select_related("profile").prefetch_related("books").exclude(pk=1).order_by("name")
    assert_type(chained, AsyncQuerySet[Author])
    assert_type(await chained.distinct().reverse().using("default").alist(), list[Author])
    assert_type(await Book.objects.select_related("author").filter(pk=1).cheap().alist(), list[Book])
    assert_type(Author.objects.none() | Author.objects.all(), AsyncQuerySet[Author])
    assert_type(Author.objects.all().union(Author.objects.all()), AsyncQuerySet[Author])
    assert_type(await books.filter(pk=1).alist(), list[Book])
    assert_type(await Author.objects.defer("name").only("name").select_for_update().aget(), Author)


async def custom_methods(author: Author) -> None:
    assert_type(Book.objects.cheap(), BookQuerySet)
    assert_type(Book.objects.of(author).cheap().of(author), BookQuerySet)
    assert_type(Book.objects.filter(pk=1), BookQuerySet)
    assert_type(await Book.objects.alist(), list[Book])
    assert_type(await Book.objects.cheap().alist(), list[Book])
    assert_type(await Book.objects.cheap().total(), int)
    assert_type(await Book.objects.total(), int)
    assert_type(await Book.as_manager.cheap().alist(), list[Book])
    assert_type(await Book.as_manager.aget(pk=1), Book)
    assert_type(await Book.cheap.dear().alist(), list[Book])
    assert_type(await Book.cheap.filter(pk=1).alist(), list[Book])
    assert_type(await Book.cheap.number(), int)
    assert_type(await Book.tenants.mine().alist(), list[Book])
    assert_type(await Book.stock_manager.aget(pk=1), Book)
    assert_type(await User.objects.aget(pk=1), User)


async def terminals() -> None:
    assert_type(await Author.objects.aget_or_create(name="a"), tuple[Author, bool])
    assert_type(await Book.objects.aget_or_create(title="a"), tuple[Book, bool])
    assert_type(await Author.objects.aupdate_or_create(name="a"), tuple[Author, bool])
    assert_type(await Author.objects.acreate(name="a"), Author)
    assert_type(await Author.objects.abulk_create([Author(name="a")]), list[Author])
    assert_type(await Author.objects.abulk_update([Author(name="a")], ["name"]), int)
    assert_type(await Author.objects.ain_bulk([1]), dict[Any, Author])
    assert_type(await Author.objects.acount(), int)
    assert_type(await Author.objects.aexists(), bool)
    assert_type(await Author.objects.filter(pk=1).adelete(), tuple[int, dict[str, int]])
    assert_type(await Author.objects.filter(pk=1).aupdate(name="b"), int)
    assert_type(await Author.objects.aaggregate(), dict[str, Any])


async def rows_that_are_no_models() -> None:
    assert_type(await Book.objects.all().dates("created_at", "year").alist(), list[dt.date])
    assert_type(await Author.objects.all().datetimes("pk", "hour").alist(), list[dt.datetime])
    assert_type(Author.objects.raw("SELECT 1").using("default").translations, dict[str, str])
    assert_type(await Author.objects.raw("SELECT 1").alist(), list[Author])


async def loops() -> None:
    async for author in Author.objects.filter(pk=1):
        assert_type(author, Author)
    async for author in Author.objects.aiterator(chunk_size=10):
        assert_type(author, Author)
    async for book in Book.objects.cheap().aiterator():
        assert_type(book, Book)
    async for raw in Author.objects.raw("SELECT 1"):
        assert_type(raw, Author)
    assert_type([book async for book in Book.objects.all()], list[Book])
    for author in Author.objects.all():
        assert_type(author, Author)


async def relations(author: Author, book: Book, tag: Tag) -> None:
    assert_type(await author.books.alist(), list[Book])
    assert_type(await author.books.filter(pk=1).alist(), list[Book])
    assert_type(await author.books.acreate(title="a"), Book)
    await author.books.aadd(book)
    await author.books.aset([book], clear=True)
    assert_type(author.profile, Profile)
    assert_type(await book.tags.filter(pk=1).alist(), list[Tag])
    await book.tags.aadd(tag, 1)
    assert_type(await tag.books.alist(), list[Book])
    assert_type([each async for each in tag.books.all()], list[Book])


async def instances(book: Book) -> None:
    assert_type(await book.afetch_related("author", "tags"), Book)
    assert_type(await book.asave(), None)
    assert_type(await book.afull_clean(), None)


async def first_of(model: type[T]) -> T | None:
    assert_type(model.objects, AsyncManager[T])
    return await model.objects.afirst()


async def rows_of(queryset: AsyncQuerySet[M]) -> list[M]:
    return await queryset.alist()


async def some_of(manager: AsyncManager[M]) -> list[M]:
    return await manager.filter(pk__lt=10).alist()


async def row_of(queryset: models.QuerySet[M]) -> M | None:
    return await queryset.afirst()


async def what_functions_are_given() -> None:
    assert_type(await first_of(Author), Author | None)
    assert_type(await rows_of(Author.objects.all()), list[Author])
    assert_type(await rows_of(Book.objects.cheap()), list[Book])
    assert_type(await some_of(Author.objects), list[Author])
    assert_type(await row_of(Book.objects.all()), Book | None)
    assert_type(await aget_object_or_404(Author, pk=1), Author)
    assert_type(await aget_object_or_404(Author.objects, pk=1), Author)
    assert_type(await aget_object_or_404(Book.objects.cheap(), pk=1), Book)
    Author.objects.prefetch_related(Prefetch("books", queryset=Book.objects.cheap()))


def managers_as_arguments(manager: AsyncManager[Author]) -> AsyncQuerySet[Author]:
    return manager.filter(pk=1)


managers_as_arguments(Author.objects)
managers_as_arguments(Publisher.objects)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def what_is_refused(author: Author, book: Book) -> None:
    Author.objects.alist(1)  # type: ignore[call-arg, unused-coroutine]  # pyright: ignore[reportCallIssue]
    Author.objects.filter(pk=1).nonsense()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    Author.objects.cheap()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    wrong: list[Book] = await Author.objects.alist()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    book.objects  # type: ignore[arg-type] # pyright takes this manager for the queryset, on an instance, too
    await author.books.aadd(author)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for _ in Author.objects:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        print(wrong)
