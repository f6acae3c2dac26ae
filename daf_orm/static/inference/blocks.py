"""``with`` and ``async with`` blocks, and asynchronous iteration."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference.special import special
from daf_orm.static.inference.values import UNKNOWN, Call, Choice, Items, Lazy, Object, Rows, Value, any_of
from daf_orm.static.names.functions import STACKS, TASKS

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame

_CONTEXT_MANAGERS: Final = frozenset({"asynccontextmanager", "fixture"})


def iterate_async(frame: Frame, value: Value, node: ast.expr) -> Value:
    """Return an item of what is iterated with ``async for``."""
    if isinstance(value, Choice):
        return any_of([iterate_async(frame, each, node) for each in value.values])
    if isinstance(value, Rows):
        frame.refine(node, replace(value, is_evaluated=True))
        return value.row
    if isinstance(value, Lazy) and isinstance(value.source, Call):
        return frame.engine.iterate_generator(frame, value.source, node)
    if isinstance(value, Object):
        return _iterate_object(frame, value, node)
    return value.item if isinstance(value, Items) else UNKNOWN


def _iterate_object(frame: Frame, value: Object, node: ast.expr) -> Value:
    iterator = special(frame, value, ("__aiter__",), node)
    if isinstance(iterator, Items):  # __aiter__ is a generator
        return iterator.item
    return special(frame, value if iterator is None else iterator, ("__anext__",), node) or UNKNOWN


def enter(frame: Frame, value: Value, node: ast.expr) -> Value:
    """Follow what a ``with`` statement enters, and return what it binds."""
    if isinstance(value, Lazy) and isinstance(value.source, Call):
        return frame.engine.iterate_generator(frame, value.source, node)
    return special(frame, value, ("__enter__",), node) or UNKNOWN


def enter_async(frame: Frame, value: Value, node: ast.expr) -> Value:
    """Follow what an ``async with`` statement enters, and return what it binds."""
    if isinstance(value, Lazy) and isinstance(value.source, Call):
        return frame.engine.iterate_generator(frame, value.source, node)
    found = special(frame, value, ("__aenter__",), node)
    if found is not None:
        return found
    return value if isinstance(value, Object) and value.of in {TASKS, *STACKS} else UNKNOWN


def yields(frame: Frame, node: ast.Yield) -> None:
    """Report a ``yield`` of an asynchronous generator inside a transaction."""
    function = frame.function
    if not frame.atomic_depth or function is None or not function.is_async:
        return
    if not _CONTEXT_MANAGERS & set(function.decorator_names):
        remedy = "Fetch each page in a separate transaction, and yield outside of it."
        frame.report("DAF073", node, "atomic", "holds a transaction for as long as its reader takes", remedy)
