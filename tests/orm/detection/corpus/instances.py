"""A method of an instance goes to the database."""

from tests.orm.detection.corpus.shapes import blocks
from tests.orm.detection.corpus.shelf import Shelf
from tests.project.library.models import Book, Counter, Publisher

BOOK = "library.Book"


@blocks("Model.save", model=BOOK, expression="shelf.book.save()", suggestion="await shelf.book.asave()")
async def save(shelf: Shelf) -> None:
    shelf.book.save()  # blocks


@blocks("Model.save", model=BOOK, suggestion='await shelf.book.asave(update_fields=["stock"])')
async def save_fields(shelf: Shelf) -> None:
    shelf.book.save(update_fields=["stock"])  # blocks


@blocks("Model.save", model="library.Counter", suggestion="await counter.asave()")
async def save_of_a_stock_model(shelf: Shelf) -> None:
    counter = Counter(name="c1")
    counter.save()  # blocks


@blocks("Model.delete", model=BOOK, suggestion="await shelf.book.adelete()")
async def delete(shelf: Shelf) -> None:
    shelf.book.delete()  # blocks


@blocks("Model.refresh_from_db", model=BOOK, suggestion="await shelf.book.arefresh_from_db()")
async def refresh_from_db(shelf: Shelf) -> None:
    shelf.book.refresh_from_db()  # blocks


@blocks("Model.full_clean", model=BOOK, suggestion="await shelf.book.afull_clean()")
async def full_clean(shelf: Shelf) -> None:
    shelf.book.full_clean()  # blocks


@blocks("Model.full_clean", model="library.Counter", suggestion="await database_sync_to_async(counter.full_clean)()")
async def full_clean_of_a_stock_model(shelf: Shelf) -> None:
    counter = Counter(name="c1")
    counter.full_clean()  # blocks


@blocks("Model.clean_fields", model=BOOK, suggestion="await database_sync_to_async(shelf.book.clean_fields)()")
async def clean_fields(shelf: Shelf) -> None:
    shelf.book.clean_fields()  # blocks


@blocks("Model.validate_unique", model=BOOK, suggestion="await book.avalidate_unique()")
async def validate_unique(shelf: Shelf) -> None:
    book = Book(pk=10**6, title="b9", author_id=shelf.author.pk)
    book.validate_unique()  # blocks


@blocks("Model.validate_constraints", model=BOOK, suggestion="await shelf.book.avalidate_constraints()")
async def validate_constraints(shelf: Shelf) -> None:
    shelf.book.validate_constraints()  # blocks


@blocks("Model.save", model="library.Publisher", suggestion='await Publisher(name="p1").asave()')
async def save_of_a_new_instance(shelf: Shelf) -> None:
    Publisher(name="p1").save()  # blocks
