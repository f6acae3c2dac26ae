"""The user of a request, as middleware or an authentication has set it.

``AuthenticationMiddleware`` gives a request a lazy ``user`` and an ``auser()``, which say the same. Other code sets one
of them: a token's middleware, a check of a second factor that takes the user away. The one that was set counts. If
both were set and differ, the unauthenticated one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import SimpleLazyObject

from daf_orm import database_sync_to_async
from daf_views._django.requests import has_loaded_user, is_of_auth_middleware, is_unevaluated, set_loaded_user
from daf_views.auth.decisions import described, is_no_decision

if TYPE_CHECKING:
    from django.http import HttpRequest

_AUTH_MIDDLEWARE = "django.contrib.auth.middleware"
_MISSING: Any = object()


def is_known(user: Any) -> bool:
    """Return True if the user is authenticated. A user object that is not Django's always is."""
    return bool(user) and _has_flag(user, "is_authenticated", default=True)


def is_active(user: Any) -> bool:
    """Return True if the user is active. A user object that does not say always is."""
    return _has_flag(user, "is_active", default=True)


def is_staff(user: Any) -> bool:
    """Return True if the user is an active member of staff."""
    return _has_flag(user, "is_active", default=False) and _has_flag(user, "is_staff", default=False)


def _has_flag(user: Any, name: str, *, default: bool) -> bool:
    """Return a flag of a user, of a row of ``values()`` by its key.

    Raise TypeError for one that is no decision: a method would count as true.
    """
    flag = user.get(name, default) if isinstance(user, Mapping) else getattr(user, name, default)
    if is_no_decision(flag):
        raise TypeError(
            f"{type(user).__qualname__}.{name} is {described(flag)}, which counts as true: make it a property, "
            "or an attribute that is True or False."
        )
    return bool(flag)


def anonymous() -> Any:
    """Return Django's user for an unauthenticated request."""
    from django.contrib.auth.models import AnonymousUser  # noqa: PLC0415 - its module has models, which need their app

    return AnonymousUser()


async def user_of(request: HttpRequest) -> Any:
    """Return the request's user, an AnonymousUser if it is unauthenticated. Raises ImproperlyConfigured without both.

    Both are ``request.user`` and ``request.auser()``.
    """
    user: Any = getattr(request, "user", _MISSING)
    auser: Any = getattr(request, "auser", None)
    if user is _MISSING and auser is None:
        raise ImproperlyConfigured(
            "The request has no user: put AuthenticationMiddleware into MIDDLEWARE, or give the view its "
            "`authentication`."
        )
    if auser is not None and (user is _MISSING or is_of_auth_middleware(user)):
        return await auser() or anonymous()
    user = await _loaded(user)
    if is_known(user) and auser is not None and not _is_djangos(auser):
        other = await auser()
        user = user if is_known(other) else other
    return user if user is not None else anonymous()


async def known_user_of(request: HttpRequest) -> Any:
    """Return the authenticated user of a request, from any source; None if there is none."""
    if (proven := getattr(request, "proven_user", None)) is not None:  # by authenticate(), whatever else it has
        return proven
    if not (hasattr(request, "auser") or hasattr(request, "user")):
        return None
    someone = await user_of(request)
    return someone if hasattr(someone, "is_authenticated") and is_known(someone) else None


def reconcile_user(request: HttpRequest) -> None:
    """Let ``request.auser()`` return the user that counts, if other code has set ``request.user``. Loads nothing."""
    user, auser = getattr(request, "user", _MISSING), getattr(request, "auser", None)
    if user is _MISSING or is_of_auth_middleware(user) or (auser is not None and not _is_djangos(auser)):
        return

    async def said() -> Any:
        found = await _loaded(user)
        return found if found is not None else anonymous()

    request.auser = said


async def load_user(request: HttpRequest) -> Any:
    """Load the user for ``request.auser()`` and for ``request.user``, which may then be read on the event loop."""
    reconcile_user(request)
    user = await user_of(request)
    if not has_loaded_user(request):
        set_loaded_user(request, user)
    return user


async def _loaded(user: Any) -> Any:
    """Return the user; a lazy one is evaluated on a worker thread, because it may query."""
    if is_unevaluated(user, SimpleLazyObject):
        await database_sync_to_async(bool)(user)
    return user


def _is_djangos(auser: Any) -> bool:
    return getattr(getattr(auser, "func", None), "__module__", None) == _AUTH_MIDDLEWARE
