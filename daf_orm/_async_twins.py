"""Turn a synchronous method of Django into its ``a…`` twin, run by the rules of :mod:`daf_orm._execution.run`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

from daf_orm import _execution

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

C = TypeVar("C", bound=type)


def twin(name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return the coroutine method that runs the method ``name`` of its instance off the event loop."""

    async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await _execution.run(functools.partial(getattr(self, name), *args, **kwargs))

    method.__name__ = method.__qualname__ = f"a{name}"
    method.__doc__ = f"Do what :meth:`{name}` does, off the event loop."
    return method


def with_twins(*names: str) -> Callable[[C], C]:
    """Return a class decorator that adds an ``a…`` twin of each method in ``names``. Django declares their types."""

    def decorate(cls: C) -> C:
        for name in names:
            method = twin(name)
            method.__qualname__ = f"{cls.__qualname__}.a{name}"
            method.__module__ = cls.__module__
            if getattr(getattr(cls, name, None), "alters_data", False):
                method.alters_data = True  # type: ignore[attr-defined] # templates must not call it
            setattr(cls, f"a{name}", method)
        return cls

    return decorate
