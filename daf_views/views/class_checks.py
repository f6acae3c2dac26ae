"""Reasons to refuse a view class when it is made, so that no request has to find out."""

from __future__ import annotations

import inspect
from contextlib import ContextDecorator
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction
from django.db.transaction import Atomic, atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ACCESS_MIXINS = "django.contrib.auth.mixins"  # a name, because to import it takes an app, which may not be installed
_ACCESS_METHODS = (
    "test_func",
    "get_test_func",
    "has_permission",
    "get_permission_required",
    "get_permission_denied_message",
    "get_login_url",
    "get_redirect_field_name",
    "handle_no_permission",
)


def refuse_sync(view: Any, name: str) -> None:
    """Raise TypeError if the handler ``name`` of a view, class or instance, is not async."""
    handler = getattr(view, name, None)
    # A decorator's wrapper may be synchronous, as long as what it wraps is not.
    if handler is None:
        return
    refuse_left_blocks(view, name, handler)
    if iscoroutinefunction(handler) or iscoroutinefunction(inspect.unwrap(handler)):
        return
    raise TypeError(
        f"{path_of(view)}.{name}() is not async: write `async def {name}(self, request)`, "
        "and run what blocks in it with `await database_sync_to_async(func)(…)`."
    )


def refuse_left_blocks(view: Any, name: str, function: Any) -> None:
    """Raise TypeError for a decorator whose block would end before the coroutine that it has called begins.

    Such are Django's ``atomic``, and every other synchronous context manager.
    """
    for manager in _managers_around(function):
        if isinstance(manager, Atomic) or manager is atomic:
            text, remedy = "Django's atomic", "use daf_orm.transaction.atomic, or `atomic = True` on the view"
        else:
            text, remedy = repr(manager), "write a `with` in it"
        raise TypeError(
            f"{path_of(view)}.{name}() is decorated with {text}, whose block ends before the coroutine begins: "
            f"{remedy}."
        )


def _managers_around(function: Any) -> Iterator[Any]:
    """Yield the synchronous context managers that wrap a coroutine function as decorators."""
    while (inner := getattr(function, "__wrapped__", None)) is not None:
        if iscoroutinefunction(inspect.unwrap(inner)):
            for each in _variables_around(function):
                is_other = isinstance(each, ContextDecorator) and not iscoroutinefunction(function)
                if is_other or isinstance(each, Atomic) or each is atomic:
                    yield each
        function = inner


def _variables_around(function: Any) -> Iterator[Any]:
    """Yield what a function made by a decorator refers to, such as the decorator, or those of ``method_decorator``."""
    for cell in getattr(inspect.unwrap(function, stop=_has_code), "__closure__", None) or ():
        value = _content(cell)
        yield from value if isinstance(value, list | tuple) else (value,)


def _has_code(function: Any) -> bool:
    return hasattr(function, "__code__")


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None


def refuse_async_access(cls: type, given: dict[str, Any]) -> None:
    """Raise TypeError if a method that Django's access mixins call is async: a coroutine would count as true."""
    if not any(klass.__module__ == _ACCESS_MIXINS for klass in cls.__mro__):
        return
    for name in _ACCESS_METHODS:
        if iscoroutinefunction(given.get(name, getattr(cls, name, None))):
            raise TypeError(
                f"{path_of(cls)}.{name}() is async, but Django's mixin calls it without awaiting, and would let "
                f"every request in: write `def {name}`, which runs on a worker thread and may query."
            )


def refuse_sync_hooks(cls: type, names: Iterable[str]) -> None:
    """Raise TypeError if a hook that the view awaits is not async, or Django's synchronous one is."""
    for name in names:
        if not iscoroutinefunction(getattr(cls, name)):
            raise TypeError(f"{path_of(cls)}.{name}() is not async: write `async def {name}(self, request, …)`.")
    if iscoroutinefunction(getattr(cls, "setup", None)):
        raise TypeError(
            f"{path_of(cls)}.setup() is async, but Django calls it without awaiting: name it async_setup()."
        )


def refuse_sync_overrides(cls: type, names: Iterable[str], *, originals: str) -> None:
    """Raise TypeError if a class in the MRO has a synchronous method where a coroutine is awaited.

    A module that begins with ``originals`` is Django's: its methods are called by those that come before them.
    """
    for klass in cls.__mro__:
        for name in [] if klass.__module__.startswith(originals) else names:
            method = getattr(klass, name, None) if name in vars(klass) else None
            if callable(method) and not iscoroutinefunction(inspect.unwrap(method)):
                raise TypeError(
                    f"{path_of(klass)}.{name}() is not async: write `async def {name}(self, …)` and in it "
                    f"`await super().{name}(…)`; run what blocks with `await database_sync_to_async(func)(…)`."
                )


def refuse_async_functions(cls: type, names: Iterable[str], but: str) -> None:
    """Raise TypeError if a method is async that is called without awaiting; ``but`` says how it is called instead."""
    for name in names:
        if iscoroutinefunction(getattr(cls, name, None)):
            raise TypeError(f"{path_of(cls)}.{name}() is async, but {but}. Write `def {name}(self, …)`.")


def refuse_ignored(cls: type, names: Iterable[str]) -> None:
    """Raise TypeError for an access check that a view without a place for it would never make."""
    for name in names:
        if hasattr(cls, name):
            raise TypeError(f"{path_of(cls)}.{name} would do nothing on an AsyncView: derive it from AsyncAPIView.")


def check_options(cls: type, atomic: object, deadline: object) -> None:
    """Raise TypeError for a value that ``atomic`` or ``deadline`` cannot have."""
    if not isinstance(atomic, bool | str | None):
        raise TypeError(f"{cls.__qualname__}.atomic must be True, False, None or a database alias, not {atomic!r}.")
    is_number = isinstance(deadline, int | float) and not isinstance(deadline, bool)
    if deadline is not None and not (is_number and deadline > 0):  # type: ignore[operator] # a number
        raise TypeError(f"{cls.__qualname__}.deadline must be None or more than 0 seconds, not {deadline!r}.")


def path_of(view: Any) -> str:
    """Return the dotted path of the class of a view."""
    cls = view if isinstance(view, type) else type(view)
    return f"{cls.__module__}.{cls.__qualname__}"
