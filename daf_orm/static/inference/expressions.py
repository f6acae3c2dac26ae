"""The values of expressions, and the blocking calls that evaluating them makes."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from daf_orm.static.inference import blocks, consume
from daf_orm.static.inference.answers import answer
from daf_orm.static.inference.attributes import attribute
from daf_orm.static.inference.calls import arguments_of
from daf_orm.static.inference.hops import offer_hop
from daf_orm.static.inference.objects import CHOICES, FIELDS, SESSION, USER
from daf_orm.static.inference.special import UNARY, compare, operate, search, special, take_hash
from daf_orm.static.inference.values import (
    EMPTY,
    UNKNOWN,
    Callable,
    Constant,
    Coroutine,
    External,
    Items,
    Manager,
    Mapping,
    Method,
    Object,
    Rows,
    Scope,
    Super,
    Value,
    any_of,
    join,
)
from daf_orm.static.project.definitions import Function, dotted

if TYPE_CHECKING:
    from collections.abc import Callable as Handler

    from daf_orm.static.inference.frame import Frame


def evaluate(frame: Frame, node: ast.expr) -> Value:
    """Return the value of an expression, and record what evaluating it blocks on."""
    handler = _HANDLERS.get(type(node))
    if handler is not None:
        return handler(frame, node)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            frame.evaluate(child)
    return UNKNOWN


def _name(frame: Frame, node: ast.Name) -> Value:
    return frame.find(node.id)


def _constant(_frame: Frame, node: ast.Constant) -> Value:
    return Constant(node.value)


def _attribute(frame: Frame, node: ast.Attribute) -> Value:
    owner = frame.evaluate(node.value)
    path = dotted(node)
    if path is not None and (known := frame.scope.find(path)) is not None:
        return known
    if isinstance(owner, Object) and owner.of == FIELDS and node.attr == "choices":
        return Object(CHOICES)
    return attribute(frame, owner, node.attr, node)


def _call(frame: Frame, node: ast.Call) -> Value:
    if isinstance(node.func, ast.Name) and node.func.id == "super":
        return _super(frame)
    function = frame.evaluate(node.func)
    positional, named = arguments_of(frame, node)
    _load_users(frame, function, node, positional, named)
    known = len(frame.findings)
    result = frame.call(function, positional, named, node)
    if len(frame.findings) > known:
        offer_hop(frame, function, result, node, known)
    return result


def _super(frame: Frame) -> Value:
    owner = frame.scope.find("self") or frame.scope.find("cls")
    return Super(frame.cls, owner) if frame.cls is not None and owner is not None else UNKNOWN


def _load_users(
    frame: Frame, function: Value, node: ast.Call, positional: list[Value], named: dict[str, Value]
) -> None:
    """Report ``request.user`` among the arguments of a queryset's method: making the query looks into it."""
    if not isinstance(function, Method) or not isinstance(function.owner, Rows | Manager):
        return
    given = [*zip(positional, node.args, strict=False)]
    given += [(named[each.arg], each.value) for each in node.keywords if each.arg in named and each.arg]
    for value, argument in given:
        if isinstance(value, Object) and value.of == USER and isinstance(argument, ast.Attribute):
            frame.engine.objects.load_user(frame, argument, argument)


def _await(frame: Frame, node: ast.Await) -> Value:
    frame.engine.awaited.add(node.value)
    value = frame.evaluate(node.value)
    return value.result if isinstance(value, Coroutine) else UNKNOWN


def _subscript(frame: Frame, node: ast.Subscript) -> Value:
    value = consume.rows_from(frame, frame.evaluate(node.value))
    if isinstance(node.slice, ast.Slice):
        for part in (node.slice.lower, node.slice.upper, node.slice.step):
            if part is not None:
                frame.evaluate(part)
    else:
        key = frame.evaluate(node.slice)
        if isinstance(value, Mapping):
            take_hash(frame, key, node)
    if isinstance(value, External):
        return External(f"{value.path}[]") if value.path.startswith(("django.core.cache", "django.db")) else UNKNOWN
    return consume.item(frame, value, node)


# Operators


def _compare(frame: Frame, node: ast.Compare) -> Value:
    values = [frame.evaluate(each) for each in (node.left, *node.comparators)]
    for operator, item, value, operand in zip(node.ops, values, values[1:], node.comparators, strict=False):
        if isinstance(operator, ast.In | ast.NotIn):
            _contains(frame, node, item, consume.rows_from(frame, value), operand)
        else:
            compare(frame, operator, item, value, node)
    plain = all(isinstance(each, ast.Is | ast.IsNot) for each in node.ops)
    for value, operand in zip(values, (node.left, *node.comparators), strict=True):
        if isinstance(value, Coroutine) and not plain:
            consume.unawaited(frame, value, operand)
        elif isinstance(value, Object) and value.of == USER and not plain:
            frame.engine.objects.load_user(frame, operand, operand)
    return UNKNOWN


def _contains(frame: Frame, node: ast.Compare, item: Value, value: Value, operand: ast.expr) -> None:
    if isinstance(value, Object) and value.of == SESSION:
        frame.engine.objects.session_item(frame, value, operand, node.left, node, "__contains__")
    elif special(frame, value, ("__contains__",), node, (item,)) is not None:
        return
    elif isinstance(value, Rows):
        source, left = frame.text(operand), frame.text(node.left)
        negation = "not " if isinstance(node.ops[0], ast.NotIn) else ""
        remedy = f"Use {negation}await {source}.acontains({left})."
        if value.gives != "rows" or value.is_sliced:
            remedy = f"Use {left} {negation}in [row async for row in {source}]."
        if consume.look(frame, value, node, "DAF001", "__iter__", remedy, "argument", operand):
            frame.refine(operand, replace(value, is_evaluated=True))
    else:
        if isinstance(node.left, ast.Constant):
            consume.remember_cached(frame, operand, node.left.value)
        consume.iterate(frame, value, operand)
        search(frame, item, value, node)


def _bool_op(frame: Frame, node: ast.BoolOp) -> Value:
    result: Value | None = None
    for index, operand in enumerate(node.values):
        value = frame.evaluate(operand)
        if index < len(node.values) - 1:
            consume.truth(frame, value, operand)
        result = value if result is None else join(result, value)
    return result or UNKNOWN


def _unary(frame: Frame, node: ast.UnaryOp) -> Value:
    value = frame.evaluate(node.operand)
    if isinstance(node.op, ast.Not):
        consume.truth(frame, value, node.operand, "bool")
        return UNKNOWN
    if isinstance(value, Coroutine):
        consume.unawaited(frame, value, node.operand)
    return special(frame, value, UNARY.get(type(node.op), ()), node) or UNKNOWN


def _binary(frame: Frame, node: ast.BinOp) -> Value:
    left, right = frame.evaluate(node.left), frame.evaluate(node.right)
    for value, operand in ((left, node.left), (right, node.right)):
        if isinstance(value, Coroutine):
            consume.unawaited(frame, value, operand)
    if isinstance(left, Rows) and isinstance(right, Rows):
        return replace(left, is_evaluated=False)
    if isinstance(node.op, ast.Mod) and isinstance(left, Constant):
        _format(frame, right, node)
    if isinstance(left, Items) and isinstance(right, Items) and isinstance(node.op, ast.Add):
        return join(left, right)
    return (
        Items() if isinstance(left, Items) or isinstance(right, Items) else operate(frame, node.op, left, right, node)
    )


def _format(frame: Frame, value: Value, node: ast.BinOp) -> None:
    if isinstance(value, Items) and value.each is not None and isinstance(node.right, ast.Tuple):
        for each, operand in zip(value.each, node.right.elts, strict=False):
            consume.show(frame, each, operand, node)
    elif isinstance(value, Mapping):
        for _, each in value.entries:
            consume.show(frame, each, node.right, node)
    else:
        consume.show(frame, value, node.right, node)


def _conditional(frame: Frame, node: ast.IfExp) -> Value:
    consume.truth(frame, frame.evaluate(node.test), node.test, "bool")
    known = answer(frame, node.test)
    if known is not None:
        return frame.evaluate(node.body if known else node.orelse)
    return join(frame.evaluate(node.body), frame.evaluate(node.orelse))


def _f_string(frame: Frame, node: ast.JoinedStr) -> Value:
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            consume.show(frame, frame.evaluate(part.value), part.value)
            if part.format_spec is not None:
                frame.evaluate(part.format_spec)
    return UNKNOWN


# Displays and comprehensions


def _display(frame: Frame, node: ast.List | ast.Tuple | ast.Set) -> Value:
    each: list[Value] = []
    for part in node.elts:
        if isinstance(part, ast.Starred):
            value = consume.rows_from(frame, frame.evaluate(part.value))
            each.append(consume.iterate(frame, value, part.value, part, "argument"))
        else:
            each.append(frame.evaluate(part))
            if isinstance(node, ast.Set):
                take_hash(frame, each[-1], part)
    return Items(each=tuple(each)) if not any(isinstance(part, ast.Starred) for part in node.elts) else Items()


def _dictionary(frame: Frame, node: ast.Dict) -> Value:
    if not node.keys:
        return EMPTY
    entries, others = [], []
    for key, value in zip(node.keys, node.values, strict=True):
        name = frame.evaluate(key) if key is not None else UNKNOWN
        if key is not None:
            take_hash(frame, name, key)
        found = frame.evaluate(value)
        if isinstance(name, Constant) and isinstance(name.value, str):
            entries.append((name.value, found))
        else:
            others.append(found if key is not None else UNKNOWN)
    return Mapping(any_of(others) if others else UNKNOWN, tuple(entries))


def _comprehension(frame: Frame, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> Value:
    with _Inner(frame, node):
        item = frame.evaluate(node.elt)
        if isinstance(node, ast.SetComp):
            take_hash(frame, item, node.elt)
    return Items(item)


def _dict_comprehension(frame: Frame, node: ast.DictComp) -> Value:
    with _Inner(frame, node):
        take_hash(frame, frame.evaluate(node.key), node.key)
        item = frame.evaluate(node.value)
    return Mapping(item)


class _Inner:
    """The scope of a comprehension, in which its variables are bound."""

    def __init__(self, frame: Frame, node: Any) -> None:
        self._frame = frame
        self._node = node
        self._outer = frame.scope
        self._was_inner = frame.in_comprehension

    def __enter__(self) -> None:
        frame = self._frame
        for index, generator in enumerate(self._node.generators):
            kind = "argument" if isinstance(self._node, ast.GeneratorExp) else "comprehension"
            item = _iterated(frame, generator, kind)
            if index == 0:
                frame.scope = Scope(self._outer)
                frame.in_comprehension = self._was_inner or isinstance(self._node, ast.GeneratorExp)
            frame.engine.bind(frame, generator.target, item)
            for test in generator.ifs:
                consume.truth(frame, frame.evaluate(test), test, "bool")

    def __exit__(self, *_: object) -> None:
        self._frame.scope = self._outer
        self._frame.in_comprehension = self._was_inner


def _iterated(frame: Frame, generator: ast.comprehension, kind: str) -> Value:
    value = consume.rows_from(frame, frame.evaluate(generator.iter))
    if generator.is_async:
        return blocks.iterate_async(frame, value, generator.iter)
    return consume.iterate(frame, value, generator.iter, None, kind)


def _lambda(frame: Frame, node: ast.Lambda) -> Value:
    name = f"{frame.qualname}.<locals>.<lambda>" if frame.function else "<lambda>"
    return Callable(Function(frame.module, node, name, frame.cls), None, frame.scope)


def _named(frame: Frame, node: ast.NamedExpr) -> Value:
    value = frame.evaluate(node.value)
    frame.scope.assign(node.target.id, value)
    return value


def _yield(frame: Frame, node: ast.Yield) -> Value:
    value = frame.evaluate(node.value) if node.value is not None else UNKNOWN
    frame.yielded = value if frame.yielded is None else join(frame.yielded, value)
    blocks.yields(frame, node)
    return UNKNOWN


def _yield_from(frame: Frame, node: ast.YieldFrom) -> Value:
    value = consume.rows_from(frame, frame.evaluate(node.value))
    item = consume.iterate(frame, value, node.value, node)
    frame.yielded = item if frame.yielded is None else join(frame.yielded, item)
    return UNKNOWN


_HANDLERS: Final[dict[type[ast.expr], Handler[[Frame, Any], Value]]] = {
    ast.Name: _name,
    ast.Constant: _constant,
    ast.Attribute: _attribute,
    ast.Call: _call,
    ast.Await: _await,
    ast.Subscript: _subscript,
    ast.Compare: _compare,
    ast.BoolOp: _bool_op,
    ast.UnaryOp: _unary,
    ast.BinOp: _binary,
    ast.IfExp: _conditional,
    ast.JoinedStr: _f_string,
    ast.List: _display,
    ast.Tuple: _display,
    ast.Set: _display,
    ast.Dict: _dictionary,
    ast.ListComp: _comprehension,
    ast.SetComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.DictComp: _dict_comprehension,
    ast.Lambda: _lambda,
    ast.NamedExpr: _named,
    ast.Yield: _yield,
    ast.YieldFrom: _yield_from,
}
