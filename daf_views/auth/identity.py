"""Who a request is from, as far as middleware or an authentication has found out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured

from daf_views._django.requests import has_loaded_user, set_loaded_user

if TYPE_CHECKING:
    from django.http import HttpRequest


def is_known(user: Any) -> bool:
    """Whether it is anybody: of users that are none of Django's, every one."""
    return bool(user) and bool(getattr(user, "is_authenticated", True))


async def user_of(request: HttpRequest) -> Any:
    """Return the request's user, an AnonymousUser for nobody. Raises ImproperlyConfigured where nothing says who."""
    auser: Any = getattr(request, "auser", None)
    if auser is None:
        raise ImproperlyConfigured(
            "Nothing says whose request this is: put AuthenticationMiddleware into MIDDLEWARE, or give the view its "
            "`authentication`."
        )
    return await auser()


async def known_user_of(request: HttpRequest) -> Any:
    """Return who is known to have sent a request, whatever has found that out; None if nobody knows."""
    if (proven := getattr(request, "proven_user", None)) is not None:  # by authenticate(), whatever else it has
        return proven
    if hasattr(request, "auser"):
        someone = await request.auser()
    elif hasattr(request, "user"):
        someone = await sync_to_async(lambda: request.user)()
    else:
        return None
    return someone if getattr(someone, "is_authenticated", False) else None


async def load_user(request: HttpRequest) -> None:
    """Load the user for ``request.auser()`` and for ``request.user``, which may then be read on the event loop."""
    user = await request.auser()
    if not has_loaded_user(request):
        set_loaded_user(request, user)
