"""The values that annotations describe."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference.loaded import Loaded
from daf_orm.static.inference.values import (
    UNKNOWN,
    Coroutine,
    Items,
    Manager,
    Mapping,
    Object,
    Row,
    Rows,
    Value,
)
from daf_orm.static.names.families import family, is_of
from daf_orm.static.project.definitions import Class, last_name
from daf_orm.static.project.modules import Assigned

if TYPE_CHECKING:
    from daf_orm.static.project.models import Model, Models
    from daf_orm.static.project.modules import Module

_ITEMS: Final = frozenset(
    """list List set Set frozenset FrozenSet Sequence Collection Iterable MutableSequence AbstractSet deque
    AsyncIterable AsyncIterator Iterator AsyncGenerator""".split()
)
_MAPPINGS: Final = frozenset("dict Dict Mapping MutableMapping defaultdict OrderedDict".split())
_WRAPPERS: Final = frozenset("Optional Annotated Final ClassVar Required NotRequired".split())
_AWAITABLES: Final = frozenset({"Awaitable", "Coroutine"})
_QUERYSETS: Final = frozenset({"QuerySet", "AsyncQuerySet", "BaseManager", "Manager", "RelatedManager", "AsyncManager"})
_DEPTH: Final = 30
"""Annotations inside each other; one that names itself has no end."""
_UNSEEN: Final = Loaded(is_known=False)


class Annotations:
    """Reads annotations; of rows it never knows which relations they have."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._project = models.project
        self._depth = 0

    def value(self, module: Module, node: ast.expr | None, cls: Class | None = None) -> Value:
        """Return what a value with this annotation is."""
        if node is None or self._depth > _DEPTH:
            return UNKNOWN
        self._depth += 1
        try:
            return self._value(module, node, cls)
        finally:
            self._depth -= 1

    def _value(self, module: Module, node: ast.expr, cls: Class | None) -> Value:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self._quoted(module, node.value, cls)
        if isinstance(node, ast.BinOp):
            left = self.value(module, node.left, cls)
            right = self.value(module, node.right, cls)
            return left if right == UNKNOWN else right if left == UNKNOWN else UNKNOWN
        if isinstance(node, ast.Subscript):
            return self._subscript(module, node, cls)
        if last_name(node) == "Self" and cls is not None:
            return self.instance(cls)
        found = self._project.expression(module, node) if isinstance(node, ast.Name | ast.Attribute) else None
        if isinstance(found, Assigned) and found.node is not node:
            return self._alias(found, cls)
        if isinstance(found, Class):
            return self.instance(found)
        return self.external(found) if isinstance(found, str) else UNKNOWN

    def instance(self, cls: Class) -> Value:
        """Return an instance of a class of the project, of which nothing else is known."""
        if self._models.is_model(cls):
            return Row(self._models.of(cls), _UNSEEN)
        if is_of(self._project.ancestors(cls)[1], "queryset"):
            return UNKNOWN
        return Object(cls)

    def external(self, path: str) -> Value:
        """Return an instance of a class outside the project."""
        if self._models.is_installed(path):
            return Row(self._models.external(path), _UNSEEN)
        if "model" in family(path):
            name = path.rpartition(".")[2]
            return UNKNOWN if name in {"Model", "AsyncModel"} else Row(self.model(path), _UNSEEN)
        if {"queryset", "manager"} & family(path) or path.startswith("builtins."):
            return UNKNOWN
        # A session that is passed in may or may not be loaded.
        return Object(path, (("loaded", UNKNOWN),)) if "session" in family(path) else Object(path)

    def model(self, path: str) -> Model:
        """Return an external model; for Django's ``User``, the project's user model if it has one."""
        return self._models.external(path)

    def _alias(self, found: Assigned, cls: Class | None) -> Value:
        if last_name(found.node) == "get_user_model":
            return Row(self._models.user, _UNSEEN)
        if isinstance(found.node, ast.Subscript | ast.BinOp | ast.Name | ast.Attribute):
            return self.value(found.module, found.node, cls)
        return UNKNOWN

    def _quoted(self, module: Module, text: str, cls: Class | None) -> Value:
        try:
            node = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return UNKNOWN
        return self.value(module, node, cls)

    def _subscript(self, module: Module, node: ast.Subscript, cls: Class | None) -> Value:
        name = last_name(node.value)
        inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if not inside:
            return UNKNOWN
        if name in _WRAPPERS:
            return self.value(module, inside[0], cls)
        if name in _ITEMS:
            return Items(self.value(module, inside[0], cls))
        if name in _MAPPINGS:
            return Mapping(self.value(module, inside[-1], cls))
        if name in _AWAITABLES:
            return Coroutine(self.value(module, inside[-1], cls))
        if name in {"tuple", "Tuple"}:
            return self._tuple(module, inside, cls)
        if name == "Union":
            known = [value for part in inside if (value := self.value(module, part, cls)) != UNKNOWN]
            return known[0] if len(known) == 1 else UNKNOWN
        if name in _QUERYSETS:
            return self._queryset(name, self.value(module, inside[0], cls))
        return UNKNOWN

    def _tuple(self, module: Module, inside: list[ast.expr], cls: Class | None) -> Value:
        values = tuple(self.value(module, part, cls) for part in inside)
        if isinstance(inside[-1], ast.Constant) and inside[-1].value is ...:
            return Items(values[0])
        return Items(each=values)

    @staticmethod
    def _queryset(name: str, row: Value) -> Value:
        if not isinstance(row, Row):
            return UNKNOWN
        is_ours = name.startswith("Async")
        if name.endswith("QuerySet"):
            return Rows(row.model, _UNSEEN, is_ours=is_ours, is_prefetched=None)
        return Manager(row.model, is_ours=is_ours, is_prefetched=None)
