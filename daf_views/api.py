"""``AsyncAPIView``: an :class:`~daf_views.views.AsyncView` that takes data and answers with data.

Its order: the method; ``authenticate()``; throttles; permissions; the origin; services; the body, into
``request.data``; the CSRF token; the handler. Until permissions have spoken, nothing of the body is received, unless
something before the view may look at it: a decorator on ``dispatch``, or middleware that is neither Django's nor ours.
Whatever is raised becomes an RFC 9457 problem within the view, under any handler and middleware.

CSRF: the view is exempt from Django's middleware, which would receive the body of a POST before anything else, and
would turn away every client without cookies. The view makes the checks of :mod:`daf_views.cross_site` itself, which no
hook that is overridden leaves out: an unsafe request of another site's is refused, one with the session cookie needs
the token. Only ``enforces_csrf = False``, or an ``Authorization`` that no browser sends by itself, is exempt.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from django.http import HttpRequest, HttpResponse
from django.utils.decorators import classonlymethod

from daf_views.cross_site import check_origin, check_token, needs_check
from daf_views.dispatching import is_decorated
from daf_views.encoding import encode
from daf_views.exceptions import ForbiddenError, MethodNotAllowedError
from daf_views.parsers import METHODS_WITHOUT_CONTENT, FormParser, JSONParser, MultiPartParser, parse_body
from daf_views.plugs import PLUGS, plug_in, prepared
from daf_views.problems import problem_response, response_for
from daf_views.requests import take_body_itself
from daf_views.throttling.headers import with_limits
from daf_views.views import AsyncView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
    pagination: Any = None
    """A paginator of :mod:`daf_views.pagination`, for :meth:`paginate`."""
    enforces_csrf: bool = True
    """False only where nothing that browsers send by themselves authenticates anybody, and nobody logs in."""

    _hooks = (*AsyncView._hooks, "authenticate")  # noqa: SLF001 - our parent's
    _not_asked = ()
    _is_counted = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        plug_in(cls)

    @classonlymethod
    def as_view(cls, **initkwargs: Any) -> Any:  # noqa: N805 - a class method
        """Return the view for a URLconf, a coroutine function."""
        given = {name: value for name, value in initkwargs.items() if name in PLUGS}
        view = super().as_view(**initkwargs | prepared(cls, given))
        if not is_decorated(cls):
            take_body_itself(view)
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

    async def paginate(self, queryset: Any, shape: Callable[[Any], Any] | None = None) -> HttpResponse:
        """Return the page of a queryset that the request asks for, each row as ``shape`` makes it, with its links."""
        if self.pagination is None:
            raise TypeError(f"{type(self).__qualname__} has no paginator: `pagination = PageNumberPagination(…)`.")
        page = await self.pagination.paginate(self.request, queryset)
        return self.success(page.body(shape), headers=page.headers)

    async def admit(self, request: HttpRequest) -> None:
        """Authenticate, count, and ask the permissions, in this order."""
        if (user := await self.authenticate(request)) is not None:
            _log_in(request, user)
        await self._count(request)
        for permission in self.permissions:
            if not _answer_of(permission, await permission.has_permission(request, self)):
                raise ForbiddenError(getattr(permission, "message", None))

    async def receive(self, request: HttpRequest) -> None:
        """Parse the body into ``request.data``."""
        data = None if request.method in METHODS_WITHOUT_CONTENT else await parse_body(request, self.parsers)
        request.data = data  # type: ignore[attr-defined] # what we add to it

    async def _respond(self) -> HttpResponseBase:
        return with_limits(await super()._respond(), self.request)

    async def _count(self, request: HttpRequest) -> None:
        self._is_counted = True
        for throttle in (self.throttle, *self.throttles):
            if throttle is not None:
                _expect_nothing(throttle, await throttle.check(request, self))

    async def _check_before_body(self, request: HttpRequest) -> None:
        if not self._is_counted:  # an admit() of its own has not called ours
            await self._count(request)
        if self.enforces_csrf and needs_check(request):
            check_origin(request)

    async def _check_after_body(self, request: HttpRequest) -> None:
        if self.enforces_csrf and needs_check(request):
            await check_token(request)

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


def _expect_nothing(throttle: Any, answer: Any) -> None:
    if answer is not None:
        raise TypeError(
            f"{type(throttle).__qualname__}.check() returned {answer!r}, which nobody asks for: raise ThrottledError "
            "to refuse a request."
        )


def _answer_of(permission: Any, answer: Any) -> Any:
    if not inspect.isawaitable(answer):
        return answer
    if inspect.iscoroutine(answer):
        answer.close()
    raise TypeError(
        f"{type(permission).__qualname__}.has_permission() returned something to await, which counts as true: "
        "write `return await …`."
    )


def _log_in(request: HttpRequest, user: Any) -> None:
    async def auser() -> Any:
        return user

    request.user = user
    request.auser = auser
    request.proven_user = user  # type: ignore[attr-defined] # for keys of throttles: it may be no user of Django's


plug_in(AsyncAPIView)  # __init_subclass__ is not called for the class itself
