"""Intended blocking calls: a scope, a decorator, or a list in the settings. Unused ones are reported."""

from __future__ import annotations

import functools
import inspect
from contextvars import ContextVar
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from asgiref.sync import iscoroutinefunction

from daf_orm._core.call_site import find_call_site
from daf_orm.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from daf_orm.detection.frames import Sighting

MAX_PLACES = 10_000
"""Places that are remembered, to report the unused. The number is limited, since generated code has ever new ones."""

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(slots=True, eq=False)
class Allowance:
    """A place where blocking is allowed, and the number of its uses."""

    reason: str
    place: str
    uses: int = 0


class allow_blocking:  # noqa: N801 - reads as what it does, like Django's own context managers
    """Let synchronous database code block the event loop, here: ``with allow_blocking(reason="once, at start"):``.

    Also a decorator, of functions and coroutine functions. It holds for the calls of the block and for tasks started in
    it, and replaces the environment variable ``DJANGO_ALLOW_ASYNC_UNSAFE``, which holds for everything. ``reason`` is
    for readers of the code. Raises ValueError if it is empty.
    """

    def __init__(self, *, reason: str) -> None:
        if not reason.strip():
            raise ValueError("allow_blocking() needs a reason: say why the event loop may be blocked here.")
        place = str(find_call_site())
        self._allowance = _scope_at(place, reason)

    def __enter__(self) -> Self:
        _scope.set(_Scope(self._allowance, _scope.get()))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # By value: one instance may be entered by many tasks, each in a separate context.
        current = _scope.get()
        if kind is GeneratorExit and (current is None or current.allowance is not self._allowance):
            return  # a coroutine was dropped, and is closed in the context of other code
        _scope.set(current.outer if current is not None else None)

    def __call__(self, func: F) -> F:
        """Allow it in every call of ``func``. Raises TypeError for a generator: its consumer would be allowed, too."""
        if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
            raise TypeError(
                f"@allow_blocking cannot decorate the generator {func.__qualname__}: write `with allow_blocking(reason"
                "=…):` in it, around the lines that block and without a yield among them."
            )

        @functools.wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        @functools.wraps(func)
        async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await func(*args, **kwargs)

        return async_wrapper if iscoroutinefunction(func) else wrapper  # type: ignore[return-value]


class _Scope(NamedTuple):
    allowance: Allowance
    outer: _Scope | None


_scope: ContextVar[_Scope | None] = ContextVar("daf_orm.allowance", default=None)
_scopes: dict[str, Allowance] = {}  # by place in the code
_everywhere: list[Allowance] = []
_listed: dict[str, Allowance] = {}  # by pattern in the settings


def _scope_at(place: str, reason: str) -> Allowance:
    if place not in _scopes and len(_scopes) >= MAX_PLACES:
        del _scopes[next(iter(_scopes))]
    return _scopes.setdefault(place, Allowance(reason, place))


def allow_everywhere(allowance: Allowance) -> None:
    """Let an allowance hold in every context, until :func:`disallow_everywhere`. For the marker of a test."""
    _everywhere.append(allowance)


def disallow_everywhere(allowance: Allowance) -> None:
    """Undo :func:`allow_everywhere`."""
    _everywhere.remove(allowance)


def find_allowance(sighting: Sighting) -> Allowance | None:
    """Return the allowance that covers a call, and count its use; None if there is none."""
    scope = _scope.get()
    if scope is not None:
        allowance: Allowance | None = scope.allowance
    elif _everywhere:
        allowance = _everywhere[-1]
    else:
        allowance = _find_listed(sighting)
    if allowance is not None:
        allowance.uses += 1
    return allowance


def _find_listed(sighting: Sighting) -> Allowance | None:
    """Match the callers, from the user's line inwards, with the patterns of ``DAF_ORM["ALLOW_BLOCKING"]``."""
    patterns = get_settings().ALLOW_BLOCKING
    for frame in (sighting.user, *sighting.inner) if patterns else ():
        module, function = str(frame.f_globals.get("__name__")), frame.f_code.co_qualname
        for pattern in patterns:
            if fnmatchcase(f"{module}:{function}" if ":" in pattern else module, pattern):
                return _allowance_for(pattern)
    return None


def known() -> set[str]:
    """Return the places of all allowances so far."""
    return {allowance.place for allowance in (*_scopes.values(), *_listed.values())}


def used_places() -> set[str]:
    """Return the places of the allowances that were used."""
    return {allowance.place for allowance in (*_scopes.values(), *_listed.values()) if allowance.uses}


def unused() -> Iterable[Allowance]:
    """Return the unused allowances: scopes that were entered or made, patterns in the settings."""
    listed = [_allowance_for(pattern) for pattern in get_settings().ALLOW_BLOCKING]
    return [allowance for allowance in (*_scopes.values(), *listed) if not allowance.uses]


def _allowance_for(pattern: str) -> Allowance:
    place = f"DAF_ORM['ALLOW_BLOCKING']: {pattern!r}"
    return _listed.setdefault(pattern, Allowance("listed in the settings", place))
