"""Values of which there are several: a function, a class or a queryset that depends on something."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.orm.static.checking import codes, findings

HEAD = """
    from asgiref.sync import sync_to_async
    def count(name=None):
        return Book.objects.count()
    @sync_to_async
    def hopped(name=None):
        return Book.objects.count()
    async def awaited(name=None):
        return await Book.objects.acount()
    HANDLERS = {"count": count, "all": lambda name=None: list(Author.objects.all())}
    ASYNC = {"hopped": hopped, "awaited": awaited}
    class Counts:
        def run(self):
            return Author.objects.count()
    class Lists:
        def run(self):
            return list(Tag.objects.all())
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("HANDLERS[request]()", ["DAF001", "DAF010"]),
        ("HANDLERS.get(request)()", ["DAF001", "DAF010"]),
        ("for handler in HANDLERS.values():\n            handler()", ["DAF001", "DAF010"]),
        ("for _, handler in HANDLERS.items():\n            handler(1)", ["DAF001", "DAF010"]),
        ("await ASYNC[request]()", []),
        ("(Counts if request else Lists)().run()", ["DAF001", "DAF010"]),
        ("worker = Counts() if request else Lists()\n        worker.run()", ["DAF001", "DAF010"]),
        ("Model = Book if request else Author\n        Model.objects.get()", ["DAF010"]),
        ("Model = Book if request else Author\n        await Model.objects.aget()", []),
        ("for Model in (Book, Author):\n            Model.objects.exists()", ["DAF010"]),
        ("rows = Book.objects.all() if request else Tag.objects.all()\n        list(rows)", ["DAF001"]),
        ("rows = Book.objects.all() if request else Tag.objects.all()\n        len(rows)", ["DAF002"]),
        ("rows = Book.objects.all() if request else Tag.objects.all()\n        rows[0]", ["DAF003"]),
        ("rows = Book.objects.all() if request else Tag.objects.all()\n        f'{rows}'", ["DAF004"]),
        ("rows = Book.objects.all() if request else Tag.objects.all()\n        [row async for row in rows]", []),
        (
            """rows = Book.objects.all() if request else Tag.objects.all()
        [row async for row in rows]
        print(len(rows))""",
            [],
        ),
        ("value = 1 if request else count\n        value()", []),
    ],
)
def test_each_value_is_followed(line: str, expected: list[str], tmp_path: Path) -> None:
    assert sorted(set(codes(tmp_path, f"{HEAD}    async def view(request):\n        {line}\n"))) == expected


def test_a_name_that_could_not_be_imported_is_not_what_is_meant(tmp_path: Path) -> None:
    source = """
    try:
        from shop.models import Book as Volume
    except ImportError:
        Volume = None
    async def view(request):
        return Volume.objects.count()
    """

    assert codes(tmp_path, source) == ["DAF010"]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ("Runner(count)", ["view", "Runner.run", "count"]),
        ("Runner(task=lambda: Book.objects.count())", ["view", "Runner.run", "view.<locals>.<lambda>"]),
        ("Runner(hopped)", []),
        ("Holder(Runner(count))", ["view", "Holder.run", "Runner.run", "count"]),
    ],
)
def test_an_instance_calls_what_it_was_made_with(made: str, expected: list[str], tmp_path: Path) -> None:
    source = f"""
    class Runner:
        def __init__(self, task):
            self.task = task
        def run(self):
            return self.task()
    class Holder:
        def __init__(self, runner):
            self.runner = runner
        def run(self):
            return self.runner.run()
    async def view(request):
        return {made}.run()
    """

    found = findings(tmp_path, HEAD + source)

    assert [[step.function for step in each.path] for each in found] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("def later(self):\n            pass", ["DAF001"]),
        ("async def later(self):\n            return [book async for book in self.books]", []),
        ("async def later(self):\n            await sync_to_async(list)(self.books)", []),
        ("def later(self):\n            self.books = [1]", []),
    ],
)
def test_a_queryset_in_self_is_lazy_until_it_may_be_evaluated(method: str, expected: list[str], tmp_path: Path) -> None:
    source = f"""
    from asgiref.sync import sync_to_async
    class Shop:
        def __init__(self):
            self.books = Book.objects.all()
        async def titles(self):
            return [book.title for book in self.books]
        {method}
    """

    assert codes(tmp_path, source) == expected


def test_of_functions_that_are_awaited_the_coroutine_functions_are_meant(tmp_path: Path) -> None:
    source = """
    from inspect import iscoroutinefunction
    async def view(request):
        test = count if request else awaited
        if iscoroutinefunction(test):
            return await test()
        return await sync_to_async(test)()
    """

    assert codes(tmp_path, HEAD + source) == []


@pytest.mark.parametrize(
    "test", ["in_async_context()", "self.is_async()", "inside_event_loop()", "not not is_in_async_context()"]
)
@pytest.mark.parametrize(
    "body",
    [
        "return None if {test} else Book.objects.count()",
        "if {test}:\n                return None\n            else:\n                return Book.objects.count()",
        "if not {test}:\n                return Book.objects.count()",
    ],
)
def test_code_for_where_there_is_no_loop_is_not_followed(test: str, body: str, tmp_path: Path) -> None:
    source = f"""
    from library import in_async_context, inside_event_loop, is_in_async_context
    class Finder:
        def find(self):
            {body.format(test=test)}
    async def view(request):
        return Finder().find()
    """

    assert codes(tmp_path, source) == []
    assert codes(tmp_path, source.replace(test, "request.is_ready()")) == ["DAF010"]
