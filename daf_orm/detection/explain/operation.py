"""The blocking operation: Django's name for it, its model and field, its SQL, and the template it was called from.

All of it is read from the frames between the user's line and the choke point, outermost first.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
from django.contrib.sessions.backends.file import SessionStore as FileSession
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.models.fields.related_descriptors import ForwardManyToOneDescriptor, ReverseOneToOneDescriptor
from django.db.models.manager import BaseManager
from django.db.models.query import RawQuerySet
from django.db.models.query_utils import DeferredAttribute
from django.db.transaction import Atomic
from django.db.utils import DatabaseErrorWrapper
from django.utils.connection import BaseConnectionHandler

from daf_orm._core.call_site import FOREIGN
from daf_orm._django.querysets import has_values_for_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

_PLUMBING = re.compile(
    r"""(?x)
    .*manager_method$                       # every manager's copies of its queryset's methods
    | cached_property\.__get__$
    | async_unsafe\b.*
    | new_method_proxy\b.* | (Simple)?LazyObject\..* | lazy\b.* | empty\b.*
    | AuthenticationMiddleware\.process_request\.<locals>\..*   # which make request.user
    | DatabaseErrorWrapper\..*
    | (ConnectionProxy|BaseConnectionHandler|LeasedConnections)\.(?!close_all).*
    | sensitive_variables\b.* | method_decorator\b.* | .*_wrapped_view$ | ContextDecorator\..*
    | (BaseDatabaseWrapper|DatabaseWrapper)\._cursor$
    | .*patched_ensure_connection$          # Django's test runner's, to count threads
    """
)
_DJANGO = str(Path(django.__file__).parent / "x")[:-1]
_TEMPLATE = str(Path(_DJANGO, "template") / "x")[:-1]
_DRIVER = {"_execute": "execute", "_executemany": "executemany", "_iterate": "__iter__"}


@dataclass(slots=True, kw_only=True)
class Operation:
    """The operation that the user's line called."""

    name: str
    method: str = ""
    """The method's or function's own name."""
    owner: type | None = None
    """The class of the object it was called on."""
    twin: str | None = None
    """Name of its async twin, if it has one."""
    model: str | None = None
    field: str | None = None
    sql: str | None = None
    template: str | None = None
    kind: str = "other"
    """``queryset``, ``manager``, ``relation`` (a lazy load), ``instance``, ``database`` or ``other``."""
    is_direct: bool = True
    """True if the user's line called it, without a library or a template between."""
    is_ordered: bool = False
    """Of a queryset: True if it has an order."""
    is_plain: bool = False
    """Of a queryset: True if it can be filtered and ordered further, and its rows are instances."""
    peers: int = 0
    """Of a lazy load: the number of rows it loads for, where Django 6.1's ``FETCH_PEERS`` is in force."""

    @property
    def has_twin(self) -> bool:
        """Return True if Django has an async way to do the same off the loop: a method, or those of a session.

        The methods of a file session are coroutine functions that read and write its file on the loop.
        """
        if not self.is_direct or (self.owner is not None and issubclass(self.owner, FileSession)):
            return False
        return self.twin is not None or hasattr(self.owner, "ahas_key")


def identify(inner: Sequence[FrameType]) -> Operation:
    """Name the operation that these frames, outermost first, carry out."""
    below, template = _below_template(inner)
    frames = [frame for frame in below if not _PLUMBING.match(frame.f_code.co_qualname)]
    first = next((i for i, frame in enumerate(frames) if frame.f_code.co_filename.startswith(_DJANGO)), 0)
    is_direct = template is None and all(frame.f_code.co_filename.startswith(FOREIGN) for frame in frames[:first])
    frames = frames[first:]
    operation = _recognize(frames) if frames else _of_driver(below)
    operation.template = template
    operation.is_direct = is_direct
    operation.sql = _statement(frames)
    return operation


def _recognize(frames: list[FrameType]) -> Operation:
    subject = _self_of(frames[0])
    for kind, recognize in _RECOGNIZERS:
        if isinstance(subject, kind):
            return recognize(subject, frames[0])
    if _is_generic_foreign_key(subject):
        return _of_relation(subject, frames[0])
    return _of_other(subject, frames)


def _of_queryset(queryset: Any, frame: FrameType) -> Operation:
    method = {"_iterator": "iterator"}.get(frame.f_code.co_name, frame.f_code.co_name)
    is_raw = isinstance(queryset, RawQuerySet)
    return Operation(
        name=f"{'RawQuerySet' if is_raw else 'QuerySet'}.{method}",
        method=method,
        owner=type(queryset),
        twin=_twin(queryset, method),
        model=_label(queryset.model),
        kind="queryset",
        is_ordered=not is_raw and queryset.ordered,
        is_plain=not is_raw and _is_plain(queryset),
    )


def _is_plain(queryset: Any) -> bool:
    """Return True if it can be filtered and ordered further, and its rows are instances."""
    query = queryset.query
    return not (query.is_sliced or query.combinator or query.group_by or has_values_for_rows(queryset))


def _of_manager(manager: Any, frame: FrameType) -> Operation:
    method, (*_, cls, _) = frame.f_code.co_name, frame.f_code.co_qualname.split(".")
    is_related = "Related" in cls
    return Operation(
        name=f"{cls if is_related else _name_of(manager)}.{method}",
        method=method,
        owner=type(manager),
        twin=_twin(manager, method),
        model=_label(type(manager.instance) if is_related else manager.model),
        field=_accessor(manager) if is_related else None,
        kind="manager",
    )


def _accessor(manager: Any) -> str | None:
    """Return the attribute name of a related manager."""
    field = getattr(manager, "field", None)  # that of the other side: this is a reverse foreign key
    if field is not None and field.model is manager.model:
        return str(field.remote_field.accessor_name or field.remote_field.get_accessor_name())
    return getattr(manager, "prefetch_cache_name", None)


def _of_instance(instance: models.Model, frame: FrameType) -> Operation:
    method = frame.f_code.co_name
    if method == "_get_next_or_previous_by_FIELD":
        direction = "next" if frame.f_locals.get("is_next") else "previous"
        method = f"get_{direction}_by_{frame.f_locals['field'].name}"
        name = "Model"
    else:
        name = "Model" if hasattr(models.Model, method) else _name_of(instance)
    return Operation(
        name=f"{name}.{method}",
        method=method,
        owner=type(instance),
        twin=_twin(instance, method),
        model=_label(type(instance)),
        kind="instance",
    )


def _of_relation(descriptor: Any, frame: FrameType) -> Operation:
    instance = frame.f_locals.get("instance")
    if isinstance(descriptor, ReverseOneToOneDescriptor):
        field = descriptor.related.get_accessor_name()
    elif isinstance(descriptor, DeferredAttribute):
        field = descriptor.field.attname
    else:
        # GenericForeignKey is its own descriptor up to Django 6.0.
        field = getattr(descriptor, "field", descriptor).name
    name = "GenericForeignKey" if _is_generic_foreign_key(descriptor) else type(descriptor).__name__
    return Operation(
        name=name,
        owner=type(instance) if instance is not None else None,
        model=_label(type(instance)) if instance is not None else None,
        field=field,
        kind="relation",
        peers=_peers(instance),
    )


def _peers(instance: Any) -> int:
    state = getattr(instance, "_state", None)
    if not getattr(getattr(state, "fetch_mode", None), "track_peers", False):
        return 0
    return sum(reference() is not None for reference in getattr(state, "peers", ()))


def _of_backend(subject: object, frame: FrameType) -> Operation:
    method = frame.f_code.co_name
    if isinstance(subject, Atomic):
        return Operation(name="atomic", method="atomic", kind="database")
    if isinstance(subject, CursorWrapper):
        func = frame.f_locals.get("func")  # of the driver's own, which the guard hands out
        return _of_database("cursor", getattr(func, "__name__", _DRIVER.get(method, method)))
    return _of_database("connection" if isinstance(subject, BaseDatabaseWrapper) else "connections", method)


def _of_database(subject: str, method: str) -> Operation:
    return Operation(name=f"{subject}.{method}", method=method, kind="database")


def _of_driver(below: Sequence[FrameType]) -> Operation:
    """Name an operation that reaches its choke point through wrappers alone: they have the function as ``func``."""
    for frame in below:
        func = frame.f_locals.get("func")
        if callable(func):
            is_cursor = isinstance(_self_of(frame), DatabaseErrorWrapper)
            return _of_database("cursor" if is_cursor else "connection", getattr(func, "__name__", "cursor"))
    iterates = any(frame.f_code.co_name == "_iterate" for frame in below)
    return _of_database("cursor", "__iter__") if iterates else Operation(name="database", kind="database")


def _of_other(subject: Any, frames: Sequence[FrameType]) -> Operation:
    """Name an unrecognized operation by its outermost frame, and its model by the first query underneath."""
    method = frames[0].f_code.co_name
    if subject is None:
        twin = f"a{method}" if inspect.iscoroutinefunction(frames[0].f_globals.get(f"a{method}")) else None
    else:
        twin = _twin(subject, method)
    # Statically: a property named `model` is the user's code, which may query.
    labels = (_label(inspect.getattr_static(_self_of(frame), "model", None)) for frame in frames)
    return Operation(
        name=method if subject is None else f"{_name_of(subject)}.{method}",
        method=method,
        owner=None if subject is None else type(subject),
        twin=twin,
        model=next((label for label in labels if label), None),
    )


_RECOGNIZERS: tuple[tuple[Any, Callable[[Any, FrameType], Operation]], ...] = (
    ((models.QuerySet, RawQuerySet), _of_queryset),
    (BaseManager, _of_manager),
    (models.Model, _of_instance),
    ((ForwardManyToOneDescriptor, ReverseOneToOneDescriptor, DeferredAttribute), _of_relation),
    ((Atomic, CursorWrapper, BaseDatabaseWrapper, BaseConnectionHandler), _of_backend),
)


def _self_of(frame: FrameType) -> Any:
    return frame.f_locals.get("self")


def _name_of(subject: object) -> str:
    """Return the name of the nearest Django class of an object: a subclass says less."""
    classes = type(subject).__mro__
    return next((cls for cls in classes if cls.__module__.startswith("django.")), classes[0]).__name__


def _twin(subject: object, method: str) -> str | None:
    twin = f"a{method}"
    return twin if inspect.iscoroutinefunction(inspect.unwrap(getattr(type(subject), twin, None) or str)) else None


def _is_generic_foreign_key(subject: object) -> bool:
    # By name: importing it needs the contenttypes app.
    return any(cls.__name__.startswith("GenericForeignKey") for cls in type(subject).__mro__)


def _below_template(inner: Sequence[FrameType]) -> tuple[Sequence[FrameType], str | None]:
    """Leave out the frames that render the user's templates; return the rest, and the place in the template.

    Django's own templates, those of forms and widgets, are part of the operation.
    """
    last, place = -1, None
    for position, frame in enumerate(inner):
        if frame.f_code.co_filename.startswith(_TEMPLATE) and (found := _place_of(_self_of(frame))):
            last, place = position, found
    if place is None:
        return inner, None
    last += 1
    while last < len(inner) - 1 and inner[last].f_code.co_filename.startswith(_TEMPLATE):
        last += 1
    return inner[last:], place


def _place_of(node: Any) -> str | None:
    token, origin = getattr(node, "token", None), getattr(node, "origin", None)
    if token is None or origin is None or not getattr(token, "lineno", None) or origin.name.startswith(_DJANGO):
        return None
    return f"{origin.template_name or origin}:{token.lineno}"


def _statement(frames: Sequence[FrameType]) -> str | None:
    """Return the SQL about to be sent: Django has compiled it by the time it asks for a cursor."""
    for frame in reversed(frames):
        if frame.f_code.co_name == "_execute_query":  # of a RawQuery
            return str(_self_of(frame).sql)
        if frame.f_code.co_name in {"execute_sql", "execute", "_execute", "_execute_with_wrappers", "executemany"}:
            sql = frame.f_locals.get("sql")
            if isinstance(sql, str):
                return sql
    return None


def _label(model: Any) -> str | None:
    label = getattr(getattr(model, "_meta", None), "label", None)
    return label if isinstance(label, str) else None
