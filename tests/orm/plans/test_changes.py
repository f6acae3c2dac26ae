"""Changes after a plan was made: tables, columns, orderings, Django methods, databases, settings."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, models
from django.db.models.expressions import Col
from django.db.models.functions import Lower
from django.db.models.lookups import Exact, In
from django.db.models.sql.compiler import SQLCompiler
from django.test import override_settings
from django.test.utils import isolate_apps
from django.utils.functional import lazy

from daf_orm import _plans
from daf_orm._plans import get_stats
from tests.orm.plans.compiling import compiled_both_ways, is_kept, with_every_relation
from tests.project.library.models import Author, Book, Counter, Novel, Profile, Tag

pytestmark = pytest.mark.django_db(databases=["default", "other"])

QUERIES: list[Callable[[], Any]] = [
    lambda: Author.objects.all(),
    lambda: Author.objects.filter(pk=1),
    lambda: Book.objects.filter(author__name="x"),
    lambda: Book.objects.select_related("author"),
    lambda: Book.objects.order_by("author"),
    lambda: Book.objects.order_by("author__name"),
    lambda: Author.objects.select_related("profile"),
    lambda: with_every_relation(Profile.objects.all()),
    lambda: Novel.objects.filter(author=1),
    lambda: Author.objects.annotate(n=models.Count("books")),
    lambda: Book.objects.filter(tags__name="x"),
]


@contextmanager
def changed(owner: Any, name: str, value: Any) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(owner, name, value, raising=False)
    try:
        yield
    finally:
        patch.undo()


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("model", [Author, Book, Profile, Novel, Tag, Book.tags.through])
def test_a_table_that_is_swapped(query: Callable[[], Any], model: Any) -> None:
    assert is_kept(query())
    waiting = query()
    with changed(model._meta, "db_table", "elsewhere"):
        compiled_both_ways(query())
        compiled_both_ways(waiting)
        assert is_kept(query())
    compiled_both_ways(query())
    assert is_kept(query())


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize(("model", "name"), [(Author, "name"), (Author, "id"), (Book, "author"), (Book, "title")])
def test_a_column_that_is_renamed(query: Callable[[], Any], model: Any, name: str) -> None:
    assert is_kept(query())
    with changed(model._meta.get_field(name), "column", "renamed"):
        assert is_kept(query())
    assert is_kept(query())


@pytest.mark.parametrize(("part", "name"), [(Author._meta, "db_table"), (Author._meta.get_field("name"), "column")])
@pytest.mark.parametrize("query", QUERIES)
def test_a_name_that_is_another_each_time(query: Callable[[], Any], part: Any, name: str) -> None:
    names = ["of_one_tenant"]
    with changed(part, name, lazy(lambda: names[0], str)()):
        for names[0] in ("of_one_tenant", "of_another", "of_one_tenant"):
            for _ in range(3):
                compiled_both_ways(query())


@pytest.mark.parametrize("query", QUERIES)
def test_an_ordering_that_is_changed(query: Callable[[], Any]) -> None:
    assert is_kept(query())
    for ordering in (["-email"], (), [models.F("email").desc()], ["email", "name"]):
        with changed(Author._meta, "ordering", ordering):
            assert is_kept(query())
            if isinstance(ordering, list):
                ordering.append("id")
                assert is_kept(query())
    assert is_kept(query())


def test_a_field_that_is_added() -> None:
    with isolate_apps("tests.project.library"):

        class Grown(models.Model):
            name = models.CharField(max_length=10)

            class Meta:
                app_label = "library"

        assert is_kept(Grown.objects.all())
        models.IntegerField(null=True).contribute_to_class(Grown, "size")

        assert is_kept(Grown.objects.all())
        assert '"size"' in str(Grown.objects.all().query)


def test_two_models_of_one_name() -> None:
    for name in ("first", "second", "third"):
        with isolate_apps("tests.project.library"):
            fields = {name: models.CharField(max_length=9), "__module__": __name__}
            meta = type("Meta", (), {"app_label": "library", "db_table": "twin"})
            twin = type("Twin", (models.Model,), {**fields, "Meta": meta})

            assert is_kept(twin.objects.all())
            assert f'"{name}"' in str(twin.objects.all().query)


# Django methods


def _other(_self: Any, compiler: Any, connection: Any) -> Any:
    return "1 = 1", ()


@pytest.mark.parametrize("name", ["as_sql", "as_sqlite", "as_postgresql"])
@pytest.mark.parametrize("kind", [Exact, Col])
def test_a_method_that_is_replaced(kind: type, name: str) -> None:
    assert is_kept(Author.objects.filter(name="x"))
    with changed(kind, name, _other):
        for _ in range(3):
            compiled_both_ways(Author.objects.filter(name="x"))
        if name in {"as_sql", f"as_{connection.vendor}"}:
            assert "1 = 1" in str(Author.objects.filter(name="x").query)
    assert is_kept(Author.objects.filter(name="x"))


@pytest.mark.parametrize("name", ["process_rhs", "process_lhs", "get_rhs_op", "get_db_prep_lookup"])
def test_a_method_of_a_lookup_that_is_replaced(name: str) -> None:
    original = getattr(In, name)

    def replaced(*args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        if isinstance(found, tuple):
            return (type(found[0])(f"{found[0]}") if isinstance(found[0], str) else found[0], found[1])
        return f"{found} -- other"

    assert is_kept(Author.objects.filter(name__in=["x"]))
    with changed(In, name, replaced):
        for _ in range(3):
            compiled_both_ways(Author.objects.filter(name__in=["x"]))
    assert is_kept(Author.objects.filter(name__in=["x"]))


@pytest.mark.parametrize("name", ["get_default_columns", "get_order_by", "get_from_clause", "compile"])
def test_a_method_of_the_compiler_that_is_replaced(name: str) -> None:
    original = getattr(SQLCompiler, name)
    called = []

    def replaced(self: Any, *args: Any, **kwargs: Any) -> Any:
        called.append(name)
        return original(self, *args, **kwargs)

    assert is_kept(Author.objects.all())
    with changed(SQLCompiler, name, replaced):
        for number in range(1, 4):
            called.clear()
            str(Author.objects.all().query)
            assert called, number
    assert is_kept(Author.objects.all())


@pytest.mark.parametrize("owner", [SQLCompiler, type(connection.ops)])
@pytest.mark.parametrize("query", QUERIES)
def test_names_that_a_wrapper_quotes_for_each_tenant(query: Callable[[], Any], owner: Any) -> None:
    name = "quote_name" if hasattr(owner, "quote_name") else "quote_name_unless_alias"
    original, tenants = getattr(owner, name), ["one"]

    @functools.wraps(original)
    def quoted(self: Any, word: str) -> str:
        return original(self, word).replace("library", tenants[0])

    with changed(owner, name, quoted):
        for tenants[0] in ("one", "another", "one"):
            for _ in range(3):
                compiled_both_ways(query())
    assert is_kept(query())


@pytest.mark.parametrize("change", ["max_in_list_size", "quote_name", "distinct_sql", "limit_offset_sql"])
def test_an_operation_of_one_connection_that_is_replaced(change: str) -> None:
    original = getattr(connection.ops, change)
    assert is_kept(Author.objects.filter(pk__in=[1, 2, 3]).distinct()[:3])
    with changed(connection.ops, change, (lambda: 2) if change == "max_in_list_size" else lambda *a: original(*a)):
        assert not is_kept(Author.objects.filter(pk__in=[1, 2, 3]).distinct()[:3])


@pytest.mark.parametrize("name", ["quote_name", "lookup_cast"])
def test_an_operation_of_a_backend_that_is_replaced(name: str) -> None:
    kind: Any = type(connection.ops)
    original = getattr(kind, name)
    query = Author.objects.filter(name="x")
    assert is_kept(query)
    with changed(kind, name, lambda *args: f"{original(*args)} "):
        for _ in range(3):
            compiled_both_ways(query)
    assert is_kept(query)


def test_an_operator_that_is_changed_in_its_place() -> None:
    query = Author.objects.filter(name__iexact="x")
    assert is_kept(query)
    operators: Any = connection.operators
    patch = pytest.MonkeyPatch()
    patch.setitem(operators, "iexact", "SOUNDS LIKE %s")
    compiled_both_ways(query)
    assert "SOUNDS LIKE" in str(query.query)
    patch.undo()
    compiled_both_ways(query)


def test_the_name_of_a_function_that_is_changed() -> None:
    query = Author.objects.annotate(low=Lower("name"))
    assert is_kept(query)
    with changed(Lower, "function", "UPPER"):
        compiled_both_ways(query)
        assert "UPPER(" in str(query.query)
    assert is_kept(query)


def test_a_feature_that_is_changed() -> None:
    query = Author.objects.order_by(models.F("email").asc(nulls_last=True)).annotate(n=models.Count("books"))
    for name in ("supports_order_by_nulls_modifier", "allows_group_by_select_index", "allows_group_by_selected_pks"):
        for value in (True, False, True):
            with changed(connection.features, name, value):
                for _ in range(3):
                    compiled_both_ways(query.all())


# Databases and settings


def test_each_database_has_its_own_plans() -> None:
    for using in ("default", "other", "default", "other"):
        assert is_kept(Author.objects.using(using).filter(name="x"), using)
        assert is_kept(Book.objects.using(using).order_by("author"), using)


def test_rows_come_from_the_database_that_is_asked() -> None:
    for using in ("default", "other"):
        Author.objects.using(using).create(name=using)
    for _ in range(3):
        for using in ("default", "other"):
            assert [author.name for author in Author.objects.using(using)] == [using]
            assert Author.objects.using(using).get()._state.db == using


def test_settings_turn_it_on_and_off(settings: Any) -> None:
    _plans.deactivate()
    original = SQLCompiler.as_sql
    assert get_stats() is None

    settings.DAF_ORM = {"KEEP_PLANS": {"MAX_SIZE": 7}}
    assert SQLCompiler.as_sql is not original
    assert is_kept(Counter.objects.filter(name="x"))

    settings.DAF_ORM = {"KEEP_PLANS": {"MAX_SIZE": "7"}}
    assert (SQLCompiler.as_sql, get_stats()) == (original, None)

    settings.DAF_ORM = {"KEEP_PLANS": {}}
    assert get_stats().size == 0
    settings.DAF_ORM = {}
    assert (SQLCompiler.as_sql, get_stats()) == (original, None)


@pytest.mark.parametrize("zone", [True, False])
def test_use_tz(zone: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    with override_settings(USE_TZ=zone):
        for _ in range(3):
            compiled_both_ways(Author.objects.filter(name="x"))


def test_nothing_is_kept_where_other_code_has_replaced_as_sql(caplog: Any) -> None:
    from daf_orm.settings import PlanSettings  # noqa: PLC0415

    _plans.deactivate()

    def replaced(self: Any) -> Any:
        raise NotImplementedError

    with changed(SQLCompiler, "as_sql", replaced):
        _plans.activate(PlanSettings())
        assert SQLCompiler.as_sql is replaced
    assert get_stats() is None
    assert "has replaced SQLCompiler.as_sql()" in caplog.text
