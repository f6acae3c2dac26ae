"""Values whose rows are followed into what Django, Python and DAF make of them."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.orm.static.checking import findings

SHAPES = {
    "a method of a metaclass": """
        class Meta(type):
            def total(cls):
                return Book.objects.count()  # blocks
        class Shop(metaclass=Meta):
            pass
        async def view(request):
            Shop.total()
        """,
    "calls that make an instance": """
        class Meta(type):
            def __call__(cls, *args):
                Book.objects.count()  # blocks
                return super().__call__(*args)
        class Shop(metaclass=Meta):
            def __new__(cls, *args):
                Author.objects.count()  # blocks
                return super().__new__(cls)
            def __init__(self, name):
                Author.objects.first()  # blocks
        async def view(request):
            Shop("a")
        """,
    "functions registered for types": """
        import functools
        @functools.singledispatch
        def show(value):
            return Book.objects.first()  # blocks
        @show.register
        def _(value: str):
            return Book.objects.last()  # blocks
        @show.register(int)
        def _(value):
            return Author.objects.last()  # blocks
        async def view(request):
            show(request)
        """,
    "a tuple with names": """
        import collections
        Pair = collections.namedtuple("Pair", "book number")
        async def view(request):
            pair = Pair(await Book.objects.aget(pk=1), 2)
            pair.number.author
            pair.book.author.name  # blocks
        """,
    "a tuple whose names are a list": """
        from collections import namedtuple
        async def view(request):
            Pair = namedtuple("Pair", ["number", "book"])
            Pair(2, book=await Book.objects.aget(pk=1)).book.author.name  # blocks
        """,
    "an index of a row's own": """
        class Shelf(Author):
            def __getitem__(self, index):
                return self.books.all()[index]  # blocks
        async def view(request):
            shelf = await Shelf.objects.aget(pk=1)
            shelf[0]
        """,
    "the content of a response": """
        from django.http import HttpResponse
        async def view(request):
            HttpResponse(content=Book.objects.values_list("title"))  # blocks
            return HttpResponse(Book.objects.all())  # blocks
        """,
    "a coroutine in a response": """
        from django.http import JsonResponse
        async def view(request):
            return JsonResponse({"number": Book.objects.acount()})  # blocks
        """,
    "rows of a page": """
        from asgiref.sync import sync_to_async
        from django.core.paginator import Paginator
        async def view(request):
            page = await sync_to_async(Paginator(Book.objects.all(), 10).get_page)(1)
            for book in page:  # blocks
                book.author.name  # blocks
            len(page)
        """,
    "a page of rows in memory": """
        from django.core.paginator import Paginator
        async def view(request):
            books = [book async for book in Book.objects.all()]
            for book in Paginator(books, 10).page(1):
                pass
        """,
    "a list that was prefetched under a name": """
        from django.db.models import Prefetch
        async def view(request):
            books = Book.objects.select_related("author")
            author = await Author.objects.prefetch_related(Prefetch("books", queryset=books, to_attr="all")).aget()
            for book in author.all:
                book.author.name
                book.tags.count()  # blocks
        """,
    "the first of prefetched rows without an order": """
        async def view(request):
            book = await Book.objects.prefetch_related("tags").aget(pk=1)
            book.tags.first()  # blocks
            book.tags.all().last()  # blocks
            book.tags.count()
            book.tags.exists()
        """,
    "the first of prefetched rows with an order": """
        from django.db import models
        class Page(models.Model):
            book = models.ForeignKey(Book, on_delete=models.CASCADE, related_name="pages")
            class Meta:
                ordering = ["pk"]
        async def view(request):
            book = await Book.objects.prefetch_related("pages").aget(pk=1)
            book.pages.first()
        """,
    "the row of a child model": """
        class Audio(Book):
            pass
        class Paper(Book):
            class Meta:
                proxy = True
        async def view(request):
            book = await Book.objects.aget(pk=1)
            book.audio  # blocks
            book.paper
            (await Book.objects.select_related("audio").aget(pk=1)).audio
        """,
    "the way back by one of two keys": """
        from django.db import models
        class Letter(models.Model):
            sender = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="sent")
            receiver = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="received")
        async def view(request):
            author = await Author.objects.aget(pk=1)
            async for letter in author.sent.all():
                letter.sender.name
                letter.receiver.name  # blocks
        """,
    "an attribute of a thread is set": """
        import threading
        local = threading.local()
        async def view(request):
            local.user = 1  # blocks
            print(local.user)  # blocks
        """,
}
TYPED = """
    import msgspec
    from dataclasses import dataclass
    from daf_views import AsyncAPIView
    class AuthorOut(msgspec.Struct):
        name: str
    class TagOut(msgspec.Struct):
        name: str
    @dataclass
    class BookOut:
        title: str
        author: AuthorOut
    class WithTags(msgspec.Struct):
        tags: list[TagOut]
    class PlainOut(msgspec.Struct):
        title: str
        author_id: int
    """
HANDLERS = {
    "a row": ("BookOut", "await Book.objects.aget(pk=1)", True),
    "a row of an optional type": ("BookOut | None", "await Book.objects.afirst()", True),
    "rows": ("list[BookOut]", "[book async for book in Book.objects.all()]", True),
    "a queryset": ("list[BookOut]", "Book.objects.all()", True),
    "a manager's list": ("list[BookOut]", "await Book.objects.filter(pk=1).alist()", True),
    "an annotated type": ("Annotated[BookOut, Status(201)]", "await Book.objects.aget(pk=1)", True),
    "a quoted type": ("'BookOut'", "await Book.objects.aget(pk=1)", True),
    "rows of another model": ("list[WithTags]", "Book.objects.all()", True),
    "a joined row": ("BookOut", "await Book.objects.select_related('author').aget(pk=1)", False),
    "a joined queryset": ("list[BookOut]", "Book.objects.select_related('author')", False),
    "prefetched rows": ("list[WithTags]", "Book.objects.prefetch_related('tags')", False),
    "a key": ("PlainOut", "await Book.objects.aget(pk=1)", False),
    "a dictionary": ("BookOut", "{'title': 'a', 'author': {'name': 'b'}}", False),
    "a value": ("BookOut", "BookOut('a', AuthorOut('b'))", False),
    "no type": ("None", "None", False),
}


def marked(source: str) -> set[str]:
    return {line.strip() for line in source.splitlines() if line.endswith("# blocks")}


@pytest.mark.parametrize("source", SHAPES.values(), ids=SHAPES)
def test_a_value_is_followed(source: str, tmp_path: Path) -> None:
    text = textwrap.dedent(source)
    lines = ["", *text.splitlines()]

    found = findings(tmp_path, text)

    assert {lines[each.line - 1].strip() for each in found} == marked(text)


@pytest.mark.parametrize(("kind", "value", "is_found"), HANDLERS.values(), ids=HANDLERS)
def test_a_relation_that_a_typed_handler_shows_is_loaded_before_it_returns(
    kind: str, value: str, *, is_found: bool, tmp_path: Path
) -> None:
    handler = f"""
    class View(AsyncAPIView):
        async def get(self, request) -> {kind}:
            return {value}
    """
    found = findings(tmp_path, textwrap.dedent(TYPED) + textwrap.dedent(handler))

    assert bool(found) is is_found
    for each in found:
        assert each.message.startswith("Converting the return value of View.get() loads Book.")
        assert (each.function, each.expression) == ("View.get", "")


def test_a_handler_of_another_view_is_not_typed(tmp_path: Path) -> None:
    other = """
    class View:
        async def get(self, request) -> BookOut:
            return await Book.objects.aget(pk=1)
    """
    assert findings(tmp_path, textwrap.dedent(TYPED) + textwrap.dedent(other)) == []
