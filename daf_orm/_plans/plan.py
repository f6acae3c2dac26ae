"""A plan: a query that Django's compiler has compiled, and the conditions under which it holds."""

from __future__ import annotations

import logging
from copy import copy
from functools import partial
from itertools import chain
from operator import attrgetter, call
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db.models import Field
from django.db.models.expressions import Col
from django.db.models.sql.datastructures import Join
from django.db.models.sql.query import Query

from daf_orm._django.expression_shapes import Replaced, Unkept, name_of
from daf_orm._django.known_sql import (
    AGGREGATES,
    COMPILER_METHODS,
    FIELDS,
    FUNCTIONS,
    JOINED_BY,
    LOOKUPS,
    NODES,
    OPERATION_METHODS,
    QUERY_METHODS,
    RELATIONS,
    TABLES,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

logger: Final = logging.getLogger("daf_orm")
_column_of: Final = attrgetter("column")
_COMPILER_METHODS: Final = attrgetter(*COMPILER_METHODS)
_QUERY_METHODS: Final = attrgetter(*QUERY_METHODS)
_FIELD_METHODS: Final = attrgetter("get_col", "select_format", "get_internal_type", "get_db_converters")
_options_of: Final = attrgetter("_meta.db_table", "_meta.concrete_fields", "_meta.ordering")
_NODE_METHODS: Final = attrgetter("as_sql")
_OPERATION_METHODS: Final = attrgetter(*OPERATION_METHODS)
_OPERATORS: Final = attrgetter("operators", "pattern_ops", "pattern_esc")
_METHODS: Final[dict[type, Any]] = {
    **dict.fromkeys(LOOKUPS, attrgetter("as_sql", "process_lhs", "get_rhs_op", "lookup_name")),
    **dict.fromkeys(FUNCTIONS | AGGREGATES, attrgetter("as_sql", "function", "template", "arg_joiner")),
}

_COMPILED: Final = (
    *("select", "klass_info", "annotation_col_map", "col_count", "has_extra_select"),
    *("having", "qualify"),  # both None
)


class Compiled(NamedTuple):
    """A compiled query, with the parts that Django sets up before."""

    compiler: Any
    joins: Mapping[str, Any]
    """Tables that the compiler has added to the query's own, by their alias."""
    sql: str
    parameters: Sequence[Any]
    extra_select: Sequence[Any]
    order_by: Sequence[Any]
    group_by: Sequence[Any]


class Premises:
    """The columns, tables, orderings and Django methods on which a plan depends."""

    __slots__ = ("columns", "fields", "read", "readers")

    def __init__(self, fields: Iterable[Any], readers: Iterable[Callable[[], Any]]) -> None:
        """Read it. Raises Replaced if other code has replaced a method."""
        self.fields, self.readers = tuple(fields), [*readers]
        self.columns = tuple(map(_column_of, self.fields))
        self.read = [_copied(read()) for read in self.readers]
        for each in chain.from_iterable(each if type(each) is tuple else (each,) for each in self.read):
            if callable(each) and not _is_of_django(each):
                raise Replaced("a Django method is replaced")

    def holds(self) -> bool:
        """Return False if any of it has been replaced since."""
        return [*map(call, self.readers)] == self.read and tuple(map(_column_of, self.fields)) == self.columns


class Plan(Premises):
    """The compiled form of all queries of one structure. It refers to no query, no value and no connection."""

    __slots__ = ("after", "before", "compiled", "hits", "is_checked", "joins", "limits", "relations", "sql")

    def __init__(self, made: Compiled, values: list[Any], parts: _Parts) -> None:
        """Take what Django has compiled. Raises Unkept where it cannot be used for another query."""
        compiler, query = made.compiler, made.compiler.query
        self.relations = tuple(parts.relations.values())
        fields = parts.fields.values()
        models = {query.model, *(field.model for field in fields), *_models(compiler.klass_info)}
        super().__init__(fields, readers_of(models, parts.kinds, compiler))
        self.before = tuple(_parameters((*compiler.select, *made.extra_select)))
        self.after = (*chain.from_iterable(own for _, own in made.group_by), *_parameters(made.order_by))
        if not same_values(made.parameters, (*self.before, *values, *self.after)):
            raise Unkept("parameters of other parts")
        self.sql, self.limits = made.sql, (query.low_mark, query.high_mark)
        is_movable = query.is_sliced and not query.select_for_update  # the limits of a lock are part of the structure
        if is_movable and not self.sql.endswith(_limits(compiler)):
            raise Unkept("limits that are not the end")
        self.compiled = {name: getattr(compiler, name) for name in _COMPILED}
        if not has_converters(compiler):
            self.compiled.update(_WITHOUT_CONVERTERS)
        self.joins = tuple(made.joins.items())
        self.hits, self.is_checked = 0, False

    def use(self, compiler: Any, values: list[Any]) -> tuple[str, tuple[Any, ...]]:
        """Let a compiler have what Django would have compiled; return SQL and parameters."""
        query = compiler.query
        vars(compiler).update(self.compiled, where=query.where)
        sql = self.sql
        if (query.low_mark, query.high_mark) != self.limits:
            limits = self.limits
            sql = sql.removesuffix(_limits_sql(compiler, *limits)) + _limits(compiler)
        return sql, (*self.before, *values, *self.after)

    def join(self, query: Any) -> None:
        """Leave in a query the tables that Django's compiler leaves there: django-cachalot and the like read them."""
        for alias, table in self.joins:
            query.alias_map[alias] = table
            query.alias_refcount[alias] = 0
            query.table_map[table.table_name] = [*query.table_map.get(table.table_name, ()), alias]


def leave(compiler: Any) -> None:
    """Let a compiler that a plan was used for have its own methods again."""
    for name in _WITHOUT_CONVERTERS:
        vars(compiler).pop(name, None)


def has_converters(compiler: Any) -> bool:
    """Return True if values of a compiled query are converted after the driver has read them."""
    return bool(compiler.get_converters([column for column, _, _ in compiler.select[: compiler.col_count]]))


def _no_converters(_: Any) -> dict[int, Any]:
    return {}


def _no_composite_fields(_: Any) -> bool:
    return False


_WITHOUT_CONVERTERS: Final = {"get_converters": _no_converters, "has_composite_fields": _no_composite_fields}
"""Methods of a compiler that look at each column of each query, replaced on the instance."""


def _is_of_django(method: Any) -> bool:
    """Return True if Django's own file defines a method. A wrapper of it may have taken its ``__module__``."""
    return type(method) is FunctionType and method.__globals__["__name__"].startswith(("django.", "daf_orm."))


def readers_of(models: Iterable[Any], kinds: Iterable[type], compiler: Any) -> Iterator[Callable[[], Any]]:
    """Yield functions that read what a plan depends on beside the query."""
    connection = compiler.connection
    for model in models:
        yield partial(_options_of, model)
    for kind in type(compiler).__mro__[:-1]:
        yield partial(_COMPILER_METHODS, kind)
    yield partial(_FIELD_METHODS, Field)
    yield partial(_QUERY_METHODS, Query)
    yield partial(_OPERATION_METHODS, type(connection.ops))
    yield partial(_OPERATORS, type(connection))
    for kind in kinds:
        yield partial(_METHODS.get(kind, _NODE_METHODS), kind)
        yield partial(getattr, kind, f"as_{connection.vendor}", None)


def _copied(read: Any) -> Any:
    """Return what was read, with copies of what can be changed in its place."""
    return tuple([copy(each) if type(each) in {list, dict} else each for each in read]) if type(read) is tuple else read


class _Parts:
    """The parts of a compiled query. Raises Unkept if a part is unknown."""

    def __init__(self) -> None:
        self.fields: dict[int, Any] = {}
        self.relations: dict[int, Any] = {}
        self.kinds: dict[type, None] = {}

    def add(self, expression: Any) -> None:
        kind = type(expression)
        if kind not in NODES:
            raise Unkept(name_of(kind))
        self.kinds[kind] = None
        if kind is Col:
            self._add_fields(expression.target)
            self._add_output(expression.output_field)
            return
        for source in expression.get_source_expressions():
            if source is not None:
                self.add(source)

    def add_table(self, table: Any) -> None:
        kind = type(table)
        if kind not in TABLES:
            raise Unkept(name_of(kind))
        if type(table.table_name) is not str:
            raise Unkept("a table whose name is no string")
        self.kinds[kind] = None
        if kind is not Join:
            return
        if type(table.join_field) not in JOINED_BY:
            raise Unkept(f"join by {name_of(type(table.join_field))}")
        self._add_output(table.join_field)
        for pair in table.join_fields:
            self._add_fields(*pair)

    def _add_output(self, field: Any) -> None:
        if type(field) not in RELATIONS:
            self._add_fields(field)
            return
        self._add_fields(field.field)
        self.relations[id(field)] = field

    def _add_fields(self, *fields: Any) -> None:
        for field in fields:
            if type(field) not in FIELDS:
                raise Unkept(f"field {name_of(type(field))}")
            if type(field.column) is not str:
                raise Unkept("a column whose name is no string")
            self.fields[id(field)] = field


def compile_plan(
    compiler: Any, compile_query: Callable[[Any], tuple[str, Any]], values: list[Any]
) -> tuple[tuple[str, Any], Plan | Unkept]:
    """Let Django compile a query, by ``compile_query``; return SQL and parameters, and a plan or why there is none."""
    parts: list[Any] = []
    tables, own = compiler.query.alias_map, frozenset(compiler.query.alias_map)
    set_up = compiler.pre_sql_setup

    def noted(*args: Any, **kwargs: Any) -> Any:
        parts[:] = set_up(*args, **kwargs)
        return tuple(parts)

    compiler.pre_sql_setup = noted
    try:
        compiled = compile_query(compiler)
    finally:
        del compiler.pre_sql_setup
    try:
        joins = {alias: table for alias, table in tables.items() if alias not in own}
        made = Compiled(compiler, joins, *compiled, *parts)
        return compiled, Plan(made, values, _parts_of(made))
    except Unkept as unkept:
        return compiled, unkept.with_traceback(None)
    except Exception as error:  # the query itself is compiled
        logger.exception("No plan could be made of a query of %s.", name_of(compiler.query.model))
        return compiled, Unkept(type(error).__name__)


def same_values(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Return True if parameters are the same to a database driver."""
    return len(some) == len(others) and all(map(_same, some, others))


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    return one is other or repr(one) == repr(other) or bool(one == other)


def _parts_of(made: Compiled) -> _Parts:
    compiler, query = made.compiler, made.compiler.query
    if compiler.having is not None or compiler.qualify is not None:
        raise Unkept("HAVING")
    parts = _Parts()
    for order, _ in made.order_by:
        parts.add(order)
    if not parts.kinds.keys().isdisjoint(FUNCTIONS) and _may_be_transforms(query):
        raise Unkept("order by a transform")
    for column, _, _ in compiler.select:
        parts.add(column)
    group_by = query.group_by if isinstance(query.group_by, tuple) else ()
    for expression in (query.where, *group_by, *query.annotations.values()):
        parts.add(expression)
    for table in query.alias_map.values():
        parts.add_table(table)
    return parts


def _may_be_transforms(query: Any) -> bool:
    """Return True if an order may name a transform, which code can register and unregister."""
    options = query.get_meta()
    plain = {"pk", *(field.name for field in options.concrete_fields if not field.is_relation)}
    return any(
        name.removeprefix("-") not in plain if isinstance(name, str) else "__" in repr(name)
        for name in query.order_by or options.ordering
    )


def _parameters(parts: Iterable[Any]) -> Iterator[Any]:
    """Yield the parameters of what ``get_select()`` and the like return."""
    for part in parts:
        yield from part[1][1]


def _limits(compiler: Any) -> str:
    return _limits_sql(compiler, compiler.query.low_mark, compiler.query.high_mark)


def _limits_sql(compiler: Any, low: int, high: int | None) -> str:
    return f" {compiler.connection.ops.limit_offset_sql(low, high)}"


def _models(klass_info: Any) -> Iterator[Any]:
    if klass_info:
        yield klass_info["model"]
        for related in klass_info.get("related_klass_infos", ()):
            yield from _models(related)
