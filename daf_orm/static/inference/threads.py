"""Functions that run in a thread, where Django's connection stays open."""

from __future__ import annotations

import ast
from typing import Final

from daf_orm.static.inference.frame import Frame
from daf_orm.static.inference.values import UNKNOWN, Coroutine, External, Method, Value
from daf_orm.static.project.definitions import Function, last_name, own_nodes

_CLOSERS: Final = frozenset({"close", "close_all", "close_old_connections"})
_ELSEWHERE: Final = frozenset(
    {"DAF051", "DAF053", "DAF070", "DAF075", "DAF080", "DAF081", "DAF082", "DAF083", "DAF084"}
)
"""Findings that open no connection."""


def in_thread(
    frame: Frame, function: Value, positional: tuple[Value, ...], named: dict[str, Value], node: ast.Call
) -> Value:
    """Follow a function in a thread that keeps its connection open, unless the function closes it."""
    probe = Frame(frame.engine, frame.module, frame.function, frame.scope, is_on_loop=True, path=frame.path)
    result = probe.call(function, positional, named, node)
    queries = [each for each in probe.findings if each.code not in _ELSEWHERE]
    if queries and not _closes(frame, function):
        remedy = "Use await database_sync_to_async(func)(…), which gives its connection back."
        frame.report("DAF072", node, "to_thread", "leaves a database connection open in its thread", remedy)
    off = Frame(frame.engine, frame.module, frame.function, frame.scope, is_on_loop=False, path=frame.path)
    return off.call(function, positional, named, node) if not isinstance(result, Coroutine) else UNKNOWN


def _closes(frame: Frame, function: Value, depth: int = 0) -> bool:
    """Return True if a function closes a connection, itself or in a function that it calls."""
    if isinstance(function, External | Method):
        return function.name in _CLOSERS
    definition = getattr(function, "function", None)
    if not isinstance(definition, Function) or depth > 3:  # noqa: PLR2004 - calls that are followed
        return False
    for node in own_nodes(definition.node):
        if isinstance(node, ast.Call):
            if last_name(node.func) in _CLOSERS:
                return True
            if isinstance(node.func, ast.Name):
                found = frame.engine.globals.name(definition.module, node.func.id)
                if _closes(frame, found, depth + 1):
                    return True
    return False
