"""What was called: Django's name for it, its model and field, its SQL, and the template it was called from.

All of it is read from the frames between the user's line and the choke point, outermost first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.models.base import ModelState
from django.db.models.fields.related_descriptors import ForwardManyToOneDescriptor, ReverseOneToOneDescriptor
from django.db.models.manager import BaseManager
from django.db.models.query import RawQuerySet
from django.db.models.query_utils import DeferredAttribute
from django.db.transaction import Atomic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

_PLUMBING = re.compile(
    r"""(?x)
    .*manager_method$                       # every manager's copies of its queryset's methods
    | cached_property\.__get__$
    | async_unsafe\b.*
    | new_method_proxy\b.* | (Simple)?LazyObject\..* | lazy\b.*
    | DatabaseErrorWrapper\..*
    | (ConnectionProxy|BaseConnectionHandler|LeasedConnections)\..*
    | sensitive_variables\b.* | method_decorator\b.* | .*_wrapped_view$ | ContextDecorator\..*
    | (BaseDatabaseWrapper|DatabaseWrapper)\.(ensure_connection|_cursor)$
    """
)
_TEMPLATE = str(Path("django", "template") / "x")[:-1]


@dataclass(slots=True, kw_only=True)
class Operation:
    """What the user's line called."""

    name: str
    method: str = ""
    """The method's own name, where the operation is one of a queryset, manager or instance."""
    model: str | None = None
    field: str | None = None
    sql: str | None = None
    template: str | None = None
    kind: str = "other"
    """``queryset``, ``relation`` (a lazy load), ``related manager``, ``instance``, ``database`` or ``other``."""


def identify(inner: Sequence[FrameType]) -> Operation:
    """Name the operation that these frames, outermost first, carry out."""
    frames, template = _below_templates(inner)
    frames = [frame for frame in frames if not _PLUMBING.match(frame.f_code.co_qualname)]
    operation = _recognize(frames[0]) if frames else None
    if operation is None:
        operation = _generic(frames)
    operation.template = template
    operation.sql = _statement(frames)
    return operation


def _recognize(frame: FrameType) -> Operation | None:
    subject = frame.f_locals.get("self")
    for kind, recognize in _RECOGNIZERS:
        if isinstance(subject, kind):
            return recognize(subject, frame)
    return None


def _of_queryset(queryset: Any, frame: FrameType) -> Operation:
    method = frame.f_code.co_name
    name = "RawQuerySet" if isinstance(queryset, RawQuerySet) else "QuerySet"
    return Operation(name=f"{name}.{method}", method=method, model=_label(queryset.model), kind="queryset")


def _of_manager(manager: Any, frame: FrameType) -> Operation:
    method = frame.f_code.co_name
    kind = re.split(r"\.<locals>\.|\.", frame.f_code.co_qualname)[-2]
    field = getattr(getattr(manager, "field", None), "name", None) or getattr(manager, "prefetch_cache_name", None)
    related = "Related" in kind
    return Operation(
        name=f"{kind}.{method}",
        method=method,
        model=_label(manager.model),
        field=field if related else None,
        kind="related manager" if related else "queryset",
    )


def _of_instance(instance: models.Model, frame: FrameType) -> Operation:
    method = frame.f_code.co_name
    if method == "_get_next_or_previous_by_FIELD":
        direction = "next" if frame.f_locals.get("is_next") else "previous"
        method = f"get_{direction}_by_{frame.f_locals['field'].name}"
    return Operation(name=f"Model.{method}", method=method, model=_label(type(instance)), kind="instance")


def _of_relation(descriptor: Any, frame: FrameType) -> Operation:
    instance = frame.f_locals.get("instance")
    field = getattr(descriptor, "field", None) or getattr(descriptor, "related", None)
    name = getattr(field, "accessor_name", None) or getattr(field, "get_accessor_name", lambda: None)()
    if isinstance(field, models.Field) or name is None:
        name = getattr(field, "name", None) or getattr(descriptor, "name", None)
    kind = type(descriptor).__name__
    return Operation(
        name=kind, model=_label(type(instance)) if instance is not None else None, field=name, kind="relation"
    )


def _of_database(subject: Any, frame: FrameType) -> Operation:
    method = frame.f_code.co_name
    if method == "inner" and callable(frame.f_locals.get("func")):
        method = frame.f_locals["func"].__name__
    return Operation(name=f"connection.{method}", method=method, kind="database")


def _of_cursor(subject: Any, frame: FrameType) -> Operation:
    method = {"_execute": "execute", "_executemany": "executemany"}.get(frame.f_code.co_name, frame.f_code.co_name)
    return Operation(name=f"cursor.{method}", method=method, kind="database")


def _of_atomic(subject: Any, frame: FrameType) -> Operation:
    return Operation(name="atomic", method="atomic", kind="database")


_RECOGNIZERS: tuple[tuple[Any, Any], ...] = (
    ((models.QuerySet, RawQuerySet), _of_queryset),
    (BaseManager, _of_manager),
    (models.Model, _of_instance),
    ((ForwardManyToOneDescriptor, ReverseOneToOneDescriptor, DeferredAttribute), _of_relation),
    (Atomic, _of_atomic),
    (BaseDatabaseWrapper, _of_database),
    (CursorWrapper, _of_cursor),
)


def _generic(frames: Sequence[FrameType]) -> Operation:
    """Name what has no recognizer by its outermost frame, and its model by the first query underneath."""
    if not frames:
        return Operation(name="database", kind="database")
    if _is_generic_foreign_key(frames[0].f_locals.get("self")):
        return _of_relation(frames[0].f_locals["self"], frames[0])
    subject, code = frames[0].f_locals.get("self"), frames[0].f_code
    name = code.co_qualname.replace(".<locals>", "")
    if subject is not None and "." in name:
        name = f"{type(subject).__name__}.{code.co_name}"
    models_below = (_label(getattr(frame.f_locals.get("self"), "model", None)) for frame in frames)
    return Operation(name=name, method=code.co_name, model=next((model for model in models_below if model), None))


def _is_generic_foreign_key(subject: object) -> bool:
    # By name: importing it needs the contenttypes app.
    return any(cls.__name__ == "GenericForeignKey" for cls in type(subject).__mro__)


def _below_templates(inner: Sequence[FrameType]) -> tuple[list[FrameType], str | None]:
    """Leave out template machinery; say where in the template it was."""
    last, place = -1, None
    for position, frame in enumerate(inner):
        if _TEMPLATE in frame.f_code.co_filename:
            last = position
            place = _place_of(frame.f_locals.get("self")) or place
    below = list(inner[last + 1 :])
    return (below or list(inner)), place


def _place_of(node: Any) -> str | None:
    token, origin = getattr(node, "token", None), getattr(node, "origin", None)
    if token is None or origin is None or not getattr(token, "lineno", None):
        return None
    return f"{getattr(origin, 'template_name', None) or origin}:{token.lineno}"


def _statement(frames: Sequence[FrameType]) -> str | None:
    """Return the SQL about to be sent: Django has compiled it by the time it asks for a cursor."""
    for frame in reversed(frames):
        if frame.f_code.co_name in {"execute_sql", "execute", "_execute", "_execute_with_wrappers"}:
            sql = frame.f_locals.get("sql")
            if isinstance(sql, str):
                return sql
    return None


def _label(model: Any) -> str | None:
    meta = getattr(model, "_meta", None)
    label = getattr(meta, "label", None)
    return label if isinstance(label, str) else None
