"""``AsyncView``: Django's class-based view, every part of which runs on the event loop.

The order of a request: its method is looked up; then come the stages of :mod:`daf_views.views.pipeline`, in that
order, the handler last. Then the transaction ends, and the services do; for a streaming response the services live
until it has been sent, for an unrendered one until it has been rendered.
"""

from __future__ import annotations

import asyncio
import functools
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.utils.decorators import classonlymethod
from django.views import View

from daf_orm import PoolClosed, PoolTimeout, TooManyRequests
from daf_views._core.cancellation import refuse_stray_cancellation
from daf_views.errors.boundary import mark_as_ours
from daf_views.errors.problems import response_for
from daf_views.exceptions import APIError, DeadlineExceededError
from daf_views.http.request import COMPLETIONS
from daf_views.services.container import Services, overridden
from daf_views.services.plan import ServicePlan
from daf_views.services.scope import ServiceScope
from daf_views.views.atomic import OptedOut, aliases_of, run_atomic
from daf_views.views.class_checks import (
    check_options,
    path_of,
    refuse_async_access,
    refuse_ignored,
    refuse_left_blocks,
    refuse_sync,
    refuse_sync_hooks,
)
from daf_views.views.dispatch import call, make_async, settled
from daf_views.views.pipeline import Pipeline, Stage
from daf_views.views.protections import (
    refuse_lost_stages,
    refuse_shapes,
    refuse_unasked,
    refuse_unprotected,
    refuse_unrun,
    unasked,
    unasked_on_instance,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from daf_views._core.description import Description
    from daf_views.services.declared import DeclaredServices
    from daf_views.views.pipeline import Proceed, StageEnding

    Handler = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


class AsyncView(View):
    """A class-based view whose handlers are coroutine functions: ``async def get(self, request)``.

    Decorators and mixins of ``django.contrib.auth`` and ``django.views.decorators`` work on it as on Django's. A
    handler that is not async is a TypeError when the class is made. An APIError, an exhausted pool and a missed
    deadline are answered as problems; other exceptions are Django's to answer, or ``async_error_middleware``'s.
    """

    services: DeclaredServices = {}  # noqa: RUF012 - replaced, never changed
    """Names and factories of services, see :mod:`daf_views.services`; on the instance, the services themselves."""
    atomic: bool | str | None = None
    """True, or the alias of a database, if ``async_setup`` and the handler run in one transaction, which an exception
    or a 5xx response rolls back. None: as ``ATOMIC_REQUESTS`` says."""
    deadline: float | None = None
    """Seconds after which the handler is cancelled, with its statement, and the client gets a 504. It ends with the
    handler, and covers neither the commit nor the end of services."""

    view_is_async = True
    _remedy: ClassVar[str] = "Return one, as JsonResponse(data) or TemplateResponse(request, template)."
    _hooks: ClassVar[tuple[str, ...]] = ("async_setup", "admit", "receive", "handle_exception")
    _not_asked: ClassVar[tuple[str, ...]] = (
        "authentication",
        "idempotency",
        "permissions",
        "throttle",
        "throttles",
    )
    _shapes: ClassVar[Mapping[str, int]] = {"admit": 1, "receive": 1, "handle_exception": 1}
    """Arguments that hooks are called with."""
    _plan: ClassVar[ServicePlan]
    _pipeline: ClassVar[Pipeline]
    _unasked: ClassVar[Mapping[str, str]] = {}
    """Policies that an override leaves out, each with the remedy: a request must not find one of them set."""
    _answers_problems: ClassVar[bool] = False
    """True if errors of clients are answered with problems, not with pages and redirects."""
    _opted_out: OptedOut = OptedOut()
    _timeout: asyncio.Timeout | None = None
    _arguments: Mapping[str, Any] | None = None
    """The arguments of the handler; None: those that the URL gives."""
    _endings: Sequence[StageEnding] = ()
    """Endings of stages, which run once there is a response, or none."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_unprotected(cls, AsyncView)
        _check(cls, {})
        refuse_shapes(cls, cls._shapes)
        cls._plan = ServicePlan.for_view(cls)
        cls._pipeline = Pipeline.of(cls)
        refuse_lost_stages(cls)
        refuse_unrun(cls, AsyncView, cls._pipeline.stages)
        cls._unasked = unasked(cls, AsyncView)
        refuse_unasked(cls, {}, cls._unasked)
        make_async(cls)

    @classonlymethod
    def as_view(cls, **initkwargs: Any) -> Any:  # noqa: N805 - a class method
        """Return the view for a URLconf, a coroutine function. Raises TypeError for unknown arguments, as Django's."""
        prepared = super().as_view(**initkwargs)  # checks them, and collects what decorators have set on dispatch()
        if "services" in initkwargs:
            raise TypeError(f"{cls.__name__}.as_view() takes no services: name them in a subclass.")
        if "stages" in initkwargs:
            raise TypeError(f"{cls.__name__}.as_view() takes no stages: name them in a subclass.")
        _check(cls, initkwargs)
        refuse_unasked(cls, initkwargs, cls._unasked)

        async def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            self = cls(**initkwargs)
            self.request, self.args, self.kwargs = request, args, kwargs
            self.services = services
            self._opted_out = opted_out
            return await self._respond()

        view.__doc__, view.__module__ = prepared.__doc__, prepared.__module__
        view.__dict__.update(prepared.__dict__)
        services = cast("DeclaredServices", Services({}, cls._plan.names))  # until they are made
        opted_out = OptedOut.put_on(view)
        mark_as_ours(view, is_api=False)
        return view

    async def async_setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        """Run before the handler, in its transaction: for work that all handlers of a view need."""

    async def admit(self, request: HttpRequest) -> None:
        """Let the request in, or raise: before the body is looked at and services are made.

        Runs the stages of admission, so an override calls ``await super().admit(request)``.
        """
        await self._pipeline.admit(self, request, None)

    async def receive(self, request: HttpRequest) -> None:
        """Take the body, where the view wants one: before services are made and the transaction begins."""

    async def handle_exception(self, exc: Exception) -> HttpResponseBase:
        """Return the response to an exception of the view, or raise it again."""
        if isinstance(exc, APIError | PoolTimeout | TooManyRequests | PoolClosed):
            return await response_for(self.request, exc)
        raise exc

    async def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        """Answer the request by the handler for its method."""
        handler = self._find_handler(request)
        if handler is None:
            return await self.http_method_not_allowed(request, *args, **kwargs)
        if getattr(handler, "__func__", None) is AsyncView.options:
            return await handler(request, *args, **kwargs)  # tells nothing, needs nothing
        response: HttpResponseBase = await self._pipeline.run(
            self, request, functools.partial(handler, request, *args, **kwargs)
        )
        return response

    async def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override] # noqa: ARG002
        """Answer OPTIONS with the methods that are allowed (RFC 9110 §9.3.7)."""
        headers = {"Allow": ", ".join(self.allowed_methods()), "Content-Length": "0"}
        response = HttpResponse(headers=headers)
        del response.headers["Content-Type"]  # of no content
        return response

    async def http_method_not_allowed(  # type: ignore[override]
        self,
        request: HttpRequest,  # noqa: ARG002
        *args: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> HttpResponseBase:
        """Answer 405 with the methods that are allowed (RFC 9110 §15.5.6)."""
        return HttpResponseNotAllowed(self.allowed_methods())

    def allowed_methods(self) -> list[str]:
        """Return the methods that the view has handlers for."""
        return [name.upper() for name in self.http_method_names if hasattr(self, name)]

    async def _respond(self) -> HttpResponseBase:
        """Answer the request, and end the stages that have begun, for any response."""
        try:
            try:
                self.setup(self.request, *self.args, **self.kwargs)  # Django's: must not block, as async_setup() may
                self._refuse_late()
                response = await self._dispatched()
            except Exception as exc:  # noqa: BLE001 - the hook raises what it does not answer
                response = await self.handle_exception(exc)
        except BaseException as error:
            for ending in self._endings:
                await ending.abandon(error)
            raise
        for ending in self._endings:
            await ending.settle(response)
        return self._completed(response)

    def _refuse_late(self) -> None:
        """Raise TypeError for attributes that ``setup()`` has set, and nothing would use."""
        own = vars(self)
        if "stages" in own:
            raise TypeError(f"{path_of(self)}: stages that setup() sets would not run: name them in the class.")
        if self._unasked or "admit" in own or "dispatch" in own:
            refuse_unasked(type(self), own, {**unasked_on_instance(own), **self._unasked})

    def _completed(self, response: HttpResponseBase) -> HttpResponseBase:
        """Return the response, after the functions that were to be called with it."""
        for func in vars(self.request).get(COMPLETIONS, ()):
            func(response, self.request)
        return response

    async def _dispatched(self) -> HttpResponseBase:
        try:
            response = await call(self.dispatch, self.request, *self.args, **self.kwargs)
            return response if isinstance(response, HttpResponseBase) else self._checked(await settled(response))
        except asyncio.CancelledError as error:
            refuse_stray_cancellation(error)
            raise

    def _find_handler(self, request: HttpRequest) -> Handler | None:
        """Return the handler. A method is looked up as an attribute only if it is on the list: a client names it."""
        name = (request.method or "").lower()
        if name not in self.http_method_names:
            return None
        if name in vars(self):  # set in setup(), so that no class was looked at
            refuse_sync(self, name)
        return getattr(self, name, None)

    def _checked(self, response: Any) -> HttpResponseBase:
        if isinstance(response, HttpResponseBase):
            return response
        method = (self.request.method or "").lower()
        raise TypeError(
            f"{path_of(self)}.{method}() returned {type(response).__name__}, not an HttpResponse. {self._remedy}"
        )

    def _limit_time(self, request: HttpRequest, proceed: Proceed) -> Awaitable[HttpResponseBase]:  # noqa: ARG002
        return proceed() if self.deadline is None else self._within_deadline(proceed)

    async def _within_deadline(self, proceed: Proceed) -> HttpResponseBase:
        timeout = self._timeout = asyncio.timeout(self.deadline)
        try:
            async with timeout:
                return await proceed()
        except TimeoutError as error:
            if not timeout.expired():  # it is the view's own
                raise
            detail = f"The request was not answered within {self.deadline} s."
            raise DeadlineExceededError(detail) from error

    def _describe_deadline(self, operation: Description) -> None:
        if self.deadline is not None:
            operation.add_status(504)

    async def _run_admit(self, request: HttpRequest) -> None:
        _expect_nothing(self, "admit", await self.admit(request))  # type: ignore[func-returns-value] # an override

    async def _run_receive(self, request: HttpRequest) -> None:
        await self.receive(request)

    async def _serve(self, request: HttpRequest, proceed: Proceed) -> HttpResponseBase:
        """Make services, after the body has arrived: a client may send it slowly."""
        if not self._plan.names:
            response = await proceed()
            if response.streaming:
                ServiceScope(self._plan, request).close_after(response)
            return response
        scope = ServiceScope(overridden(self._plan), request)
        try:
            self.services = cast("DeclaredServices", await scope.open())
            response = await proceed()
        except BaseException as exc:
            await scope.close(exc)
            raise
        if response.streaming or not getattr(response, "is_rendered", True):
            scope.close_after(response)
        else:
            await scope.close()
        return response

    def _in_transaction(self, request: HttpRequest, proceed: Proceed) -> Awaitable[HttpResponseBase]:  # noqa: ARG002
        aliases = self._aliases()
        return run_atomic(aliases, proceed) if aliases else proceed()

    def _aliases(self) -> list[str]:
        """Return the databases on which the handler runs in a transaction."""
        return aliases_of(self.atomic, self._opted_out)

    async def _answer(self, request: HttpRequest, proceed: Proceed) -> HttpResponseBase:  # noqa: ARG002 - a stage's
        return self._answered(await proceed())

    def _answered(self, value: Any) -> HttpResponseBase:
        """Return a handler's response, if it is one, and end the deadline."""
        response = self._checked(value)
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(None)  # its work is about to be committed, and must not look failed
        return response

    async def _handle(self, request: HttpRequest, handler: functools.partial[Any]) -> Any:  # noqa: ARG002 - a stage's
        returned: object = await self.async_setup(*handler.args, **handler.keywords)  # type: ignore[func-returns-value] # an override
        _expect_nothing(self, "async_setup", returned)
        arguments = handler.keywords if self._arguments is None else self._arguments
        value = handler.func(*handler.args, **arguments)
        while isawaitable(value):  # a decorator may be synchronous, and return what the handler does
            value = await value
        return value

    stages: ClassVar[Sequence[Stage]] = (
        Stage(name="deadline", around=_limit_time, describe=_describe_deadline),
        Stage(name="admit", run=_run_admit),
        Stage(name="body", run=_run_receive),
        Stage(name="services", around=_serve),
        Stage(name="transaction", around=_in_transaction),
        Stage(name="answer", around=_answer),
        Stage(name="handler", around=_handle),
    )
    """The stages of a request, in the order of :data:`daf_views.views.pipeline.ORDER`. A class names the stages it adds
    to those of its parents."""


def _check(cls: type[AsyncView], given: dict[str, Any]) -> None:
    names = given.get("http_method_names", cls.http_method_names)
    if isinstance(names, str):
        raise TypeError(f"{cls.__qualname__}.http_method_names must be a list, as in ['get'], not {names!r}.")
    for name in names:
        refuse_sync(cls, name)
    refuse_left_blocks(cls, "dispatch", cls.dispatch)
    refuse_async_access(cls, given)
    refuse_sync_hooks(cls, cls._hooks)
    refuse_ignored(cls, cls._not_asked)
    check_options(cls, given.get("atomic", cls.atomic), given.get("deadline", cls.deadline))


def _expect_nothing(view: AsyncView, hook: str, answer: object) -> None:
    """Raise TypeError for a response that a hook returns, and that would not be sent."""
    if answer is not None:
        raise TypeError(
            f"{type(view).__qualname__}.{hook}() returned a {type(answer).__name__}, which would not be sent: raise an "
            "APIError, as ForbiddenError, to refuse a request."
        )


AsyncView._plan = ServicePlan.for_view(AsyncView)  # noqa: SLF001 - __init_subclass__ is not called for the class itself
AsyncView._pipeline = Pipeline.of(AsyncView)  # noqa: SLF001 - the same
