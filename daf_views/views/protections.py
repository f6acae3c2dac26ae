"""Refuse, when a class is made, protections of a view that would have no effect.

Examples are an attribute that comes after the view along the MRO, one that needs a mixin, and one that is misspelt.
Another is a hook that is called in another way than it is written. Each would leave a view open that reads as if it
were closed.
An attribute that the project's own code reads is the project's own.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from types import CodeType, MappingProxyType
from typing import TYPE_CHECKING, Any, get_origin, get_type_hints

from daf_views._core.callables import takes
from daf_views.views.class_checks import path_of

if TYPE_CHECKING:
    from daf_views.views.pipeline import Stage

OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {
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
        "throttle_scope": "`throttles = [...]`",
        "get_parsers": "`parsers = [...]`",
    }
)
"""Attributes of other frameworks' views, and their counterparts on an API view."""
_SHORT = {"perms": "permissions", "perm": "permissions", "auth": "authentication", "authenticators": "authentication"}
_POLICIES = (
    "atomic",
    "authentication",
    "deadline",
    "enforces_csrf",
    "idempotency",
    "pagination",
    "parsers",
    "permission_required",
    "permissions",
    "throttle",
    "throttles",
)
_HOOKS = ("admit", "async_setup", "authenticate", "check_object_permissions", "dispatch", "handle_exception", "receive")
_NEED_MIXIN = {
    "permission_required": ("get_permission_required", "PermissionRequiredMixin of daf_views.access before the view"),
    "test_func": ("get_test_func", "UserPassesTestMixin of daf_views.access before the view"),
    "login_required": ("", "LoginRequiredMixin of daf_views.access before the view"),
}
_OTHER_HOOKS: Mapping[str, str] = MappingProxyType(
    {
        "has_permission": "put it into a class of `permissions = [...]`, or name PermissionRequiredMixin of "
        "daf_views.access before the view",
        "has_object_permission": "put it into a class of `permissions = [...]`",
        "check_permissions": "write `permissions = [...]`, or `async def admit(self, request)`",
        "check_throttles": "write `throttles = [...]`",
        "perform_authentication": "write `authentication = [...]`, or `async def authenticate(self, request)`",
        "get_authenticators": "write `authentication = [...]`",
        "initial": "write `async def async_setup(self, request, …)`, or `async def admit(self, request)`",
        "initialize_request": "write `async def dispatch(self, request, *args, **kwargs)`",
        "finalize_response": "write `async def dispatch(self, request, *args, **kwargs)`",
        "permission_denied": "raise ForbiddenError in a permission, or write `async def handle_exception(self, exc)`",
    }
)
"""Hooks of other frameworks' views that no code calls here, and their counterparts."""
_ASKED_IN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "admit": ("permissions", "authentication"),
        "dispatch": ("permissions", "authentication", "throttle", "throttles", "idempotency", "enforces_csrf"),
    }
)
"""The hooks whose own code asks policies; a throttle that ``admit()`` has not counted is counted after it."""
_ARGUMENTS = {"admit": "request", "dispatch": "request, *args, **kwargs"}
_ACCESS = "access"
_ASKED_AT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "deadline": ("deadline",),
        "admit": ("permissions", "authentication"),
        "authenticate": ("authentication",),
        "permit": ("permissions",),
        "origin": ("enforces_csrf",),
        "token": ("enforces_csrf",),
        "key": ("idempotency",),
        "claim": ("idempotency",),
        "record": ("idempotency",),
        "services": ("services",),
        "transaction": ("atomic",),
    }
)
"""The places of stages that use policies."""
_ALIKE = 0.84
_AUTH_MIXINS = "django.contrib.auth.mixins"
_FRAMEWORK = frozenset({"django", "daf_views", "typing", "abc", "builtins"})


def refuse_unprotected(cls: type, view: type) -> None:
    """Raise TypeError, with the remedy, if a class that derives from ``view`` looks protected and is not."""
    refuse_shadowed(cls, view)
    for klass, name, value in _own_attributes(cls):
        if name in _NEED_MIXIN:
            _refuse_without_mixin(cls, name)
        elif name in _OTHER_HOOKS and not isinstance(value, Mapping):  # the `initial` of a form is no hook
            _refuse_uncalled(cls, klass, name)
        elif (meant := _misspelt(cls, name, value)) is not None and not _is_read(cls, name):
            raise TypeError(f"{path_of(klass)}.{name} would do nothing: did you mean {meant}?")


def refuse_shadowed(cls: type, view: type) -> None:
    """Raise TypeError for an attribute of a base that comes after the view, which the view's own attribute hides."""
    ours = [klass for klass in cls.__mro__ if _is_framework(klass) and issubclass(klass, view)]
    for name in (*_POLICIES, *_HOOKS):
        owners = [klass for klass in cls.__mro__ if name in vars(klass)]
        if not owners or not (_is_framework(owners[0]) and any(issubclass(each, owners[0]) for each in ours)):
            continue
        for late in owners[1:]:
            if not _is_framework(late) or late.__module__ == _AUTH_MIXINS:
                raise TypeError(
                    f"{path_of(cls)} would not use {late.__qualname__}.{name}, which comes after "
                    f"{owners[0].__qualname__}: name {late.__qualname__} before the view among its bases."
                )


def refuse_shapes(cls: type, shapes: Mapping[str, int]) -> None:
    """Raise TypeError for a hook that does not take the number of arguments, after ``self``, that it is called with."""
    for name, number in shapes.items():
        if not takes(getattr(cls, name), number + 1):
            raise TypeError(
                f"{path_of(cls)}.{name}() takes other arguments than it is called with: {_signature_text(name)}."
            )


def unasked(cls: type, view: type) -> Mapping[str, str]:
    """Return the policies of a class that nothing would use, each with the reason and the remedy.

    An override of ``admit()`` or ``dispatch()`` that does not call the view's own leaves them out, as does a stage
    that replaces one of the view.
    """
    found: dict[str, str] = {}
    for hook, policies in _ASKED_IN.items():
        if (override := _override_without_super(cls, view, hook)) is not None:
            remedy = f"{override} does not call `await super().{hook}({_ARGUMENTS[hook]})`: call it"
            found |= dict.fromkeys(policies, remedy)
    for place, owner in _replaced(cls):
        remedy = f"the stage {place!r} of {owner.__qualname__} replaces the view's own: give it a name, and `after`"
        found |= dict.fromkeys(_ASKED_AT.get(place, ()), remedy)
    return found


def unasked_on_instance(own: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the policies that nothing would use, because a hook of the instance itself leaves them out."""
    found: dict[str, str] = {}
    for hook, policies in _ASKED_IN.items():
        function = inspect.unwrap(own.get(hook, None))
        if function is not None and not (hasattr(function, "__code__") and hook in _names_called(function)):
            found |= dict.fromkeys(policies, f"setup() sets a {hook}() that does not call the view's own: call it")
    return found


def refuse_unasked(cls: type, given: Mapping[str, Any], remedies: Mapping[str, str]) -> None:
    """Raise TypeError if a class, or an argument of as_view(), names a policy that nothing would use."""
    for name, remedy in remedies.items():
        if given.get(name, getattr(cls, name, None)):
            raise TypeError(
                f"{path_of(cls)}.{name} would not be used, because {remedy}, or leave {name} "
                f"{'False' if name == 'enforces_csrf' else 'empty'}."
            )


def refuse_lost_stages(cls: type) -> None:
    """Raise TypeError for a stage that another one of the same name would silently replace.

    A class may replace a stage of its parents. Two classes that do not know each other, or two stages of one class,
    have the same name by mistake. Those of ``daf_views.access`` are a protection by being there.
    """
    owners: dict[str, type] = {}
    for klass in cls.__mro__:
        for stage in vars(klass).get("stages", ()):
            owner = owners.get(stage.name)
            if owner is klass:
                raise TypeError(f"{path_of(klass)} has two stages {stage.name!r}: give one of them another name.")
            if (
                owner is not None
                and not _is_framework(owner)
                and (_is_access(klass, stage) or not issubclass(owner, klass))
            ):
                _refuse_lost(cls, owner, klass, stage)
            owners.setdefault(stage.name, klass)


def _refuse_lost(cls: type, owner: type, klass: type, stage: Stage) -> None:
    if not _is_framework(klass) or stage.after is not None or _is_access(klass, stage):
        raise TypeError(
            f"{path_of(cls)}: the stage {stage.name!r} of {klass.__qualname__} would not run, because that of "
            f"{owner.__qualname__} has the same name: give it another name, and `after`."
        )


def _is_access(klass: type, stage: Stage) -> bool:
    return stage.name == _ACCESS and _is_framework(klass)


def _replaced(cls: type) -> Iterator[tuple[str, type]]:
    """Yield the places at which a class of the project has a stage instead of the framework's."""
    owners: dict[str, type] = {}
    for klass in cls.__mro__:
        for stage in vars(klass).get("stages", ()):
            owner = owners.setdefault(stage.name, klass)
            if owner is not klass and not _is_framework(owner) and _is_framework(klass):
                yield stage.name, owner


def refuse_unrun(cls: type, view: type, stages: Iterable[Stage]) -> None:
    """Raise TypeError if an override of ``admit()`` leaves out the view's own, which runs stages of other classes."""
    added = [stage for stage in stages if stage.is_in_admission and stage.after is not None]
    if added and (override := _override_without_super(cls, view, "admit")) is not None:
        raise TypeError(
            f"{path_of(cls)}: the stage {added[0].name!r} would not run, because {override} does not call "
            "`await super().admit(request)`: call it, or let the stage come after 'permit'."
        )


def _override_without_super(cls: type, view: type, hook: str) -> str | None:
    for klass in cls.__mro__[: cls.__mro__.index(view)]:
        function = inspect.unwrap(vars(klass).get(hook, None))
        if getattr(function, "__module__", "").partition(".")[0] in _FRAMEWORK:  # a decorator around the view's own
            continue
        if hasattr(function, "__code__") and hook not in _names_called(function):
            return f"{klass.__qualname__}.{hook}()"
    return None


def _names_called(function: Any, depth: int = 3) -> set[Any]:
    """Return the names in a function, and in those that it closes over, such as a decorated function."""
    names = _names_in(function.__code__)
    for cell in (function.__closure__ or ()) if depth else ():
        try:
            inner = inspect.unwrap(cell.cell_contents)
        except ValueError:  # it is empty: the class is being made
            continue
        if hasattr(inner, "__code__"):
            names |= {*_names_called(inner, depth - 1), inner.__name__} & {*_HOOKS}
    return names


def returns_tuple(function: Any) -> bool:
    """Return True if a function's annotation says that it returns a tuple or a list, as other frameworks' do."""
    try:
        hint = get_type_hints(function).get("return")
    except (NameError, TypeError):
        return False
    return (get_origin(hint) or hint) in {tuple, list}


def _refuse_without_mixin(cls: type, name: str) -> None:
    reader, remedy = _NEED_MIXIN[name]
    if not (reader and hasattr(cls, reader)) and not _is_read(cls, name):
        raise TypeError(f"{path_of(cls)}.{name} would do nothing: name {remedy}.")


def _refuse_uncalled(cls: type, klass: type, name: str) -> None:
    if not (_is_of_framework(cls, name) or _is_read(cls, name)):
        raise TypeError(f"{path_of(klass)}.{name}() would never be called: {_OTHER_HOOKS[name]}.")


def _misspelt(cls: type, name: str, value: Any) -> str | None:
    """Return the name that was meant; None if it resembles none of DAF's."""
    if name.startswith("_") or name in {*_POLICIES, *_HOOKS, *OTHER_NAMES} or _is_of_framework(cls, name):
        return None
    names = _HOOKS if inspect.isroutine(value) else (*_POLICIES, *OTHER_NAMES)
    close = [_SHORT[name]] if name in _SHORT else get_close_matches(name, names, n=1, cutoff=_ALIKE)
    return OTHER_NAMES.get(close[0], f"`{close[0]}`") if close else None


def _own_attributes(cls: type) -> Iterator[tuple[type, str, Any]]:
    for klass in cls.__mro__:
        if not _is_framework(klass):
            for name, value in list(vars(klass).items()):
                yield klass, name, value


def _is_framework(klass: type) -> bool:
    return klass.__module__.partition(".")[0] in _FRAMEWORK


def _is_of_framework(cls: type, name: str) -> bool:
    return any(name in vars(klass) for klass in cls.__mro__ if _is_framework(klass))


def _is_read(cls: type, name: str) -> bool:
    """Return True if the project's own code in classes along the MRO reads an attribute of that name."""
    functions = (value for _, each, value in _own_functions(cls) if each != name)  # it may call its super's
    codes = (getattr(inspect.unwrap(value), "__code__", None) for value in functions)
    return any(name in _names_in(code) for code in codes if code is not None)


def _own_functions(cls: type) -> Iterator[tuple[type, str, Any]]:
    for klass, name, value in _own_attributes(cls):
        if isinstance(value, staticmethod | classmethod):
            yield klass, name, value.__func__
        elif isinstance(value, property) and value.fget is not None:
            yield klass, name, value.fget
        elif inspect.isfunction(value):
            yield klass, name, value


def _names_in(code: CodeType) -> set[Any]:
    """Return the names that code looks up, and its texts: of ``getattr(self, "name")``."""
    names = {*code.co_names, *(each for each in code.co_consts if isinstance(each, str))}
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            names |= _names_in(inner)
    return names


def _signature_text(name: str) -> str:
    return f"write `async def {name}(self, request)`"
