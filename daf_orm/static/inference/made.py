"""Calls of what the standard library makes: classes of ``namedtuple``, getters of ``operator``."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference.values import UNKNOWN, Constant, Items, Mapping, Object, Row, Rows, Value

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame

_NAMED: Final = frozenset({"collections.namedtuple", "typing.NamedTuple"})
_GETTER: Final = "operator.attrgetter"
_CALLER: Final = "operator.methodcaller"
MAKERS: Final = _NAMED | {_GETTER, _CALLER}
"""Functions that make something to call."""


def called(
    frame: Frame, owner: Object, positional: tuple[Value, ...], named: dict[str, Value], node: ast.expr
) -> Value:
    """Return what calling it returns."""
    if owner.of in _NAMED:
        return _named_tuple(owner, positional, named)
    if not positional:
        return UNKNOWN
    if owner.of == _GETTER:
        found = [_read(frame, positional[0], each, node) for _, each in owner.arguments]
        return found[0] if len(found) == 1 else Items(each=tuple(found))
    name = owner.argument("0")
    if owner.of != _CALLER or not isinstance(name, Constant) or not isinstance(positional[0], Row | Rows):
        return UNKNOWN
    subject = _subject(node)
    read = ast.copy_location(ast.Attribute(value=subject, attr=str(name.value), ctx=ast.Load()), node)
    method = frame.engine.attribute(frame, positional[0], str(name.value), read)
    was_inner, frame.in_comprehension = frame.in_comprehension, True  # no fix is that of a method's call
    try:
        return frame.call(method, (), {}, ast.copy_location(ast.Call(func=read, args=[], keywords=[]), node))
    finally:
        frame.in_comprehension = was_inner


def _read(frame: Frame, value: Value, path: Value, node: ast.expr) -> Value:
    """Return what ``attrgetter("author.name")`` reads."""
    for name in str(path.value).split(".") if isinstance(path, Constant) else []:
        subject = _subject(node)
        value = frame.engine.attribute(
            frame, value, name, ast.copy_location(ast.Attribute(value=subject, attr=name, ctx=ast.Load()), node)
        )
    return value if isinstance(path, Constant) else UNKNOWN


def _subject(node: ast.expr) -> ast.expr:
    """Return an expression of which nothing is remembered: it stands for many rows."""
    given = node.args[0] if isinstance(node, ast.Call) and node.args else node
    return ast.copy_location(ast.Call(func=given, args=[], keywords=[]), given)


def _named_tuple(owner: Object, positional: tuple[Value, ...], named: dict[str, Value]) -> Value:
    given = owner.argument("1") or owner.argument("field_names") or owner.argument("fields")
    names = _names(given)
    values = dict(zip(names, positional, strict=False)) | named
    return Items(each=tuple(values.get(name, UNKNOWN) for name in names), names=names) if names else UNKNOWN


def _names(given: Value | None) -> tuple[str, ...]:
    """Return the names of ``"book author"``, of a list of names, and of a list of names with types."""
    if isinstance(given, Constant):
        return tuple(str(given.value).replace(",", " ").split())
    found = []
    for each in given.each or () if isinstance(given, Items) else ():
        name = each.each[0] if isinstance(each, Items) and each.each else each
        found.append(str(name.value) if isinstance(name, Constant) else "")
    return tuple(found)


def as_items(value: Value, fields: tuple[str, ...]) -> Value:
    """Return the items of an instance of a ``NamedTuple`` class with these fields."""
    if not isinstance(value, Object):
        return value
    return Items(each=tuple(value.argument(f".{name}") or UNKNOWN for name in fields), names=fields)


def typed_dictionary(positional: tuple[Value, ...], named: dict[str, Value]) -> Value:
    """Return what calling a class of ``TypedDict`` makes."""
    given = positional[0] if positional and isinstance(positional[0], Mapping) else Mapping()
    return Mapping(given.item, (*given.entries, *named.items()))
