"""``request.user``, ``request.auser`` and the login that views need, without a thread."""

from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware as _AuthenticationMiddleware
from django.contrib.auth.middleware import LoginRequiredMiddleware as _LoginRequiredMiddleware
from django.contrib.auth.middleware import auser, get_user
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from daf_orm import database_sync_to_async
from daf_views._django.requests import is_unevaluated, set_loaded_user
from daf_views.middleware.base import InlineMixin


class LazyUser(SimpleLazyObject):  # type: ignore[type-arg] # not generic when it runs
    """The lazy user of :class:`AuthenticationMiddleware`, distinguished from a user that other code has set."""


class AuthenticationMiddleware(InlineMixin, _AuthenticationMiddleware):
    """Django's own. Nothing is loaded until the user is read; async code awaits ``request.auser()``."""

    def process_request(self, request: HttpRequest) -> None:
        """Give the request a lazy user."""
        super().process_request(request)
        request.user = LazyUser(lambda: get_user(request))  # type: ignore[assignment] # as lazy as Django's own


class LoginRequiredMiddleware(InlineMixin, _LoginRequiredMiddleware):
    """Loads the user through async methods; a user that has been loaded already costs nothing.

    Like Django's, it decides by ``request.user``, which the view may use afterwards without a query.
    """

    async def aprocess_view(self, request: HttpRequest, view_func: Any, view_args: Any, view_kwargs: Any) -> Any:
        """Redirect unauthenticated requests to the login page."""
        decide = super().process_view
        if not getattr(view_func, "login_required", True):
            return None
        if is_unevaluated(request.user, LazyUser):
            set_loaded_user(request, await auser(request))  # not request.auser, which may be another middleware's
        elif is_unevaluated(request.user, SimpleLazyObject):  # set by other middleware: it may block
            return await database_sync_to_async(decide)(request, view_func, view_args, view_kwargs)
        return decide(request, view_func, view_args, view_kwargs)
