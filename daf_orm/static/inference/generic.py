"""The querysets that generic views of Django begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daf_orm.static.inference.consume import rows_from
from daf_orm.static.inference.managers import default_manager
from daf_orm.static.inference.values import UNKNOWN, Object, Value
from daf_orm.static.project.definitions import Class

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame


def queryset(frame: Frame, view: Object) -> Value:
    """Return the queryset of a view: of its ``get_queryset()``, its ``queryset``, or its ``model``."""
    engine, project = frame.engine, frame.engine.project
    if not isinstance(view.of, Class):
        return UNKNOWN
    method = project.method(view.of, "get_queryset")
    if method is not None and frame.function is not method:
        return rows_from(frame, engine.quietly(method, view))
    declared = project.class_attribute(view.of, "queryset")
    if declared is not None:
        return rows_from(frame, engine.globals.evaluated(declared[0].module, declared[1]))
    declared = project.class_attribute(view.of, "model")
    found = project.expression(declared[0].module, declared[1]) if declared is not None else None
    if not isinstance(found, Class) or not engine.models.is_model(found):
        return UNKNOWN
    return rows_from(frame, default_manager(engine.models, engine.models.of(found)))
