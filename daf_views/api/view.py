"""``AsyncAPIView``: an :class:`~daf_views.views.AsyncView` that takes data and answers with data.

Its order: the method; ``authenticate()``; throttles; permissions; the origin; the body, into ``request.data``; the CSRF
token; services; the claim of an ``Idempotency-Key``; the handler. Until permissions have spoken,
nothing of the body is received, unless something before the view may look at it: a decorator on ``dispatch``, or
middleware that is neither Django's nor ours.
Whatever is raised becomes an RFC 9457 problem within the view, under any handler and middleware.

CSRF: the view is exempt from Django's middleware, which would receive the body of a POST before anything else, and
would turn away every client without cookies. The view makes the checks of :mod:`daf_views.http.csrf` itself, which no
hook that is overridden leaves out: an unsafe request of another site's is refused, one with the session cookie needs
the token. Only ``enforces_csrf = False``, or an ``Authorization`` that no browser sends by itself, is exempt.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import classonlymethod

from daf_views.api.policies import POLICIES, instantiate_policies, prepared
from daf_views.auth.identity import anonymous, is_known, reconcile_user, user_of
from daf_views.errors.boundary import let_out, mark_as_ours
from daf_views.errors.problems import problem_response, response_for, translate
from daf_views.exceptions import APIError, ForbiddenError, MethodNotAllowedError, NotAuthenticatedError
from daf_views.handlers.response import answer, paged, without_content
from daf_views.handlers.signature import refuse_open, signatures_of
from daf_views.http.csrf import check_origin, check_token, needs_check
from daf_views.http.json import encode, refuse_secrets
from daf_views.http.methods import WITHOUT_CONTENT
from daf_views.http.parsers import FormParser, JSONParser, MultiPartParser, Parser, parse_body
from daf_views.http.request import take_body_itself
from daf_views.idempotency.attempt import Attempt, ended
from daf_views.idempotency.policy import IdempotencyKey, refuse_other
from daf_views.throttling.headers import with_limits
from daf_views.views.base import AsyncView
from daf_views.views.dispatch import is_decorated, settled
from daf_views.views.protections import refuse_unasked, returns_tuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from daf_views.auth import Authentication
    from daf_views.handlers.signature import Signature
    from daf_views.pagination import Paginator

_NO_USERS = (tuple, list, bool, HttpResponseBase, BaseException)
"""What other frameworks, and mistakes, return in place of a user."""

_REFUSALS = (tuple, list, HttpResponseBase, BaseException)


@runtime_checkable
class Throttle(Protocol):
    """Counts requests: one object serves all requests of a view, concurrently."""

    async def check(self, request: HttpRequest, view: AsyncAPIView, /) -> None:
        """Count the request. Raise ThrottledError, with ``retry_after``, if it is one too many."""


@runtime_checkable
class Permission(Protocol):
    """Says who may: one object serves all requests of a view, concurrently."""

    async def has_permission(self, request: HttpRequest, view: AsyncAPIView, /) -> bool:
        """Return whether the request is allowed. If not, it is answered 403, with the permission's ``message``, if any.

        May raise an APIError of its own instead.
        """


class AsyncAPIView(AsyncView):
    """A view that takes JSON and forms in ``request.data``, and answers with ``self.success(data)``.

    ``throttles``, ``permissions`` and ``parsers`` hold classes or instances; a class is instantiated once, when the
    view class is made (or by ``as_view()``, for those given there).
    """

    authentication: Sequence[Authentication | type[Authentication]] = ()
    """:class:`~daf_views.auth.Authentication` that is asked in turn who the request is from. Without any, it
    is whom middleware has found out."""
    throttle: Throttle | type[Throttle] | None = None
    """One :class:`Throttle`, asked before ``throttles``."""
    throttles: Sequence[Throttle | type[Throttle]] = ()
    permissions: Sequence[Permission | type[Permission]] = ()
    parsers: Sequence[Parser | type[Parser]] = (JSONParser, FormParser, MultiPartParser)
    pagination: Paginator | type[Paginator] | None = None
    """A paginator of :mod:`daf_views.pagination`, for :meth:`paginate`, and for querysets that a handler returns which
    is annotated with a list."""
    enforces_csrf: bool = True
    """False only where nothing that browsers send by themselves authenticates anybody, and nobody logs in."""
    idempotency: IdempotencyKey | None = None
    """What makes a request that is sent again with the same ``Idempotency-Key`` have no second effect."""

    _hooks = (*AsyncView._hooks, "authenticate")  # noqa: SLF001 - our parent's
    _not_asked = ()
    _shapes: ClassVar[Mapping[str, int]] = {**AsyncView._shapes, "authenticate": 1}  # noqa: SLF001 - our parent's
    _remedy = (
        "Return self.success(data), or say what the handler returns, as in `-> list[BookOut]`, by an annotation that "
        "is known when the module is run."
    )
    _is_counted = False
    _is_proven = False
    """Whether the request has a proof that no browser sends by itself."""
    handler_signatures: ClassVar[Mapping[str, Signature]] = {}
    """By method, what those handlers take and answer whose annotations say so; read when the class is made."""
    _arguments: Mapping[str, Any] | None = None
    _attempt: Attempt | None = None
    _response_headers: dict[str, str] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        instantiate_policies(cls)
        cls.handler_signatures = signatures_of(cls)
        refuse_other(cls, cls.idempotency)
        refuse_unasked(cls, AsyncAPIView, "admit", ("permissions", "authentication"))
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

    async def authenticate(self, request: HttpRequest) -> Any:
        """Return the user that the request proves to be from, who becomes ``request.user``; None leaves that as it is.

        Asks ``authentication``. Raises NotAuthenticatedError for a proof that is none. Comes before throttles, which
        may count by user.
        """
        each: Any  # an instance, once the class is made
        for each in self.authentication:
            if (user := await each.authenticate(request)) is not None:
                self._is_proven = not each.is_sent_by_browsers
                return user
        return anonymous() if self.authentication else None

    @property
    def response_headers(self) -> dict[str, str]:
        """Headers of what becomes of the data that a handler returns: ``self.response_headers["Location"] = url``.

        A response that it returns, and an error, have their own.
        """
        if self._response_headers is None:
            self._response_headers = {}
        return self._response_headers

    def success(self, data: Any = None, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """Return ``data`` as JSON. With status 204 or 205 there is none.

        Raises TypeError for what :mod:`daf_views.http.json` cannot encode, ValueError for NaN.
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

    async def admit(self, request: HttpRequest) -> None:
        """Authenticate, count, and ask the permissions, in this order. A request with a wrong proof is counted, too."""
        reconcile_user(request)
        try:
            user = await self.authenticate(request)
        except NotAuthenticatedError:
            await self._count(request)  # a guess counts, too
            raise
        if user is not None:
            _log_in(request, _checked_user(self, user))
        await self._count(request)
        permission: Any
        for permission in self.permissions:
            if not _answer_of(permission, await permission.has_permission(request, self)):
                raise await self._denied(request, permission)

    async def check_object_permissions(self, request: HttpRequest, obj: Any) -> None:
        """Ask the permissions for one object. Raises as :meth:`admit` does if one of them says no."""
        for permission in self.permissions:
            check = getattr(permission, "has_object_permission", None)
            if check is not None and not _answer_of(permission, await check(request, self, obj)):
                raise await self._denied(request, permission)

    async def _denied(self, request: HttpRequest, permission: Any) -> APIError:
        """Return a 401 for nobody, if there is a way to prove who one is; otherwise a 403."""
        message = getattr(permission, "message", None)
        challenges = ", ".join(each.challenge for each in self.authentication)
        if challenges and not is_known(await user_of(request)):
            return NotAuthenticatedError(message, challenge=challenges)
        return ForbiddenError(message)

    async def receive(self, request: HttpRequest) -> None:
        """Parse the body into ``request.data``."""
        parsers: Any = self.parsers
        data = None if request.method in WITHOUT_CONTENT else await parse_body(request, parsers)
        request.data = data  # type: ignore[attr-defined] # what we add to it

    async def _respond(self) -> HttpResponseBase:
        response = await ended(super()._respond(), lambda: self._attempt)
        return with_limits(response, self.request)

    async def _count(self, request: HttpRequest) -> None:
        self._is_counted = True
        throttle: Any
        for throttle in (self.throttle, *self.throttles):
            if throttle is not None:
                _expect_nothing(throttle, await throttle.check(request, self))

    async def _check_before_body(self, request: HttpRequest) -> None:
        if not self._is_counted:  # an admit() of its own has not called ours
            await self._count(request)
        if self._needs_check(request):
            check_origin(request)
        if self.idempotency is not None:
            signature = self._signature(request)
            declared = [] if signature is None else signature.beside_body(request)
            self._attempt = await self.idempotency.attempt(request, self, declared)

    def _needs_check(self, request: HttpRequest) -> bool:
        return self.enforces_csrf and not self._is_proven and needs_check(request)

    async def _check_after_body(self, request: HttpRequest) -> None:
        if self._needs_check(request):
            await check_token(request)
        if (signature := self._signature(request)) is not None:
            plan = signature.plan(self.kwargs)
            take = plan.arguments if plan.is_quick(request) else sync_to_async(plan.arguments, thread_sensitive=False)
            others = self._names_of_pages() if plan.takes_unknown else ()
            self._arguments = await settled(take(request, self.kwargs, others))

    def _names_of_pages(self) -> list[str]:
        """Return the names in the query that the paginator reads."""
        paginator: Any = self.pagination
        return [each.name for each in paginator.parameters()] if paginator is not None else []

    def _signature(self, request: HttpRequest) -> Signature | None:
        name = (request.method or "").lower()
        return self.handler_signatures.get("get" if name == "head" and not hasattr(type(self), "head") else name)

    def _handler(self, request: HttpRequest) -> Any:
        handler = super()._handler(request)
        if handler is None or (signature := self._signature(request)) is None:
            return handler

        async def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            arguments = kwargs if self._arguments is None else self._arguments
            value = await settled(handler(request, *args, **arguments))
            if isinstance(value, HttpResponseBase):
                return value
            return self._with_headers(await self._answer(signature, value))

        return answered

    async def _answer(self, signature: Signature, value: Any) -> Any:
        paginator: Any = self.pagination
        if paginator is not None and isinstance(value, QuerySet) and signature.answers_list:
            refuse_secrets(value)
            return paged(signature, await paginator.paginate(self.request, value))
        return await answer(signature, value)

    def _with_headers(self, response: Any) -> Any:
        if isinstance(response, HttpResponseBase):
            for name, value in (self._response_headers or {}).items():
                response.headers[name] = value
        return response

    async def _run(self, aliases: list[str], work: Callable[[], Awaitable[HttpResponseBase]]) -> HttpResponseBase:
        if self._attempt is None:
            return await super()._run(aliases, work)
        return await self._attempt.run(aliases, work)

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

        A bug is raised again where a handler has called the view: ``process_exception`` of middleware hears of it, as
        with any view, before it is answered with a problem.
        """
        if self.request.resolver_match is not None and translate(exc) is None:
            let_out(self.request, exc, lambda response: with_limits(response, self.request))
            raise exc
        return await response_for(self.request, exc)


def _expect_nothing(throttle: Any, answer: Any) -> None:
    if answer is not None:
        raise TypeError(
            f"{type(throttle).__qualname__}.check() returned {answer!r}, which nobody asks for: raise ThrottledError "
            "to refuse a request."
        )


def _answer_of(permission: Any, answer: Any) -> Any:
    """Return a permission's answer. Raise TypeError for what counts as true and was meant as a refusal."""
    if not inspect.isawaitable(answer) and not isinstance(answer, _REFUSALS):
        return answer
    if inspect.iscoroutine(answer):
        answer.close()
    remedy = "write `return await …`" if inspect.isawaitable(answer) else "return False, or raise an APIError"
    raise TypeError(
        f"{type(permission).__qualname__}.has_permission() returned a {type(answer).__name__}, which counts as true: "
        f"{remedy}."
    )


def _checked_user(view: AsyncAPIView, user: Any) -> Any:
    if isinstance(user, _NO_USERS):
        raise TypeError(
            f"authenticate() of {type(view).__qualname__}, or of its `authentication`, returned a "
            f"{type(user).__name__}, which would count as an authenticated user: return the user alone, or None."
        )
    return user


def _log_in(request: HttpRequest, user: Any) -> None:
    async def auser() -> Any:
        return user

    request.user = user
    request.auser = auser
    if is_known(user):
        request.proven_user = user  # type: ignore[attr-defined] # for keys of throttles: it may be no user of Django's


instantiate_policies(AsyncAPIView)  # __init_subclass__ is not called for the class itself
