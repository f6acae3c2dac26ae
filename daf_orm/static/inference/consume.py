"""Values that are iterated, asked for their truth or length, or shown."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

from daf_orm.static.inference.made import as_items
from daf_orm.static.inference.managers import rows_of
from daf_orm.static.inference.special import special
from daf_orm.static.inference.uses import is_used_again
from daf_orm.static.inference.values import (
    UNKNOWN,
    Call,
    Choice,
    ClassValue,
    Coroutine,
    Cursor,
    Items,
    Lazy,
    Manager,
    Mapping,
    Object,
    Row,
    Rows,
    Value,
    any_of,
)
from daf_orm.static.project.definitions import Class, dotted

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame

_CURSOR = "Use async with daf_orm.cursor() as cur, or do it all in one hop: await database_sync_to_async(func)(…)."


def iterate(frame: Frame, value: Value, node: ast.expr, whole: ast.expr | None = None, kind: str = "") -> Value:
    """Return an item of a value that is iterated synchronously at ``node``; ``whole`` is what iterates it.

    ``kind`` is the fix for a queryset: none if no code can take its place.
    """
    shown = whole or node
    if isinstance(value, Choice):
        return any_of([iterate(frame, each, node, whole, kind) for each in value.values])
    if isinstance(value, Items):
        return value.any
    if isinstance(value, Mapping):
        return UNKNOWN
    if isinstance(value, Rows):
        if look(frame, value, shown, "DAF001", "__iter__", evaluated(frame, value, node), kind, node):
            frame.refine(node, replace(value, is_evaluated=True))
        return value.row
    if isinstance(value, Lazy):
        return _iterate_lazy(frame, value, node, shown, kind)
    if isinstance(value, Cursor) and not value.is_reported:
        frame.report("DAF060", shown, "cursor.__iter__", "reads rows", _CURSOR)
    elif isinstance(value, Coroutine):
        unawaited(frame, value, node)
    elif isinstance(value, Object):
        return frame.engine.objects.iterate(frame, value, shown)
    elif isinstance(value, Row | ClassValue):
        found = special(frame, value, ("__iter__",), shown)
        return found.item if isinstance(found, Items) else UNKNOWN
    return UNKNOWN


def _iterate_lazy(frame: Frame, value: Lazy, node: ast.expr, shown: ast.expr, kind: str) -> Value:
    if isinstance(value.source, Call):
        call = value.source
        return frame.engine.iterate_generator(frame, call, shown)
    rows = value.source
    streaming = frame.text(shown)
    remedy = f"Use async for row in {streaming.replace('.iterator(', '.aiterator(') or 'queryset.aiterator()'}."
    is_made_here = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "iterator"
    fix = None
    if kind and is_made_here and not rows.is_raw:
        fix = frame.fix(kind, shown if kind == "listed" else node, "aiterator")
    frame.report("DAF001", shown, "QuerySet.iterator", f"iterates a queryset of {rows.model.name}", remedy, fix=fix)
    return rows.row


def look(
    frame: Frame, rows: Rows, shown: ast.expr, code: str, method: str, remedy: str, kind: str, node: ast.expr
) -> bool:
    """Report that a queryset is evaluated, unless its rows are there. Return True if they are from now on."""
    is_lazy = rows.is_lazy
    if is_lazy or (is_lazy is None and frame.engine.is_strict):
        name = f"{'RawQuerySet' if rows.is_raw else 'QuerySet'}.{method}"
        effect = f"runs {name} of {rows.model.name}"
        target = shown if kind in {"listed", "length", "item"} else node
        fix = frame.fix(kind, target, "alist" if rows.is_ours else "") if kind else None
        if rows.is_raw:
            fix = None
        frame.report(code, shown, name, effect, remedy, fix=fix)
    return is_lazy is not False


def evaluated(frame: Frame, rows: Rows, node: ast.expr) -> str:
    """Return the sentence that says how to evaluate a queryset."""
    source = frame.text(node)
    if rows.is_raw:
        return f"Use rows = await database_sync_to_async(list)({source})."
    ours = f", or await {source}.alist()" if rows.is_ours else ""
    return f"Use [row async for row in {source}]{ours}."


def truth(frame: Frame, value: Value, node: ast.expr, kind: str = "", whole: ast.expr | None = None) -> None:
    """Take note that a value is asked for its truth."""
    if isinstance(value, Choice):
        for each in value.values:
            truth(frame, each, node, kind, whole)
    elif isinstance(value, Rows):
        remedy = f"Use await {frame.text(node)}.aexists()."
        if is_used_again(frame.function, node):  # between two queries the rows may change
            kind, remedy = kind and "argument", evaluated(frame, value, node)
        if look(frame, value, whole or node, "DAF002", "__bool__", remedy, kind, node):
            frame.refine(node, replace(value, is_evaluated=kind != "bool" or not frame.is_on_loop))
    elif isinstance(value, Coroutine):
        unawaited(frame, value, node)
    elif isinstance(value, Object):
        frame.engine.objects.truth(frame, value, node)
    elif isinstance(value, Row):
        special(frame, value, ("__bool__", "__len__"), whole or node)


def length(frame: Frame, value: Value, node: ast.expr, whole: ast.expr, name: str = "len") -> None:
    """Take note of ``len(value)``."""
    if isinstance(value, Choice):
        for each in value.values:
            length(frame, each, node, whole, name)
    elif isinstance(value, Rows):
        source = frame.text(node)
        remedy = f"Use await {source}.acount(), or evaluate it: [row async for row in {source}]."
        kind = "length" if name == "len" else ""
        if is_used_again(frame.function, node):
            kind, remedy = kind and "argument", evaluated(frame, value, node)
        look(frame, value, whole, "DAF002", "__len__", remedy, kind, node)
        frame.refine(node, replace(value, is_evaluated=True))
    elif isinstance(value, Object):
        frame.engine.objects.iterate(frame, value, whole, "__len__")
    elif isinstance(value, Row | ClassValue):
        special(frame, value, ("__len__",), whole)
    elif isinstance(value, Coroutine):
        unawaited(frame, value, node)


def item(frame: Frame, value: Value, node: ast.Subscript) -> Value:
    """Return an item or slice of a value."""
    if isinstance(value, Manager):
        return UNKNOWN
    if isinstance(value, Choice):
        return any_of([item(frame, each, node) for each in value.values])
    if not isinstance(value, Rows):
        return _plain_item(frame, value, node)
    if isinstance(node.slice, ast.Slice) and node.slice.step is None:
        return value if value.is_evaluated or value.is_prefetched else replace(value, is_sliced=True)
    source, key = frame.text(node.value), frame.text(node.slice) if not isinstance(node.slice, ast.Slice) else ""
    remedy = f"Use [row async for row in {source}[{key}:][:1]][0]." if key else evaluated(frame, value, node.value)
    is_first = isinstance(node.slice, ast.Constant) and node.slice.value == 0
    if is_first:
        remedy = f"Use await {source}.afirst()."
    kind = "item" if key and not value.is_raw else ""
    look(frame, value, node, "DAF003", "__getitem__", remedy, kind, node)
    return value.row if key else Items(value.row)


def _plain_item(frame: Frame, value: Value, node: ast.Subscript) -> Value:
    index = node.slice.value if isinstance(node.slice, ast.Constant) else None
    if isinstance(value, Items):
        if isinstance(node.slice, ast.Slice):
            return Items(value.any)
        if value.each is not None and isinstance(index, int) and -len(value.each) <= index < len(value.each):
            return value.each[index]
        return value.any
    if isinstance(value, Mapping):
        return dict(value.entries).get(index, value.item) if isinstance(index, str) else any_entry(value)
    if isinstance(value, Coroutine):
        unawaited(frame, value, node.value)
    elif isinstance(value, Object):
        return frame.engine.objects.item(frame, value, node)
    elif isinstance(value, Row | ClassValue):
        return special(frame, value, ("__getitem__", "__class_getitem__"), node) or UNKNOWN
    return UNKNOWN


def any_entry(value: Mapping) -> Value:
    """Return what a dictionary has by a key that is not known."""
    known = [found for _, found in value.entries]
    return any_of(known) if known and value.item == UNKNOWN else value.item


def show(frame: Frame, value: Value, node: ast.expr, whole: ast.expr | None = None) -> None:
    """Take note that a value is turned into text."""
    if isinstance(value, Choice):
        for each in value.values:
            show(frame, each, node, whole)
    elif isinstance(value, Rows):
        look(frame, value, whole or node, "DAF004", "__repr__", evaluated(frame, value, node), "", node)
    elif isinstance(value, Coroutine):
        unawaited(frame, value, node)
    elif isinstance(value, Object):
        frame.engine.objects.show(frame, value, whole or node)
    elif isinstance(value, Row):
        special(frame, value, ("__str__",), whole or node)


def unawaited(frame: Frame, value: Coroutine, node: ast.expr) -> None:
    """Report a coroutine that is used as if it was its result."""
    if value.is_task or not (value.is_query or isinstance(node, ast.Call)):
        return  # the function that it is passed to may test for a coroutine
    source = frame.text(node)
    fix = frame.fix("await", node, is_safe=value.is_query) if isinstance(node, ast.Call) else None
    frame.report("DAF070", node, "coroutine", "is a coroutine and is not awaited", f"Use await {source}.", fix=fix)


def remember_cached(frame: Frame, cache: ast.expr, name: object) -> None:
    """Take note of ``"author" in book._state.fields_cache``, which tests if a relation is loaded."""
    path = dotted(cache) or ""
    if path.endswith("._state.fields_cache"):
        _remember(frame, path.removesuffix("._state.fields_cache"), name)


def remember_asked(frame: Frame, node: ast.Call) -> None:
    """Take note of ``Book.author.is_cached(book)``."""
    if not isinstance(node.func, ast.Attribute) or node.func.attr != "is_cached" or len(node.args) != 1:
        return
    field = node.func.value
    if isinstance(field, ast.Attribute):
        _remember(frame, dotted(node.args[0]) or "", field.attr)
    elif isinstance(field, ast.Call) and field.args and isinstance(field.args[0], ast.Constant):
        _remember(frame, dotted(node.args[0]) or "", field.args[0].value)


def _remember(frame: Frame, path: str, name: object) -> None:
    row = frame.scope.find(path)
    if isinstance(row, Row) and isinstance(name, str):
        frame.scope.values[path] = replace(row, loaded=replace(row.loaded, joined=row.loaded.joined | {name}))


def rows_from(frame: Frame, value: Value) -> Value:
    """Return the queryset of a manager, and the items of a named tuple; any other value unchanged."""
    if isinstance(value, Choice):
        return any_of([rows_from(frame, each) for each in value.values])
    if isinstance(value, Object) and isinstance(value.of, Class) and _is_named_tuple(frame, value.of):
        return as_items(value, tuple(value.of.annotations))
    return rows_of(frame, value) if isinstance(value, Manager) else value


def _is_named_tuple(frame: Frame, cls: Class) -> bool:
    return any(path == "typing.NamedTuple" for path in frame.engine.project.ancestors(cls)[1])
