"""A queryset or manager method runs its query at once."""

import django
from django.core.paginator import Paginator
from django.db.models import Count, prefetch_related_objects
from django.shortcuts import get_list_or_404, get_object_or_404

from tests.orm.detection.corpus.shapes import blocks
from tests.orm.detection.corpus.shelf import Shelf
from tests.project.library.models import Author, Book, Counter

BOOK = "library.Book"
AUTHOR = "library.Author"
PAGINATOR = "Use AsyncPaginator" if django.VERSION >= (6,) else "await database_sync_to_async("


@blocks("QuerySet.get", model=BOOK, expression='Book.objects.get(title="b0")', suggestion="await Book.objects.aget(")
async def get(shelf: Shelf) -> None:
    Book.objects.get(title="b0")  # blocks


@blocks("QuerySet.get", model="library.Counter", suggestion="await Counter.objects.aget(")
async def get_by_a_stock_manager(shelf: Shelf) -> None:
    Counter.objects.get(name="c0")  # blocks


@blocks("QuerySet.first", model=BOOK, suggestion="await Book.objects.filter(stock=3).afirst()")
async def first(shelf: Shelf) -> None:
    Book.objects.filter(stock=3).first()  # blocks


@blocks("QuerySet.last", model=BOOK, suggestion="await Book.objects.alast()")
async def last(shelf: Shelf) -> None:
    Book.objects.last()  # blocks


@blocks("QuerySet.earliest", model=BOOK, suggestion='await Book.objects.aearliest("published")')
async def earliest(shelf: Shelf) -> None:
    Book.objects.earliest("published")  # blocks


@blocks("QuerySet.latest", model=BOOK, suggestion='await Book.objects.alatest("published")')
async def latest(shelf: Shelf) -> None:
    Book.objects.latest("published")  # blocks


@blocks("QuerySet.count", model=BOOK, suggestion="await Book.objects.acount()", sql="COUNT(*)")
async def count(shelf: Shelf) -> None:
    Book.objects.count()  # blocks


@blocks("QuerySet.exists", model=BOOK, suggestion="await Book.objects.filter(stock=3).aexists()")
async def exists(shelf: Shelf) -> None:
    if Book.objects.filter(stock=3).exists():  # blocks
        pass


@blocks("QuerySet.contains", model=BOOK, suggestion="await Book.objects.acontains(shelf.book)")
async def contains(shelf: Shelf) -> None:
    Book.objects.contains(shelf.book)  # blocks


@blocks("QuerySet.aggregate", model=BOOK, suggestion='await Book.objects.aaggregate(n=Count("pk"))')
async def aggregate(shelf: Shelf) -> None:
    Book.objects.aggregate(n=Count("pk"))  # blocks


@blocks("QuerySet.in_bulk", model=BOOK, suggestion="await Book.objects.ain_bulk([shelf.book.pk])")
async def in_bulk(shelf: Shelf) -> None:
    Book.objects.in_bulk([shelf.book.pk])  # blocks


@blocks("QuerySet.explain", model=BOOK, suggestion="await Book.objects.all().aexplain()")
async def explain(shelf: Shelf) -> None:
    Book.objects.all().explain()  # blocks


@blocks("QuerySet.create", model=AUTHOR, suggestion='await Author.objects.acreate(name="a1")')
async def create(shelf: Shelf) -> None:
    Author.objects.create(name="a1")  # blocks


@blocks("QuerySet.get_or_create", model=AUTHOR, suggestion='await Author.objects.aget_or_create(name="a0")')
async def get_or_create(shelf: Shelf) -> None:
    Author.objects.get_or_create(name="a0")  # blocks


@blocks("QuerySet.update_or_create", model=AUTHOR, suggestion="await Author.objects.aupdate_or_create(")
async def update_or_create(shelf: Shelf) -> None:
    Author.objects.update_or_create(name="a0", defaults={"email": "a0@example.org"})  # blocks


@blocks("QuerySet.bulk_create", model=AUTHOR, suggestion="await Author.objects.abulk_create(")
async def bulk_create(shelf: Shelf) -> None:
    Author.objects.bulk_create([Author(name="a1")])  # blocks


@blocks("QuerySet.bulk_update", model=BOOK, suggestion='await Book.objects.abulk_update([shelf.book], ["stock"])')
async def bulk_update(shelf: Shelf) -> None:
    Book.objects.bulk_update([shelf.book], ["stock"])  # blocks


@blocks("QuerySet.update", model=BOOK, suggestion="await Book.objects.filter(stock=3).aupdate(stock=4)")
async def update(shelf: Shelf) -> None:
    Book.objects.filter(stock=3).update(stock=4)  # blocks


@blocks("QuerySet.delete", model=BOOK, suggestion="await Book.objects.filter(stock=3).adelete()")
async def delete(shelf: Shelf) -> None:
    Book.objects.filter(stock=3).delete()  # blocks


@blocks(
    "get_object_or_404",
    model=BOOK,
    expression='get_object_or_404(Book, title="b0")',
    suggestion='await aget_object_or_404(Book, title="b0")',
)
async def object_or_404(shelf: Shelf) -> None:
    get_object_or_404(Book, title="b0")  # blocks


@blocks("get_list_or_404", model=BOOK, suggestion="await aget_list_or_404(Book)")
async def list_or_404(shelf: Shelf) -> None:
    get_list_or_404(Book)  # blocks


@blocks("Paginator.page", model=BOOK, suggestion=PAGINATOR)
async def page(shelf: Shelf) -> None:
    Paginator(Book.objects.order_by("pk"), 1).page(1)  # blocks


@blocks("Paginator.count", model=BOOK, suggestion=PAGINATOR)
async def count_of_a_paginator(shelf: Shelf) -> None:
    assert Paginator(Book.objects.order_by("pk"), 1).count  # blocks


@blocks("prefetch_related_objects", model="library.Tag", suggestion="await aprefetch_related_objects([shelf.book]")
async def prefetch(shelf: Shelf) -> None:
    prefetch_related_objects([shelf.book], "tags")  # blocks
