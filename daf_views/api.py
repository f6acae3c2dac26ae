"""``AsyncAPIView``: an :class:`~daf_views.views.AsyncView` that takes data and answers with data.

Its order: the method; ``authenticate()``; throttles; permissions; services; the body, into ``request.data``; CSRF; the
handler. Until permissions have spoken, nothing of the body is received. Whatever is raised becomes an RFC 9457 problem
within the view, under any handler and middleware.

CSRF: the view is exempt from Django's middleware, which would receive the body of a POST before anything else, and
would turn away every client without cookies. Instead, the view itself makes the same check whenever an unsafe request
carries the session cookie, which is what a browser would send along for an attacker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.decorators import classonlymethod

from daf_orm import database_sync_to_async
from daf_views.encoding import encode
from daf_views.exceptions import ForbiddenError, MethodNotAllowedError
from daf_views.parsers import METHODS_WITHOUT_CONTENT, FormParser, JSONParser, MultiPartParser, parse_body
from daf_views.problems import problem_response, response_for
from daf_views.views import AsyncView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.http.response import HttpResponseBase


@runtime_checkable
class Throttle(Protocol):
    """Counts requests: one object serves all requests of a view, concurrently."""

    async def check(self, request: HttpRequest, view: AsyncAPIView) -> None:
        """Count the request. Raise ThrottledError, with ``retry_after``, if it is one too many."""


@runtime_checkable
class Permission(Protocol):
    """Says who may: one object serves all requests of a view, concurrently."""

    async def has_permission(self, request: HttpRequest, view: AsyncAPIView) -> bool:
        """Return whether the request is allowed. If not, it is answered 403, with the permission's ``message``, if any.

        May raise an APIError of its own instead.
        """


class AsyncAPIView(AsyncView):
    """A view that takes JSON and forms in ``request.data``, and answers with ``self.success(data)``.

    ``throttles``, ``permissions`` and ``parsers`` hold classes or instances; a class is instantiated once, when the
    view class is made (or by ``as_view()``, for those given there).
    """

    throttle: Any = None
    """One :class:`Throttle`, asked before ``throttles``."""
    throttles: Sequence[Any] = ()
    permissions: Sequence[Any] = ()
    parsers: Sequence[Any] = (JSONParser, FormParser, MultiPartParser)
    enforces_csrf: bool = True
    """False only where the session cookie authenticates nobody."""

    defers_body: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, prepared in _prepared(cls, {name: vars(cls)[name] for name in _PLUGS if name in vars(cls)}).items():
            setattr(cls, name, prepared)

    @classonlymethod
    def as_view(cls, **initkwargs: Any) -> Any:  # noqa: N805 - a class method
        """Return the view for a URLconf, a coroutine function."""
        given = {name: value for name, value in initkwargs.items() if name in _PLUGS}
        view = super().as_view(**initkwargs | _prepared(cls, given))
        view.defers_body = True
        view.csrf_exempt = True  # see the module's docstring
        return view

    async def authenticate(self, request: HttpRequest) -> Any:
        """Return the user that the request proves to be from, who becomes ``request.user``; None leaves that as it is.

        Raise NotAuthenticatedError for a proof that is none. Comes before throttles, which may count by user.
        """

    def success(self, data: Any = None, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """Return ``data`` as JSON. With status 204 or 205 there is none.

        Raises TypeError for what :mod:`daf_views.encoding` cannot encode, ValueError for NaN.
        """
        if status in {204, 205}:
            response = HttpResponse(status=status, headers=headers)
            response.headers.pop("Content-Type", None)
            return response
        return HttpResponse(encode(data), status=status, content_type="application/json", headers=headers)

    def error(self, message: str, status: int = 400, **members: Any) -> HttpResponse:
        """Return a problem (RFC 9457) whose detail is ``message``; ``members`` are further members of it."""
        return problem_response(status, detail=message, **members)

    async def admit(self, request: HttpRequest) -> None:
        """Authenticate, count, and ask the permissions, in this order."""
        if (user := await self.authenticate(request)) is not None:
            _log_in(request, user)
        for throttle in (self.throttle, *self.throttles):
            if throttle is not None:
                await throttle.check(request, self)
        for permission in self.permissions:
            if not await permission.has_permission(request, self):
                raise ForbiddenError(getattr(permission, "message", None))

    async def receive(self, request: HttpRequest) -> None:
        """Parse the body into ``request.data``, and check what a browser may have been made to send."""
        data = None if request.method in METHODS_WITHOUT_CONTENT else await parse_body(request, self.parsers)
        request.data = data  # type: ignore[attr-defined] # what we add to it
        if self.enforces_csrf and settings.SESSION_COOKIE_NAME in request.COOKIES:
            await _check_csrf(request)

    async def http_method_not_allowed(  # type: ignore[override]
        self,
        request: HttpRequest,
        *args: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> HttpResponseBase:
        """Answer 405 with the methods that are allowed."""
        return await response_for(request, MethodNotAllowedError(allowed=self.allowed_methods()))

    async def handle_exception(self, exc: Exception) -> HttpResponseBase:
        """Return the problem that an exception is."""
        return await response_for(self.request, exc)


_PLUGS: Mapping[str, str] = {
    "throttle": "check",
    "throttles": "check",
    "permissions": "has_permission",
    "parsers": "parse",
}
"""Attributes that hold plugs, and the coroutine method that each must have."""


def _prepared(cls: type, plugs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes with instances in place of classes. Raise TypeError for what has not the method."""
    return {
        name: _plug(cls, name, value) if name == "throttle" else tuple(_plug(cls, name, each) for each in value)
        for name, value in plugs.items()
    }


def _plug(cls: type, name: str, value: Any) -> Any:
    if value is None and name == "throttle":
        return None
    plug = value() if isinstance(value, type) else value
    if not iscoroutinefunction(getattr(plug, _PLUGS[name], None)):
        raise TypeError(f"{cls.__qualname__}.{name} has {value!r}, which has no `async def {_PLUGS[name]}(…)`.")
    return plug


def _log_in(request: HttpRequest, user: Any) -> None:
    async def auser() -> Any:
        return user

    request.user = user
    request.auser = auser


class _CsrfCheck(CsrfViewMiddleware):
    """Django's check, told rather than answered: a private method of Django's, and this is its one place."""

    def _reject(self, request: HttpRequest, reason: str) -> Any:  # noqa: ARG002
        raise ForbiddenError(f"CSRF check failed: {reason}", code="csrf_failed")


def _no_view(request: HttpRequest) -> Any:
    """Stand for a view that is not exempt."""


async def _check_csrf(request: HttpRequest) -> None:
    """Check as Django's middleware does; the body has been parsed, so its token field is at hand."""
    check = _CsrfCheck(_no_view).process_view
    if settings.CSRF_USE_SESSIONS:  # loads the session
        await database_sync_to_async(check)(request, _no_view, (), {})
    else:
        check(request, _no_view, (), {})


# The class itself, too, has plugs to make instances of.
AsyncAPIView.parsers = _prepared(AsyncAPIView, {"parsers": AsyncAPIView.parsers})["parsers"]
