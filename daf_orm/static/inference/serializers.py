"""Serializers of Django REST framework: they query to validate, to save, and for the values that they read."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference import consume
from daf_orm.static.inference.attributes import is_missing
from daf_orm.static.inference.managers import related
from daf_orm.static.inference.objects import hopped
from daf_orm.static.inference.values import NONE, UNKNOWN, Callable, Items, Manager, Mapping, Object, Row, Value
from daf_orm.static.project.definitions import Class, last_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daf_orm.static.inference.frame import Frame
    from daf_orm.static.project.models import Model

METHODS: Final = frozenset("is_valid save create update to_representation".split())
_DEPTH: Final = 5
"""Serializers inside each other."""
_KEYS_ONLY: Final = frozenset({"PrimaryKeyRelatedField", "HyperlinkedRelatedField", "HyperlinkedIdentityField"})
"""Read the foreign key, which the row has, in place of the relation."""
_CHOOSE: Final = frozenset({"PrimaryKeyRelatedField", "SlugRelatedField", "HyperlinkedRelatedField"})


def call(frame: Frame, serializer: Object, name: str, given: tuple[Value, ...], node: ast.Call) -> None:
    """Follow one of :data:`METHODS` that the project does not define itself."""
    if name == "is_valid":
        _validate(frame, serializer, node)
    elif name == "save":
        _save(frame, serializer, node)
    elif name == "to_representation":
        _read_fields(frame, serializer, given[0] if given else UNKNOWN, node)
    elif _is_of_model(frame, serializer):
        operation = f"ModelSerializer.{name}"
        frame.report("DAF041", node, operation, f"runs {operation}", hopped(frame, node))


def represent(frame: Frame, serializer: Object, node: ast.expr, row: Value | None = None, depth: int = 0) -> None:
    """Follow what ``serializer.data`` reads."""
    if row is None:
        given = consume.rows_from(frame, serializer.argument("0") or serializer.argument("instance") or UNKNOWN)
        if frame.engine.objects.is_lazy(given):
            frame.report("DAF041", node, "ModelSerializer.data", "evaluates its queryset", hopped(frame, node))
        row = _item(given)
    method = _method(frame, serializer, "to_representation")
    if method is None:
        _read_fields(frame, serializer, row, node, depth)
    else:
        frame.engine.follow(frame, method, (row,), {}, node)


def _item(value: Value) -> Value:
    if isinstance(value, Items):
        return value.item
    return getattr(value, "row", UNKNOWN) if not isinstance(value, Row) else value


def _method(frame: Frame, serializer: Object, name: str) -> Callable | None:
    method = frame.engine.project.method(serializer.of, name) if isinstance(serializer.of, Class) else None
    return None if method is None else Callable(method, serializer)


def _is_of_model(frame: Frame, serializer: Object) -> bool:
    return "model_serializer" in frame.engine.objects.kinds(serializer)


def _declared(frame: Frame, serializer: Object) -> Iterator[tuple[Class, str, ast.Call]]:
    """Yield the fields that a serializer's classes declare."""
    classes = frame.engine.project.ancestors(serializer.of)[0] if isinstance(serializer.of, Class) else []
    for cls in classes:
        for name, node in cls.attributes.items():
            if isinstance(node, ast.Call):
                yield cls, name, node


def _listed(frame: Frame, serializer: Object, option: str) -> list[str]:
    """Return the names in an option of ``Meta``."""
    meta = frame.engine.objects.meta(serializer)
    given = meta.attributes.get(option) if meta else None
    elements = given.elts if isinstance(given, ast.Tuple | ast.List) else []
    return [str(each.value) for each in elements if isinstance(each, ast.Constant)]


def _option(field: ast.Call, name: str) -> object:
    return next(
        (each.value.value for each in field.keywords if each.arg == name and isinstance(each.value, ast.Constant)), None
    )


# Reading


def _read_fields(frame: Frame, serializer: Object, row: Value, node: ast.expr, depth: int = 0) -> None:
    names = set(_listed(frame, serializer, "fields"))
    for cls, name, field in _declared(frame, serializer):
        names.discard(name)
        if _option(field, "write_only"):
            continue
        if last_name(field) == "SerializerMethodField":
            method = _method(frame, serializer, str(_option(field, "method_name") or f"get_{name}"))
            if method is not None:
                frame.engine.follow(frame, method, (row,), {}, node)
        elif isinstance(row, Row):
            _read_field(frame, cls, name, field, row, node, depth)
    for name in sorted(names):
        relation = row.model.relations.get(name) if isinstance(row, Row) else None
        if isinstance(row, Row) and (relation is None or relation.kind == "many"):  # of a foreign key, the key
            _exhaust(frame, _read(frame, row, name, node), node)


def _read_field(frame: Frame, cls: Class, name: str, field: ast.Call, row: Row, node: ast.expr, depth: int) -> None:
    source = _option(field, "source") or name
    if source == "*" or (last_name(field) in _KEYS_ONLY and not _option(field, "many")):
        return
    value: Value = row
    for part in str(source).split("."):
        value = _read(frame, value, part, node) if isinstance(value, Row) else UNKNOWN
    found = frame.engine.project.expression(cls.module, field.func)
    item = _exhaust(frame, value, node)
    if isinstance(found, Class) and depth < _DEPTH and "serializer" in frame.engine.project_kinds(found):
        represent(frame, Object(found), node, item, depth + 1)


def _read(frame: Frame, row: Row, name: str, node: ast.expr) -> Value:
    """Return an attribute of a row, or what a method of that name returns."""
    relation = row.model.relations.get(name)
    if relation is None:
        value = frame.engine.attribute(frame, row, name, node) if row.model.cls is not None else UNKNOWN
        return frame.call(value, (), {}, node) if isinstance(value, Callable) else value
    if is_missing(frame, row, relation):
        remedy = f'Add select_related("{row.lookup(name)}"). {hopped(frame, node)}'
        frame.report("DAF041", node, "ModelSerializer.data", f"loads {row.model.name}.{name}", remedy)
    return UNKNOWN if relation.target is None else related(frame.engine.models, relation, row, relation.target)


def _exhaust(frame: Frame, value: Value, node: ast.expr) -> Value:
    """Return a row of a related manager, whose rows are read."""
    if not isinstance(value, Manager):
        return value
    rows = consume.rows_from(frame, value)
    if frame.engine.objects.is_lazy(rows):
        remedy = f'Add prefetch_related("{value.accessor}"). {hopped(frame, node)}'
        frame.report("DAF041", node, "ModelSerializer.data", f"loads the rows of {value.accessor}", remedy)
    return _item(rows)


# Validating and saving


def _validate(frame: Frame, serializer: Object, node: ast.Call) -> None:
    if _asks_for_rows(frame, serializer):
        operation = "ModelSerializer.is_valid"
        frame.report("DAF041", node, operation, f"runs {operation}", hopped(frame, node))
    classes = frame.engine.project.ancestors(serializer.of)[0] if isinstance(serializer.of, Class) else []
    for cls in classes:
        for method in cls.methods.values():
            if method.name in {"validate", "to_internal_value"} or method.name.startswith("validate_"):
                frame.engine.follow(frame, Callable(method, serializer), (UNKNOWN,), {}, node)


def _asks_for_rows(frame: Frame, serializer: Object) -> bool:
    """Return True if a field that can be written names a row, or has to be unique."""
    if any(
        last_name(field) in _CHOOSE and not _option(field, "read_only") for *_, field in _declared(frame, serializer)
    ):
        return True
    model = frame.engine.objects.form_model(serializer) if _is_of_model(frame, serializer) else None
    if model is None:
        return False
    names = set(_listed(frame, serializer, "fields")) - set(_listed(frame, serializer, "read_only_fields"))
    names -= {name for _, name, _ in _declared(frame, serializer)}
    return any(_is_looked_up(frame, model, name) for name in names)


def _is_looked_up(frame: Frame, model: Model, name: str) -> bool:
    relation = model.relations.get(name)
    if relation is not None:
        return not relation.is_reverse and relation.kind != "generic"
    declared = frame.engine.project.class_attribute(model.cls, name) if model.cls is not None else None
    return declared is not None and isinstance(declared[1], ast.Call) and bool(_option(declared[1], "unique"))


def _save(frame: Frame, serializer: Object, node: ast.Call) -> None:
    instance = serializer.argument("0") or serializer.argument("instance") or NONE
    method = _method(frame, serializer, "create" if instance == NONE else "update")
    if method is not None:
        given = (Mapping(),) if instance == NONE else (instance, Mapping())
        frame.engine.follow(frame, method, given, {}, node)
    elif _is_of_model(frame, serializer):
        frame.report("DAF041", node, "ModelSerializer.save", "saves its instance", hopped(frame, node))
