"""The ASGI application: Django's own handler, without its thread, connection and temporary file per request.

It differs from :class:`django.core.handlers.asgi.ASGIHandler` in these: threads (:mod:`daf_views.asgi.executors`);
signals and closing (:mod:`daf_views.asgi.request_cycle`); the body and the client that disconnects
(:mod:`daf_views.asgi.receiver`). Also limits (:mod:`daf_views.asgi.limiter`), and startup and shutdown
(:mod:`daf_views.asgi.lifespan`). Everything else is Django's.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

import django
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.http import FileResponse
from django.http.response import HttpResponseBase
from django.urls import Resolver404, ResolverMatch, get_resolver, set_script_prefix
from django.urls import get_script_prefix as get_current_prefix
from django.utils.module_loading import import_string

from daf_orm import PoolClosed, PoolTimeout, TooManyRequests
from daf_orm.owners import Ownership
from daf_views._core.callables import is_async
from daf_views._core.cancellation import shielded
from daf_views._core.own_context import InOwnContext
from daf_views._django.executors import context_without_returned_callers
from daf_views._django.handlers import call_of_django, resolve_request_of_django
from daf_views._django.requests import AsyncRequest
from daf_views._django.responses import iterator_of
from daf_views.asgi import lifespan, metrics, request_cycle
from daf_views.asgi.executors import enter_request_threads, leave_request_threads
from daf_views.asgi.limiter import InFlightLimiter
from daf_views.asgi.receiver import Receiver
from daf_views.asgi.routes import Routes
from daf_views.errors.problems import response_for
from daf_views.exceptions import APIError, ServiceUnavailableError
from daf_views.http.request import UnreceivedBody, load_body, takes_body_itself
from daf_views.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, MutableMapping

    from django.core.handlers.asgi import ASGIRequest
    from django.http import HttpRequest

    Receive = Callable[[], Awaitable[Mapping[str, Any]]]
    Send = Callable[[Mapping[str, Any]], Awaitable[None]]

logger = logging.getLogger("daf_views")

_CALL = call_of_django()
_RESOLVE_REQUEST = resolve_request_of_django()
_OVERLOAD = (PoolTimeout, TooManyRequests, PoolClosed)
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_DJANGOS_CSRF = "django.middleware.csrf.CsrfViewMiddleware"
_LENGTH_HEADERS = frozenset({b"content-length", b"transfer-encoding"})
_KNOWN_TO_LEAVE_BODY = ("django.", "daf_views.")
"""Modules whose middleware looks at no body before the view is known. Others get the body first."""
_NO_LIFESPAN = (
    "The server does not support the ASGI lifespan protocol (Daphne does not): startup and shutdown hooks do not run, "
    "and work in progress is not waited for when it stops."
)


def get_asgi_application() -> AsyncHandler:
    """Return the ASGI application of the project. Use it where Django's ``get_asgi_application()`` stood."""
    django.setup(set_prefix=False)
    return AsyncHandler()


class AsyncHandler(ASGIHandler):
    """Answers HTTP requests, and speaks the lifespan protocol.

    A ``request_class`` that is not an ``AsyncRequest`` gets its body before it is made.
    """

    request_class: type[Any] = AsyncRequest

    _view_middleware: list[Any] | None
    _template_response_middleware: list[Any] | None
    _exception_middleware: list[Any] | None
    # Of the class, because Django's ASGIStaticFilesHandler, made a subclass, does not call __init__().
    _defers_bodies = False
    _view_middleware_reads_forms = True
    _has_lifespan = False
    _all_in_flight: Mapping[asyncio.AbstractEventLoop, InFlightLimiter] = {}  # replaced, never changed
    _in_flight: InFlightLimiter
    _loop: asyncio.AbstractEventLoop | None = None
    _routes: Routes | None = None
    _is_plain = True
    """True if Django's ``__call__`` would only make a context for ``handle()``, which makes one itself."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let the classes behind this one, and another ``handle()``, have what Django's ``__call__`` gives them."""
        super().__init_subclass__(**kwargs)
        behind = cls.__mro__[cls.__mro__.index(AsyncHandler) + 1 :]
        next_call = next(each for each in behind if "__call__" in vars(each))
        cls._is_plain = next_call is ASGIHandler and cls.handle is AsyncHandler.handle

    def load_middleware(self, is_async: bool = False) -> None:  # noqa: FBT001, FBT002 - as in Django
        """Build the chain, and find out if all of it leaves the body to the view."""
        super().load_middleware(is_async)
        modules = [import_string(path).__module__ for path in settings.MIDDLEWARE]
        self._defers_bodies = issubclass(self.request_class, AsyncRequest) and all(
            module.startswith(_KNOWN_TO_LEAVE_BODY) for module in modules
        )
        self._view_middleware_reads_forms = _DJANGOS_CSRF in settings.MIDDLEWARE  # ours loads a form when it wants one

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one ASGI connection, an HTTP request through Django's method, which tracing packages wrap."""
        if scope["type"] == "lifespan":
            self._has_lifespan = True
            await lifespan.run(receive, send, self.in_flight())
        elif self._is_plain and scope["type"] == "http" and vars(ASGIHandler)["__call__"] is _CALL:
            await self.handle(scope, receive, send)
        else:
            await super().__call__(cast("dict[str, Any]", scope), receive, send)

    def in_flight(self) -> InFlightLimiter:
        """Return the running event loop's requests in flight."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._in_flight = loop, self._in_flight_of(loop)
        return self._in_flight

    def _in_flight_of(self, loop: asyncio.AbstractEventLoop) -> InFlightLimiter:
        # They know their loop, so a weak dictionary would keep both for ever.
        known = {each: requests for each, requests in self._all_in_flight.items() if not each.is_closed()}
        if loop not in known:
            if not self._has_lifespan:
                logger.info(_NO_LIFESPAN)
            known[loop] = InFlightLimiter(get_settings())
        self._all_in_flight = known
        return known[loop]

    async def handle(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one HTTP request in a new context: the caller's URLconf, language and time zone stay."""
        await InOwnContext(self._handle(scope, receive, send))

    async def _handle(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one HTTP request, when there is a slot for it; stop when its client hangs up."""
        has_body = scope["method"] in _METHODS_WITH_BODY or _announces_body(scope)
        receiver, in_flight = Receiver(receive, expects_body=has_body), self.in_flight()
        try:
            slots = await in_flight.enter(receiver, unlimited=in_flight.is_full and self._needs_no_slot(scope))
        except ServiceUnavailableError as overload:
            await self._refuse(scope, overload, send)
            return
        try:
            await self._answer(scope, receiver, send, defers=has_body and self._defers_bodies)
        except (asyncio.CancelledError, RequestAborted) as error:
            if receiver.client_disconnected() or isinstance(error, RequestAborted):
                return
            if not receiver.was_aborted():
                raise
            if (
                not receiver.is_answered
            ):  # else the server closes the connection, and the client sees that it is cut off
                await self._refuse(scope, _cut_off(), send)
        except BaseException:
            receiver.client_disconnected()  # the task goes on, and its cancellation has been withdrawn
            raise
        else:
            receiver.client_disconnected()
        finally:
            in_flight.leave(receiver, slots)

    async def _answer(self, scope: MutableMapping[str, Any], receiver: Receiver, send: Send, *, defers: bool) -> None:
        try:
            body: Any = UnreceivedBody() if defers else await receiver.body()
        except APIError as error:  # it did not come in time
            await self._refuse(scope, error, send)
            return
        request = response = None
        one_thread = get_settings().THREAD_PER_REQUEST
        threads, token = enter_request_threads(one_thread=one_thread)
        owner = Ownership(f"request {scope['method']} {scope['path']!a}", executor=threads if one_thread else None)
        try:
            request, response = self.create_request(scope, body)
            if isinstance(request, AsyncRequest) and defers:
                request.receive_body = receiver.late_body
                receiver.watch()
            response = await self._response_to(request, scope) if request is not None else response
            if scope["method"] == "HEAD" and getattr(response, "streaming", False):
                await _drop_content(response)
            receiver.is_answered = True
            await self.send_response(response, send)
        finally:
            receiver.unwatch()
            try:
                if (ending := self._ending(threads, request, response, body)) is not None:
                    await shielded(ending, context_without_returned_callers())
            finally:
                leave_request_threads(token)
                threads.shutdown(wait=False)
                owner.leave()
                if (cleaning := owner.end()) is not None:
                    await cleaning

    async def _response_to(self, request: ASGIRequest, scope: MutableMapping[str, Any]) -> HttpResponseBase:
        """Return the response of signals, middleware and view; 503 if there is no connection for them."""
        prefix = (request.script_name or "") if type(request) is AsyncRequest else get_script_prefix(scope)
        if prefix or get_current_prefix() != "/":  # to ask costs less than to set
            set_script_prefix(prefix)
        try:
            if (start := request_cycle.start_request(type(self), scope)) is not None:
                await start
            return await self.run_get_response(request)
        except _OVERLOAD as overload:
            return await response_for(request, overload)

    def _ending(
        self, threads: Any, request: Any, response: HttpResponseBase | None, body: Any
    ) -> Coroutine[Any, Any, None] | None:
        """End the request; return a coroutine if that may block."""
        if threads.is_busy:  # a cancelled call that cannot be stopped may still read the body
            return self._join_and_end(threads, request, response, body)
        return request_cycle.end_request(request, response, body, type(self))

    async def _join_and_end(self, threads: Any, request: Any, response: HttpResponseBase | None, body: Any) -> None:
        await threads.join()
        if (ending := request_cycle.end_request(request, response, body, type(self))) is not None:
            await ending

    async def _refuse(self, scope: MutableMapping[str, Any], error: APIError, send: Send) -> None:
        """Answer directly: no signal, no middleware, no view."""
        metrics.REFUSED.add(error.code)
        logger.warning("%s %s was refused: %s.", scope["method"], ascii(scope["path"]), error)
        body: Any = UnreceivedBody()
        request, response = self.create_request(scope, body)
        async with ThreadSensitiveContext():
            if request is not None:
                response = await response_for(request, error)
            await self.send_response(response, send)

    def _needs_no_slot(self, scope: MutableMapping[str, Any]) -> bool:
        """Return True if the view needs none, as the health views do. Called only when no slot is free."""
        body: Any = UnreceivedBody()
        request, _ = self.create_request(scope, body)
        try:
            match = get_resolver().resolve(request.path_info) if request is not None else None
        except Resolver404:
            return False
        return match is not None and not getattr(match.func, "needs_place", True)

    # The view

    async def _get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """Resolve and call the view, its middleware and its rendering.

        It differs from Django's in three points. The body comes before the view, unless the view takes it itself.
        Without exception middleware an exception costs no hop. Overload is answered 503, and not 500.
        """
        match = self.resolve_request(request)
        if type(match) is ResolverMatch:  # by name: it is no tuple, and slow to unpack
            callback, args, kwargs = match.func, match.args, match.kwargs
        else:
            callback, args, kwargs = match
        is_deferred = getattr(request, "receive_body", None) is not None
        wants_body = is_deferred and not self._takes_body_itself(callback)
        if wants_body and self._view_middleware_reads_forms:
            await load_body(request)
        response = None
        if self._view_middleware:
            response = await self._ask_view_middleware(request, callback, args, kwargs)
        if response is None:
            if wants_body:
                await load_body(request)
            response = await self._guard(request, self.make_view_atomic(callback), request, *args, **kwargs)
        if not isinstance(response, HttpResponseBase):
            self.check_response(response, callback)
        if callable(getattr(response, "render", None)):
            response = await self._render(request, response)
        return cast("HttpResponseBase", response)

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Set and return the match of a request's path."""
        if hasattr(request, "urlconf") or vars(BaseHandler)["resolve_request"] is not _RESOLVE_REQUEST:
            match: ResolverMatch = super().resolve_request(request)
            return match
        resolver, routes = get_resolver(), self._routes
        if routes is None or routes.resolver is not resolver:
            routes = self._routes = Routes(resolver)
        return routes.resolve(request)

    def _takes_body_itself(self, view: Any) -> bool:
        # Unless it is exempt, Django's CsrfViewMiddleware looks for the token in the body.
        exempt = getattr(view, "csrf_exempt", False) or not self._view_middleware_reads_forms
        return takes_body_itself(view) and exempt

    async def _ask_view_middleware(self, request: HttpRequest, callback: Any, args: Any, kwargs: Any) -> Any:
        for middleware in self._view_middleware or ():
            if response := await middleware(request, callback, args, kwargs):
                return response
        return None

    async def _render(self, request: HttpRequest, response: Any) -> Any:
        for middleware in self._template_response_middleware or ():
            response = await middleware(request, response)
            name = f"{type(middleware.__self__).__name__}.process_template_response"
            self.check_response(response, middleware, name=name)
        return await self._guard(request, response.render)

    async def _guard(self, request: HttpRequest, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a view or its rendering. Exception middleware may answer an error; overload is answered here."""
        try:
            return await (func if is_async(func) else sync_to_async(func))(*args, **kwargs)
        except _OVERLOAD as overload:
            return await response_for(request, overload)
        except Exception as error:
            if not self._exception_middleware:
                raise
            response = await sync_to_async(self.process_exception_by_middleware)(error, request)
            if response is None:
                raise
            return response

    async def send_response(self, response: Any, send: Send) -> None:
        """Send it, a file without reading it into memory first; close a stream whose client no longer reads it."""
        if isinstance(response, FileResponse) and not response.is_async and _comes_from_a_file(response):
            response.streaming_content = _chunks(cast("Iterator[bytes]", response.streaming_content))
        try:
            await super().send_response(response, send)
        finally:
            await _close_source(response)


def _cut_off() -> ServiceUnavailableError:
    detail = "The server stopped before the request was answered. Its effects are unknown."
    return ServiceUnavailableError(detail, retry_after=get_settings().RETRY_AFTER, code="shutting_down")


async def _close_source(response: Any) -> None:
    # Django closes what has a close(); an asynchronous generator has an aclose().
    if (aclose := getattr(iterator_of(response), "aclose", None)) is not None:
        await aclose()


async def _drop_content(response: Any) -> None:
    """Let a stream that answers HEAD be empty: it could be endless, and must not be sent (RFC 9110 §9.3.2)."""
    await _close_source(response)
    response.streaming_content = _nothing()


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _comes_from_a_file(response: FileResponse) -> bool:
    """Return True if it streams its file, unchanged or compressed chunk by chunk by GZipMiddleware."""
    return response.file_to_stream is not None or response.has_header("Content-Encoding")


async def _chunks(contents: Iterator[bytes]) -> AsyncIterator[bytes]:
    read = sync_to_async(lambda: next(contents, None), thread_sensitive=False)
    while (chunk := await read()) is not None:
        yield chunk


def _announces_body(scope: Mapping[str, Any]) -> bool:
    for name, value in scope["headers"]:  # noqa: SIM110 - for each request, and any() costs twice as much
        if name in _LENGTH_HEADERS and value != b"0":
            return True
    return False
