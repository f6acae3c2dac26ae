"""Comparing in production, failures, cancellation, threads and the bound."""

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import EmptyResultSet, FieldError
from django.db import connections
from django.db.models import IntegerField, Q, Value
from django.db.models.sql.compiler import SQLCompiler

from daf_orm import _plans
from daf_orm._plans import get_stats, keeping
from daf_orm._plans.plan import Plan
from daf_orm.settings import PlanSettings
from tests.orm.plans.compiling import compiled_both_ways, is_kept
from tests.project.library.models import Author, Book, Counter, Reading

pytestmark = pytest.mark.django_db


def only_plan() -> Plan:
    (plan,) = keeping._keeper.store._young.values()
    return plan


def compiled(queryset: Any) -> tuple[str, Any]:
    return queryset.query.clone().get_compiler("default").as_sql()


@pytest.mark.parametrize(("every", "compared"), [(1, 12), (5, 3), (100, 1)])
def test_the_first_use_and_one_in_so_many_are_compared(every: int, compared: int) -> None:
    _plans.activate(PlanSettings(CHECK_EVERY=every))
    for number in range(13):
        compiled(Counter.objects.filter(value=number))

    assert (get_stats().made, get_stats().hits, get_stats().compared) == (1, 12, compared)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda plan: setattr(plan, "sql", plan.sql.replace("=", "<>")), "the SQL, kept"),
        (lambda plan: setattr(plan, "after", ("more",)), "the parameters"),
        (lambda plan: plan.compiled.update(select=plan.compiled["select"][:-1]), "the columns"),
        (lambda plan: plan.compiled.update(select=plan.compiled["select"][::-1]), "the columns"),
        (lambda plan: plan.compiled.update(klass_info={"model": Author, "select_fields": [0]}), "the models"),
        (lambda plan: plan.compiled.update(col_count=2), "the places"),
    ],
)
def test_a_plan_that_differs_is_told_once_dropped_and_not_made_again(change: Any, told: str, caplog: Any) -> None:
    _plans.activate(PlanSettings(CHECK_EVERY=3))
    query = Counter.objects.filter(value=12345)
    of_django = compiled(query)
    compiled(query)
    change(only_plan())
    results = [compiled(query) for _ in range(9)]

    assert results[2:] == [of_django] * 7
    assert (get_stats().differed, get_stats().made) == (1, 1)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("daf_orm", logging.ERROR)
    assert told in record.getMessage()
    assert "tests.project.library.models.Counter" in record.getMessage()
    assert "12345" not in record.getMessage()
    assert not compiled_both_ways(query)


def test_a_plan_that_differs_is_not_used_even_if_the_store_cannot_be_changed() -> None:
    _plans.activate(PlanSettings(CHECK_EVERY=3))
    query = Counter.objects.filter(value=12345)
    of_django = compiled(query)
    compiled(query)
    only_plan().sql += " --"
    with keeping._keeper.store._lock:  # as where a finalizer compiles a query
        results = [compiled(query) for _ in range(9)]

    assert results[2:] == [of_django] * 7


def test_a_plan_is_compared_until_a_comparison_has_ended(monkeypatch: Any) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    query = Counter.objects.filter(value=12345)
    compiled(query)
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "differences", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compiled(query)
    compiled(query)
    compiled(query)

    assert (get_stats().hits, get_stats().compared) == (3, 2)


def test_a_query_that_fails_to_compile_leaves_nothing() -> None:
    for _ in range(2):
        with pytest.raises(FieldError):
            compiled(Author.objects.order_by("name").select_related("nothing"))
        with pytest.raises(EmptyResultSet):
            compiled(Author.objects.filter(pk__in=[]))
        with pytest.raises(EmptyResultSet):
            compiled(Counter.objects.filter(value=2**90))

    assert (get_stats().size, get_stats().made) == (0, 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError, MemoryError])
@pytest.mark.parametrize("where", ["pre_sql_setup", "get_from_clause", "compile"])
def test_an_interrupted_compilation_leaves_nothing(where: str, error: type[BaseException], monkeypatch: Any) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise error

    query = Book.objects.filter(title="x").select_related("author")
    with monkeypatch.context() as patch:
        patch.setattr(SQLCompiler, where, interrupted)
        compiler = query.query.get_compiler("default")
        with pytest.raises(error):
            compiler.as_sql()
        assert "pre_sql_setup" not in vars(compiler)

    assert (get_stats().size, get_stats().made) == (0, 0)
    assert is_kept(query)


def test_an_interrupted_use_leaves_the_plan(monkeypatch: Any) -> None:
    query = Author.objects.filter(name="x")[:3]
    assert is_kept(query)
    with monkeypatch.context() as patch:
        patch.setattr(Plan, "holds", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            compiled(query)

    assert compiled_both_ways(query)


def test_the_least_recently_used_are_evicted() -> None:
    _plans.activate(PlanSettings(MAX_SIZE=10, CHECK_EVERY=1_000_000))
    kept = Counter.objects.filter(value=1)
    compiled(kept)
    for length in range(2, 60):
        compiled(Counter.objects.filter(value__in=range(length)))
        compiled(kept)
        assert get_stats().size <= 10

    assert get_stats().hits == 58
    assert (compiled_both_ways(kept), compiled_both_ways(Counter.objects.filter(value__in=[1, 2]))) == (True, False)


def test_structures_that_are_kept_out_are_bounded_too() -> None:
    for number in range(600):
        query = Author.objects.all()
        setattr(query.query, f"of_a_package_{number}", 1)
        compiled(query)

    assert get_stats().size == 0
    assert len(get_stats().reasons) == 500
    assert get_stats().django == 600


def test_long_queries_are_not_kept() -> None:
    for length in range(1_001, 1_004):
        compiled(Counter.objects.filter(value__in=range(length)))
        compiled(Counter.objects.annotate(text=Value("x" * length)))
        compiled(Counter.objects.annotate(number=Value(100**length)))
        compiled(Counter.objects.filter(*[Q(value=1) | Q(name="x")] * length))

    assert (get_stats().size, get_stats().made) == (0, 0)
    assert is_kept(Counter.objects.filter(value__in=range(1_000)))
    assert is_kept(Counter.objects.annotate(text=Value("x" * 100)))
    assert is_kept(Counter.objects.filter(*[Q(value=1) | Q(name="x")] * 100))


def test_a_plan_keeps_no_value_and_no_query() -> None:
    import gc  # noqa: PLC0415
    import weakref  # noqa: PLC0415

    query = Author.objects.filter(name="a value of a user").select_related("profile")
    compiled(query)
    gone = weakref.ref(query.query)
    found = gc.get_referents(only_plan())
    seen = set(map(id, found))
    while found:
        each = found.pop()
        assert each != "a value of a user"
        if not isinstance(each, type) and type(each).__module__ != "builtins":
            continue
        found += [
            other
            for other in gc.get_referents(each)
            if id(other) not in seen and isinstance(other, list | dict | tuple)
        ]
        seen |= set(map(id, found))
    del query
    gc.collect()

    assert gone() is None


def test_threads_share_plans() -> None:
    _plans.activate(PlanSettings(MAX_SIZE=6, CHECK_EVERY=7))
    start = threading.Barrier(6)
    makers = [
        lambda n: Counter.objects.filter(value=n),
        lambda n: Counter.objects.filter(value__in=range(n % 9 + 1)),
        lambda n: Book.objects.filter(author__name=str(n)).select_related("author")[: n + 1],
        lambda n: Book.objects.filter(stock__gt=n).order_by("author")[n:],
        lambda n: Author.objects.filter(name=str(n)).values("name"),
    ]

    def work(seed: int) -> list[Any]:
        start.wait(10)
        wrong = []
        for number in range(seed, seed + 150):
            query = makers[number % len(makers)](number).query
            kept = query.clone().get_compiler("default").as_sql()
            if kept != SQLCompiler.as_sql.__wrapped__(query.clone().get_compiler("default")):
                wrong.append(kept)
        connections.close_all()
        return wrong

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [[]] * 6
    stats = get_stats()
    assert stats.differed == 0
    assert stats.hits > 100
    assert stats.size <= 6


def test_a_change_that_would_wait_for_a_lock_is_left_out() -> None:
    store = keeping._keeper.store
    with store._lock:
        compiled(Author.objects.all())
    assert get_stats().size == 0
    assert is_kept(Author.objects.all())


@pytest.mark.django_db(transaction=True)
async def test_asynchronous_queries_take_plans() -> None:
    await Author.objects.acreate(name="Jane")
    for _ in range(3):
        assert (await Author.objects.aget(name="Jane")).name == "Jane"
        assert [author.name async for author in Author.objects.order_by("pk")] == ["Jane"]
        assert await Author.objects.filter(name="Emma").acount() == 0
        assert await Author.objects.filter(name="Jane").aexists()

    assert (get_stats().made, get_stats().hits) == (4, 8)


def test_values_that_are_converted_after_all_are_noticed(monkeypatch: Any) -> None:
    _plans.activate(PlanSettings(CHECK_EVERY=3))
    Counter.objects.create(value=5)
    values = Counter.objects.values_list("value", flat=True)
    assert [values.get(value=5) for _ in range(3)] == [5] * 3

    monkeypatch.setattr(IntegerField, "from_db_value", lambda _, value, *__: -value, raising=False)
    found = [values.get(value=5) for _ in range(6)]

    assert found[-1] == -5
    assert get_stats().differed == 1


def test_a_compiler_that_compiles_another_query_converts_its_values() -> None:
    reading = Reading.objects.create(number=5)
    for _ in range(4):
        query = Reading.objects.values_list("number").query
        compiler = query.get_compiler("default")
        assert [*compiler.results_iter(tuple_expected=True)] == [(5,)]
        query.add_fields(["serial"])

        assert [*compiler.results_iter(tuple_expected=True)] == [(reading.serial,)]


def test_a_compiler_that_compiles_again_without_plans_converts_its_values() -> None:
    reading = Reading.objects.create(number=5)
    for _ in range(3):
        query = Reading.objects.values_list("number").query
        compiler = query.get_compiler("default")
        compiler.as_sql()
    query.add_fields(["serial"])
    with connections["default"].cursor() as cursor:
        cursor.execute(*compiler.as_sql(with_col_aliases=True))
        rows = cursor.fetchall()

    assert [[*row] for row in compiler.results_iter([rows])] == [[reading.serial]]


def test_converters_that_other_code_replaces_are_asked(monkeypatch: Any) -> None:
    Counter.objects.create(value=5)
    values = Counter.objects.values_list("value", flat=True)
    assert [values.get(value=5) for _ in range(3)] == [5] * 3

    converters = {0: ([lambda value, *_: -value], None)}
    monkeypatch.setattr(SQLCompiler, "get_converters", lambda *_: converters)

    assert values.get(value=5) == -5
