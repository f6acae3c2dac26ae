"""The structure of a resolved expression, as a value that can be hashed."""

from __future__ import annotations

from sys import getsizeof
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import FieldError
from django.db.models import expressions

from daf_orm._django.known_sql import AGGREGATES, CONSTANTS, FUNCTIONS, MADE_FIELDS, PARSING

if TYPE_CHECKING:
    from collections.abc import Callable


_MAX_CONSTANT: Final = 500  # bytes: keys hold them, and they may be a client's
_REPLACEABLE: Final = frozenset({"function", "template", "arg_joiner", "as_sql"})


class Unkept(Exception):
    """The query has a part that is not known to compile alike; the message names it."""


class Replaced(Unkept):
    """Other code has replaced a method of Django, and may restore it."""


def name_of(kind: type) -> str:
    """Return the name of a class, with its module."""
    return f"{kind.__module__}.{kind.__qualname__}"


def expression_shape(expression: Any) -> Any:
    """Return the structure of an expression. Raises Unkept.

    Fields are named by their ``id()``: they must outlive the shape.
    """
    kind = type(expression)
    read = _READERS.get(kind)
    if read is None:
        raise Unkept(name_of(kind))
    return read(expression)


def _column(column: Any) -> Any:
    return (column.alias, id(column.target), id(column.output_field))


def _value(value: Any) -> Any:
    kind = type(value.value)
    field = type(vars(value).get("output_field"))
    if kind not in CONSTANTS or value.for_save or field not in {NoneType, *MADE_FIELDS}:
        raise Unkept(f"Value of a {kind.__name__}")
    if kind is str and field in PARSING:
        raise Unkept(f"Value of a str for a {name_of(field)}")
    if getsizeof(value.value) > _MAX_CONSTANT:
        raise Unkept("Value of more than a few hundred bytes")
    # A field that none has asked for yet is the one that Django takes for the value.
    return ("value", kind, value.value, CONSTANTS[kind] if field is NoneType else field)


def _named(reference: Any) -> Any:
    return ("F", reference.name)


def _reference(reference: Any) -> Any:
    return ("Ref", reference.refs, expression_shape(reference.source))


def _star(_: Any) -> Any:
    return "*"


def _order(order: Any) -> Any:
    return ("order", order.descending, order.nulls_first, order.nulls_last, expression_shape(order.expression))


def _combined(combined: Any) -> Any:
    left, right = expression_shape(combined.lhs), expression_shape(combined.rhs)
    return ("combined", _made_field(combined), combined.connector, left, right)


def _function(function: Any) -> Any:
    sources = tuple(map(expression_shape, function.source_expressions))
    if function.extra or not _REPLACEABLE.isdisjoint(vars(function)):
        raise Unkept(f"{name_of(type(function))} with more than its arguments")
    return (type(function), _made_field(function), function.is_summary, sources)


def _aggregate(aggregate: Any) -> Any:
    if aggregate.filter is not None or getattr(aggregate, "order_by", None) is not None:
        raise Unkept(f"{name_of(type(aggregate))} with a filter or an order")
    return (aggregate.distinct, _function(aggregate))


def _made_field(expression: Any) -> type:
    try:
        kind = type(expression.output_field)
    except (AttributeError, FieldError):  # an order, whose references are resolved when it is compiled
        return NoneType
    if kind not in MADE_FIELDS:
        raise Unkept(f"expression of a {name_of(kind)}")
    return kind


_READERS: Final[dict[type, Callable[[Any], Any]]] = {
    expressions.Col: _column,
    expressions.Value: _value,
    expressions.F: _named,
    expressions.Ref: _reference,
    expressions.Star: _star,
    expressions.OrderBy: _order,
    expressions.CombinedExpression: _combined,
    **dict.fromkeys(FUNCTIONS, _function),
    **dict.fromkeys(AGGREGATES, _aggregate),
}
