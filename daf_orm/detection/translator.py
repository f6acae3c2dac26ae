"""Evidence in Django's exception translator, ``DatabaseErrorWrapper``: code that enters it calls a database driver.

Entering it alone does nothing, so it proves a blocking call only where a synchronous driver is called inside. It proves
none around an ``await``, on the connection of an asynchronous driver, and where a context manager passes it on.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import inspect
from collections.abc import Callable, Hashable
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any, Final, cast

from asgiref.sync import iscoroutinefunction

MAX_SITES = 10_000
"""Lines and classes whose kind is remembered. The number is limited, since generated code has ever new ones."""
_DRIVERS_METHODS: Final = ("close", "commit", "cursor", "execute", "fetchone", "rollback")
_AWAITS: Final = frozenset({"GET_AWAITABLE", "GET_ANEXT", "GET_YIELD_FROM_ITER"})
_COROUTINE: Final = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR
_GENERATOR: Final = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_CONTEXTLIB: Final = contextlib.contextmanager.__code__.co_filename


def calls_driver(connection: Any, frame: FrameType) -> bool:
    """Return True if ``frame``, which enters the translator of ``connection``, is about to call a blocking driver."""
    if is_asynchronous(connection) or is_asynchronous(getattr(connection, "connection", None)):
        return False
    entering = _past_enter_methods(frame)
    code = entering.f_code
    if code.co_name == "inner" and callable(func := entering.f_locals.get("func")):
        return not _is_async_function(func)
    if _is_of_contextlib(entering) or (code.co_flags & _GENERATOR and _is_of_contextlib(entering.f_back)):
        return False  # ExitStack, @contextmanager: the block is another function's
    return not code.co_flags & _COROUTINE or _block_awaits(code, entering.f_lasti) is False


def is_asynchronous(subject: object) -> bool:
    """Return True if a connection or cursor, Django's or a driver's, is used by ``await``."""
    return subject is not None and _is_asynchronous(cast("Hashable", type(subject)))


@lru_cache(MAX_SITES)
def _is_asynchronous(cls: Hashable) -> bool:
    return any(iscoroutinefunction(inspect.getattr_static(cls, name, None)) for name in _DRIVERS_METHODS)


def _is_async_function(func: Callable[..., Any]) -> bool:
    """Return True if calling ``func`` only makes an awaitable, or if it belongs to an asynchronous cursor."""
    while isinstance(func, functools.partial):
        func = func.func
    if is_asynchronous(getattr(func, "__self__", None)):
        return True
    func = inspect.unwrap(func)
    return iscoroutinefunction(func) or inspect.isasyncgenfunction(func)


def _past_enter_methods(frame: FrameType) -> FrameType:
    """Return the frame with the ``with`` statement: context managers may call ``__enter__`` in their own."""
    while frame.f_code.co_name == "__enter__" and _block_awaits(frame.f_code, frame.f_lasti) is None:
        if frame.f_back is None:
            break
        frame = frame.f_back
    return frame


def _is_of_contextlib(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_code.co_filename == _CONTEXTLIB


@lru_cache(MAX_SITES)
def _block_awaits(code: CodeType, entered_at: int) -> bool | None:
    """Return True if the block of the ``with`` statement at a byte offset awaits; None if there is no statement."""
    bytecode = dis.Bytecode(code)
    names = {each.offset: each.opname for each in bytecode}
    entries: list[Any] = bytecode.exception_entries  # type: ignore[attr-defined] # typeshed lacks it
    handlers = {offset: entry.target for entry in entries for offset in range(entry.start, entry.end, 2)}
    block = handlers.get(next((offset for offset in names if offset > entered_at), -1))
    if block is None or "WITH_EXCEPT_START" not in (names[block], names.get(block + 2)):
        return None
    return any(name in _AWAITS and _is_inside(offset, block, handlers) for offset, name in names.items())


def _is_inside(offset: int, block: int, handlers: dict[int, int]) -> bool:
    """Return True if the handler at ``block`` is among those around an instruction."""
    around = {offset}
    while (handler := handlers.get(offset)) is not None and handler not in around:
        around.add(handler)  # a handler stands behind its block, and has another one around it
        offset = handler
    return block in around
