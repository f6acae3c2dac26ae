"""Code that does not block an event loop: it asks no database, or is not on the loop."""

import asyncio
import copy
import threading

from asgiref.sync import sync_to_async
from django import forms
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.core.paginator import Paginator
from django.db import connection, reset_queries, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery
from django.template import Context, Template

from daf_orm import cursor, database_sync_to_async
from daf_orm import transaction as daf_transaction
from tests.orm.detection.corpus.shapes import harmless
from tests.orm.detection.corpus.shelf import Shelf, discard_connections
from tests.project.library.models import Author, Book


@harmless
async def chaining(shelf: Shelf) -> None:
    books = Book.objects.filter(Q(stock__gt=F("pk")) | Q(title="b0")).exclude(stock=0).select_related("author")
    books.annotate(n=Count("tags")).order_by("-n").only("title").distinct().using("default").reverse()


@harmless
async def subqueries(shelf: Shelf) -> None:
    written = Book.objects.filter(author=OuterRef("pk"))
    Author.objects.annotate(first=Subquery(written.values("title")[:1])).filter(Exists(written))


@harmless
async def combining(shelf: Shelf) -> None:
    books, others = Book.objects.filter(stock=3), Book.objects.filter(stock=4)
    assert (books | others) is not (books & others)
    books.union(others).order_by("title")
    books.intersection(others)
    books.difference(others)


@harmless
async def slicing(shelf: Shelf) -> None:
    assert Book.objects.all()[1:5] is not None


@harmless
async def queryset_as_a_value(shelf: Shelf) -> None:
    Book.objects.filter(author__in=Author.objects.filter(name="a0"), pk__in=Book.objects.values("pk"))


@harmless
async def comparing_identities(shelf: Shelf) -> None:
    books = Book.objects.all()
    assert books is not None
    assert books != Book.objects.all()
    assert isinstance(hash(books), int)


@harmless
async def making_what_evaluates_later(shelf: Shelf) -> None:
    Book.objects.iterator()
    Book.objects.dates("published", "year")
    Book.objects.raw("SELECT * FROM library_book")
    Paginator(Book.objects.order_by("pk"), 2)
    Context({"books": Book.objects.all()})


@harmless
async def nothing(shelf: Shelf) -> None:
    assert list(Book.objects.none()) == []
    assert not Book.objects.none()
    assert Book.objects.none().count() == 0


@harmless
async def declaring_a_form(shelf: Shelf) -> None:
    class Form(forms.Form):
        author = forms.ModelChoiceField(queryset=Author.objects.all())

    class BookForm(forms.ModelForm):
        class Meta:
            model = Book
            fields = ("title", "author")

    Form()
    BookForm()


@harmless
async def deep_copy(shelf: Shelf) -> None:
    assert copy.deepcopy(Book.objects.all()) is not None


@harmless
async def foreign_key_by_its_id(shelf: Shelf) -> None:
    assert shelf.book.author_id
    assert shelf.book.publisher_id
    assert shelf.review.object_id


@harmless
async def empty_foreign_key(shelf: Shelf) -> None:
    assert Book(title="x").publisher is None


@harmless
async def joined_relation(shelf: Shelf) -> None:
    book = await Book.objects.select_related("author__profile").aget(pk=shelf.book.pk)
    assert book.author.profile.author is book.author
    assert hasattr(book.author, "profile")


@harmless
async def assigned_relation(shelf: Shelf) -> None:
    shelf.book.author = shelf.author
    assert shelf.book.author is shelf.author


@harmless
async def managers(shelf: Shelf) -> None:
    assert shelf.author.books is not None
    assert shelf.book.tags is not None
    assert shelf.book.tags.filter(name="t0") is not None
    assert shelf.user.groups.all() is not None


@harmless
async def prefetched_relation(shelf: Shelf) -> None:
    book = await Book.objects.prefetch_related("tags").aget(pk=shelf.book.pk)
    assert [tag.name for tag in book.tags.all()] == ["t0"]
    assert len(book.tags.all()) == book.tags.all().count() == book.tags.count()
    assert book.tags.exists()
    assert book.tags.all()[0]
    assert shelf.tag in book.tags.all()


@harmless
async def evaluated_queryset(shelf: Shelf) -> None:
    books = Book.objects.order_by("pk")
    async for _ in books:
        pass
    assert books
    assert len(books) == books.count() == len(list(books))
    assert books[0] == shelf.book
    assert shelf.book in books
    assert repr(books)


@harmless
async def fetched_lazily_by_daf(shelf: Shelf) -> None:
    await shelf.book.afetch_related("author", "tags")
    assert shelf.book.author.name == "a0"
    assert list(shelf.book.tags.all())


@harmless
async def warm_content_type(shelf: Shelf) -> None:
    await database_sync_to_async(ContentType.objects.get_for_model)(Book)
    assert ContentType.objects.get_for_model(Book).model == "book"


@harmless
async def local_memory_cache(shelf: Shelf) -> None:
    cache.set("key", 1)
    assert cache.get("key") == 1


@harmless
async def unawaited_coroutine(shelf: Shelf) -> None:
    Book.objects.acount().close()
    shelf.book.asave().close()


@harmless
async def sql_of_a_queryset(shelf: Shelf) -> None:
    assert str(Book.objects.filter(stock=3).query)


@harmless
async def loaded_values_in_a_template(shelf: Shelf) -> None:
    books = [book async for book in Book.objects.select_related("author").order_by("pk")]
    template = Template("{% for book in books %}{% if book.author.name == 'a0' %}{{ book }}{% endif %}{% endfor %}")
    assert template.render(Context({"books": books})) == "b0b1"


@harmless
async def session_loaded_before(shelf: Shelf) -> None:
    assert await shelf.request.session.aget("basket") == [1]
    assert shelf.request.session["basket"] == [1]
    assert shelf.request.session.get("none") is None


@harmless
async def user_loaded_before(shelf: Shelf) -> None:
    user = await shelf.request.auser()
    assert user.is_authenticated
    assert user.username == "u0"


@harmless
async def awaited_methods(shelf: Shelf) -> None:
    assert await Book.objects.acount() == 2
    assert await shelf.author.books.afirst()
    assert await shelf.user.ahas_perm("library.add_author")
    await shelf.book.asave()
    await shelf.book.afull_clean()
    await shelf.book.arefresh_from_db()


@harmless
async def streaming(shelf: Shelf) -> None:
    assert len([book async for book in Book.objects.aiterator()]) == 2


@harmless
async def async_transaction(shelf: Shelf) -> None:
    async with daf_transaction.atomic():
        await shelf.book.asave()
        async with daf_transaction.atomic():
            await Book.objects.acount()
        daf_transaction.on_commit(lambda: None)


@harmless
async def async_cursor(shelf: Shelf) -> None:
    async with cursor() as opened:
        await opened.execute("SELECT 1")
        assert await opened.fetchone()


@harmless
async def in_sync_to_async(shelf: Shelf) -> None:
    await sync_to_async(lambda: Book.objects.count())()
    await sync_to_async(Book.objects.count)()


@harmless
async def in_sync_to_async_of_any_thread(shelf: Shelf) -> None:
    def work() -> None:
        list(Book.objects.all())

    await sync_to_async(work, thread_sensitive=False)()


@harmless
async def in_to_thread(shelf: Shelf) -> None:
    def work() -> None:
        assert shelf.book.author.name == "a0"
        with transaction.atomic():
            shelf.book.save()
        discard_connections()

    await asyncio.to_thread(work)


@harmless
async def in_a_thread_of_its_own(shelf: Shelf) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            list(Book.objects.all())
        except BaseException as error:  # noqa: BLE001
            failures.append(error)
        finally:
            discard_connections()

    thread = threading.Thread(target=work)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert not failures


@harmless
async def closing_what_is_closed(shelf: Shelf) -> None:
    connection.copy().close()
    reset_queries()


@harmless
async def attributes_of_a_connection(shelf: Shelf) -> None:
    assert connection.vendor
    assert connection.alias == "default"
    assert connection.ops.quote_name("x")
    assert not connection.in_atomic_block


@harmless
async def awaiting_in_djangos_exception_translator(shelf: Shelf) -> None:
    with connection.wrap_database_errors:  # as asynchronous backends do
        await asyncio.sleep(0)
