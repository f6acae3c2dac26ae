"""``AsyncAPIView``: an :class:`~daf_views.views.AsyncView` that takes data and answers with data.

Its stages are those of :mod:`daf_views.views.pipeline`, in that order. The body is received only after permissions
have been checked. The exception is a decorator on ``dispatch``, or middleware that is neither Django's nor DAF's:
either may look at the body first. Every exception becomes an RFC 9457 problem within the view, under any handler and
middleware.

CSRF: the view is exempt from Django's middleware, which would receive the body of a POST before anything else, and
would reject every client without cookies. The view makes the checks of :mod:`daf_views.http.csrf` itself; overriding
a hook does not skip them. A cross-site unsafe request is refused, and one with the session cookie needs the token.
Exempt are views with ``enforces_csrf = False``, and requests with an ``Authorization`` header that browsers do not
send automatically.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import classonlymethod

from daf_views._core.description import describe
from daf_views.api.csrf_checks import CSRFChecks
from daf_views.api.policies import POLICIES, instantiate_policies, prepared
from daf_views.api.typed_handlers import TypedHandlers
from daf_views.errors.boundary import let_out, mark_as_ours
from daf_views.errors.problems import problem_response, response_for, translate
from daf_views.exceptions import MethodNotAllowedError
from daf_views.handlers.response import without_content
from daf_views.handlers.signature import refuse_open
from daf_views.http.json import encode
from daf_views.http.methods import WITHOUT_CONTENT
from daf_views.http.parsers import FormParser, JSONParser, MultiPartParser, Parser, parse_body
from daf_views.http.request import take_body_itself
from daf_views.idempotency.policy import refuse_other
from daf_views.idempotency.view import IdempotentView
from daf_views.views.base import AsyncView
from daf_views.views.dispatch import is_decorated
from daf_views.views.pipeline import Stage
from daf_views.views.protections import returns_tuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from daf_views._core.description import Description


class AsyncAPIView(CSRFChecks, TypedHandlers, IdempotentView, AsyncView):
    """A view that takes JSON and forms in ``request.data``, and answers with ``self.success(data)``.

    ``throttles``, ``permissions`` and ``parsers`` hold classes or instances; a class is instantiated once, when the
    view class is made (or by ``as_view()``, for those given there).
    """

    parsers: Sequence[Parser | type[Parser]] = (JSONParser, FormParser, MultiPartParser)
    _hooks = (*AsyncView._hooks, "authenticate")  # noqa: SLF001 - our parent's
    _not_asked = ()
    _answers_problems = True
    _shapes: ClassVar[Mapping[str, int]] = {**AsyncView._shapes, "authenticate": 1}  # noqa: SLF001 - our parent's
    _remedy = (
        "Return self.success(data), or annotate the handler with the type it returns, as in `-> list[BookOut]`; the "
        "type must be imported when the module is run, not under TYPE_CHECKING."
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        instantiate_policies(cls)
        if returns_tuple(cls.authenticate):
            raise TypeError(f"{cls.__qualname__}.authenticate() returns a tuple or a list: return the user, or None.")

    @classonlymethod
    def as_view(cls, **initkwargs: Any) -> Any:  # noqa: N805 - a class method
        """Return the view for a URLconf, a coroutine function."""
        given = {name: value for name, value in initkwargs.items() if name in POLICIES}
        refuse_other(cls, initkwargs.get("idempotency"))
        refuse_open(cls)
        view = super().as_view(**initkwargs | prepared(cls, given))
        if not is_decorated(cls):
            take_body_itself(view)
        view.csrf_exempt = True  # see the module's docstring
        mark_as_ours(view, is_api=True)
        return view

    def success(self, data: Any = None, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """Return ``data`` as JSON. With status 204 or 205 there is none.

        Raises TypeError for values that :mod:`daf_views.http.json` cannot encode, ValueError for NaN.
        """
        if status in {204, 205}:
            return without_content(status, headers)
        return HttpResponse(encode(data), status=status, content_type="application/json", headers=headers)

    def error(self, message: str, status: int = 400, **members: Any) -> HttpResponse:
        """Return a problem (RFC 9457) whose detail is ``message``; ``members`` are further members of it."""
        return problem_response(status, detail=message, **members)

    async def paginate(self, queryset: Any, shape: Callable[[Any], Any] | None = None) -> HttpResponse:
        """Return the page of a queryset that the request asks for, each row as ``shape`` makes it, with its links."""
        if self.pagination is None:
            raise TypeError(f"{type(self).__qualname__} has no paginator: `pagination = PageNumberPagination(…)`.")
        paginator: Any = self.pagination
        page = await paginator.paginate(self.request, queryset)
        return self.success(page.body(shape), headers=page.headers)

    async def receive(self, request: HttpRequest) -> None:
        """Parse the body into ``request.data``."""
        parsers: Any = self.parsers
        data = None if request.method in WITHOUT_CONTENT else await parse_body(request, parsers)
        request.data = data  # type: ignore[attr-defined] # DAF adds it

    def _describe_body(self, operation: Description) -> None:
        if operation.method not in WITHOUT_CONTENT:
            operation.add_status(400, 408, 413, 415)
            for parser in self.parsers:
                describe(parser, operation, Parser.describe)

    stages: ClassVar[Sequence[Stage]] = (Stage(name="media types", after="body", describe=_describe_body),)

    async def http_method_not_allowed(  # type: ignore[override]
        self,
        request: HttpRequest,
        *args: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> HttpResponseBase:
        """Answer 405 with the methods that are allowed."""
        return await response_for(request, MethodNotAllowedError(allowed=self.allowed_methods()))

    async def handle_exception(self, exc: Exception) -> HttpResponseBase:
        """Return the problem that an exception is.

        A bug is raised again where a handler has called the view: ``process_exception`` of middleware sees it, as
        with any view, before it is answered with a problem.
        """
        if self.request.resolver_match is not None and translate(exc) is None:
            let_out(self.request, exc, self._completed)
            raise exc
        return await response_for(self.request, exc)


instantiate_policies(AsyncAPIView)  # __init_subclass__ is not called for the class itself
