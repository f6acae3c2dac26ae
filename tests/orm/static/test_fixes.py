"""A fixed file runs under the guard, and gives the answer of its synchronous original."""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path
from typing import Any

import pytest

from daf_orm.detection import guard
from daf_orm.static.check import check
from daf_orm.static.files import modules
from daf_orm.static.settings import Settings
from tests.orm.static.checking import IMPORTS, codes, project
from tests.project import library
from tests.project.library.models import Author, Book, Publisher, Tag

pytest.importorskip("libcst")
from daf_orm.static.fixes.fixing import fix

HEAD = """
from django.db import transaction
from django.shortcuts import get_list_or_404, get_object_or_404

from tests.project.library.models import Author, Book, Publisher, Tag


"""
SHAPES = {
    "get": 'return Book.objects.get(title="b0").pk',
    "first": "return Publisher.objects.order_by('pk').first().name",
    "count": "return 1 + Publisher.objects.count() ** 2",
    "exists": "return 'yes' if Book.objects.filter(stock=3).exists() else 'no'",
    "for": "found = []\nfor book in Book.objects.order_by('pk'):\n    found.append(book.title)\nreturn found",
    "comprehension": "return [tag.name for tag in Tag.objects.all()]",
    "generator": "return any(tag.name == 't0' for tag in Tag.objects.all())",
    "list": "return [book.pk for book in list(Book.objects.order_by('pk'))]",
    "list of a stock queryset": "return [row.pk for row in list(Publisher.objects.order_by('pk'))]",
    "sorted": "return [book.title for book in sorted(Book.objects.all(), key=lambda book: book.pk)]",
    "join": "return ', '.join(Book.objects.order_by('pk').values_list('title', flat=True))",
    "unpacking": "first, second = Book.objects.order_by('pk')\nreturn second.title",
    "in": "book = Book.objects.get(title='b0')\nreturn book in Book.objects.all(), book not in Book.objects.all()",
    "in values": "return 't0' in Tag.objects.values_list('name', flat=True)",
    "in a slice": "book = Book.objects.get(title='b1')\nreturn book in Book.objects.order_by('pk')[:1]",
    "starred argument": "return max(*Book.objects.values_list('title', flat=True))",
    "starred item": "return ['first', *Tag.objects.order_by('pk').values_list('name', flat=True)]",
    "iterator in for": "found = []\nfor book in Book.objects.order_by('pk').iterator():\n    found.append(book.title)\n"
    "return found",
    "iterator in a comprehension": "return [tag.name for tag in Tag.objects.order_by('pk').iterator(chunk_size=1)]",
    "list of an iterator": "return len(list(Book.objects.all().iterator()))",
    "sorted iterator": "return sorted(Tag.objects.values_list('name', flat=True).iterator())",
    "starred iterator": "return [*Tag.objects.order_by('pk').values_list('name', flat=True).iterator()]",
    "length": "return len(Publisher.objects.all())",
    "truth": "if Publisher.objects.filter(name='p9'):\n    return 1\nreturn 2",
    "truth of what is read afterwards": "books = Book.objects.order_by('pk')\ntitles = []\nif books:\n"
    "    Book.objects.filter(title='b0').update(title='b9')\n    titles = [book.title for book in books]\n"
    "    Book.objects.filter(title='b9').update(title='b0')\nreturn titles",
    "length of what is read afterwards": "books = Publisher.objects.order_by('pk')\nfound = len(books)\n"
    "Publisher.objects.create(name='p1')\nnames = [book.name for book in books]\n"
    "Publisher.objects.filter(name='p1').delete()\nreturn found, names",
    "negation": "return not Publisher.objects.all()",
    "item": "return Book.objects.order_by('pk')[1].title, Book.objects.order_by('pk')[0].title",
    "save": "book = Book.objects.get(title='b0')\nbook.stock = 7\nbook.save(update_fields=['stock'])\n"
    "book.refresh_from_db()\nreturn book.stock",
    "delete": "Tag.objects.filter(name='t9').delete()\nreturn Tag.objects.count()",
    "create": "return Tag.objects.get_or_create(name='t0')[0].name",
    "get_object_or_404": "return get_object_or_404(Book, title='b0').title",
    "get_list_or_404": "return [book.title for book in get_list_or_404(Book.objects.order_by('pk'))]",
    "select_related": "book = Book.objects.get(title='b0')\nreturn book.author.name, book.publisher.name",
    "select_related of a loop": "names = []\nfor book in Book.objects.filter(stock=3):\n"
    "    names.append(book.author.name)\nreturn names",
    "coroutine": "return 1 if Book.objects.acount() == 2 else 0",
    "atomic": "with transaction.atomic():\n    Book.objects.filter(title='b0').update(stock=5)\n"
    "return Book.objects.get(title='b0').stock",
    "related manager": "book = Book.objects.get(title='b0')\nbook.tags.set([])\nreturn book.tags.count()",
    "helper": "def titles(least, *, most):\n    return [book.title for book in Book.objects.filter(stock__gte=least)]\n"
    "return sorted(titles(1, most=2))",
    "helper behind another": "def count():\n    return Book.objects.count()\ndef twice():\n    return 2 * count()\n"
    "return 1 + twice()",
    "full_clean": "book = Book.objects.get(title='b0')\nbook.full_clean()\nreturn book.pk",
}


@pytest.fixture
def rows(transactional_db: None) -> None:
    author, publisher, tag = Author.objects.create(name="a0"), Publisher.objects.create(name="p0"), Tag(name="t0")
    tag.save()
    for number in range(2):
        book = Book.objects.create(title=f"b{number}", author=author, publisher=publisher, stock=3)
        book.tags.add(tag)


def function(source: str) -> Any:
    names: dict[str, Any] = {}
    exec(compile(source, "<shape>", "exec"), names)
    return names["shape"]


@pytest.mark.parametrize("body", SHAPES.values(), ids=SHAPES)
def test_a_fixed_shape_gives_the_same_answer_under_the_guard(
    body: str, rows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"{HEAD}async def shape():\n{textwrap.indent(body, '    ')}\n"
    file = tmp_path / "shape.py"
    file.write_text(source)
    folder = Path(library.__file__).parent

    count, _ = fix([file, folder], Settings(), is_unsafe=True, is_dry=False)

    assert count == 1
    assert [each for each in check(modules([file, folder]), Settings()) if each.file.endswith("shape.py")] == []
    assert fix([file, folder], Settings(), is_unsafe=True, is_dry=False)[0] == 0
    monkeypatch.setattr(guard, "_forced_mode", "raise")
    fixed = asyncio.run(function(file.read_text())())
    assert fixed == function(source.replace("async def", "def").replace("acount", "count"))()


def fixed(folder: Path, source: str, *, unsafe: bool = False) -> str:
    package = project(folder, views=IMPORTS + textwrap.dedent(source))
    fix([package], Settings(), is_unsafe=unsafe, is_dry=False)
    return (package / "views.py").read_text().removeprefix(IMPORTS)


def test_formatting_and_comments_are_kept(tmp_path: Path) -> None:
    source = """
    async def view(request):  # a view
        book = (Book.objects
                .filter(title = "b0")   # odd, but theirs
                .get())
        return  book
    """

    assert fixed(tmp_path, source) == textwrap.dedent(source).replace("(Book", "(await Book").replace(
        ".get()", ".aget()"
    )


def test_an_awaited_call_is_not_awaited_twice(tmp_path: Path) -> None:
    source = "async def view(request):\n    return await Book.objects.count()\n"

    assert fixed(tmp_path, source) == source.replace("count", "acount")


def test_a_coroutine_function_of_the_project_is_awaited_on_request(tmp_path: Path) -> None:
    source = "async def send():\n    pass\nasync def view(request):\n    send()\n"

    assert fixed(tmp_path, source) == source
    assert fixed(tmp_path, source, unsafe=True) == source.replace("    send()", "    await send()")


def test_the_user_of_a_request_is_awaited(tmp_path: Path) -> None:
    source = "from django.http import HttpRequest\nasync def view(request: HttpRequest):\n    return request.user.pk\n"

    assert "return (await request.auser()).pk" in fixed(tmp_path, source)


def test_unsafe_fixes_are_made_on_request(tmp_path: Path) -> None:
    source = """
    from django.views import View
    class BookView(View):
        async def get(self, request):
            return None
        def post(self, request):
            return Book.objects.count()
    """

    assert "    def post" in fixed(tmp_path, source)
    assert "    async def post(self, request):\n        return await Book.objects.acount()" in fixed(
        tmp_path, source, unsafe=True
    )


def test_a_synchronous_function_that_is_reached_is_not_rewritten(tmp_path: Path) -> None:
    source = "def count():\n    return Book.objects.count()\nasync def view(request):\n    return count()\n"

    assert fixed(tmp_path, source) == source


def test_a_dry_run_shows_the_difference_and_writes_nothing(tmp_path: Path) -> None:
    package = project(tmp_path, views=f"{IMPORTS}async def view(request):\n    return Book.objects.count()\n")
    before = (package / "views.py").read_text()

    count, text = fix([package], Settings(), is_unsafe=False, is_dry=True)

    assert count == 1
    assert "-    return Book.objects.count()\n+    return await Book.objects.acount()\n" in text
    assert (package / "views.py").read_text() == before


def test_encoding_and_line_ends_are_kept(tmp_path: Path) -> None:
    text = f"# coding: latin-1\n{IMPORTS}async def view(request):\n    return 'é', Book.objects.count()\n"
    package = project(tmp_path)
    file = package / "views.py"
    file.write_bytes(text.replace("\n", "\r\n").encode("latin-1"))

    fix([package], Settings(), is_unsafe=False, is_dry=False)

    expected = text.replace("Book.objects.count()", "await Book.objects.acount()").replace("\n", "\r\n")
    assert file.read_bytes() == expected.encode("latin-1")


def test_mixed_line_ends_are_kept(tmp_path: Path) -> None:
    package = project(tmp_path)
    file = package / "views.py"
    before = f"{IMPORTS}x = 1\r\n\r\nasync def view(request):\n    return Book.objects.count()\r\ny = 2\n"
    file.write_bytes(before.encode())

    fix([package], Settings(), is_unsafe=False, is_dry=False)

    assert file.read_bytes().decode() == before.replace("Book.objects.count()", "await Book.objects.acount()")


def test_old_line_ends_are_kept(tmp_path: Path) -> None:
    package = project(tmp_path)
    file = package / "views.py"
    before = f"{IMPORTS}async def view(request):\n    return Book.objects.count()\n".replace("\n", "\r")
    file.write_bytes(before.encode())

    fix([package], Settings(), is_unsafe=False, is_dry=False)

    assert file.read_bytes().decode() == before.replace("Book.objects.count()", "await Book.objects.acount()")


def test_a_difference_has_the_lines_and_line_ends_of_the_file(tmp_path: Path) -> None:
    package = project(tmp_path)
    source = f"{IMPORTS}\x0c\nasync def view(request):\n    return '\u2028', Book.objects.count()\n"
    (package / "views.py").write_bytes(source.replace("\n", "\r\n").encode())

    _, text = fix([package], Settings(), is_unsafe=False, is_dry=True)

    assert "\n \x0c\r\n async def view(request):\r\n-    return '\u2028', Book.objects.count()\r\n+    return" in text
    assert "No newline" not in text


def test_a_fix_that_cannot_be_made_leaves_the_others(tmp_path: Path) -> None:
    source = f"{IMPORTS}from django.http import HttpRequest\nasync def view(request: HttpRequest):\n"
    source += "    request.session['seen'] += 1\n    return request.session['seen'], Book.objects.count()\n"
    package = project(tmp_path)
    (package / "views.py").write_text(source)

    fix([package], Settings(), is_unsafe=True, is_dry=False)

    fixed = (package / "views.py").read_text()
    assert "request.session['seen'] += 1" in fixed
    assert "return await request.session.aget('seen'), await Book.objects.acount()" in fixed


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("    books = Book.objects.all()\n    return 1 if books else 2\n", "await books.aexists()"),
        ("    books = Book.objects.all()\n    books = books.filter()\n    return not books\n", "await books.aexists()"),
        ("    books = Book.objects.all()\n    if books:\n        return [books]\n", "[row async for row in books]"),
        (
            "    books = Book.objects.all()\n    if books:\n        return books.count()\n",
            "[row async for row in books]",
        ),
        ("    books = other = Book.objects.all()\n    page = {1: books}\n    return not books\n", "not [row async for"),
        ("    books = Book.objects.all()\n    return len(books)\n", "await books.acount()"),
        ("    books = Book.objects.all()\n    return len(books), books\n", "len([row async for row in books])"),
        (
            "    books = Book.objects.all()\n    while 1:\n        books.first()\n        assert books\n",
            "assert [row async for row in books]",
        ),
    ],
)
def test_a_queryset_that_is_read_again_is_evaluated_once(body: str, expected: str, tmp_path: Path) -> None:
    assert expected in fixed(tmp_path, f"async def view(request):\n{body}")


def test_a_relation_of_a_relation_is_added_to_the_query_by_its_whole_name(tmp_path: Path) -> None:
    chain = "class Copy(models.Model):\n    book = models.ForeignKey(Book, models.CASCADE)\n"
    source = "from django.db import models\n" + chain
    source += "async def view(request):\n    copy = await Copy.objects.aget()\n    return copy.book.author.name\n"

    text = fixed(tmp_path, source)

    assert 'Copy.objects.select_related("book").select_related("book__author").aget()' in text or (
        'Copy.objects.select_related("book__author").select_related("book").aget()' in text
    )


HELPERS = """
    from django.http import HttpRequest
    from django.db import connection, models, transaction
    def count(book=None):
        return Book.objects.count()
    def rows():
        yield from Book.objects.all()
    def opened():
        return connection.cursor()
    @transaction.atomic
    def sell():
        return Book.objects.update(title="sold")
    class Shop:
        def __init__(self):
            self.size = Book.objects.count()
    class Note(models.Model):
        def save(self, **options):
            super().save(**options)
    class Names:
        @property
        def name(self):
            return Book.objects.count()
    async def view(request):
        {line}
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("return count( 1 )  # of all", "return await database_sync_to_async(count)( 1 )  # of all"),
        ("return count(book=1).bit_length()", "return (await database_sync_to_async(count)(book=1)).bit_length()"),
        ("sell()", "await database_sync_to_async(sell)()"),
        ("return Shop().size", "return (await database_sync_to_async(Shop)()).size"),
        ("Book().full_clean()", "await database_sync_to_async(Book().full_clean)()"),
        ("await count()", None),
        ("Note().save(force_insert=True)", "await Note().asave(force_insert=True)"),
        ("return [count(n) for n in (1, 2)]", "return [await database_sync_to_async(count)(n) for n in (1, 2)]"),
        ("return any(count(n) for n in (1, 2))", None),
        ("return list(map(count, (1, 2)))", None),
        ("return [row for row in rows()]", None),
        ("return opened()", None),
        ("return Names().name", None),
        ("request.loop.call_soon(count)", None),
        ("connection.cursor()", None),
    ],
)
def test_a_synchronous_function_is_moved_to_a_thread_on_request(
    line: str, expected: str | None, tmp_path: Path
) -> None:
    source = HELPERS.format(line=line)

    assert fixed(tmp_path, source) == textwrap.dedent(source)
    changed = fixed(tmp_path, source, unsafe=True)
    assert f"        {expected or line}\n".replace("    ", "", 1) in changed
    assert ("import database_sync_to_async" in changed) is ("database_sync" in (expected or ""))
    assert expected is None or codes(tmp_path, changed) == []


def test_a_function_of_another_file_is_moved_where_it_is_called(tmp_path: Path) -> None:
    package = project(
        tmp_path,
        helpers=f"{IMPORTS}def count():\n    return Book.objects.count()\n",
        views="from channels.db import database_sync_to_async\n\nfrom shop.helpers import count\n\n\n"
        "async def one():\n    return count()\n\n\nasync def two():\n    return count()\n",
    )

    changed, _ = fix([package], Settings(), is_unsafe=True, is_dry=False)

    assert changed == 1
    text = (package / "views.py").read_text()
    assert text.count("return await database_sync_to_async(count)()") == 2
    assert "daf_orm" not in text
    assert fix([package], Settings(), is_unsafe=True, is_dry=False)[0] == 0
