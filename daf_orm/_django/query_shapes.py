"""The structure of a query, and the parameters of its conditions, from which Django's compiler makes SQL.

A key has everything that the SQL depends on, except the values. Django's lookups prepare the values for each query. The
SQL that a lookup makes of them is part of the key: a ``None`` that becomes ``NULL``, the length of an ``__in``.
Fields are named by their ``id()``: a plan keeps them, so no other field can be given it.
"""

from __future__ import annotations

from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Final

from django.db.models.expressions import Col
from django.db.models.sql.datastructures import BaseTable, Join
from django.db.models.sql.query import Query
from django.db.models.sql.where import XOR, WhereNode

from daf_orm._django.expression_shapes import Unkept, expression_shape, name_of
from daf_orm._django.known_sql import EXACT, IN, IS_NULL, PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FEATURES: Final = attrgetter(
    "supports_order_by_nulls_modifier",
    "order_by_nulls_first",
    "supports_boolean_expr_in_select_clause",
    "allows_group_by_selected_pks",
    "allows_group_by_select_index",
)
_LOCKING: Final = attrgetter(
    "has_select_for_update",
    "has_select_for_update_nowait",
    "has_select_for_update_skip_locked",
    "has_select_for_no_key_update",
    "supports_select_for_update_with_limit",
    "for_update_after_from",
)
_MAX_STATES: Final = 1000
_MAX_IN: Final = 1000  # values: two lists as long are rare, and each length is another structure


def shape_of(compiler: Any, backend: object) -> tuple[tuple[Any, ...], list[Any]]:
    """Return the structure of a compiler's query, and the parameters of its conditions. Raises Unkept.

    Exceptions of lookups are passed on: EmptyResultSet, FullResultSet, and the errors of values that they refuse.
    """
    query, connection = compiler.query, compiler.connection
    values = vars(query)
    state = _STATES.get(tuple(values)) or _state_of(values)
    if query._filtered_relations or any(state.unset(values)):
        raise Unkept(f"query.{state.first_set(values)}")
    shape = [backend, compiler.using, compiler.elide_empty, state, state.plain(values), _FEATURES(connection.features)]
    for name, read in state.readers:
        shape.append(read(values[name]))
    if (selected := values.get("_annotation_select_cache")) is not None:
        _check_selected(selected, values["annotations"], query.annotation_select_mask)
    if query.select_for_update:
        _add_lock(query, connection, shape)
    else:
        shape.append(bool(query.low_mark) or query.high_mark is not None)
    _add_tables(values, shape)
    parameters: list[Any] = []
    where = values["where"]
    if type(where) is not WhereNode:
        raise Unkept(name_of(type(where)))
    _add_conditions(where, compiler, shape, parameters)
    return tuple(shape), parameters


def _add_lock(query: Any, connection: Any, shape: list[Any]) -> None:
    """Add what a lock depends on. It stands behind LIMIT, so that both limits are part of the structure."""
    if connection.get_autocommit():
        raise Unkept("a lock outside a transaction")
    shape += (query.low_mark, query.high_mark, _LOCKING(connection.features))


def _add_tables(values: Mapping[str, Any], shape: list[Any]) -> None:
    counts = values["alias_refcount"]
    for alias, table in values["alias_map"].items():
        kind = type(table)
        if kind is BaseTable:
            shape += (alias, counts[alias], table.table_name, table.table_alias)
        elif kind is Join and table.filtered_relation is None:
            shape += (alias, counts[alias], table.table_name, table.table_alias, table.parent_alias, table.join_type)
            shape += (id(table.join_field), table.nullable)
        else:
            raise Unkept(name_of(kind))
    for name, aliases in values["table_map"].items():
        shape += (name, aliases[0] if aliases else None)  # clones share the list, which grows
    first = values.get("base_table")
    if first is not None and first != next(iter(values["alias_map"]), None):
        raise Unkept("query.base_table")


def _add_conditions(where: Any, compiler: Any, shape: list[Any], parameters: list[Any]) -> None:
    children = where.children
    if where.connector == XOR:
        raise Unkept("XOR")
    shape += (where.connector, where.negated, where.resolved, len(children))
    for child in children:
        kind = type(child)
        read = _CONDITIONS.get(kind)
        if read is None:
            raise Unkept(name_of(kind))
        read(child, compiler, shape, parameters)


def _add_lookup(lookup: Any, compiler: Any, shape: list[Any], parameters: list[Any]) -> None:
    column, value = lookup.lhs, lookup.rhs
    if type(column) is not Col:
        raise Unkept(name_of(type(column)))
    shape += (type(lookup), column.alias, id(column.target), id(column.output_field))
    if hasattr(value, "as_sql"):
        expression_shape(value)  # that it is known; its SQL follows
        shape.append("expression")
    sql, prepared = lookup.process_rhs(compiler, compiler.connection)
    shape.append(sql if type(sql) is str else tuple(sql))
    parameters += prepared


def _add_exact(lookup: Any, compiler: Any, shape: list[Any], parameters: list[Any]) -> None:
    if isinstance(lookup.rhs, bool) and _is_its_own_condition(lookup.lhs, compiler.connection.ops):
        column = lookup.lhs
        shape += (type(lookup), column.alias, id(column.target), id(column.output_field), lookup.rhs)
    else:
        _add_lookup(lookup, compiler, shape, parameters)


def _is_its_own_condition(column: Any, operations: Any) -> bool:
    """Return True if a column is compared with True or False without a parameter."""
    return (
        type(column) is Col
        and column.conditional
        and operations.conditional_expression_supported_in_where_clause(column)
    )


def _add_is_null(lookup: Any, _: Any, shape: list[Any], __: list[Any]) -> None:
    value, column = lookup.rhs, lookup.lhs
    if type(value) is not bool or type(column) is not Col:
        raise Unkept(f"isnull of {name_of(type(column))}")
    shape += (type(lookup), column.alias, id(column.target), id(column.output_field), value)


def _add_in(lookup: Any, compiler: Any, shape: list[Any], parameters: list[Any]) -> None:
    if compiler.connection.ops.max_in_list_size():
        raise Unkept("a limit of the length of IN")
    if isinstance(lookup.rhs, list | tuple | set | frozenset) and len(lookup.rhs) > _MAX_IN:
        raise Unkept(f"IN of more than {_MAX_IN} values")
    _add_lookup(lookup, compiler, shape, parameters)


_CONDITIONS: Final[dict[type, Callable[[Any, Any, list[Any], list[Any]], None]]] = {
    WhereNode: _add_conditions,
    **dict.fromkeys(PLAIN, _add_lookup),
    **dict.fromkeys(EXACT, _add_exact),
    **dict.fromkeys(IS_NULL, _add_is_null),
    **dict.fromkeys(IN, _add_in),
}


def _order_by(names: Any) -> Any:
    return tuple([name if type(name) is str else expression_shape(name) for name in names])


def _expressions(found: Any) -> Any:
    return tuple(map(expression_shape, found))


def _annotations(found: Mapping[str, Any]) -> Any:
    return tuple([(alias, expression_shape(each)) for alias, each in found.items()]) if found else ()


def _check_selected(selected: Mapping[str, Any], annotations: Mapping[str, Any], mask: Any) -> None:
    """Raise Unkept unless what Django remembers of the selected annotations is what it would find anew."""
    names = [alias for alias in annotations if mask is None or alias in mask]
    if names != list(selected) or any(annotations[alias] is not each for alias, each in selected.items()):
        raise Unkept("annotations changed in their place")


def _mask(names: Any) -> Any:
    return None if names is None else frozenset(names)


def _selected(found: Any) -> Any:
    if found is None:
        return None
    if not {*map(type, found.values())} <= {int, str}:
        raise Unkept("query.selected")
    return tuple(found.items())


def _deferred(loading: Any) -> Any:
    names, defer = loading
    return (frozenset(names), defer)


def _related(names: Any) -> Any:
    return tuple([(name, _related(found)) for name, found in names.items()]) if isinstance(names, dict) else names


def _group_by(found: Any) -> Any:
    return found if found is None or found is True else _expressions(found)


_PLAIN: Final = frozenset(
    {
        *("model", "alias_cols", "default_cols", "default_ordering", "standard_ordering", "distinct", "max_depth"),
        *("alias_prefix", "values_select"),
        *("select_for_update", "select_for_update_nowait", "select_for_update_skip_locked", "select_for_no_key_update"),
    }
)
"""Attributes that are part of the key as they are."""
_UNSET: Final = frozenset(
    {"external_aliases", "extra", "extra_tables", "extra_order_by", "distinct_fields", "select_for_update_of"}
)
"""Attributes that keep a query out unless they are empty."""
_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "order_by": _order_by,
    "select": _expressions,
    "selected": _selected,
    "annotations": _annotations,
    "annotation_select_mask": _mask,
    "deferred_loading": _deferred,
    "select_related": _related,
    "group_by": _group_by,
}
_ELSEWHERE: Final = frozenset(
    {
        *("where", "alias_map", "alias_refcount", "table_map", "low_mark", "high_mark", "_filtered_relations"),
        *("_annotation_select_cache", "base_table"),  # are checked against what they were made of
        # Left behind when a query is built; the compiler reads the attributes that they were made of.
        *("used_aliases", "filter_is_sticky", "subq_aliases", "_lookup_joins"),
        *("extra_select_mask", "_extra_select_cache"),  # of extra, which is empty
    }
)


class _State:
    """Reads a query that has attributes of these names."""

    def __init__(self, names: frozenset[str]) -> None:
        self.plain = itemgetter(*sorted(_PLAIN & names))
        self._unset = sorted(_UNSET & names)
        self.unset = itemgetter(*self._unset)
        self.readers = [(name, read) for name, read in _READ.items() if name in names]
        others = sorted(names - _PLAIN - _UNSET - _READ.keys())
        self.readers += [(name, _default_of(name)) for name in others]

    def first_set(self, values: Mapping[str, Any]) -> str:
        """Return the name of the first attribute that should be empty and is not."""
        return next((name for name in self._unset if values[name]), "filtered_relations")


def _default_of(name: str) -> Callable[[Any], None]:
    """Return a reader of an attribute. The query is kept out unless it has the default of the class ``Query``."""
    default = getattr(Query, name, NotImplemented)

    def read(value: Any) -> None:
        if default is NotImplemented or value != default:
            raise Unkept(f"query.{name}")

    return read


_STATES: Final[dict[tuple[str, ...], _State]] = {}  # by the names, in their order
_BY_NAMES: Final[dict[frozenset[str], _State]] = {}


def _state_of(values: Mapping[str, Any]) -> _State:
    if len(_STATES) >= _MAX_STATES:  # plans that refer to a state forgotten are found no more, and evicted
        _STATES.clear()
        _BY_NAMES.clear()
    names = frozenset(values) - _ELSEWHERE
    state = _BY_NAMES.get(names)
    if state is None:
        state = _BY_NAMES.setdefault(names, _State(names))
    return _STATES.setdefault(tuple(values), state)
