"""AsyncQuerySet: every ``a…`` method Django has, and ``alist``, each in one hop on one connection."""

import asyncio
import contextvars
import inspect
import pickle
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections, models
from django.db.models import Count, Max, Prefetch
from django.db.models.query import RawQuerySet

import daf_orm
from daf_orm import AsyncQuerySet, BlockingCall, cursor, get_pool, transaction
from daf_orm._pool.process_pool import reset_pool
from daf_orm.query import AsyncRawQuerySet
from tests.project.library.models import Author, Book, Event, Tag

HOME = Path(daf_orm.__file__).parent
BY_NAME = f"SELECT * FROM {Author._meta.db_table} WHERE name = %s"


async def create_authors(*names: str) -> list[Author]:
    return [await Author.objects.acreate(name=name) for name in names]


def lent() -> int:
    stats = get_pool().get_stats()
    return stats["pool_size"] - stats["pool_available"]


# Reading


async def test_aget_returns_the_one_that_matches() -> None:
    _, ursula = await create_authors("Italo", "Ursula")

    assert await Author.objects.aget(name="Ursula") == ursula


async def test_aget_raises_the_errors_of_the_model() -> None:
    await create_authors("Ursula", "Ursula")

    with pytest.raises(Author.DoesNotExist):
        await Author.objects.aget(name="Italo")
    with pytest.raises(Author.MultipleObjectsReturned):
        await Author.objects.aget(name="Ursula")


async def test_acount_counts() -> None:
    await create_authors("Italo", "Ursula")

    assert await Author.objects.acount() == 2
    assert await Author.objects.filter(name="Italo").acount() == 1


async def test_aexists_is_about_the_filtered_rows() -> None:
    await create_authors("Italo")

    assert await Author.objects.filter(name="Italo").aexists()
    assert not await Author.objects.filter(name="Ursula").aexists()


async def test_acontains_knows_an_object() -> None:
    italo, ursula = await create_authors("Italo", "Ursula")

    assert await Author.objects.filter(name="Italo").acontains(italo)
    assert not await Author.objects.filter(name="Italo").acontains(obj=ursula)


async def test_afirst_and_alast_follow_the_ordering() -> None:
    italo, ursula = await create_authors("Italo", "Ursula")

    assert await Author.objects.afirst() == italo
    assert await Author.objects.alast() == ursula
    assert await Author.objects.none().afirst() is None


async def test_aearliest_and_alatest_follow_the_named_field() -> None:
    italo, ursula = await create_authors("Italo", "Ursula")

    assert await Author.objects.aearliest("name") == italo
    assert await Author.objects.alatest("name") == ursula


async def test_aaggregate_computes_in_the_database() -> None:
    await create_authors("Italo", "Ursula")

    assert await Author.objects.aaggregate(n=Count("pk"), last=Max("name")) == {"n": 2, "last": "Ursula"}


async def test_ain_bulk_maps_keys_to_objects() -> None:
    italo, ursula = await create_authors("Italo", "Ursula")
    tag = await Tag.objects.acreate(name="utopia")

    assert await Author.objects.ain_bulk([italo.pk]) == {italo.pk: italo}
    assert await Author.objects.ain_bulk() == {italo.pk: italo, ursula.pk: ursula}
    assert await Tag.objects.ain_bulk(["utopia"], field_name="name") == {"utopia": tag}


async def test_aexplain_returns_the_plan() -> None:
    assert "library_author" in await Author.objects.order_by().aexplain()


# Writing


async def test_acreate_saves() -> None:
    author = await Author.objects.acreate(name="Ursula")

    assert (await Author.objects.aget(pk=author.pk)).name == "Ursula"


async def test_abulk_create_saves_many_and_ignores_conflicts() -> None:
    await Tag.objects.abulk_create([Tag(name="utopia"), Tag(name="sea")])
    await Tag.objects.abulk_create([Tag(name="utopia"), Tag(name="moon")], ignore_conflicts=True)

    assert await Tag.objects.order_by("name").values_list("name", flat=True).alist() == ["moon", "sea", "utopia"]


async def test_abulk_update_changes_each_object() -> None:
    authors = await create_authors("italo", "ursula")
    for author in authors:
        author.name = author.name.title()

    assert await Author.objects.abulk_update(authors, ["name"], batch_size=1) == 2
    assert [author.name async for author in Author.objects.all()] == ["Italo", "Ursula"]


async def test_aget_or_create_returns_true_if_it_created() -> None:
    created = await Author.objects.aget_or_create(name="Ursula", defaults={"email": "ursula@example.com"})
    found = await Author.objects.aget_or_create(name="Ursula", defaults={"email": "no@example.com"})

    assert (created[1], found[1]) == (True, False)
    assert found[0].email == "ursula@example.com"


async def test_aupdate_or_create_updates_an_existing_row() -> None:
    author, created = await Author.objects.aupdate_or_create(
        name="Ursula", defaults={"email": "new@example.com"}, create_defaults={"email": "first@example.com"}
    )
    again, created_again = await Author.objects.aupdate_or_create(name="Ursula", defaults={"email": "new@example.com"})

    assert (created, created_again) == (True, False)
    assert (author.email, again.email) == ("first@example.com", "new@example.com")


async def test_aupdate_changes_the_filtered_rows() -> None:
    await create_authors("Italo", "Ursula")

    assert await Author.objects.filter(name="Italo").aupdate(email="italo@example.com") == 1
    assert await Author.objects.filter(email="").acount() == 1


async def test_adelete_deletes_the_filtered_rows_and_their_dependents() -> None:
    italo, _ = await create_authors("Italo", "Ursula")
    await Book.objects.acreate(title="Invisible Cities", author=italo)

    deleted, by_model = await Author.objects.filter(name="Italo").adelete()

    assert (deleted, by_model) == (2, {"library.Author": 1, "library.Book": 1})


# Evaluating


async def test_alist_returns_a_list_of_the_rows() -> None:
    authors = await create_authors("Italo", "Ursula")

    assert await Author.objects.alist() == authors
    assert await Author.objects.none().alist() == []


async def test_alist_evaluates_only_once() -> None:
    await create_authors("Italo")
    queryset = Author.objects.all()
    first = await queryset.alist()
    before = get_pool().get_stats()["requests_num"]

    assert (await queryset.alist())[0] is first[0]
    assert get_pool().get_stats()["requests_num"] == before


async def test_alist_keeps_the_shape_of_values() -> None:
    await create_authors("Italo")

    assert await Author.objects.values("name").alist() == [{"name": "Italo"}]
    assert await Author.objects.values_list("name", "email").alist() == [("Italo", "")]
    assert (await Author.objects.values_list("name", named=True).alist())[0].name == "Italo"


async def test_a_slice_and_a_union_can_be_listed() -> None:
    italo, ursula = await create_authors("Italo", "Ursula")
    one, two = (Author.objects.order_by().filter(name=name) for name in ("Italo", "Ursula"))

    assert await Author.objects.all()[1:].alist() == [ursula]
    assert await one.union(two).order_by("name").alist() == [italo, ursula]


async def test_async_for_goes_over_the_rows() -> None:
    authors = await create_authors("Italo", "Ursula")

    assert [author async for author in Author.objects.all()] == authors


async def test_async_for_takes_one_lease_and_none_when_evaluated() -> None:
    await create_authors("Italo", "Ursula")
    queryset = Author.objects.all()
    before = get_pool().get_stats()["requests_num"]

    for _ in range(2):
        async for _author in queryset:
            assert lent() == 0

    assert get_pool().get_stats()["requests_num"] == before + 1


async def test_async_for_brings_the_prefetched_relations() -> None:
    (italo,) = await create_authors("Italo")
    await Book.objects.acreate(title="Invisible Cities", author=italo)

    titles = [book.title async for author in Author.objects.prefetch_related("books") for book in author.books.all()]

    assert titles == ["Invisible Cities"]


async def test_a_prefetch_added_to_an_evaluated_queryset_is_loaded() -> None:
    await create_authors("Italo")
    queryset = Author.objects.prefetch_related(Prefetch("books", to_attr="shelf"))

    assert [author.shelf for author in await queryset.alist()] == [[]]


async def test_the_synchronous_methods_are_django_s_own(blocking_calls: list[BlockingCall]) -> None:
    with pytest.raises(SynchronousOnlyOperation):
        list(Author.objects.using("other"))
    blocking_calls.clear()


# Streaming


@pytest.mark.parametrize("chunk_size", [1, 2, 5, 6, 2000])
async def test_aiterator_brings_every_row_whatever_the_chunk_size(chunk_size: int) -> None:
    authors = await create_authors("a", "b", "c", "d", "e")

    assert [author async for author in Author.objects.aiterator(chunk_size=chunk_size)] == authors


async def test_aiterator_over_nothing_ends_at_once() -> None:
    assert [author async for author in Author.objects.aiterator()] == []
    assert lent() == 0


@pytest.mark.parametrize("chunk_size", [0, -1])
async def test_aiterator_refuses_a_chunk_size_that_is_not_positive(chunk_size: int) -> None:
    with pytest.raises(ValueError, match="strictly positive"):
        [author async for author in Author.objects.aiterator(chunk_size=chunk_size)]


async def test_a_chunk_size_is_refused_at_the_first_row_as_djangos_is() -> None:
    rows = Author.objects.aiterator(chunk_size=0)

    with pytest.raises(ValueError, match="strictly positive"):
        await anext(rows)
    with pytest.raises(StopAsyncIteration):
        await anext(rows)
    never_begun = Author.objects.aiterator(chunk_size=0)
    await never_begun.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(never_begun)


async def test_aiterator_is_an_async_generator_to_inspect_and_isinstance() -> None:
    await create_authors("a", "b")
    rows = Author.objects.aiterator()

    assert inspect.isasyncgen(rows)
    assert isinstance(rows, AsyncGenerator)
    with pytest.raises(TypeError, match="just-started async generator"):
        await rows.asend("x")
    assert (await rows.asend(None)).name == "a"
    assert (await rows.asend("ignored")).name == "b"
    with pytest.raises(StopAsyncIteration):
        await rows.asend(None)
    assert not rows.ag_running


@pytest.mark.parametrize("thrown", [(LookupError("x"),), (LookupError,), (LookupError, "x"), (KeyError, KeyError("x"))])
async def test_an_error_thrown_into_an_iteration_ends_it_and_comes_out(thrown: Any) -> None:
    await create_authors("a", "b")
    rows = Author.objects.aiterator(chunk_size=1)
    await anext(rows)

    with pytest.raises(LookupError):
        await rows.athrow(*thrown)

    assert lent() == 0
    with pytest.raises(StopAsyncIteration):
        await anext(rows)


async def test_aiterator_prefetches_chunk_by_chunk() -> None:
    for author in await create_authors("a", "b", "c"):
        await Book.objects.acreate(title=f"{author.name}'s book", author=author)
    rows = Author.objects.prefetch_related("books").aiterator(chunk_size=2)

    assert [book.title async for author in rows for book in author.books.all()] == [
        "a's book",
        "b's book",
        "c's book",
    ]


async def test_aiterator_keeps_the_shape_of_values() -> None:
    await create_authors("a", "b", "c")
    rows = Author.objects.values_list("name", flat=True).aiterator(chunk_size=2)

    assert [name async for name in rows] == ["a", "b", "c"]


async def test_queries_inside_aiterator_use_its_lease(pool_with) -> None:
    pool_with(MAX_SIZE=1, TIMEOUT=5.0)
    await create_authors("a", "b", "c")

    async for author in Author.objects.aiterator(chunk_size=1):
        await Event.objects.acreate(name=author.name)

    assert await Event.objects.acount() == 3


async def test_leaving_aiterator_early_returns_its_lease(pool_with) -> None:
    pool_with(MAX_SIZE=1, TIMEOUT=5.0)
    await create_authors("a", "b", "c")

    async for _author in Author.objects.aiterator(chunk_size=1):
        break

    assert await Author.objects.acount() == 3


async def test_an_exception_in_aiterator_s_loop_returns_its_lease(pool_with) -> None:
    pool_with(MAX_SIZE=1, TIMEOUT=5.0)
    await create_authors("a", "b", "c")

    with pytest.raises(LookupError):
        async for _author in Author.objects.aiterator(chunk_size=1):
            raise LookupError

    assert await Author.objects.acount() == 3


async def test_an_error_of_the_database_in_aiterator_returns_its_lease() -> None:
    broken = Author.objects.extra(where=["no_such_column = 1"])

    with pytest.raises(Exception, match="no_such_column"):
        [author async for author in broken.aiterator()]

    assert lent() == 0


async def test_aclose_ends_an_iteration_permanently() -> None:
    await create_authors("a", "b", "c")
    rows = Author.objects.aiterator(chunk_size=1)
    await anext(rows)

    await rows.aclose()

    assert lent() == 0
    assert [author async for author in rows] == []


async def test_an_iteration_can_be_a_context_manager() -> None:
    await create_authors("a", "b", "c")

    async with Author.objects.aiterator(chunk_size=1) as rows:
        assert (await anext(rows)).name == "a"
        assert lent() == 1

    assert lent() == 0


@pytest.mark.postgresql
async def test_leaving_aiterator_early_closes_the_server_side_cursor(pool_with) -> None:
    pool_with(MAX_SIZE=1)
    await create_authors("a", "b", "c")
    count = "SELECT count(*) FROM pg_cursors WHERE name LIKE '_django%%'"

    async for _author in Author.objects.aiterator(chunk_size=1):
        async with cursor() as cur:
            assert await (await cur.execute(count)).fetchone() == (1,)
        break

    async with cursor() as cur:
        assert await (await cur.execute(count)).fetchone() == (0,)


async def test_aiterator_inside_a_transaction_sees_its_rows() -> None:
    with pytest.raises(LookupError):
        async with transaction.atomic():
            await create_authors("a", "b", "c")
            assert [author.name async for author in Author.objects.aiterator(chunk_size=2)] == ["a", "b", "c"]
            raise LookupError

    assert await Author.objects.acount() == 0


async def test_a_transaction_after_an_iteration_that_was_left_has_a_new_lease() -> None:
    await create_authors("a", "b", "c")

    for number in range(100):  # the thread that fetched may still be busy when the loop is left
        async for _author in Author.objects.aiterator(chunk_size=1):
            break
        async with transaction.atomic():
            await Event.objects.acreate(name=str(number))

    assert await Event.objects.acount() == 100


async def test_an_iteration_closed_inside_a_younger_transaction_leaves_it_alone() -> None:
    await create_authors("a", "b", "c")
    rows = Author.objects.aiterator(chunk_size=1)
    await anext(rows)

    with pytest.raises(LookupError):
        async with transaction.atomic():
            await Event.objects.acreate(name="before")
            await rows.aclose()
            await Event.objects.acreate(name="after")
            raise LookupError

    assert await Event.objects.acount() == 0


async def test_of_two_overlapping_iterations_the_last_one_returns_the_lease() -> None:
    await create_authors("a", "b", "c")
    first, second = Author.objects.aiterator(chunk_size=1), Author.objects.aiterator(chunk_size=1)
    await anext(first)
    await anext(second)
    assert len([author async for author in first]) == 2

    stats = get_pool().get_stats()
    assert stats["pool_size"] - stats["pool_available"] == 1
    assert [author.name async for author in second] == ["b", "c"]
    stats = get_pool().get_stats()
    assert stats["pool_size"] == stats["pool_available"]


async def test_an_iteration_may_be_advanced_by_several_tasks_in_turn() -> None:
    await create_authors("a", "b", "c")
    rows = Author.objects.aiterator(chunk_size=1)

    assert [(await asyncio.create_task(anext(rows))).name for _ in range(3)] == ["a", "b", "c"]
    await rows.aclose()


async def test_two_iterations_may_alternate() -> None:
    await create_authors("a", "b", "c")
    async with transaction.atomic():
        pairs = [
            outer.name + inner.name
            async for outer in Author.objects.aiterator(chunk_size=1)
            async for inner in Author.objects.aiterator(chunk_size=1)
        ]

    assert pairs == ["aa", "ab", "ac", "ba", "bb", "bc", "ca", "cb", "cc"]


# Raw SQL


async def test_raw_brings_model_instances() -> None:
    _, ursula = await create_authors("Italo", "Ursula")

    assert [author async for author in Author.objects.raw(BY_NAME, ["Ursula"])] == [ursula]


async def test_a_raw_queryset_can_be_listed() -> None:
    italo, _ = await create_authors("Italo", "Ursula")
    queryset = Author.objects.all().raw(BY_NAME, ["Italo"])

    assert isinstance(queryset, AsyncRawQuerySet)
    assert await queryset.alist() == [italo]


async def test_a_raw_queryset_is_evaluated_once() -> None:
    await create_authors("Italo")
    queryset = Author.objects.raw(BY_NAME, ["Italo"])
    await queryset.alist()
    before = get_pool().get_stats()["requests_num"]

    assert len([author async for author in queryset]) == 1
    assert get_pool().get_stats()["requests_num"] == before


async def test_a_raw_queryset_prefetches() -> None:
    (italo,) = await create_authors("Italo")
    await Book.objects.acreate(title="Invisible Cities", author=italo)

    (author,) = await Author.objects.raw(BY_NAME, ["Italo"]).prefetch_related("books").alist()

    assert [book.title for book in author.books.all()] == ["Invisible Cities"]


async def test_raw_takes_named_parameters_and_translations() -> None:
    await create_authors("Italo")
    sql = f"SELECT id, name AS called FROM {Author._meta.db_table} WHERE name = %(name)s"

    (author,) = await Author.objects.raw(sql, params={"name": "Italo"}, translations={"called": "name"}).alist()

    assert author.name == "Italo"


async def test_a_raw_queryset_on_another_database_stays_asynchronous() -> None:
    author = await Author.objects.using("other").acreate(name="Ursula")

    assert await Author.objects.raw(BY_NAME, ["Ursula"], using="other").alist() == [author]
    assert await Author.objects.raw(BY_NAME, ["Ursula"]).using("other").alist() == [author]


# Databases


async def test_using_chooses_the_database() -> None:
    await Author.objects.using("other").acreate(name="Ursula")

    assert await Author.objects.acount() == 0
    assert await Author.objects.using("other").acount() == 1


async def test_the_rows_know_their_database() -> None:
    await Author.objects.using("other").acreate(name="Ursula")

    assert [author._state.db async for author in Author.objects.using("other").aiterator()] == ["other"]


# Form


async def test_an_evaluated_queryset_survives_pickling() -> None:
    authors = await create_authors("Italo", "Ursula")
    queryset = Author.objects.all()
    await queryset.alist()

    copy = pickle.loads(pickle.dumps(queryset))

    assert type(copy) is AsyncQuerySet
    assert await copy.alist() == authors


@pytest.mark.parametrize("method", ["adelete", "aupdate", "acreate", "abulk_create"])
def test_templates_call_no_method_that_alters_data(method: str) -> None:
    assert hasattr(getattr(AsyncQuerySet, method), "alters_data") == hasattr(
        getattr(models.QuerySet, method.removeprefix("a")), "alters_data"
    )


def asynchronous_methods(cls: type) -> set[str]:
    """Return the names of the class's coroutine methods and async generators, also behind a manager's wrappers."""
    functions = {name: inspect.unwrap(value) for name, value in inspect.getmembers(cls, inspect.isfunction)}
    return {
        name
        for name, function in functions.items()
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function) or name == "__aiter__"
    }


def is_ours(cls: type, name: str) -> bool:
    function = getattr(cls, name)
    if hasattr(function, "__wrapped__"):  # a manager's method asks its queryset for the method of that name
        function = getattr(cls._queryset_class, name)
    return Path(function.__code__.co_filename).is_relative_to(HOME)


@pytest.mark.parametrize(
    ("stock", "ours"),
    [
        (models.QuerySet, AsyncQuerySet),
        (RawQuerySet, AsyncRawQuerySet),
        (models.Manager, daf_orm.AsyncManager),
        (models.Model, Author),
    ],
    ids=["queryset", "raw queryset", "manager", "model"],
)
def test_every_asynchronous_method_of_django_is_replaced(stock: type, ours: type) -> None:
    names = asynchronous_methods(stock)

    assert names
    assert [name for name in sorted(names) if not is_ours(ours, name)] == []


@pytest.mark.parametrize(
    "descriptor",
    [Author.books, Book.tags, Tag.books, Book.reviews],
    ids=["foreign key", "many to many", "reverse many to many", "generic"],
)
def test_every_asynchronous_method_of_related_managers_is_replaced(descriptor) -> None:
    manager_class = descriptor.related_manager_cls
    names = asynchronous_methods(manager_class)

    assert {"aadd", "aset", "acreate", "aget_or_create", "aupdate_or_create", "alist", "aget"} <= names
    assert [name for name in sorted(names) if not is_ours(manager_class, name)] == []


@pytest.mark.sqlite_file
async def test_writers_that_read_with_aiterator_fail_at_once_instead_of_waiting_for_each_other() -> None:
    await Author.objects.abulk_create([Author(name=str(number)) for number in range(20)])
    both_read, outcomes = asyncio.Barrier(2), []

    async def rename() -> None:
        started = False
        async for author in Author.objects.order_by("pk").aiterator(chunk_size=5):
            if not started:
                started = True
                await both_read.wait()
            author.name += "!"
            await author.asave()

    async with asyncio.timeout(10):
        outcomes = await asyncio.gather(rename(), rename(), return_exceptions=True)

    errors = [str(outcome) for outcome in outcomes if outcome is not None]
    assert errors
    assert all("reads from it with aiterator()" in error for error in errors)
    await Author.objects.acreate(name="the file is free")


@pytest.mark.sqlite_file
async def test_they_wait_in_line_inside_a_transaction() -> None:
    await Author.objects.abulk_create([Author(name=str(number)) for number in range(20)])

    async def rename() -> None:
        async with transaction.atomic():
            async for author in Author.objects.order_by("pk").aiterator(chunk_size=5):
                author.name += "!"
                await author.asave()

    async with asyncio.timeout(20):
        await asyncio.gather(*(rename() for _ in range(4)))

    assert await Author.objects.filter(name__endswith="!!!!").acount() == 20


async def outside(work: Coroutine[Any, Any, Any]) -> Any:
    """Run it as a task that shares no lease with this one."""
    return await asyncio.get_running_loop().create_task(work, context=contextvars.Context())


async def write_many() -> None:
    async with cursor() as cur:
        await cur.executemany("INSERT INTO library_author (name, email) VALUES (%s, '')", [["x"], ["y"]])


WRITES: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
    "create": lambda: Author.objects.acreate(name="x"),
    "update": lambda: Author.objects.filter(name="7").aupdate(name="x"),
    "executemany": write_many,
}


@pytest.mark.sqlite_file
@pytest.mark.parametrize("write", WRITES)
async def test_a_write_waits_for_a_reader_of_the_file(write: str) -> None:
    await Author.objects.abulk_create([Author(name=str(number)) for number in range(3000)])
    rows = Author.objects.aiterator(chunk_size=5)
    await anext(rows)

    writing = asyncio.ensure_future(outside(WRITES[write]()))
    done, _ = await asyncio.wait([writing], timeout=0.3)  # longer than one short wait of SQLite's
    assert not done, "the reader has the file"
    await rows.aclose()
    await writing


@pytest.mark.sqlite_file
async def test_deferred_transactions_wait_as_in_django(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place = connections.settings["default"]
    monkeypatch.setitem(place, "OPTIONS", {**place["OPTIONS"], "transaction_mode": "DEFERRED", "timeout": 20})
    reset_pool()
    writing = asyncio.Event()

    async def write() -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="first")
            writing.set()
            await asyncio.sleep(0.3)  # longer than one short wait of SQLite's

    async def write_later() -> None:
        await writing.wait()
        async with transaction.atomic():
            await Author.objects.acreate(name="second")

    await asyncio.gather(write(), write_later())
    assert await Author.objects.acount() == 2
    reset_pool()
