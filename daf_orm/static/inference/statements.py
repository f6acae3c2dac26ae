"""The effects of statements on the variables of a function."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Final

from daf_orm.static.inference import blocks, consume, typed
from daf_orm.static.inference.answers import answer
from daf_orm.static.inference.binding import bind, forget
from daf_orm.static.inference.objects import SESSION
from daf_orm.static.inference.patterns import match
from daf_orm.static.inference.special import operate, special
from daf_orm.static.inference.values import (
    UNKNOWN,
    Callable,
    ClassValue,
    Coroutine,
    Cursor,
    External,
    Items,
    Object,
    Row,
    Rows,
    Value,
    join,
)
from daf_orm.static.names.functions import ATOMIC, OUR_ATOMIC
from daf_orm.static.project.definitions import Class, Function, dotted, last_name, own_nodes

if TYPE_CHECKING:
    from collections.abc import Callable as Handler
    from collections.abc import Sequence

    from daf_orm.static.inference.frame import Frame

_ALLOWANCES: Final = frozenset({"allow_blocking", "record_blocking"})


def execute(frame: Frame, body: Sequence[ast.stmt]) -> None:
    """Run statements, one after the other."""
    for node in body:
        handler = _HANDLERS.get(type(node))
        if handler is not None:
            handler(frame, node)
        else:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    frame.evaluate(child)
        if isinstance(node, ast.Return | ast.Raise | ast.Continue | ast.Break):
            return


# Assignments


def _assign(frame: Frame, node: ast.Assign) -> None:
    value = frame.evaluate(node.value)
    for target in node.targets:
        given = value
        if isinstance(target, ast.Tuple | ast.List):
            rows = consume.rows_from(frame, value)
            if not isinstance(rows, Items):
                given = Items(consume.iterate(frame, rows, node.value, None, "argument"))
        bind(frame, target, given)


def _annotated(frame: Frame, node: ast.AnnAssign) -> None:
    said = frame.engine.annotations.value(frame.module, node.annotation, frame.cls)
    value = frame.evaluate(node.value) if node.value is not None else said
    bind(frame, node.target, said if value == UNKNOWN else value)


def _augmented(frame: Frame, node: ast.AugAssign) -> None:
    value = consume.rows_from(frame, frame.evaluate(node.value))
    was_inner = frame.in_comprehension
    frame.in_comprehension = was_inner or isinstance(node.target, ast.Subscript)  # an await is no target
    before = frame.evaluate(node.target)
    frame.in_comprehension = was_inner
    if isinstance(value, Coroutine):
        consume.unawaited(frame, value, node.value)
    if isinstance(before, Items) and isinstance(value, Rows):
        consume.iterate(frame, value, node.value, None, "argument")
    changed = operate(frame, node.op, before, value, node.target, is_in_place=True)
    if isinstance(before, Items):
        changed = join(before, value) if isinstance(value, Items) else Items()
    if isinstance(node.target, ast.Name):
        frame.scope.assign(node.target.id, before if isinstance(before, Rows) else changed)


def _delete(frame: Frame, node: ast.Delete) -> None:
    for target in node.targets:
        if isinstance(target, ast.Subscript):
            owner = frame.evaluate(target.value)
            if isinstance(owner, Object) and owner.of == SESSION:
                frame.engine.objects.session_item(frame, owner, target.value, target.slice, target, "__delitem__")
            else:
                special(frame, owner, ("__delitem__",), target)
            forget(frame, target)
        elif isinstance(target, ast.Attribute):
            frame.evaluate(target.value)
        elif isinstance(target, ast.Name):
            frame.scope.assign(target.id, UNKNOWN)


def _import(frame: Frame, node: ast.Import | ast.ImportFrom) -> None:
    for name, binding in frame.module.imports(node).items():
        frame.scope.assign(name, frame.engine.globals.imported(frame.module, binding))


def _function(frame: Frame, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    for default in [*node.args.defaults, *node.args.kw_defaults]:
        if default is not None:
            frame.evaluate(default)
    prefix = f"{frame.qualname}.<locals>." if frame.function else ""
    function = Function(frame.module, node, f"{prefix}{node.name}")
    value = frame.engine.decorated(frame, Callable(function, None, frame.scope))
    frame.scope.assign(node.name, value)


def _class(frame: Frame, node: ast.ClassDef) -> None:
    prefix = f"{frame.qualname}.<locals>." if frame.function else ""
    cls = Class(frame.module, node, f"{prefix}{node.name}")
    frame.engine.remember_class(cls, frame.scope)
    frame.scope.assign(node.name, ClassValue(cls))
    was_inner, frame.in_comprehension = frame.in_comprehension, True
    for each in node.body:
        if isinstance(each, ast.Assign | ast.AnnAssign | ast.Expr) and each.value is not None:
            frame.evaluate(each.value)
    frame.in_comprehension = was_inner


# Control


def _expression(frame: Frame, node: ast.Expr) -> None:
    value = frame.evaluate(node.value)
    if isinstance(value, Coroutine) and isinstance(node.value, ast.Call):
        consume.unawaited(frame, value, node.value)


def _return(frame: Frame, node: ast.Return) -> None:
    if node.value is not None:
        value = frame.evaluate(node.value)
        typed.answer(frame, value)
        frame.give(value)


def _if(frame: Frame, node: ast.If | ast.While) -> None:
    if last_name(node.test) == "TYPE_CHECKING":
        return
    consume.truth(frame, frame.evaluate(node.test), node.test, "bool")
    known = answer(frame, node.test)
    _branches(frame, [node.body, node.orelse] if known is None else [node.body if known else node.orelse])


def _branches(frame: Frame, bodies: Sequence[Sequence[ast.stmt]], enter: Handler[[int], None] = lambda _: None) -> None:
    """Run alternatives, each from where the variables are now; afterwards what any of them left is known.

    ``enter`` is called with the index of one before it is run.
    """
    before = dict(frame.scope.values)
    ends: list[dict[str, Value]] = []
    for index, body in enumerate(bodies):
        frame.scope.values = dict(before)
        enter(index)
        execute(frame, body)
        if not (body and isinstance(body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)):
            ends.append(frame.scope.values)
    frame.scope.values = _merged(ends) if ends else before


def _merged(ends: list[dict[str, Value]]) -> dict[str, Value]:
    first, *rest = ends
    merged = dict(first)
    for end in rest:
        for name in merged.keys() | end.keys():
            if name in merged and name in end:
                merged[name] = join(merged[name], end[name])
            elif "." in name or name.startswith("<"):
                merged[name] = end.get(name, merged.get(name, UNKNOWN))
            else:
                merged[name] = merged.get(name) or end[name]
    return merged


def _for(frame: Frame, node: ast.For) -> None:
    value = consume.rows_from(frame, frame.evaluate(node.iter))
    item = consume.iterate(frame, value, node.iter, None, "for")
    _loop(frame, node, item)


def _async_for(frame: Frame, node: ast.AsyncFor) -> None:
    value = consume.rows_from(frame, frame.evaluate(node.iter))
    _loop(frame, node, blocks.iterate_async(frame, value, node.iter))


def _loop(frame: Frame, node: ast.For | ast.AsyncFor, item: Value) -> None:
    bind(frame, node.target, item)
    _branches(frame, [node.body, []])
    _give_back(frame, node)
    execute(frame, node.orelse)


def _give_back(frame: Frame, node: ast.For | ast.AsyncFor) -> None:
    """Take note of what a loop has loaded of each row of a list: ``for book in books: book.author = …``."""
    path = dotted(node.iter)
    if path is None or not isinstance(node.target, ast.Name):
        return
    rows, row = frame.scope.find(path), frame.scope.find(node.target.id)
    if not isinstance(rows, Items) or rows.each is not None or not isinstance(row, Row):
        return
    if isinstance(rows.item, Row) and rows.item.model == row.model:
        frame.refine(node.iter, Items(join(rows.item, row)))


def _try(frame: Frame, node: ast.Try) -> None:
    execute(frame, node.body)
    if not _asks_for_a_loop(node):
        _branches(frame, [[], *(handler.body for handler in node.handlers)])
    execute(frame, node.orelse)
    execute(frame, node.finalbody)


def _asks_for_a_loop(node: ast.Try) -> bool:
    """Return True if its handlers run where there is no event loop."""
    return any(
        isinstance(each, ast.Call) and last_name(each.func) in {"get_running_loop", "current_task"}
        for statement in node.body
        for each in [statement, *own_nodes(statement)]
    )


# Blocks


def _with(frame: Frame, node: ast.With) -> None:
    was_on_loop, depth = frame.is_on_loop, frame.atomic_depth
    left: list[tuple[Value, ast.expr]] = []
    for item in node.items:
        value = frame.evaluate(item.context_expr)
        if isinstance(value, Object | Row):
            left.append((value, item.context_expr))
        if _is_atomic(value, item.context_expr):
            _django_atomic(frame, item.context_expr, node)
        if last_name(item.context_expr) in _ALLOWANCES:
            frame.is_on_loop = False
        if item.optional_vars is not None:
            entered = blocks.enter(frame, value, item.context_expr)
            bind(frame, item.optional_vars, value if isinstance(value, Cursor | Object) else entered)
        else:
            blocks.enter(frame, value, item.context_expr)
    execute(frame, node.body)
    for value, expression in reversed(left):
        special(frame, value, ("__exit__",), expression)
    frame.is_on_loop, frame.atomic_depth = was_on_loop, depth


def _is_atomic(value: Value, node: ast.expr) -> bool:
    if isinstance(value, Object):
        return value.of in ATOMIC
    return isinstance(node, ast.Attribute | ast.Name) and isinstance(value, External) and value.path in ATOMIC


def _django_atomic(frame: Frame, node: ast.expr, block: ast.With) -> None:
    frame.atomic_depth += 1
    remedy = "Use async with daf_orm.transaction.atomic()."
    fix = frame.fix("atomic", block, is_safe=False) if len(block.items) == 1 else None
    frame.report("DAF061", node, "atomic", "opens a transaction", remedy, fix=fix)


def _async_with(frame: Frame, node: ast.AsyncWith) -> None:
    depth = frame.atomic_depth
    for item in node.items:
        value = frame.evaluate(item.context_expr)
        if (isinstance(value, Object) and value.of in OUR_ATOMIC) or _is_our_atomic(frame, item.context_expr):
            frame.atomic_depth += 1
            frame.engine.opens_atomic(frame)
        entered = blocks.enter_async(frame, value, item.context_expr)
        if item.optional_vars is not None:
            bind(frame, item.optional_vars, entered)
    execute(frame, node.body)
    frame.atomic_depth = depth


def _is_our_atomic(frame: Frame, node: ast.expr) -> bool:
    if not isinstance(node, ast.Call):
        return False
    function = frame.evaluate(node.func)
    return (isinstance(function, External) and function.path in OUR_ATOMIC) or _is_atomic_itself(function)


def _is_atomic_itself(function: Value) -> bool:
    """Return True for ``atomic`` where DAF is itself what is checked."""
    if isinstance(function, Callable | ClassValue):
        module = function.function.module if isinstance(function, Callable) else function.cls.module
        name = function.function.name if isinstance(function, Callable) else function.cls.name
        return module.name == "daf_orm.transaction" and name.lower() == "atomic"
    return False


def _match(frame: Frame, node: ast.Match) -> None:
    subject = frame.evaluate(node.subject)
    *_, last = node.cases
    is_complete = isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None and last.guard is None

    def enter(index: int) -> None:
        if index < len(node.cases):
            _enter_case(frame, node.cases[index], subject, node.subject)

    _branches(frame, [*(case.body for case in node.cases), *([] if is_complete else [[]])], enter)


def _enter_case(frame: Frame, case: ast.match_case, value: Value, subject: ast.expr) -> None:
    match(frame, case.pattern, value, subject)
    if case.guard is not None:
        consume.truth(frame, frame.evaluate(case.guard), case.guard, "bool")


def _assert(frame: Frame, node: ast.Assert) -> None:
    consume.truth(frame, frame.evaluate(node.test), node.test, "bool")


_HANDLERS: Final[dict[type[ast.stmt], Handler[[Frame, Any], None]]] = {
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augmented,
    ast.Delete: _delete,
    ast.Import: _import,
    ast.ImportFrom: _import,
    ast.FunctionDef: _function,
    ast.AsyncFunctionDef: _function,
    ast.ClassDef: _class,
    ast.Expr: _expression,
    ast.Return: _return,
    ast.If: _if,
    ast.While: _if,
    ast.For: _for,
    ast.AsyncFor: _async_for,
    ast.Try: _try,
    ast.TryStar: _try,
    ast.With: _with,
    ast.AsyncWith: _async_with,
    ast.Match: _match,
    ast.Assert: _assert,
}
