"""Instances of classes in the project: their creation and their attributes."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference.frame import Frame
from daf_orm.static.inference.loaded import Loaded
from daf_orm.static.inference.parameters import bind_parameters
from daf_orm.static.inference.state import bind_locals, is_set_outside, kept, kept_rows
from daf_orm.static.inference.values import (
    NONE,
    UNKNOWN,
    Callable,
    Choice,
    ClassValue,
    Constant,
    Hop,
    Manager,
    Object,
    Partial,
    Row,
    Rows,
    Scope,
    Value,
)
from daf_orm.static.names.families import is_of
from daf_orm.static.project.definitions import Class, Function

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daf_orm.static.inference.engine import Engine


HELD: Final = (Callable, ClassValue, Choice, Hop, Manager, Object, Partial)
"""Values that are the same for as long as an instance has them."""
_NESTED: Final = 3
"""Objects inside each other that are told apart by what they were made with."""


class Instances:
    """Makes them, and remembers what is assigned to ``self``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._attributes: dict[tuple[Class, str], Value] = {}

    def construct(
        self, frame: Frame, instance: Object, positional: tuple[Value, ...], named: dict[str, Value], node: ast.expr
    ) -> Value:
        """Return an instance, and follow the ``__init__`` that makes it."""
        assert isinstance(instance.of, Class)
        for maker, owner in self._makers(instance.of):
            self._engine.follow(frame, Callable(maker, owner), positional, named, node)
        method = self._engine.project.method(instance.of, "__init__")
        if method is not None:
            left = self._engine.followed(frame, Callable(method, instance), positional, named, node).left
            return replace(instance, arguments=(*instance.arguments, *self._left(instance.of, left)))
        made = replace(instance, arguments=(*instance.arguments, *_fields(instance.of, positional, named)))
        after = self._engine.project.method(instance.of, "__post_init__")
        if after is not None:
            self._engine.follow(frame, Callable(after, made), (), {}, node)
        return made

    def _makers(self, cls: Class) -> Iterator[tuple[Function, Value]]:
        """Yield what runs before ``__init__``: ``__call__`` of the metaclass, and ``__new__``."""
        metaclass = self._engine.project.metaclass(cls)
        for owner, name in ((metaclass, "__call__"), (cls, "__new__")):
            method = None if owner is None else self._engine.project.method(owner, name)
            if method is not None:
                yield method, ClassValue(cls)

    def _left(self, cls: Class, left: dict[str, Value]) -> Iterator[tuple[str, Value]]:
        """Yield the values that ``__init__`` has left in ``self``, where nothing else assigns to these attributes."""
        classes = self._engine.project.ancestors(cls)[0]
        for path, value in left.items():
            owner, _, name = path.rpartition(".")
            if owner != "self" or (isinstance(value, Row) and not value.loaded.is_known):
                continue
            methods = [method for each in classes for method, _ in each.assigned_to_self.get(name, ())]
            if {each.name for each in methods} != {"__init__"}:
                continue
            if isinstance(value, Row):
                row = kept(self._engine, cls, name, [value])
                if row is not None:
                    yield f".{name}", row
            elif isinstance(value, HELD) and _nesting(value) <= _NESTED and not is_set_outside(self._engine, name):
                yield f".{name}", value

    def attribute(self, cls: Class, name: str) -> Value | None:
        """Return what the methods of a class assign to an attribute of ``self``; None if they do not."""
        key = (cls, name)
        if key not in self._attributes:
            self._attributes[key] = UNKNOWN
            found = self._assigned(cls, name)
            if found is None:
                del self._attributes[key]
                return None
            self._attributes[key] = found
        return self._attributes[key]

    def _assigned(self, cls: Class, name: str) -> Value | None:
        classes = self._engine.project.ancestors(cls)[0]
        found = [assigned for each in classes for assigned in each.assigned_to_self.get(name, ())]
        if not found:
            return None
        first = self._value_assigned(cls, *found[0])
        if isinstance(first, Row) or first == NONE:
            values = [first, *(self._value_assigned(cls, *each) for each in found[1:])]
            return kept(self._engine, cls, name, values) or _unsure(first)
        if isinstance(first, Rows) and len(found) == 1:
            return kept_rows(self._engine, cls, name, first) or _unsure(first)
        return _unsure(first)

    def _value_assigned(self, cls: Class, method: Function, node: ast.Assign | ast.AnnAssign) -> Value:
        said: Value = UNKNOWN
        if isinstance(node, ast.AnnAssign):
            said = self._engine.annotations.value(method.module, node.annotation, cls)
            if node.value is None or not (said == UNKNOWN or isinstance(said, Row)):
                return said
        scope = self._engine.scope_of(cls)
        frame = Frame(self._engine, method.module, method, Scope(scope), is_on_loop=False, is_muted=True)
        bind_parameters(frame, Callable(method, self.of(cls)), (), {})
        if node.value is None:
            return UNKNOWN
        bind_locals(frame, method, node.value)
        value = frame.evaluate(node.value)
        return said if value == UNKNOWN else value

    def of(self, cls: Class) -> Value:
        """Return an instance of a class of the project of which nothing else is known."""
        external = self._engine.project.ancestors(cls)[1]
        unseen = self._engine.models.external("unseen.Model")
        if is_of(external, "queryset"):
            return Rows(unseen, Loaded(is_known=False), cls=cls, is_prefetched=None)
        if is_of(external, "manager"):
            return Manager(unseen, cls, is_prefetched=None)
        return self._engine.annotations.instance(cls)


def _fields(cls: Class, positional: tuple[Value, ...], named: dict[str, Value]) -> list[tuple[str, Value]]:
    """Return the fields of a dataclass or named tuple as it was made."""
    given = dict(zip(cls.annotations, positional, strict=False)) | named
    return [(f".{name}", value) for name, value in given.items() if name in cls.annotations]


def _nesting(value: Value) -> int:
    """Return how many objects are inside each other."""
    inner = [each for _, each in value.arguments] if isinstance(value, Object) else []
    return 1 + max(map(_nesting, inner)) if inner else 0


def _unsure(value: Value) -> Value:
    """Return a value of which the state may have changed since it was assigned."""
    if isinstance(value, Row):
        return Row(value.model, Loaded(is_known=False))
    if isinstance(value, Rows):
        return replace(value, is_prefetched=None)
    return UNKNOWN if isinstance(value, Constant) else value
