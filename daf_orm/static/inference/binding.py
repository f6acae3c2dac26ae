"""Assignments: the new values of names, attributes and items."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

from daf_orm.static.inference.loaded import Loaded
from daf_orm.static.inference.objects import LOCAL, SESSION
from daf_orm.static.inference.special import class_behind, special
from daf_orm.static.inference.values import (
    UNKNOWN,
    Callable,
    Items,
    Mapping,
    Object,
    Row,
    Value,
    join,
)
from daf_orm.static.project.definitions import dotted

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame


def bind(frame: Frame, target: ast.expr, value: Value) -> None:
    """Bind what an assignment or a loop assigns to."""
    if isinstance(target, ast.Name):
        frame.scope.assign(target.id, value)
    elif isinstance(target, ast.Tuple | ast.List):
        _unpack(frame, target, value)
    elif isinstance(target, ast.Attribute):
        _bind_attribute(frame, target, value)
    elif isinstance(target, ast.Subscript):
        _bind_item(frame, target, value)


def _unpack(frame: Frame, target: ast.Tuple | ast.List, value: Value) -> None:
    items = value if isinstance(value, Items) else Items()
    star = next((index for index, part in enumerate(target.elts) if isinstance(part, ast.Starred)), None)
    for part, found in zip(target.elts, items.parted(len(target.elts), star), strict=True):
        bind(frame, part.value if isinstance(part, ast.Starred) else part, found)


def _bind_attribute(frame: Frame, target: ast.Attribute, value: Value) -> None:
    owner = frame.evaluate(target.value)
    if isinstance(owner, Object) and owner.of == LOCAL:
        frame.engine.objects.use_local(frame, target)
        return
    if isinstance(owner, Row) and target.attr in owner.model.relations:
        loaded = replace(owner.loaded, joined=owner.loaded.joined | {target.attr})
        if loaded.is_known or isinstance(value, Row):
            frame.refine(target.value, replace(owner, loaded=loaded))
    cls = class_behind(frame.engine.project, owner)
    setter = frame.engine.project.setter(cls, target.attr) if cls is not None else None
    if setter is not None:
        frame.engine.follow(frame, Callable(setter, owner), (value,), {}, target)
        return
    path = dotted(target)
    if path is not None:
        frame.scope.assign(path, value)


def _bind_item(frame: Frame, target: ast.Subscript, value: Value) -> None:
    owner = frame.evaluate(target.value)
    frame.evaluate(target.slice) if not isinstance(target.slice, ast.Slice) else None
    if isinstance(owner, Object) and owner.of == SESSION:
        frame.engine.objects.session_item(frame, owner, target.value, target.slice, target, "__setitem__")
    elif isinstance(owner, Mapping) and (owner.is_empty or not owner.entries):
        frame.refine(target.value, Mapping(value if owner.is_empty else join(owner.item, value)))
    else:
        special(frame, owner, ("__setitem__",), target, (UNKNOWN, value))


def forget(frame: Frame, target: ast.Subscript) -> None:
    """Forget a relation that is deleted from its row's cache: ``del profile._state.fields_cache["author"]``."""
    path = dotted(target.value) or ""
    if path.endswith("._state.fields_cache") and isinstance(target.slice, ast.Constant):
        name = path.removesuffix("._state.fields_cache")
        row = frame.scope.find(name)
        if isinstance(row, Row):
            loaded = Loaded(row.loaded.joined - {target.slice.value}, row.loaded.prefetched)
            frame.scope.assign(name, replace(row, loaded=loaded))
