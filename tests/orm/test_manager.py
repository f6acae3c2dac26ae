"""AsyncManager: every way Django has to make a manager, and the managers of related objects."""

import pickle

import pytest
from django.contrib.auth.models import UserManager
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.migrations.state import ModelState
from django.db.migrations.writer import MigrationWriter
from django.test.utils import isolate_apps

from daf_orm import AsyncManager, AsyncQuerySet, BlockingCall, BlockingCallError, get_pool, transaction
from tests.project.library import models as library
from tests.project.library.models import Author, Book, CheapBook, Event, Novel, Publisher, Review, Tag


class ShelfManager(AsyncManager.from_queryset(library.BookQuerySet)):
    """A manager for migrations: importable by its name."""

    use_in_migrations = True

    def __init__(self, shelf: str = "top") -> None:
        super().__init__()
        self.shelf = shelf


class EverythingElsewhere:
    """A database router that sends every query to "other"."""

    def db_for_read(self, model: type[models.Model], **hints: object) -> str:
        return "other"

    db_for_write = db_for_read


class ReadsElsewhere:
    """A database router for a replica: reads go to "other", writes to "default"."""

    def db_for_read(self, model: type[models.Model], **hints: object) -> str:
        return "other"

    def db_for_write(self, model: type[models.Model], **hints: object) -> str:
        return "default"


async def make_author(*titles: str) -> Author:
    author = await Author.objects.acreate(name="Ursula")
    for title in titles:
        await Book.objects.acreate(title=title, author=author)
    return author


async def make_book() -> Book:
    return await Book.objects.acreate(title="Earthsea", author=await make_author())


async def titles(queryset: AsyncQuerySet) -> list[str]:
    return await queryset.order_by("title").values_list("title", flat=True).alist()


def requests() -> int:
    return get_pool().get_stats()["requests_num"]


# Making one


async def test_from_queryset_adds_the_queryset_s_own_methods() -> None:
    author = await make_author("Earthsea")
    await Book.objects.acreate(title="Lavinia", author=author, stock=3)

    assert await titles(Book.objects.in_stock()) == ["Lavinia"]
    assert [book.title for book in await Book.objects.filter(author=author).in_stock().alist()] == ["Lavinia"]


async def test_from_queryset_makes_a_stock_queryset_asynchronous() -> None:
    tag = await Tag.objects.acreate(name="sea")
    await Tag.objects.acreate(name="moon")
    await (await make_book()).tags.aadd(tag)

    assert await Tag.objects.used().alist() == [tag]
    assert isinstance(Tag.objects.all(), library.TagQuerySet)


def test_from_queryset_takes_django_s_own_queryset() -> None:
    manager = AsyncManager.from_queryset(models.QuerySet)()

    assert isinstance(manager, AsyncManager)
    assert issubclass(manager._queryset_class, AsyncQuerySet)


def test_from_queryset_gives_the_class_the_given_name() -> None:
    manager_class = AsyncManager.from_queryset(library.BookQuerySet, "BookManager")

    assert manager_class.__name__ == "BookManager"
    assert issubclass(manager_class, AsyncManager)
    assert manager_class._queryset_class is library.BookQuerySet


async def test_a_queryset_made_asynchronous_survives_pickling() -> None:
    tag = await Tag.objects.acreate(name="sea")
    queryset = Tag.objects.all()
    await queryset.alist()

    copy = pickle.loads(pickle.dumps(queryset))

    assert await copy.alist() == [tag]


async def test_an_overridden_method_of_the_queryset_is_the_one_that_runs() -> None:
    class Loud(AsyncQuerySet):
        def create(self, **kwargs: str) -> Author:
            return super().create(**{**kwargs, "name": kwargs["name"].upper()})

    manager = AsyncManager.from_queryset(Loud)()
    manager.model = Author

    assert (await manager.acreate(name="ursula")).name == "URSULA"


async def test_as_manager_gives_an_async_manager_with_the_queryset_s_methods() -> None:
    event = await Event.objects.acreate(name="sale")

    assert isinstance(Event.objects, AsyncManager)
    assert await Event.objects.named("sale").alist() == [event]


def test_as_manager_is_no_method_of_a_manager() -> None:
    assert not hasattr(Event.objects, "as_manager")


async def test_a_custom_manager_filters() -> None:
    author = await make_author("dear")
    await CheapBook.objects.acreate(title="cheap", author=author, price=5)

    assert await titles(CheapBook.objects.all()) == ["cheap"]
    assert [book.title async for book in CheapBook.objects.aiterator()] == ["cheap"]
    assert await CheapBook.objects.acount() == 1


async def test_a_proxy_s_rows_are_of_its_class() -> None:
    author = await make_author()
    await CheapBook.objects.acreate(title="cheap", author=author, price=5)

    assert type(await CheapBook.objects.aget()) is CheapBook
    assert type(await Book.objects.aget()) is Book


async def test_a_child_table_is_written_with_its_parent() -> None:
    author = await make_author()
    novel = await Novel.objects.acreate(title="Lavinia", author=author, pages=280, stock=1)

    assert await titles(Novel.objects.in_stock()) == ["Lavinia"]
    assert await Novel.objects.aupdate(title="Malafrena", pages=300) == 1
    assert await titles(Book.objects.all()) == ["Malafrena"]
    await novel.adelete()
    assert await Book.objects.acount() == 0


async def test_a_parent_row_leads_to_its_child() -> None:
    author = await make_author()
    novel = await Novel.objects.acreate(title="Lavinia", author=author, pages=280)

    book = await Book.objects.select_related("novel").aget()

    assert book.novel == novel


async def test_a_manager_may_inherit_from_another_app_s_too() -> None:
    class BothManager(AsyncManager, UserManager):
        pass

    manager = BothManager()
    manager.model = Author

    assert isinstance(manager.all(), AsyncQuerySet)
    assert await manager.acount() == 0


async def test_a_managers_methods_take_the_aliases_of_the_manager() -> None:
    await Author.objects.db_manager("other").acreate(name="Ursula")

    assert await Author.objects.acount() == 0
    assert await Author.objects.db_manager("other").acount() == 1


# Migrations


def test_migrations_find_a_named_manager() -> None:
    assert ShelfManager("low").deconstruct() == (
        False,
        "tests.orm.test_manager.ShelfManager",
        None,
        ("low",),
        {},
    )


def test_migrations_find_the_manager_itself() -> None:
    assert AsyncManager().deconstruct() == (False, "daf_orm.manager.AsyncManager", None, (), {})


def test_migrations_find_the_queryset_of_as_manager() -> None:
    path = "tests.project.library.models.EventQuerySet"

    assert library.EventQuerySet.as_manager().deconstruct() == (True, None, path, None, None)


def test_migrations_refuse_a_manager_without_a_name() -> None:
    with pytest.raises(ValueError, match="from_queryset"):
        AsyncManager.from_queryset(library.BookQuerySet)().deconstruct()


def test_a_migration_can_serialize_a_manager() -> None:
    text, imports = MigrationWriter.serialize(ShelfManager("low"))

    assert text == "tests.orm.test_manager.ShelfManager('low')"
    assert imports == {"import tests.orm.test_manager"}


def test_migrations_know_nothing_of_async_models() -> None:
    state = ModelState.from_model(Author)

    assert state.bases == (models.Model,)
    assert state.managers == []


@isolate_apps("tests.project.library")
def test_a_manager_for_migrations_is_part_of_the_state() -> None:
    class Shelf(models.Model):
        objects = ShelfManager("low")

        class Meta:
            app_label = "library"

    ((name, manager),) = ModelState.from_model(Shelf).managers

    assert (name, type(manager), manager.shelf) == ("objects", ShelfManager, "low")


# Foreign keys


async def test_foreign_key_acreate() -> None:
    author = await make_author()
    book = await author.books.acreate(title="Earthsea")

    assert (await Book.objects.aget()).author_id == author.pk
    assert book.author is author


async def test_foreign_key_aadd() -> None:
    author, other = await make_author("Earthsea"), await make_author("Lavinia")
    await author.books.aadd(await other.books.aget())
    await author.books.aadd(Book(title="Tehanu"), bulk=False)

    assert await titles(author.books.all()) == ["Earthsea", "Lavinia", "Tehanu"]


async def test_foreign_key_aget_or_create() -> None:
    author = await make_author("Earthsea")

    _, created = await author.books.aget_or_create(title="Earthsea")
    _, created_other = await author.books.aget_or_create(title="Tehanu", defaults={"stock": 2})

    assert (created, created_other) == (False, True)
    assert (await author.books.aget(title="Tehanu")).stock == 2


async def test_foreign_key_aupdate_or_create() -> None:
    author = await make_author("Earthsea")

    await author.books.aupdate_or_create(title="Earthsea", defaults={"stock": 1})
    await author.books.aupdate_or_create(title="Tehanu", defaults={"stock": 2})

    assert await author.books.order_by("stock").values_list("stock", flat=True).alist() == [1, 2]


async def test_foreign_key_aremove_and_aclear() -> None:
    publisher = await Publisher.objects.acreate(name="Parnassus")
    author = await make_author("a", "b", "c")
    await publisher.books.aadd(*await author.books.alist())

    await publisher.books.aremove(await author.books.aget(title="a"))
    assert await titles(publisher.books.all()) == ["b", "c"]
    await publisher.books.aclear()
    assert await publisher.books.acount() == 0


async def test_foreign_key_aset() -> None:
    publisher = await Publisher.objects.acreate(name="Parnassus")
    author = await make_author("a", "b", "c")
    await publisher.books.aset(await author.books.exclude(title="c").alist())
    await publisher.books.aset(await author.books.exclude(title="a").alist())

    assert await titles(publisher.books.all()) == ["b", "c"]


async def test_a_related_manager_has_the_methods_of_its_model_s() -> None:
    author = await make_author("Earthsea")
    await author.books.acreate(title="Lavinia", stock=3)

    assert await titles(author.books.in_stock()) == ["Lavinia"]
    assert [book.title async for book in author.books.order_by("title").aiterator(1)] == ["Earthsea", "Lavinia"]
    assert [book.title async for book in author.books.all()[:1]] == ["Earthsea"]


async def test_a_related_manager_can_be_another_of_the_model_s() -> None:
    author = await make_author("Earthsea")

    assert await author.books(manager="objects").acount() == 1


async def test_each_call_of_a_related_manager_is_one_lease() -> None:
    author = await make_author()
    before = requests()

    await author.books.acreate(title="Earthsea")
    await author.books.aget_or_create(title="Tehanu")
    await author.books.acount()

    assert requests() == before + 3


async def test_a_related_manager_joins_the_transaction() -> None:
    author = await make_author()
    with pytest.raises(LookupError):
        async with transaction.atomic():
            await author.books.acreate(title="Earthsea")
            raise LookupError

    assert await author.books.acount() == 0


# Many to many


async def test_many_to_many_aadd_by_object_and_by_key() -> None:
    book = await make_book()
    sea, moon = [await Tag.objects.acreate(name=name) for name in ("sea", "moon")]

    await book.tags.aadd(sea, moon.pk)
    await book.tags.aadd(sea)

    assert await book.tags.order_by("name").alist() == [moon, sea]


async def test_many_to_many_acreate_works_from_both_sides() -> None:
    book = await make_book()
    tag = await book.tags.acreate(name="sea")
    await tag.books.acreate(title="Tehanu", author_id=book.author_id)

    assert await titles(tag.books.all()) == ["Earthsea", "Tehanu"]


async def test_many_to_many_aget_or_create() -> None:
    book = await make_book()

    _, created = await book.tags.aget_or_create(name="sea")
    _, again = await book.tags.aget_or_create(name="sea")

    assert (created, again) == (True, False)
    assert await book.tags.acount() == 1


async def test_many_to_many_aupdate_or_create() -> None:
    book = await make_book()
    tag, created = await book.tags.aupdate_or_create(name="sea")
    renamed, created_again = await book.tags.aupdate_or_create(name="sea", defaults={"name": "moon"})

    assert (created, created_again) == (True, False)
    assert renamed == tag
    assert await Tag.objects.values_list("name", flat=True).alist() == ["moon"]


async def test_many_to_many_aremove_and_aclear() -> None:
    book = await make_book()
    sea, moon, star = [await book.tags.acreate(name=name) for name in ("sea", "moon", "star")]

    await book.tags.aremove(sea, moon.pk)
    assert await book.tags.alist() == [star]
    await book.tags.aclear()
    assert not await book.tags.aexists()
    assert await Tag.objects.acount() == 3


async def test_many_to_many_aset() -> None:
    book = await make_book()
    sea, moon, star = [await Tag.objects.acreate(name=name) for name in ("sea", "moon", "star")]

    await book.tags.aset([sea, moon])
    await book.tags.aset([moon, star])
    assert await book.tags.order_by("name").alist() == [moon, star]
    await book.tags.aset([sea], clear=True)
    assert await book.tags.alist() == [sea]


async def test_many_to_many_has_the_methods_of_a_stock_queryset() -> None:
    book = await make_book()
    sea = await book.tags.acreate(name="sea")

    assert await book.tags.used().alist() == [sea]


async def test_a_many_to_many_that_fails_writes_nothing() -> None:
    book = await make_book()
    await Tag.objects.acreate(name="sea")

    with pytest.raises(TypeError):
        await book.tags.aadd(await Tag.objects.aget(), Author(name="no tag"))

    assert await book.tags.acount() == 0


# Generic relations


async def test_a_generic_relation_whose_content_type_is_not_cached_is_refused_with_a_remedy(
    blocking_calls: list[BlockingCall],
) -> None:
    book = await make_book()
    ContentType.objects.clear_cache()

    with pytest.raises(BlockingCallError, match="django_content_type"):
        await book.reviews.acreate(rating=5)  # Django looks it up as soon as `book.reviews` is named
    blocking_calls.clear()


@pytest.fixture
def cached_content_type(transactional_db: None) -> None:
    """Django's own lookup is synchronous, and cached per process."""
    ContentType.objects.get_for_model(Book)


@pytest.mark.usefixtures("cached_content_type")
async def test_generic_acreate_and_aadd() -> None:
    book = await make_book()
    await book.reviews.acreate(rating=5)
    await book.reviews.aadd(Review(rating=3), bulk=False)

    assert await book.reviews.order_by("rating").values_list("rating", flat=True).alist() == [3, 5]


@pytest.mark.usefixtures("cached_content_type")
async def test_generic_aget_or_create_and_aupdate_or_create() -> None:
    book = await make_book()
    _, created = await book.reviews.aget_or_create(rating=5)
    _, again = await book.reviews.aget_or_create(rating=5)
    review, _ = await book.reviews.aupdate_or_create(rating=5, defaults={"text": "sublime"})

    assert (created, again, review.text) == (True, False, "sublime")
    assert await book.reviews.acount() == 1


@pytest.mark.usefixtures("cached_content_type")
async def test_generic_aset_aremove_and_aclear() -> None:
    book = await make_book()
    good, fair, poor = [await book.reviews.acreate(rating=rating) for rating in (5, 3, 1)]

    await book.reviews.aremove(poor)
    assert await book.reviews.order_by("-rating").alist() == [good, fair]
    await book.reviews.aset([good])
    assert await book.reviews.alist() == [good]
    await book.reviews.aclear()
    assert await Review.objects.acount() == 0


# Routers


async def test_a_router_chooses_the_database(settings) -> None:
    settings.DATABASE_ROUTERS = [EverythingElsewhere()]
    await Author.objects.acreate(name="Ursula")

    assert await Author.objects.acount() == 1
    assert await Author.objects.using("other").acount() == 1
    assert await Author.objects.using("default").acount() == 0


async def test_a_router_sends_reads_and_writes_to_different_databases(settings) -> None:
    settings.DATABASE_ROUTERS = [ReadsElsewhere()]
    author = await Author.objects.acreate(name="Ursula")
    await author.asave()

    assert await Author.objects.alist() == []
    assert await Author.objects.using("default").alist() == [author]


async def test_a_router_named_in_the_settings_is_imported(settings) -> None:
    settings.DATABASE_ROUTERS = ["tests.orm.test_manager.EverythingElsewhere"]

    await Author(name="Ursula").asave()

    assert [author._state.db async for author in Author.objects.aiterator()] == ["other"]


async def test_related_objects_stay_on_their_instance_s_database() -> None:
    author = await Author.objects.using("other").acreate(name="Ursula")
    await author.books.acreate(title="Earthsea")

    assert await author.books.acount() == 1
    assert await Book.objects.using("other").acount() == 1
    assert await Book.objects.acount() == 0
