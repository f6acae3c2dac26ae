"""Fixes that move a call to a thread: ``helper(book)`` becomes ``await database_sync_to_async(helper)(book)``."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference.source import position_of
from daf_orm.static.inference.values import Callable, ClassValue, Coroutine, Cursor, Guarded, Lazy, Partial, Row, Value
from daf_orm.static.names import orm

if TYPE_CHECKING:
    from daf_orm.static.findings import Finding
    from daf_orm.static.inference.frame import Frame

_MOVED: Final = frozenset(
    """DAF001 DAF002 DAF003 DAF004 DAF010 DAF011 DAF012 DAF013 DAF020 DAF021 DAF022 DAF030 DAF031 DAF032 DAF040
    DAF041 DAF042 DAF043 DAF050 DAF052 DAF053 DAF063""".split()
)
"""Findings that a hop takes away wherever the call is: nothing of them is left open for the caller."""
_INSIDE: Final = _MOVED | {"DAF051", "DAF060", "DAF061"}
"""Findings that a hop takes away if the project's function does all of it."""
_UNMOVABLE: Final = Lazy | Cursor | Coroutine
"""Results that run code, or are used, where the caller is."""


def offer_hop(frame: Frame, function: Value, result: Value, node: ast.Call, known: int) -> None:
    """Give the findings of a call in a coroutine function that have no fix one that moves the call to a thread.

    ``known`` is the number of findings that the frame had before the call.
    """
    if not frame.can_await or frame.engine.is_awaited(node) or isinstance(result, _UNMOVABLE):
        return
    is_own = isinstance(function, Callable | Guarded | ClassValue | Partial)
    twin = _twin(function)
    fix = replace(frame.fix("twin" if twin else "hop", node, twin, is_safe=False), file=frame.module.shown)
    frame.findings[known:] = [
        replace(each, fix=fix) if each.fix is None and _is_moved(frame, each, node, is_own=is_own) else each
        for each in frame.findings[known:]
    ]


def _twin(function: Value) -> str:
    """Return the method that runs an overridden ``save()`` in a thread: Django's ``asave()``."""
    is_method = isinstance(function, Callable) and isinstance(function.owner, Row)
    return orm.INSTANCE.get(function.function.name, "") if isinstance(function, Callable) and is_method else ""


def _is_moved(frame: Frame, finding: Finding, node: ast.Call, *, is_own: bool) -> bool:
    if is_own:
        return finding.code in _INSIDE
    is_here = len(finding.path) == 1 and (finding.line, finding.column) == position_of(node, frame.module.lines)
    return is_here and finding.code in _MOVED
