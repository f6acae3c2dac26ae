"""AsyncModel: instances saved, deleted, refreshed, validated and completed from async code."""

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models
from django.db.models import F, Prefetch
from django.test.utils import isolate_apps

from daf_orm import AsyncManager, AsyncModel, get_pool, transaction
from tests.project.library.models import Author, Book, Novel, Profile, Publisher, Review, Tag


async def make_book(title: str = "Earthsea", **fields: object) -> Book:
    author = await Author.objects.acreate(name="Ursula")
    return await Book.objects.acreate(title=title, author=author, **fields)


def requests() -> int:
    return get_pool().get_stats()["requests_num"]


# Saving, deleting, refreshing


async def test_asave_inserts_and_updates() -> None:
    author = Author(name="Ursula")
    await author.asave()
    author.name = "Italo"
    await author.asave()

    assert [row.name async for row in Author.objects.all()] == ["Italo"]


async def test_asave_writes_only_the_update_fields() -> None:
    author = await Author.objects.acreate(name="Ursula")
    author.name, author.email = "Italo", "italo@example.com"
    await author.asave(update_fields=["email"])

    assert await Author.objects.values_list("name", "email").alist() == [("Ursula", "italo@example.com")]


async def test_asave_on_another_database() -> None:
    await Author(name="Ursula").asave(using="other")

    assert await Author.objects.acount() == 0
    assert await Author.objects.using("other").acount() == 1


async def test_asave_raises_the_errors_of_the_database() -> None:
    await Tag(name="sea").asave()

    with pytest.raises(IntegrityError):
        await Tag(name="sea").asave(force_insert=True)


async def test_asave_joins_the_transaction_around_it() -> None:
    with pytest.raises(LookupError):
        async with transaction.atomic():
            await Author(name="Ursula").asave()
            raise LookupError

    assert await Author.objects.acount() == 0


async def test_asave_calls_an_overridden_save() -> None:
    class Shouting(Author):
        class Meta:
            proxy = True
            app_label = "library"

        def save(self, *args: object, **kwargs: object) -> None:
            self.name = self.name.upper()
            super().save(*args, **kwargs)

    with isolate_apps("tests.project.library"):
        await Shouting(name="ursula").asave()

    assert (await Author.objects.aget()).name == "URSULA"


async def test_asave_of_a_child_table_saves_its_parent() -> None:
    author = await Author.objects.acreate(name="Ursula")
    await Novel(title="Lavinia", author=author, pages=280).asave()

    assert (await Book.objects.aget()).title == "Lavinia"


async def test_adelete_removes_the_row_and_its_dependents() -> None:
    book = await make_book()

    assert await book.author.adelete() == (2, {"library.Book": 1, "library.Author": 1})
    assert await Book.objects.acount() == 0


async def test_arefresh_from_db_loads_the_changes_of_others() -> None:
    book = await make_book(stock=1)
    await Book.objects.aupdate(stock=5, title="Tehanu")

    await book.arefresh_from_db(fields=["stock"])
    assert (book.stock, book.title) == (5, "Earthsea")
    await book.arefresh_from_db()
    assert book.title == "Tehanu"


async def test_arefresh_from_db_takes_a_queryset() -> None:
    book = await make_book()
    await book.arefresh_from_db(from_queryset=Book.objects.select_related("author"))
    before = requests()

    assert book.author.name == "Ursula"
    assert requests() == before


async def test_arefresh_from_db_of_a_deleted_row_raises() -> None:
    book = await make_book()
    await Book.objects.adelete()

    with pytest.raises(Book.DoesNotExist):
        await book.arefresh_from_db()


async def test_an_expression_is_computed_by_the_database() -> None:
    book = await make_book(stock=1)
    book.stock = F("stock") + 4
    await book.asave()
    await book.arefresh_from_db()

    assert book.stock == 5


# Validating


async def test_afull_clean_accepts_a_valid_instance() -> None:
    author = await Author.objects.acreate(name="Ursula")

    await Book(title="Earthsea", author=author).afull_clean()


async def test_afull_clean_names_every_wrong_field() -> None:
    with pytest.raises(ValidationError) as caught:
        await Author(name="", email="nowhere").afull_clean()

    assert set(caught.value.message_dict) == {"name", "email"}


async def test_afull_clean_leaves_out_the_excluded_fields() -> None:
    await Tag.objects.acreate(name="sea")

    await Tag(name="sea").afull_clean(exclude=["name"])
    await Tag(name="sea").afull_clean(validate_unique=False)
    with pytest.raises(ValidationError, match="already exists"):
        await Tag(name="sea").afull_clean()


async def test_afull_clean_checks_constraints_by_default() -> None:
    book = await make_book()
    book.stock = -1

    await book.afull_clean(validate_constraints=False)
    with pytest.raises(ValidationError, match="stock_is_not_negative"):
        await book.afull_clean()


async def test_avalidate_unique_finds_the_row_that_has_the_value() -> None:
    await Tag.objects.acreate(name="sea")

    await Tag(name="moon").avalidate_unique()
    await Tag(name="sea").avalidate_unique(exclude=["name"])
    with pytest.raises(ValidationError) as caught:
        await Tag(name="sea").avalidate_unique()
    assert set(caught.value.message_dict) == {"name"}


async def test_avalidate_constraints_asks_the_database() -> None:
    book = await make_book()

    with pytest.raises(ValidationError, match="Author and Title already exists"):
        await Book(title="Earthsea", author_id=book.author_id).avalidate_constraints()
    await Book(title="Earthsea", author_id=book.author_id).avalidate_constraints(exclude=["title"])


async def test_a_validation_is_one_hop_on_one_lease() -> None:
    book = await make_book()
    before = requests()

    await Book(title="Tehanu", author_id=book.author_id).afull_clean()

    assert requests() == before + 1


# Relations


async def test_afetch_related_loads_a_foreign_key_and_returns_the_instance() -> None:
    book = await Book.objects.aget(pk=(await make_book()).pk)

    assert await book.afetch_related("author") is book
    assert book.author.name == "Ursula"


async def test_afetch_related_loads_many_relations_in_one_hop() -> None:
    book = await make_book()
    await book.tags.acreate(name="sea")
    await Review.objects.acreate(subject=book, rating=5)
    before = requests()

    await book.afetch_related("tags", "reviews", "publisher")

    assert [tag.name for tag in book.tags.all()] == ["sea"]
    assert [review.rating for review in book.reviews.all()] == [5]
    assert book.publisher is None
    assert requests() == before + 1


async def test_afetch_related_follows_lookups_across_models() -> None:
    book = await Book.objects.aget(pk=(await make_book()).pk)
    await Profile.objects.acreate(author_id=book.author_id, biography="Oregon")

    await book.afetch_related("author__profile", "author__books__tags")

    assert book.author.profile.biography == "Oregon"
    assert [list(other.tags.all()) for other in book.author.books.all()] == [[]]


async def test_afetch_related_takes_a_prefetch() -> None:
    book = await make_book()
    await book.tags.aset([await Tag.objects.acreate(name=name) for name in ("sea", "moon")])

    await book.afetch_related(Prefetch("tags", Tag.objects.filter(name="sea"), to_attr="wet_tags"))

    assert [tag.name for tag in book.wet_tags] == ["sea"]


async def test_afetch_related_keeps_what_is_loaded() -> None:
    book = await make_book()
    author = book.author
    await Author.objects.aupdate(name="Italo")

    await book.afetch_related("author")

    assert book.author is author
    assert book.author.name == "Ursula"


async def test_afetch_related_works_on_another_database() -> None:
    author = await Author.objects.using("other").acreate(name="Ursula")
    await Book.objects.using("other").acreate(title="Earthsea", author=author)
    book = await Book.objects.using("other").aget()

    assert (await book.afetch_related("author")).author._state.db == "other"


async def test_afetch_related_reaches_a_stock_model() -> None:
    publisher = await Publisher.objects.acreate(name="Parnassus")
    book = await Book.objects.aget(pk=(await make_book(publisher=publisher)).pk)

    assert (await book.afetch_related("publisher")).publisher.name == "Parnassus"


async def test_afetch_related_names_an_unknown_relation() -> None:
    book = await make_book()

    with pytest.raises(AttributeError, match="illustrator"):
        await book.afetch_related("illustrator")
    with pytest.raises(AttributeError, match="agent"):
        await book.afetch_related("author__agent")


async def test_afetch_related_refuses_a_field_that_is_no_relation() -> None:
    book = await make_book()

    with pytest.raises(ValueError, match="title"):
        await book.afetch_related("title")


# Form


@isolate_apps("tests.project.library")
def test_a_model_gets_an_async_manager() -> None:
    class Leaflet(AsyncModel):
        class Meta:
            app_label = "library"

    assert type(Leaflet.objects) is AsyncManager
    assert Leaflet._default_manager is Leaflet.objects


@isolate_apps("tests.project.library")
def test_a_model_that_names_its_managers_keeps_them() -> None:
    class Leaflet(AsyncModel):
        objects = models.Manager()
        shelf = AsyncManager()

        class Meta:
            app_label = "library"

    assert type(Leaflet.objects) is models.Manager
    assert Leaflet._default_manager is Leaflet.objects


@pytest.mark.parametrize("method", ["asave", "adelete"])
def test_templates_do_not_call_methods_that_alter_data(method: str) -> None:
    assert getattr(AsyncModel, method).alters_data is True
