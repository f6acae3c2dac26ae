"""Classes whose handlers are partly synchronous: Django refuses them, or runs the synchronous ones in threads."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from daf_orm.static.findings import Finding, Fix, Step
from daf_orm.static.names.families import is_of
from daf_orm.static.project.definitions import Class

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daf_orm.static.project.definitions import Function
    from daf_orm.static.project.modules import Module
    from daf_orm.static.project.project import Project

_HANDLERS: Final = frozenset("get post put patch delete head options trace".split())


def synchronous_handlers(project: Project, module: Module) -> Iterator[Finding]:
    """Yield a finding for every synchronous handler of a view that has asynchronous ones."""
    for cls in module.bindings.values():
        if not isinstance(cls, Class) or cls.module is not module:
            continue
        external = project.ancestors(cls)[1]
        if not is_of(external, "view"):
            continue
        handlers = [method for name, method in cls.methods.items() if name in _HANDLERS]
        if any(method.is_async for method in handlers):
            yield from (_finding(module, method) for method in handlers if not method.is_async)


def _finding(module: Module, method: Function) -> Finding:
    node = method.node
    assert isinstance(node, ast.FunctionDef)
    step = Step(file=module.shown, line=node.lineno, function=method.qualname)
    column = node.col_offset
    return Finding(
        file=module.shown,
        line=node.lineno,
        column=column + 1,
        code="DAF074",
        message=f"{method.qualname}() is synchronous, other handlers of its view are not. Use async def.",
        path=(step,),
        module=module.name,
        function=method.qualname,
        expression=f"def {method.name}",
        operation="handler",
        fix=Fix(kind="async_def", line=node.lineno, column=column, end_line=0, end_column=0, is_safe=False),
    )
