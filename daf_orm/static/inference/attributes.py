"""The value of ``owner.name``, and the loads that reading it causes."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

from daf_orm.static.findings import Fix
from daf_orm.static.inference.loaded import EVERYTHING, Loaded
from daf_orm.static.inference.managers import SUPERS_ROWS, manager_of, method_of, related
from daf_orm.static.inference.special import special
from daf_orm.static.inference.values import (
    UNKNOWN,
    Choice,
    ClassValue,
    Coroutine,
    External,
    Items,
    Manager,
    Method,
    ModuleValue,
    Object,
    Row,
    Rows,
    Super,
    Value,
    any_of,
)
from daf_orm.static.names.families import family
from daf_orm.static.names.orm import COLD_VALUES
from daf_orm.static.project.definitions import Class

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame
    from daf_orm.static.project.models import Relation

_PLAIN = frozenset({"query", "model", "db", "ordered", "_state", "_meta", "__class__"})
_ENUMS = ("enum.", "django.db.models.TextChoices", "django.db.models.IntegerChoices", "django.db.models.Choices")
_MANAGERS = frozenset({"objects", "_default_manager", "_base_manager"})
_OF_COROUTINES = frozenset({"close", "send", "throw", "cr_frame", "cr_running", "cr_code", "__await__"})


def attribute(frame: Frame, owner: Value, name: str, node: ast.expr) -> Value:
    """Return an attribute of a value that is read at ``node``: ``owner.name``, or ``getattr(owner, "name")``."""
    if isinstance(owner, Row):
        return _of_row(frame, owner, name, node)
    if isinstance(owner, Rows | Manager):
        method = method_of(frame, owner, name)
        if method is not None:
            return frame.engine.member(frame, method, owner, node)
        if name == "model":
            return class_of(owner)
        return UNKNOWN if name in _PLAIN else Method(owner, name, _inner(node))
    if isinstance(owner, ClassValue):
        return _of_class(frame, owner.cls, name, node)
    if isinstance(owner, External):
        return _of_external(frame, owner, name, node)
    if isinstance(owner, ModuleValue):
        return frame.engine.globals.attribute(frame.module, owner.name, name)
    if isinstance(owner, Object):
        return frame.engine.objects.attribute(frame, owner, name, node)
    if isinstance(owner, Choice):
        return any_of([attribute(frame, each, name, node) for each in owner.values])
    if isinstance(owner, Super):
        return _of_super(frame, owner, name, node)
    if isinstance(owner, Coroutine):
        if owner.is_task and name == "result":
            return Method(owner, name)
        if name not in _OF_COROUTINES:
            frame.engine.unawaited(frame, owner, _inner(node) or node)
        return UNKNOWN
    if isinstance(owner, Items) and name in owner.names and owner.each is not None:
        return owner.each[owner.names.index(name)]
    return UNKNOWN if owner == UNKNOWN else Method(owner, name, _inner(node))


def class_of(value: Value) -> Value:
    """Return the class of a row or an object, or the model of a manager or queryset, where that is the project's."""
    if isinstance(value, Row | Rows | Manager):
        return UNKNOWN if value.model.cls is None else ClassValue(value.model.cls)
    return ClassValue(value.of) if isinstance(value, Object) and isinstance(value.of, Class) else UNKNOWN


def _inner(node: ast.expr) -> ast.expr | None:
    if isinstance(node, ast.Attribute):
        return node.value
    return node.args[0] if isinstance(node, ast.Call) and node.args else None


# Rows


def _of_row(frame: Frame, row: Row, name: str, node: ast.expr) -> Value:
    project = frame.engine.project
    model = row.model
    if model.cls is not None and (method := project.method(model.cls, name)) is not None:
        return frame.engine.member(frame, method, row, node)
    if (of := dict(row.loaded.listed).get(name)) is not None:
        return _listed(row, model.relations.get(of), name)
    relation = model.relations.get(name)
    if relation is not None:
        return _relation(frame, row, relation, node)
    if name == "__class__":
        return class_of(row)
    if name in _PLAIN:
        return UNKNOWN
    if _is_deferred(frame, row, name):
        _deferred(frame, row, name, node)
        return UNKNOWN
    if model.cls is not None and (declared := project.class_attribute(model.cls, name)) is not None:
        found = frame.engine.globals.evaluated(declared[0].module, declared[1])
        return special(frame, found, ("__get__",), node, (row, ClassValue(model.cls))) or UNKNOWN
    return Method(row, name, _inner(node))


def _relation(frame: Frame, row: Row, relation: Relation, node: ast.expr) -> Value:
    if relation.target is None and relation.kind != "generic":
        return UNKNOWN
    if is_missing(frame, row, relation):
        _lazy(frame, row, relation, node)
        frame.refine(_subject(node), replace(row, loaded=_with(row.loaded, relation.name)))
    if relation.target is None:
        return UNKNOWN
    return related(frame.engine.models, relation, row, relation.target)


def _listed(row: Row, relation: Relation | None, name: str) -> Value:
    """Return the rows that ``Prefetch(…, to_attr=name)`` has put into a list."""
    if relation is None or relation.target is None:
        return UNKNOWN
    return Items(Row(relation.target, row.loaded.below(name)))


def is_missing(frame: Frame, row: Row, relation: Relation) -> bool:
    """Return True if reading a relation of a row queries; with ``--strict``, also if it may."""
    has = row.loaded.joined | row.loaded.prefetched
    is_there = relation.name in has or EVERYTHING in has or relation.is_parent_link
    return relation.kind != "many" and not is_there and (row.loaded.is_known or frame.engine.is_strict)


def _subject(node: ast.expr) -> ast.expr:
    return _inner(node) or node


def _with(loaded: Loaded, name: str) -> Loaded:
    return replace(loaded, joined=loaded.joined | {name})


def _lazy(frame: Frame, row: Row, relation: Relation, node: ast.expr) -> None:
    source, name = frame.text(_subject(node)), relation.name
    generic = relation.kind == "generic"
    loader = "prefetch_related" if generic else "select_related"
    other = (
        f'await {source}.afetch_related("{name}")'
        if row.model.is_ours
        else f"await database_sync_to_async(lambda: {source}.{name})()"
    )
    kind = "Reverse" if relation.is_reverse else "Forward"
    operation = f"{kind}{'OneToOne' if relation.is_one_to_one else 'ManyToOne'}Descriptor"
    frame.report(
        "DAF021" if generic else "DAF020",
        node,
        "GenericForeignKey" if generic else operation,
        f"loads {row.model.name}.{name}",
        f'Add {loader}("{row.lookup(name)}"), or {other}.',
        fix=_origin_fix(frame, row, loader, row.lookup(name)),
    )


def _origin_fix(frame: Frame, row: Row, loader: str, name: str) -> Fix | None:
    origin = row.origin
    if origin is None or origin.file != frame.module.shown or origin.function != frame.qualname:
        return None
    return replace(origin.fix, kind=loader, argument=name)


def _is_deferred(frame: Frame, row: Row, name: str) -> bool:
    loaded = row.loaded
    if name in loaded.deferred:
        return True
    if not loaded.only or name in loaded.only or name in {"pk", "id"}:
        return False
    if row.model.facts is not None:
        return name in row.model.facts.fields
    if row.model.cls is None:
        return False
    declared = frame.engine.project.class_attribute(row.model.cls, name)
    return declared is not None and "Field" in ast.unparse(declared[1]).partition("(")[0]


def _deferred(frame: Frame, row: Row, name: str, node: ast.expr) -> None:
    source = frame.text(_subject(node))
    remedy = f'Load it with the row (only(), defer()), or await {source}.arefresh_from_db(fields=["{name}"]).'
    frame.report("DAF022", node, "DeferredAttribute", f"loads {row.model.name}.{name}", remedy)
    loaded = replace(
        row.loaded, deferred=row.loaded.deferred - {name}, only=row.loaded.only and row.loaded.only | {name}
    )
    frame.refine(_subject(node), replace(row, loaded=loaded))


# Classes and what is outside


def _of_class(frame: Frame, cls: Class, name: str, node: ast.expr) -> Value:
    engine = frame.engine
    method = engine.project.method(cls, name)
    if method is not None:
        return engine.unbound(method, cls)
    if name in cls.inner:
        return ClassValue(cls.inner[name])
    metaclass = engine.project.metaclass(cls)
    if metaclass is not None and (of_classes := engine.project.method(metaclass, name)) is not None:
        return engine.member(frame, of_classes, ClassValue(cls), node)
    if engine.models.is_model(cls):
        return manager_of(engine.models, engine.models.of(cls), name) or UNKNOWN
    declared = engine.project.class_attribute(cls, name)
    if declared is not None:
        value = engine.globals.evaluated(declared[0].module, declared[1])
        return Object(cls, ((".value", value),)) if _is_enum(frame, cls) else value
    if name == "as_manager":
        return Method(ClassValue(cls), name)
    return UNKNOWN


def _is_enum(frame: Frame, cls: Class) -> bool:
    return any(path.startswith(_ENUMS) for path in frame.engine.project.ancestors(cls)[1])


def _of_external(frame: Frame, owner: External, name: str, node: ast.expr) -> Value:
    engine = frame.engine
    if engine.models.is_installed(owner.path):
        return manager_of(engine.models, engine.models.external(owner.path), name) or External(f"{owner.path}.{name}")
    if name in _MANAGERS and owner.name[:1].isupper() and "mongo" not in owner.path:
        model = (
            engine.models.user if owner.name == "User" and _is_users(owner.path) else engine.models.external(owner.path)
        )
        if model.is_known:
            return manager_of(engine.models, model, name) or UNKNOWN
        return Manager(model)
    if name in COLD_VALUES and owner.path.startswith(("django.db.connection", "django.db.connections")):
        operation = f"connection.{name}"
        remedy = f"Do it in one hop: await database_sync_to_async(lambda: {frame.text(node)})()."
        frame.report("DAF060", node, operation, f"runs {operation}", remedy)
    return External(f"{owner.path}.{name}")


def _is_users(path: str) -> bool:
    return "user" in family(path)


def _of_super(frame: Frame, owner: Super, name: str, node: ast.expr) -> Value:
    engine = frame.engine
    for each in engine.project.ancestors(owner.cls)[0][1:]:
        if name in each.methods:
            return engine.member(frame, each.methods[name], owner.owner, node)
    value = owner.owner
    if isinstance(value, Manager) and name == "get_queryset":
        return Method(value, SUPERS_ROWS)
    return Method(value, name) if isinstance(value, Row | Rows | Manager | Object) else UNKNOWN
