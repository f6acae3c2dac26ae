"""What is plugged into an API view: throttles, permissions, parsers, a paginator; instances, once its class is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction

if TYPE_CHECKING:
    from collections.abc import Mapping

POLICIES: Mapping[str, str] = {
    "authentication": "authenticate",
    "throttle": "check",
    "throttles": "check",
    "permissions": "has_permission",
    "parsers": "parse",
    "pagination": "paginate",
}
"""Attributes that hold policies, and the coroutine method that each must have."""
_OPTIONAL = "has_object_permission"  # async, too, where a policy has it

_SINGLE = {"throttle", "pagination"}  # one policy, or None; the others are sequences
_MEANT = {
    "permission": "`permissions = [...]`",
    "permission_classes": "`permissions = [...]`",
    "throttle_classes": "`throttles = [...]`",
    "parser": "`parsers = [...]`",
    "parser_classes": "`parsers = [...]`",
    "authentication_classes": "`authentication = [...]`",
    "pagination_class": "`pagination = PageNumberPagination(…)`",
    "paginator": "`pagination = PageNumberPagination(…)`",
    "get_permissions": "`permissions = [...]`",
    "get_throttles": "`throttles = [...]`",
    "get_parsers": "`parsers = [...]`",
}
_COPIES = "_copied_policies"  # on a class: names of policies that it has not given itself, and the class that has


def instantiate_policies(cls: type) -> None:
    """Make the policies that ``cls`` gives, and those that it has from plain mixins, into instances.

    Raises TypeError for what has not the method, and for an attribute of another framework's, which would be ignored.
    """
    for name, meant in _MEANT.items():
        if hasattr(cls, name):
            raise TypeError(f"{cls.__qualname__}.{name} would do nothing: write {meant}.")
    copies: dict[str, type] = {}
    setattr(cls, _COPIES, copies)
    for name in POLICIES:
        giver = next(klass for klass in cls.__mro__ if name in vars(klass) and name not in _copied_by(klass))
        # What Python finds may be the copy of a parent, which knows nothing of the mixins further along this MRO.
        found = next(klass for klass in cls.__mro__ if name in vars(klass))
        if found is not giver and _copied_by(found)[name] is giver:
            continue
        if giver is cls or found is not giver or _COPIES not in vars(giver):
            setattr(cls, name, prepared(cls, {name: vars(giver)[name]})[name])
            if giver is not cls:
                copies[name] = giver


def prepared(cls: type, policies: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes with instances in place of classes. Raise TypeError for what has not the method."""
    return {
        name: _policy(cls, name, value) if name in _SINGLE else tuple(_policy(cls, name, each) for each in value)
        for name, value in policies.items()
    }


def _copied_by(klass: type) -> Mapping[str, type]:
    copied: Mapping[str, type] = vars(klass).get(_COPIES, {})
    return copied


def _policy(cls: type, name: str, value: Any) -> Any:
    if value is None and name in _SINGLE:
        return None
    policy = value() if isinstance(value, type) else value
    if not iscoroutinefunction(getattr(policy, POLICIES[name], None)):
        raise TypeError(f"{cls.__qualname__}.{name} has {value!r}, which has no `async def {POLICIES[name]}(…)`.")
    if hasattr(policy, _OPTIONAL) and not iscoroutinefunction(getattr(policy, _OPTIONAL)):
        raise TypeError(f"{cls.__qualname__}.{name} has {value!r}, whose {_OPTIONAL}() is not async.")
    return policy
