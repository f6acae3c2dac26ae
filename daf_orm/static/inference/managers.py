"""Managers of models, and the querysets that they make."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

from daf_orm.static.inference.loaded import EVERYTHING, Loaded
from daf_orm.static.inference.values import (
    Manager,
    Row,
    Rows,
    Value,
)
from daf_orm.static.names.families import is_of
from daf_orm.static.project.definitions import Class, last_name
from daf_orm.static.project.modules import Assigned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daf_orm.static.inference.frame import Frame
    from daf_orm.static.project.definitions import Function
    from daf_orm.static.project.models import Model, Models, Relation
    from daf_orm.static.project.project import Project
    from daf_orm.static.registry.facts import ModelFacts

SUPERS_ROWS = "super().get_queryset"
"""The method of a manager that stands for Django's own, which an overridden one calls."""
_MAKERS = frozenset({"as_manager", "from_queryset"})


def manager_of(models: Models, model: Model, name: str) -> Manager | None:
    """Return the manager that a model has by a name; None if it has none by that name."""
    if model.facts is not None:
        return _installed(models, model, model.facts, name)
    assert model.cls is not None
    project = models.project
    declared = project.class_attribute(model.cls, name)
    if declared is None:
        return Manager(model) if name in {"objects", "_default_manager", "_base_manager"} else None
    cls, node = declared
    classes = list(_classes(project, cls, node))
    if not classes:
        return None
    own = [each for each in classes if isinstance(each, Class)]
    external = {each for each in classes if isinstance(each, str)}
    for each in own:
        external |= project.ancestors(each)[1]
    if not (is_of(external, "manager") or is_of(external, "queryset") or name == "objects"):
        return None
    is_ours = is_of(external, "async_manager") or is_of(external, "async_queryset")
    return Manager(model, _combined(own, cls), is_ours)


def _installed(models: Models, model: Model, facts: ModelFacts, name: str) -> Manager | None:
    """Return the manager that the app registry has by a name."""
    if name == "_base_manager":
        return Manager(model)
    wanted = facts.default_manager if name == "_default_manager" else name
    found = next((each for each in facts.managers if each.name == wanted), None)
    if found is None:
        return None
    own = [cls for place in found.classes if (cls := models.class_at(place)) is not None]
    nearest = [each for each in own if not any(each in models.project.ancestors(other)[0][1:] for other in own)]
    return Manager(model, _combined(nearest, nearest[0]) if nearest else None, found.is_ours)


def default_manager(models: Models, model: Model) -> Manager:
    """Return the manager that related managers of a model are made of."""
    name = "objects" if model.facts is None else model.facts.default_manager
    found = manager_of(models, model, name) if model.is_known else None
    return found or Manager(model)


def _classes(project: Project, cls: Class, node: ast.expr) -> Iterator[Class | str]:
    """Yield the classes that a manager's declaration is made of."""
    if isinstance(node, ast.Call):
        yield from _classes(project, cls, node.func)
        if last_name(node.func) == "from_queryset":
            for argument in node.args[:1]:
                yield from _classes(project, cls, argument)
    elif isinstance(node, ast.Attribute) and node.attr in _MAKERS:
        yield from _classes(project, cls, node.value)
    else:
        found = project.expression(cls.module, node)
        if isinstance(found, Assigned) and found.node is not node:
            yield from _classes(project, cls, found.node)
        elif isinstance(found, Class | str):
            yield found


def _combined(own: list[Class], cls: Class) -> Class | None:
    """Return one class that has the methods of all of them."""
    if len(own) < 2:  # noqa: PLR2004 - a manager's class and its queryset's
        return own[0] if own else None
    node = ast.ClassDef(name=own[0].name, bases=[], keywords=[], body=[], decorator_list=[])
    combined = Class(cls.module, node, own[0].qualname)
    combined.methods = {name: method for each in reversed(own) for name, method in each.methods.items()}
    return combined


def method_of(frame: Frame, value: Manager | Rows, name: str) -> Function | None:
    """Return the project's own method of a manager or queryset."""
    return frame.engine.project.method(value.cls, name) if value.cls is not None else None


def rows_of(frame: Frame, manager: Manager) -> Rows:
    """Return the queryset that a manager begins with."""
    loaded = Loaded()
    if manager.row is not None:
        loaded = _of_relation(manager, manager.row)
    elif manager.cls is not None and (method := method_of(frame, manager, "get_queryset")) is not None:
        found = frame.engine.quietly(method, manager)
        if isinstance(found, Rows):
            return replace(found, cls=found.cls or manager.cls, is_ours=manager.is_ours)
        loaded = Loaded(is_known=False)
    return first_rows(manager, loaded)


def first_rows(manager: Manager, loaded: Loaded) -> Rows:
    """Return the queryset of a manager as Django's own ``get_queryset`` makes it."""
    return Rows(manager.model, loaded, is_ours=manager.is_ours, is_prefetched=manager.is_prefetched, cls=manager.cls)


def _of_relation(manager: Manager, row: Row) -> Loaded:
    """Return what the rows behind a relation have: also the row that they are reached from."""
    loaded = row.loaded.below(manager.accessor) if manager.is_prefetched is not False else Loaded()
    back = None if manager.is_many else _back(manager, row)
    return replace(loaded, joined=loaded.joined | way_back(back)) if back else loaded


def way_back(name: str) -> frozenset[str]:
    """Return the lookups of a relation to the row that was come from, which has what it had."""
    return frozenset({name, f"{name}__{EVERYTHING}"})


def _back(manager: Manager, row: Row) -> str | None:
    relation = row.model.relations.get(manager.accessor)
    if relation is not None and relation.back:
        return relation.back
    candidates = [
        relation.name
        for relation in manager.model.relations.values()
        if relation.kind == "one" and not relation.is_reverse and relation.target is row.model
    ]
    return candidates[0] if len(candidates) == 1 else None


def related(models: Models, relation: Relation, row: Row, known: Model) -> Value:
    """Return what a relation of a row is once it is there: a row, or a manager."""
    if relation.kind == "many":
        return replace(
            default_manager(models, known),
            accessor=relation.name,
            is_many=relation.is_many_to_many,
            row=row,
            is_prefetched=_state(relation, row),
        )
    loaded = row.loaded.below(relation.name)
    if relation.is_one_to_one and relation.back:
        loaded = replace(loaded, joined=loaded.joined | way_back(relation.back))
    elif relation.is_one_to_one:
        back = [each.name for each in known.relations.values() if each.is_one_to_one and each.target is row.model]
        loaded = replace(loaded, joined=loaded.joined.union(*map(way_back, back)))
    if relation.kind == "generic":
        return Row(known, loaded)
    return Row(known, loaded, row.origin, row.lookup(relation.name))


def _state(relation: Relation, row: Row) -> bool | None:
    if relation.name in row.loaded.prefetched:
        return True
    if EVERYTHING in row.loaded.joined:
        return False
    return False if row.loaded.is_known else None
