"""Values are followed through the code of a small application, whose lines say which of them block."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from daf_orm.static.check import check
from daf_orm.static.files import modules
from daf_orm.static.settings import Settings
from tests.orm.static.checking import codes, findings

SAMPLES = Path(__file__).parent / "samples"


@pytest.mark.parametrize("name", ["views", "services"])
def test_the_lines_that_block_are_found_and_no_others(name: str, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shutil.copytree(SAMPLES / "templates", shop / "templates")
    (shop / "__init__.py").touch()
    shutil.copy(SAMPLES / "models.py.txt", shop / "models.py")
    sample = shop / f"{name}.py"
    shutil.copy(SAMPLES / f"{name}.py.txt", sample)
    lines = sample.read_text().splitlines()

    found = {each.line for each in check(modules([shop]), Settings()) if each.file == sample.as_posix()}

    marked = {number for number, line in enumerate(lines, 1) if line.endswith("# blocks")}
    assert [lines[number - 1].strip() for number in sorted(marked - found)] == []
    assert [lines[number - 1].strip() for number in sorted(found - marked)] == []


def test_a_function_is_followed_with_what_it_is_given(tmp_path: Path) -> None:
    source = """
    def name(book):
        return book.author.name
    async def loaded():
        return name(await Book.objects.select_related("author").aget(pk=1))
    async def lazy():
        return name(await Book.objects.aget(pk=1))
    """

    (found,) = findings(tmp_path, source)

    assert [step.function for step in found.path] == ["lazy", "name"]


def test_the_path_begins_at_the_nearest_coroutine_function(tmp_path: Path) -> None:
    source = """
    async def outer():
        await inner()
    async def inner():
        helper()
    def helper():
        Book.objects.count()
    """

    (found,) = findings(tmp_path, source)

    assert [step.function for step in found.path] == ["inner", "helper"]
    assert found.message.endswith(
        f"helper() is not async. Call it by database_sync_to_async() in {found.path[0]}, or there, before: "
        "Use await Book.objects.acount()."
    )


@pytest.mark.parametrize(
    "hop",
    [
        "await sync_to_async(count)()",
        "await sync_to_async(count, thread_sensitive=False)()",
        "await database_sync_to_async(count)()",
        "await await_safe(count)()",
        "await sync_to_async(lambda: count())()",
        "await sync_to_async(partial(count))()",
        "await gather(sync_to_async(count)(), database_sync_to_async(count)())",
        "threading.Thread(target=count).start()",
    ],
)
def test_a_function_in_a_thread_is_not_on_the_loop(hop: str, tmp_path: Path) -> None:
    source = f"""
    import threading
    from asyncio import gather
    from functools import partial
    from asgiref.sync import sync_to_async
    from daf_orm import await_safe, database_sync_to_async
    def count():
        return Book.objects.count()
    async def view(request):
        {hop}
    """

    assert codes(tmp_path, source) == []


def test_a_coroutine_in_async_to_sync_is_on_the_loop(tmp_path: Path) -> None:
    source = """
    from asgiref.sync import async_to_sync, sync_to_async
    async def view(request):
        await sync_to_async(work)()
    def work():
        Book.objects.count()
        async_to_sync(inner)()
    async def inner():
        Book.objects.count()
    """

    (found,) = findings(tmp_path, source)

    assert found.path[0].function == "inner"


@pytest.mark.parametrize("way", ["Book.objects.acount()", "not Book.objects.aexists()", "1 + Book.objects.acount()"])
def test_a_coroutine_is_no_value(way: str, tmp_path: Path) -> None:
    assert codes(tmp_path, f"async def view(request):\n    if {way}:\n        pass\n") == ["DAF070"]


def test_code_for_where_there_is_no_loop_is_not_on_it(tmp_path: Path) -> None:
    source = """
    import asyncio
    async def view(request):
        helper()
    def helper():
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return Book.objects.count()
    """

    assert codes(tmp_path, source) == []


def test_requests_of_other_frameworks_have_other_users(tmp_path: Path) -> None:
    source = "from ninja import Router\nasync def view(request):\n    return request.user.pk\n"

    assert codes(tmp_path, source) == []


@pytest.mark.parametrize(
    "body",
    [
        "await aprefetch_related_objects([author], 'books__tags')",
        "await database_sync_to_async(prefetch_related_objects)([author], 'books__tags')",
        "author = await Author.objects.prefetch_related('books__tags').aget(pk=author.pk)",
        "author = await Author.objects.prefetch_related(Prefetch('books', TAGGED)).aget()",
    ],
)
def test_prefetched_rows_are_loaded(body: str, tmp_path: Path) -> None:
    source = f"""
    from daf_orm import database_sync_to_async
    from django.db.models import Prefetch, aprefetch_related_objects, prefetch_related_objects
    TAGGED = Book.objects.prefetch_related('tags')
    async def view(request):
        author = await Author.objects.aget(pk=1)
        {body}
        return [tag.name for book in author.books.all() for tag in book.tags.all()]
    """

    assert codes(tmp_path, source) == []


def test_a_project_that_sets_the_user_has_loaded_it(tmp_path: Path) -> None:
    source = """
    from django.http import HttpRequest
    async def authenticate(request, found):
        request.user = found
    async def view(request: HttpRequest):
        return request.user.pk
    """

    assert codes(tmp_path, source) == []
    assert codes(tmp_path, source, strict=True) == ["DAF051"]


@pytest.mark.parametrize(
    "body",
    [
        "print(book.tags, Author.objects)",
        "text = f'{book.tags} {str(Author.objects)}'",
        "set_author(book)\n        print(book.author.name)",
        "await load(book=book)\n        print(book.author.name)",
        "await sync_to_async(set_author)(book)\n        print(book.author.name)",
        "await sync_to_async(warm)(book)\n        print(book.author.name)",
        "await sync_to_async(lambda: book.label)()\n        print(book.author.name)",
        "load_all(rows)\n        print([row.author.name for row in rows])",
        "for row in rows:\n            row.author = None\n        for row in rows:\n            print(row.author.name)",
        "if Book.author.is_cached(book):\n            print(book.author.name)",
        "if Book._meta.get_field('author').is_cached(book):\n            print(book.author.name)",
        "if 'author' in book._state.fields_cache:\n            print(book.author.name)",
        "books = Book.objects.all()\n        await sync_to_async(bool)(books)\n        print(len(books), books[0])",
        "match request:\n            case {'book': book}:\n                print(book.author.name)",
    ],
)
def test_relations_that_were_loaded_elsewhere_are_loaded(body: str, tmp_path: Path) -> None:
    source = f"""
    from asgiref.sync import sync_to_async
    def set_author(book):
        book.author = None
    async def load(book):
        book.author = await Author.objects.aget(pk=book.author_id)
    def load_all(books):
        for each in books:
            each.author = None
    def warm(book):
        return book.author
    async def view(request):
        rows = [row async for row in Book.objects.all()]
        book = await Book.objects.aget(pk=1)
        {body}
    """

    assert codes(tmp_path, source) == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("match book:\n            case Book() as other:\n                other.author", "DAF020"),
        (
            "match book:\n            case None:\n                pass\n            case x:\n                x.author",
            "DAF020",
        ),
        ("match request:\n            case _ if Book.objects.exists():\n                pass", "DAF010"),
        ("print(f'{1:>{Book.objects.count()}}')", "DAF010"),
        ("print('{}'.format(Book.objects.all()))", "DAF004"),
        ("class Local:\n            count = Book.objects.count()", "DAF010"),
        ("def local(count=Book.objects.count()):\n            pass", "DAF010"),
        (
            "(rows,) = [await asyncio.gather(*[Book.objects.aget(pk=pk) for pk in (1, 2)])]\n        rows[0].author",
            "DAF020",
        ),
        ("book.author = None\n        await book.arefresh_from_db()\n        book.author", "DAF020"),
    ],
)
def test_calls_in_rare_places_are_found(body: str, code: str, tmp_path: Path) -> None:
    source = f"""
    import asyncio
    async def view(request):
        book = await Book.objects.aget(pk=1)
        {body}
    """

    assert codes(tmp_path, source) == [code]


def test_an_overriding_method_is_reached_from_an_inherited_one(tmp_path: Path) -> None:
    source = """
    class Base:
        async def get(self, request):
            return self.data()
        def data(self):
            raise NotImplementedError
    class Child(Base):
        def data(self):
            return Book.objects.count()
    """

    (found,) = findings(tmp_path, source)

    assert [step.function for step in found.path] == ["Base.get", "Child.data"]


@pytest.mark.parametrize(
    ("use", "name"),
    [
        ("with Shelf():\n            pass", "__exit__"),
        ("len(Shelf())", "__len__"),
        ("for each in Shelf():\n            pass", "__iter__"),
        ("[*Shelf()]", "__iter__"),
        ("if Shelf():\n            pass", "__bool__"),
        ("not Shelf()", "__bool__"),
        ("Shelf()[1]", "__getitem__"),
        ("1 in Shelf()", "__contains__"),
    ],
)
def test_special_methods_are_followed(use: str, name: str, tmp_path: Path) -> None:
    source = f"""
    class Shelf:
        def {name}(self, *args):
            return Book.objects.count()
    async def view(request):
        {use}
    """

    (found,) = findings(tmp_path, source)

    assert [step.function for step in found.path] == ["view", f"Shelf.{name}"]


@pytest.mark.parametrize(
    "way",
    [
        "return copy.book.author.name",
        "book = copy.book\n        return book.author.name",
        "return name(copy.book)",
    ],
)
def test_the_remedy_names_a_relation_as_the_query_does(way: str, tmp_path: Path) -> None:
    source = f"""
    from django.db import models
    class Copy(models.Model):
        book = models.ForeignKey(Book, models.CASCADE)
    def name(book):
        return book.author.name
    async def view(request):
        copy = await Copy.objects.select_related("book").aget()
        {way}
    """

    (found,) = findings(tmp_path, source)

    assert 'Add select_related("book__author"), or await' in found.message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Worker().join()", ["Thread.join"]),
        ("Worker().ask()", ["Queue.get"]),
        ("threading.Event().wait(1)", ["Event.wait"]),
        ("subprocess.check_output(['ls'])", ["subprocess.Popen"]),
        (
            "process = subprocess.Popen(['ls'])\n        process.communicate()",
            ["subprocess.Popen", "Popen.communicate"],
        ),
        ("pool.submit(print).result()", ["Future.result"]),
        ("asyncio.run_coroutine_threadsafe(view(1), request.loop).result()", ["Future.result"]),
        ("queue.Queue().get(block=False)", []),
        ("queue.Queue().get_nowait()", []),
        ("await asyncio.Queue().get()", []),
        ("await asyncio.Event().wait()", []),
        ("await asyncio.to_thread(Worker().join)", []),
        ("', '.join([])", []),
        ("future = pool.submit(print)\n        await asyncio.wrap_future(future)\n        future.result()", []),
    ],
)
def test_waiting_for_a_thread_or_process_is_found(line: str, expected: list[str], tmp_path: Path) -> None:
    source = f"""
    import asyncio, queue, subprocess, threading
    from concurrent.futures import ThreadPoolExecutor
    pool = ThreadPoolExecutor()
    class Worker(threading.Thread):
        def __init__(self):
            self.answers: queue.Queue = queue.Queue()
        def ask(self):
            return self.answers.get()
    async def view(request):
        {line}
    """

    assert [each.operation for each in findings(tmp_path, source)] == expected


USERS = """
from django.contrib.auth.models import AbstractUser
from django.http import HttpRequest
from django.db import models
class Member(AbstractUser):
    boss = models.ForeignKey("self", models.CASCADE, null=True)
    {more}
async def view(request: HttpRequest):
    user = await request.auser()
    return user.boss
"""


def test_the_user_of_a_request_has_no_relations_loaded(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, USERS.format(more="pass"))

    assert (found.code, found.expression) == ("DAF020", "user.boss")


@pytest.mark.parametrize(
    "more",
    [
        "pass\nclass Backend:\n    def get_user(self, pk):\n        return None",
        "pass\ndef middleware(request):\n    request.user = None",
        "objects = Members()",
    ],
)
def test_a_project_that_fetches_its_users_has_no_findings(more: str, tmp_path: Path) -> None:
    manager = """
from django.contrib.auth.models import UserManager
class Members(UserManager):
    def get_queryset(self):
        return super().get_queryset().select_related("boss")
"""

    assert codes(tmp_path, manager + USERS.format(more=more)) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("make_password('x')", ["make_password"]),
        ("make_password(None)", []),
        ("make_password(password=None)", []),
        ("user.set_password('x')", ["make_password"]),
        ("user.check_password('x')", ["check_password"]),
        ("await asyncio.to_thread(user.check_password, 'x')", []),
        ("Path('a').open()", ["open"]),
        ("Path('a').read_text(encoding='utf-8')", ["open"]),
        ("await asyncio.to_thread(Path('a').read_text)", []),
        ("Path('a').exists()", []),
        ("with open('a') as f:\n            f.read()", ["open", "io.TextIOWrapper.read"]),
        ("with Path('a').open('rb') as f:\n            f.read()", ["open", "io.BufferedReader.read"]),
        ("f = await asyncio.to_thread(open, 'a', 'wb')\n        f.write(b'')", ["io.BufferedWriter.write"]),
        ("f = await asyncio.to_thread(open, 'a')\n        await asyncio.to_thread(f.read)", []),
        ("f = open(3)\n        f.read()", []),
    ],
)
def test_hashing_and_paths_that_are_opened_are_found(line: str, expected: list[str], tmp_path: Path) -> None:
    source = f"""
    import asyncio
    from pathlib import Path
    from django.contrib.auth.hashers import make_password
    from django.contrib.auth.models import User
    async def view(request, user: User):
        {line}
    """

    assert [each.operation for each in findings(tmp_path, source)] == expected


CONSUMER = """
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth.models import AbstractUser
from django.db import models
class Member(AbstractUser):
    boss = models.ForeignKey("self", models.CASCADE, null=True)
class Chat(AsyncJsonWebsocketConsumer):
    async def connect(self):
        print(self.scope["user"].username, self.scope["path"])
        return self.scope["user"].boss
"""


def test_the_user_of_a_consumer_has_no_relations_loaded(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, CONSUMER)

    assert found.expression == 'self.scope["user"].boss'


def test_the_user_of_a_consumer_that_the_project_sets_is_not_known(tmp_path: Path) -> None:
    middleware = (
        "class Token:\n    async def __call__(self, scope, *args):\n        scope['user'] = await self.user()\n"
    )

    assert codes(tmp_path, CONSUMER + middleware) == []
