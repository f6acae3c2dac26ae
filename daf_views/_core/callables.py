"""Quick questions about callables: whether they are async, and take the arguments that they are called with."""

from __future__ import annotations

import inspect
from typing import Any

from asgiref.sync import iscoroutinefunction

_FLAG = inspect.CO_COROUTINE


def is_async(func: Any) -> bool:
    """Return asgiref's ``iscoroutinefunction(func)``, for plain functions and methods in a tenth of its time."""
    code = getattr(func, "__code__", None)
    return (code is not None and bool(code.co_flags & _FLAG)) or iscoroutinefunction(func)


def takes(function: Any, number: int) -> bool:
    """Return True if a function may be called with that many arguments by place, or if that cannot be known."""
    try:
        inspect.signature(function).bind(*[None] * number)
    except TypeError:
        return False
    except ValueError:
        return True
    return True
