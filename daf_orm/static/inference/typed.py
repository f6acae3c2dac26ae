"""Typed handlers of ``AsyncAPIView``: the relations that converting their return values reads.

DAF converts a value when its handler has returned, on the event loop. So a finding stands at the handler, as the
guard has it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference import consume
from daf_orm.static.inference.attributes import is_missing
from daf_orm.static.inference.managers import related
from daf_orm.static.inference.values import UNKNOWN, Items, Lazy, Manager, Row, Value
from daf_orm.static.names.families import is_of
from daf_orm.static.project.definitions import Class, last_name
from daf_orm.static.project.modules import Assigned

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame
    from daf_orm.static.project.models import Relation
    from daf_orm.static.project.modules import Module

_HANDLERS: Final = frozenset("get post put patch delete head trace".split())
_FIRST_ARGUMENT: Final = frozenset({"Annotated", "ClassVar", "Final", "Required", "NotRequired"})
_WITHOUT_RECORDS: Final = frozenset({"Literal", "dict", "Dict", "Mapping", "Callable"})
_DEPTH: Final = 5
"""Types inside each other."""


def answer(frame: Frame, value: Value) -> None:
    """Take note of a value that a typed handler returns."""
    function = frame.function
    if function is None or function.cls is None or function.name not in _HANDLERS or not function.is_async:
        return
    returns = getattr(function.node, "returns", None)
    if returns is None or not is_of(frame.engine.project.ancestors(function.cls)[1], "async_view"):
        return
    row = _row_of(frame, value)
    if isinstance(row, Row):
        for record in _records(frame, frame.module, returns):
            _Conversion(frame).read(record, row, 0)


def _row_of(frame: Frame, value: Value) -> Value:
    rows = consume.rows_from(frame, value)
    if isinstance(rows, Items):
        return rows.any
    if isinstance(rows, Lazy):
        return UNKNOWN
    return getattr(rows, "row", UNKNOWN) if not isinstance(rows, Row) else rows


def _records(frame: Frame, module: Module, node: ast.expr, depth: int = 0) -> Iterator[Class]:
    """Yield the classes with fields that an annotation names."""
    if depth > _DEPTH:
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            node = ast.parse(node.value, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
    if isinstance(node, ast.BinOp):
        yield from _records(frame, module, node.left, depth + 1)
        yield from _records(frame, module, node.right, depth + 1)
    elif isinstance(node, ast.Subscript):
        name = last_name(node.value)
        inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for part in [] if name in _WITHOUT_RECORDS else inside[:1] if name in _FIRST_ARGUMENT else inside:
            yield from _records(frame, module, part, depth + 1)
    elif isinstance(node, ast.Name | ast.Attribute):
        found = frame.engine.project.expression(module, node)
        if isinstance(found, Assigned) and found.node is not node:
            yield from _records(frame, found.module, found.node, depth + 1)
        elif isinstance(found, Class) and not frame.engine.models.is_model(found):
            yield found


class _Conversion:
    """One value that is read for one type."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        function = frame.function
        assert function is not None
        assert not isinstance(function.node, ast.Lambda)
        self._name = function.qualname
        self._node = next(iter(function.node.decorator_list), function.node)

    def read(self, record: Class, row: Row, depth: int) -> None:
        """Read the fields of a type from a row."""
        engine = self._frame.engine
        for cls in engine.project.ancestors(record)[0]:
            for name, kind in cls.annotations.items():
                self._read_field(cls, name, kind, row, depth)

    def _read_field(self, cls: Class, name: str, kind: ast.expr, row: Row, depth: int) -> None:
        relation = row.model.relations.get(name)
        if relation is None:
            return
        value = self._relation(row, relation)
        if isinstance(value, Manager):
            rows = consume.rows_from(self._frame, value)
            if self._frame.engine.objects.is_lazy(rows):
                self._report("DAF001", row, relation, "QuerySet.__iter__", "prefetch_related")
            value = getattr(rows, "row", UNKNOWN)
        if isinstance(value, Row) and depth < _DEPTH:
            for record in _records(self._frame, cls.module, kind):
                self.read(record, value, depth + 1)

    def _relation(self, row: Row, relation: Relation) -> Value:
        if is_missing(self._frame, row, relation):
            is_generic = relation.kind == "generic"
            kind = "Reverse" if relation.is_reverse else "Forward"
            operation = f"{kind}{'OneToOne' if relation.is_one_to_one else 'ManyToOne'}Descriptor"
            loader = "prefetch_related" if is_generic else "select_related"
            code = "DAF021" if is_generic else "DAF020"
            self._report(code, row, relation, "GenericForeignKey" if is_generic else operation, loader)
        return (
            UNKNOWN if relation.target is None else related(self._frame.engine.models, relation, row, relation.target)
        )

    def _report(self, code: str, row: Row, relation: Relation, operation: str, loader: str) -> None:
        name = row.lookup(relation.name)
        self._frame.report(
            code,
            self._node,
            operation,
            f"loads {row.model.name}.{relation.name}",
            f'Load it before {self._name}() returns: {loader}("{name}").',
            subject=f"Converting the return value of {self._name}()",
        )
