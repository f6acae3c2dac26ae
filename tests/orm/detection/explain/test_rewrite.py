"""Source taken apart and put together again, in the user's own spelling."""

import pytest

from daf_orm.detection.explain.rewrite import Expression

pytestmark = pytest.mark.no_database


@pytest.mark.parametrize(
    ("source", "method", "awaited"),
    [
        ("Book.objects.get(title='ü', pk=1)", "get", "await Book.objects.aget(title='ü', pk=1)"),
        ('Book.objects.filter(x=get("y")).get()', "get", 'await Book.objects.filter(x=get("y")).aget()'),
        ("(await books()).get(pk=1)", "get", "await (await books()).aget(pk=1)"),
        ("(books | others).get()", "get", "await (books | others).aget()"),
        ("get_object_or_404(Book, pk=1)", "get_object_or_404", "await aget_object_or_404(Book, pk=1)"),
        ("shelf.books", "count", None),
        ("for book in", "count", None),
        ("", "count", None),
    ],
)
def test_a_call_is_awaited(source: str, method: str, awaited: str | None) -> None:
    assert Expression(source).awaited(method, f"a{method}") == awaited


@pytest.mark.parametrize(
    ("source", "hopped"),
    [
        ("form.is_valid()", "await database_sync_to_async(form.is_valid)()"),
        ("str(form)", "await database_sync_to_async(str)(form)"),
        ("form.errors", "await database_sync_to_async(lambda: form.errors)()"),
        ("(await get_form()).is_valid()", "await database_sync_to_async((await get_form()).is_valid)()"),
        ("(await get_form()).errors", None),
        ("with x", None),
    ],
)
def test_an_expression_is_done_in_a_hop(source: str, hopped: str | None) -> None:
    assert Expression(source).hopped() == hopped


@pytest.mark.parametrize(
    ("source", "method", "receiver"),
    [
        ("list(Book.objects.all())", "__iter__", "Book.objects.all()"),
        ("Book.objects.all()", "__iter__", "Book.objects.all()"),
        ('", ".join(titles)', "__iter__", "titles"),
        ("sorted(books, key=str)", "__iter__", "books"),
        ("map(str, books)", "__iter__", "books"),
        ("book in books", "__iter__", "books"),
        ("not books", "__bool__", "books"),
        ("books or []", "__bool__", "books"),
        ("{books}", "__repr__", "books"),
        ("books[0]", "__getitem__", "books"),
        ("pages[0]", "__iter__", "pages[0]"),
        ("yield from books", "__iter__", "books"),
        ("pickle.dumps(books)", "__getstate__", "books"),
        ("list(books | others)", "__iter__", "(books | others)"),
        ("list(await books())", "__iter__", "(await books())"),
        ("a if b else c", "__iter__", None),
        ("x = (", "__iter__", None),
    ],
)
def test_the_operand_of_a_special_method(source: str, method: str, receiver: str | None) -> None:
    assert Expression(source).receiver(method) == receiver


def test_a_lazy_load_has_its_instance_named() -> None:
    assert Expression("shelf.book.author").owner_of("author") == "shelf.book"
    assert Expression('hasattr(author, "profile")').owner_of("profile") == "author"
    assert Expression("(first or second).author").owner_of("author") == "(first or second)"
    assert Expression("getter(book)").owner_of("author") is None
