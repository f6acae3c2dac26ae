"""``asyncio.gather``: the results of coroutines that run at the same time."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from daf_orm.static.inference.values import UNKNOWN, Coroutine, Items, Value

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame
    from daf_orm.static.inference.querysets import Arguments


def gather(frame: Frame, arguments: Arguments, node: ast.Call) -> Value:
    """Return what it returns; report atomic blocks that it would open inside one."""
    blocks = [each for each in arguments[0] if isinstance(each, Coroutine) and each.is_atomic]
    if frame.atomic_depth and blocks and len(arguments[0]) > 1:
        remedy = "Gather queries in a block, not blocks: open one block, or gather outside of it."
        frame.report("DAF071", node, "gather", "opens atomic blocks at the same time inside one", remedy)
    if any(isinstance(each, ast.Starred) for each in node.args):
        return Coroutine(_gathered(frame, node), is_task=True)
    return Coroutine(
        Items(each=tuple(each.result if isinstance(each, Coroutine) else UNKNOWN for each in arguments[0])),
        is_task=True,
    )


def _gathered(frame: Frame, node: ast.Call) -> Value:
    """Return what ``gather(*coroutines)`` gives; its argument has been evaluated, and reported, before."""
    if len(node.args) != 1 or not isinstance(node.args[0], ast.Starred):
        return UNKNOWN
    known = len(frame.findings)
    given = frame.evaluate(node.args[0].value)
    del frame.findings[known:]
    item = given.item if isinstance(given, Items) else UNKNOWN
    return Items(item.result) if isinstance(item, Coroutine) else UNKNOWN
