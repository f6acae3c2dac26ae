"""Suggest replacements for blocking input and output: asyncio's or Django's own way, or a thread."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from daf_orm.detection.explain.rewrite import Expression

if TYPE_CHECKING:
    from collections.abc import Mapping

_EQUALS: Final[Mapping[str, str]] = {
    "Event": "asyncio.Event",
    "Condition": "asyncio.Condition",
    "Semaphore": "asyncio.Semaphore",
    "BoundedSemaphore": "asyncio.BoundedSemaphore",
    "Barrier": "asyncio.Barrier",
    "Queue": "asyncio.Queue",
    "threading": "asyncio.Lock",
    "socket": "an async client (asyncio.open_connection(), httpx.AsyncClient)",
    "ssl": "an async client (asyncio.open_connection(), httpx.AsyncClient)",
    "subprocess": "await asyncio.create_subprocess_exec(…)",
}
_RESOLVERS: Final = frozenset({"socket.getaddrinfo", "socket.getnameinfo"})
_REACHES_DATABASE: Final = frozenset({"call_command", "FieldFile.save", "FieldFile.delete"})


def remedy(operation: str, source: str) -> str:
    """Return a sentence with the replacement of ``source``, the expression that blocked."""
    expression = Expression(source)
    if isinstance(expression.tree, ast.Await):
        instead = _in_thread_instead(expression, expression.tree.value) or "asyncio.to_thread()"
        return f"The awaited code blocks inside. Call its synchronous twin in a thread: {instead}."
    if operation in _REACHES_DATABASE:
        return f"Do it in one hop: {expression.hopped() or 'await database_sync_to_async(func)(…)'}."
    if (twin := _awaited(operation, expression)) is not None:
        return f"Use {twin}."
    thread = f"in a thread: {_threaded(expression)}."
    equal = _EQUALS.get(operation.partition(".")[0])
    return f"Use {equal}, or do it {thread}" if equal else f"Do it {thread}"


def threaded(operation: str, source: str) -> str:
    """Return the expression done in a thread, which has a database connection if the expression may use one."""
    expression = Expression(source)
    if operation in _REACHES_DATABASE:
        return expression.hopped() or "await database_sync_to_async(func)(…)"
    return _threaded(expression)


def _awaited(operation: str, expression: Expression) -> str | None:
    """Return the asynchronous twin of exactly this call, if it has one."""
    subject, _, method = operation.rpartition(".")
    if operation == "time.sleep":
        return f"await asyncio.sleep({_arguments(expression) or '…'})"
    if operation == "Future.result":
        return _of_future(f"asyncio.wrap_future({expression.receiver('result') or 'future'})", expression)
    if operation == "Executor.__exit__":
        made = expression.source or "…"
        return f"executor = {made}, and in a finally block await asyncio.to_thread(executor.shutdown), in place of with"
    if operation in _RESOLVERS:
        return f"await asyncio.get_running_loop().{method}(…)"
    if subject == "cache" or operation == "check_password":
        return expression.awaited(method, f"a{method}") or _pattern(subject, method)
    return None


def _of_future(future: str, expression: Expression) -> str:
    is_call = isinstance(expression.tree, ast.Call) and getattr(expression.tree.func, "attr", None) == "result"
    timeout = _arguments(expression).removeprefix("timeout=") if is_call else ""
    return f"await asyncio.wait_for({future}, {timeout})" if timeout else f"await {future}"


def _in_thread_instead(expression: Expression, awaited: ast.expr) -> str | None:
    """Return ``await asyncio.to_thread(session.save)`` for ``await session.asave()``."""
    if not isinstance(awaited, ast.Call) or not isinstance(awaited.func, ast.Attribute):
        return None
    if not awaited.func.attr.startswith("a"):
        return None
    twin = f"{_text(expression, awaited.func.value)}.{awaited.func.attr[1:]}"
    arguments = [_text(expression, each) for each in (*awaited.args, *awaited.keywords)]
    return f"await asyncio.to_thread({', '.join([twin, *arguments])})"


def _pattern(subject: str, method: str) -> str:
    return f"await {subject}.a{method}(…)" if subject else f"await a{method}(…)"


def _threaded(expression: Expression) -> str:
    is_call = isinstance(expression.tree, ast.Call)
    if expression.tree is None or (expression.awaits and not is_call):  # a lambda cannot await
        return "await asyncio.to_thread(func, …)"
    if not isinstance(expression.tree, ast.Call):
        return f"await asyncio.to_thread(lambda: {expression.source})"
    arguments = _arguments(expression)
    function = _text(expression, expression.tree.func)
    return f"await asyncio.to_thread({function}{f', {arguments}' if arguments else ''})"


def _arguments(expression: Expression) -> str:
    """Return the source between the parentheses of a call."""
    call = expression.tree
    if not isinstance(call, ast.Call):
        return ""
    return ", ".join(_text(expression, argument) for argument in (*call.args, *call.keywords))


def _text(expression: Expression, node: ast.AST) -> str:
    return ast.get_source_segment(f"({expression.source})", node) or "…"
