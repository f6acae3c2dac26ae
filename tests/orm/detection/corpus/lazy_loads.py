"""An attribute of an instance is loaded when it is read."""

import django
from django.contrib.auth.models import User
from django.db import models
from django.db.models import prefetch_related_objects

from daf_orm import database_sync_to_async
from tests.orm.detection.corpus.shapes import blocks
from tests.orm.detection.corpus.shelf import Shelf
from tests.project.library.models import Author, Book, CreditedBook

BOOK = "library.Book"
AUTHOR = "library.Author"


@blocks(
    "ForwardManyToOneDescriptor",
    model=BOOK,
    field="author",
    expression="shelf.book.author",
    suggestion='Add select_related("author"), or await shelf.book.afetch_related("author").',
    sql="library_author",
)
async def foreign_key(shelf: Shelf) -> None:
    assert shelf.book.author.name  # blocks


@blocks(
    "ReverseOneToOneDescriptor",
    model=AUTHOR,
    field="profile",
    expression="shelf.author.profile",
    suggestion='Add select_related("profile"), or await shelf.author.afetch_related("profile").',
)
async def reverse_one_to_one(shelf: Shelf) -> None:
    assert shelf.author.profile  # blocks


@blocks("ForwardOneToOneDescriptor", model="library.Profile", field="author", suggestion='afetch_related("author")')
async def one_to_one(shelf: Shelf) -> None:
    profile = await database_sync_to_async(lambda: shelf.author.profile)()
    del profile._state.fields_cache["author"]
    assert profile.author  # blocks


@blocks(
    "ReverseOneToOneDescriptor",
    model=AUTHOR,
    field="profile",
    expression='hasattr(shelf.author, "profile")',
    suggestion='await shelf.author.afetch_related("profile")',
)
async def hasattr_of_a_reverse_one_to_one(shelf: Shelf) -> None:
    hasattr(shelf.author, "profile")  # blocks


@blocks(
    "ReverseOneToOneDescriptor",
    model=AUTHOR,
    field="profile",
    expression='getattr(shelf.author, "profile", None)',
    suggestion='await shelf.author.afetch_related("profile")',
)
async def getattr_with_default(shelf: Shelf) -> None:
    getattr(shelf.author, "profile", None)  # blocks


@blocks("ForwardManyToOneDescriptor", model=BOOK, field="author", suggestion='afetch_related("author")', swallowed=True)
async def getattr_guarded_by_an_except(shelf: Shelf) -> None:
    try:
        assert shelf.book.author  # blocks
    except Exception:  # noqa: BLE001
        shelf.book.title = "nobody's"


@blocks(
    "GenericForeignKey",
    model="library.Review",
    field="subject",
    expression="shelf.review.subject",
    suggestion='Add prefetch_related("subject"), or await shelf.review.afetch_related("subject").',
)
async def generic_foreign_key(shelf: Shelf) -> None:
    assert shelf.review.subject  # blocks


@blocks(
    "DeferredAttribute",
    model=BOOK,
    field="title",
    expression="book.title",
    suggestion='await book.arefresh_from_db(fields=["title"])',
    sql="title",
)
async def deferred_field(shelf: Shelf) -> None:
    book = await Book.objects.defer("title").aget(pk=shelf.book.pk)
    assert book.title  # blocks


@blocks(
    "QuerySet.__iter__",
    model=BOOK,
    expression="shelf.author.books.all()",
    suggestion="await shelf.author.books.all().alist()",
)
async def reverse_foreign_key(shelf: Shelf) -> None:
    for book in shelf.author.books.all():  # blocks
        assert book


@blocks("QuerySet.__iter__", model="library.Tag", suggestion="await shelf.book.tags.all().alist()")
async def many_to_many(shelf: Shelf) -> None:
    list(shelf.book.tags.all())  # blocks


@blocks("QuerySet.__iter__", model="library.Review", suggestion="await shelf.book.reviews.all().alist()")
async def generic_relation(shelf: Shelf) -> None:
    await database_sync_to_async(lambda: shelf.book.reviews.exists())()
    list(shelf.book.reviews.all())  # blocks


@blocks("QuerySet.__iter__", model="library.Tag", suggestion='await shelf.book.tags.filter(name="t0").alist()')
async def filter_of_a_prefetched_manager(shelf: Shelf) -> None:
    await database_sync_to_async(prefetch_related_objects)([shelf.book], "tags")
    list(shelf.book.tags.filter(name="t0"))  # blocks


@blocks("ManyRelatedManager.count", model=BOOK, field="tags", suggestion="await shelf.book.tags.acount()")
async def count_of_a_related_manager(shelf: Shelf) -> None:
    shelf.book.tags.count()  # blocks


@blocks("RelatedManager.create", model=AUTHOR, field="books", suggestion='await shelf.author.books.acreate(title="b9")')
async def create(shelf: Shelf) -> None:
    shelf.author.books.create(title="b9")  # blocks


@blocks("ManyRelatedManager.add", model=BOOK, field="tags", suggestion="await shelf.book.tags.aadd(shelf.tag)")
async def add(shelf: Shelf) -> None:
    shelf.book.tags.add(shelf.tag)  # blocks


@blocks("ManyRelatedManager.set", model=BOOK, field="tags", suggestion="await shelf.book.tags.aset([shelf.tag])")
async def set_(shelf: Shelf) -> None:
    shelf.book.tags.set([shelf.tag])  # blocks


@blocks(
    "ManyRelatedManager.remove",
    model=BOOK,
    field="tags",
    suggestion="await shelf.book.tags.aremove(shelf.tag)",
)
async def remove(shelf: Shelf) -> None:
    shelf.book.tags.remove(shelf.tag)  # blocks


@blocks("ManyRelatedManager.clear", model=BOOK, field="tags", suggestion="await shelf.book.tags.aclear()")
async def clear(shelf: Shelf) -> None:
    shelf.book.tags.clear()  # blocks


@blocks(
    "RelatedManager.get_or_create", model=AUTHOR, field="books", suggestion="await shelf.author.books.aget_or_create("
)
async def get_or_create(shelf: Shelf) -> None:
    shelf.author.books.get_or_create(title="b0")  # blocks


@blocks(
    "Model.get_next_by_date_joined",
    model="auth.User",
    suggestion="await database_sync_to_async(shelf.user.get_next_by_date_joined)()",
)
async def get_next_by(shelf: Shelf) -> None:
    shelf.user.get_next_by_date_joined()  # blocks


@blocks("Model.get_previous_by_date_joined", model="auth.User", suggestion="await database_sync_to_async(")
async def get_previous_by(shelf: Shelf) -> None:
    user = await User.objects.aget(username="u9")
    user.get_previous_by_date_joined()  # blocks


@blocks(
    "ForwardManyToOneDescriptor",
    model=BOOK,
    field="author",
    expression="self.author",
    suggestion='Add select_related("author"), or await self.afetch_related("author").',
    line_in=Book.credit.fget,
)
async def property_of_a_model(shelf: Shelf) -> None:
    assert shelf.book.credit


@blocks("ForwardManyToOneDescriptor", model="library.CreditedBook", field="publisher", line_in=CreditedBook.__str__)
async def str_of_a_model(shelf: Shelf) -> None:
    book = await CreditedBook.objects.aget(pk=shelf.book.pk)
    assert str(book)


@blocks("QuerySet.__iter__", model="library.Tag", suggestion="alist()")
async def stock_model_behind_ours(shelf: Shelf) -> None:
    author = await Author.objects.prefetch_related("books").aget(pk=shelf.author.pk)
    [tag for book in author.books.all() for tag in book.tags.all()]  # blocks


if django.VERSION >= (6, 1):

    @blocks(
        "ForwardManyToOneDescriptor",
        model=BOOK,
        field="author",
        suggestion="await database_sync_to_async(lambda: book.author)(): once, for all 2 rows (FETCH_PEERS).",
    )
    async def foreign_key_fetched_for_its_peers(shelf: Shelf) -> None:
        book, _ = [book async for book in Book.objects.fetch_mode(models.FETCH_PEERS)]
        assert book.author  # blocks

    @blocks("DeferredAttribute", model=BOOK, field="title", suggestion='book.arefresh_from_db(fields=["title"])')
    async def deferred_field_fetched_for_its_peers(shelf: Shelf) -> None:
        book, _ = [book async for book in Book.objects.defer("title").fetch_mode(models.FETCH_PEERS)]
        assert book.title  # blocks
