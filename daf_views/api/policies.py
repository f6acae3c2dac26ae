"""The policy attributes of an API view: throttles, permissions, parsers, a paginator. They become instances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from asgiref.sync import iscoroutinefunction

from daf_views._core.callables import takes
from daf_views.views.protections import OTHER_NAMES, returns_tuple

POLICIES: Mapping[str, str] = {
    "authentication": "authenticate",
    "throttle": "check",
    "throttles": "check",
    "permissions": "has_permission",
    "parsers": "parse",
    "pagination": "paginate",
}
"""Attributes that hold policies, and the coroutine method that each must have."""
_NUMBERS = {"authenticate": 1, "check": 2, "has_permission": 2, "parse": 1, "paginate": 2}
"""Arguments that those methods are called with."""
_OPTIONAL = "has_object_permission"  # async, too, where a policy has it

_SINGLE = {"throttle", "pagination"}  # one policy, or None; the others are sequences
_COPIES = "_copied_policies"  # on a class: names of policies that it has not given itself, and the class that has


def instantiate_policies(cls: type) -> None:
    """Make the policies that ``cls`` gives, and those that it has from plain mixins, into instances.

    Raises TypeError for a value without the method, and for an attribute of another framework, which would be ignored.
    """
    for name, meant in OTHER_NAMES.items():
        if hasattr(cls, name):
            raise TypeError(f"{cls.__qualname__}.{name} would do nothing: write {meant}.")
    copies: dict[str, type] = {}
    setattr(cls, _COPIES, copies)
    for name in POLICIES:
        giver = next(klass for klass in cls.__mro__ if name in vars(klass) and name not in _copied_by(klass))
        # Python may find the copy of a parent, which knows nothing of the mixins further along this MRO.
        found = next(klass for klass in cls.__mro__ if name in vars(klass))
        if found is not giver and _copied_by(found)[name] is giver:
            continue
        if giver is cls or found is not giver or _COPIES not in vars(giver):
            setattr(cls, name, prepared(cls, {name: vars(giver)[name]})[name])
            if giver is not cls:
                copies[name] = giver


def prepared(cls: type, policies: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes with instances in place of classes. Raise TypeError for a value without the method."""
    return {
        name: _policy(cls, name, value)
        if name in _SINGLE
        else tuple(_policy(cls, name, each) for each in _sequence(cls, name, value))
        for name, value in policies.items()
    }


def _sequence(cls: type, name: str, value: Any) -> Any:
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"{cls.__qualname__}.{name} must be a list, as in `{name} = [...]`, not {value!r}.")
    return value


def _copied_by(klass: type) -> Mapping[str, type]:
    copied: Mapping[str, type] = vars(klass).get(_COPIES, {})
    return copied


def _policy(cls: type, name: str, value: Any) -> Any:
    if value is None and name in _SINGLE:
        return None
    policy = value() if isinstance(value, type) else value
    if not iscoroutinefunction(getattr(policy, POLICIES[name], None)):
        raise TypeError(f"{cls.__qualname__}.{name} has {value!r}, which has no `async def {POLICIES[name]}(…)`.")
    _refuse_shape(cls, name, value, getattr(policy, POLICIES[name]))
    if hasattr(policy, _OPTIONAL) and not iscoroutinefunction(getattr(policy, _OPTIONAL)):
        raise TypeError(f"{cls.__qualname__}.{name} has {value!r}, whose {_OPTIONAL}() is not async.")
    return policy


def _refuse_shape(cls: type, name: str, value: Any, method: Any) -> None:
    if not takes(method, _NUMBERS[POLICIES[name]]):
        arguments = "request" if _NUMBERS[POLICIES[name]] == 1 else "request, view"
        raise TypeError(
            f"{cls.__qualname__}.{name} has {value!r}, whose {POLICIES[name]}() takes other arguments than it is "
            f"called with: write `async def {POLICIES[name]}(self, {arguments})`."
        )
    if name == "authentication" and returns_tuple(method):
        raise TypeError(
            f"{cls.__qualname__}.{name} has {value!r}, whose authenticate() returns a tuple or a list, which would "
            "count as an authenticated user: return the user alone, or None."
        )
