"""The base of throttles: which requests are counted together, and the response to those that cannot be counted."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
import json
import time
import uuid
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.db import ProgrammingError
from django.utils.decorators import method_decorator

from daf_orm.between_tests import call_before_each_test
from daf_orm.metrics import Counter
from daf_views._core.drain import current_drain
from daf_views._core.logs import log_error
from daf_views.errors.problems import response_for
from daf_views.exceptions import APIError, ServiceUnavailableError
from daf_views.http.request import load_body, take_body_itself, takes_body_itself
from daf_views.settings import get_settings
from daf_views.throttling import keys
from daf_views.throttling.backends import Backend, get_backend
from daf_views.throttling.headers import quoted, with_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from daf_views._core.description import Description
    from daf_views.throttling.keys import Key
    from daf_views.throttling.operations import Operation, R

V = TypeVar("V", bound="Callable[..., Coroutine[Any, Any, HttpResponseBase]]")

_BUGS = (ImproperlyConfigured, ImportError, ProgrammingError, AttributeError, NameError, TypeError)
"""Errors in the use of a backend, not failures of it: a retry will not help."""
_QUIET = 10.0
"""Seconds between two log records of a failing backend."""
requests = Counter(
    "daf_throttle_requests_total",
    "Requests that were counted, by the throttle's scope or its view or path, and by outcome: allowed or refused.",
    unit="requests",
    labels=("throttle", "outcome"),
)
_errors = Counter(
    "daf_throttle_errors_total",
    "Failures of the throttles' backend, by what the request got: let_through or unavailable (503).",
    unit="errors",
    labels=("outcome",),
)


class AsyncThrottle(ABC):
    """Counts requests: on a view, as a decorator of a view function, or by path in ``throttle_middleware``.

    Options are attributes of a subclass or arguments. ``key`` returns the text that requests are counted by, see
    :mod:`daf_views.throttling.keys`; a sequence of keys, by their combination. Each view has a separate limit,
    unless throttles have a ``scope``, a name that they count under together. ``fail_open`` and ``backend`` take the
    place of the settings ``THROTTLE_FAIL_OPEN`` and ``THROTTLE_BACKEND``.
    """

    key: Key | Sequence[Key] = keys.ip
    scope: str | None = None
    fail_open: bool | None = None
    backend: Backend | None = None

    def __init__(
        self,
        *,
        key: Key | Sequence[Key] | None = None,
        scope: str | None = None,
        fail_open: bool | None = None,
        backend: Backend | None = None,
    ) -> None:
        self.scope = self.scope if scope is None else scope
        self.fail_open = self.fail_open if fail_open is None else fail_open
        self.backend = self.backend if backend is None else backend
        self._check_options()
        # As it stands in the class: a function there must not be bound.
        given = inspect.getattr_static(self, "key") if key is None else key
        self._keys = _checked_keys(type(self), given)
        self._key_names = [keys.name_of(key) for key in self._keys]

    def _check_options(self) -> None:
        name = type(self).__qualname__
        if self.scope == "":
            raise ValueError(f"{name}.scope is empty: give it a name, or None for a limit of each view.")
        quoted(self.scope or "")
        if not isinstance(self.fail_open, bool | None):
            raise TypeError(f"{name}.fail_open must be True, False or None, not {self.fail_open!r}.")
        if not isinstance(self.backend, Backend | None):
            raise TypeError(
                f"{name}.backend must be an instance of a Backend, not {self.backend!r}: by name it is given in "
                "DAF_VIEWS['THROTTLE_BACKEND']."
            )

    @abstractmethod
    async def check(self, request: HttpRequest, view: Any = None) -> None:
        """Count the request. Raise ThrottledError beyond the limit, ServiceUnavailableError if the backend fails."""

    def describe(self, operation: Description) -> None:
        """Add the 429 to the description of an operation."""
        operation.add_status(429)

    def __call__(self, view: V) -> V:
        """Decorate an async view function: requests are counted before the view, and before their body is received.

        Raises TypeError for a function that is not async.
        """
        if _is_from_method_decorator(view):
            return cast("V", self._named_on(view))
        if not iscoroutinefunction(view):
            name = getattr(view, "__qualname__", repr(view))
            raise TypeError(f"{name} is not async: write `async def {name}(request, …)`, or throttle its path.")
        self._refuse_method(view)
        self._refuse_shared_name(view)

        @functools.wraps(view)
        async def throttled(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                await self.check(request, view)
            except APIError as error:
                return with_limits(await response_for(request, error), request)
            if not takes_body_itself(view):
                await load_body(request)
            response: HttpResponseBase = await view(request, *args, **kwargs)
            return with_limits(response, request)

        take_body_itself(throttled)
        return cast("V", self._named_on(throttled))

    def _named_on(self, view: Any) -> Any:
        view.throttles = (self, *getattr(view, "throttles", ()))  # for the system check
        return view

    def _refuse_method(self, view: Any) -> None:
        is_bound = isinstance(view, functools.partial)  # by method_decorator
        if not is_bound and next(iter(inspect.signature(view).parameters), None) == "self":
            raise TypeError(
                f"{view.__module__}.{view.__qualname__} is a method: write @method_decorator({type(self).__name__}(…)) "
                "(django.utils.decorators), or `throttle = …` in the class."
            )

    def _refuse_shared_name(self, view: Any) -> None:
        name = getattr(view, "__qualname__", "")
        is_function = not (hasattr(view, "view_class") or isinstance(view, functools.partial))
        if self.scope is None and is_function and "<locals>" in name:
            raise TypeError(
                f"{view.__module__}.{name} is created anew by each call of the enclosing function, and all of them "
                "would share one limit: give the throttle a scope."
            )

    async def _storage_key(self, request: HttpRequest, view: Any, identity: Sequence[Any]) -> tuple[str | None, str]:
        """Return the key that a request is counted under, a digest, because values may be long, or secret.

        Return the place of the limit too: its scope, view or path. ``identity`` tells these counts from those of
        another limit under the same scope and key.
        """
        where = self.scope or (view if isinstance(view, str) else keys.path_of(view))
        values = [await keys.value_of(key, request) for key in self._keys]
        if None in values:
            return None, where
        parts = [where, *identity, self._key_names, values, *_generation]
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest(), where

    async def _run(self, key: str, operation: Operation[R]) -> R | None:
        """Run an operation. If the backend fails: None for a throttle that fails open, otherwise a 503."""
        settings = get_settings()
        fails_open = settings.THROTTLE_FAIL_OPEN if self.fail_open is None else self.fail_open
        try:
            return await self._backend().run(key, operation, timeout=settings.THROTTLE_TIMEOUT)
        except _BUGS:
            raise  # letting requests through because of a bug would disable the limit
        except Exception as error:  # any error of a backend's client; logged
            _report(error, fails_open=fails_open)
            if fails_open:
                return None
            raise ServiceUnavailableError(retry_after=settings.RETRY_AFTER, code="throttle_unavailable") from error

    def _backend(self) -> Backend:
        return get_backend() if self.backend is None else self.backend


def _checked_keys(cls: type, given: Any) -> tuple[Key, ...]:
    given = given.__func__ if isinstance(given, staticmethod) else given
    each = tuple(given) if isinstance(given, list | tuple) else (given,)
    for key in each:
        try:
            inspect.signature(key).bind("request")
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{cls.__qualname__}.key has {key!r}, which is not called with a request alone ({error}): give a "
                "function of a request, such as daf_views.throttling.keys.ip, or a list of them."
            ) from error
    if not each:
        raise TypeError(
            f"{cls.__qualname__}.key is empty: to count all requests together, return one and the same string."
        )
    return each


def _is_from_method_decorator(view: Any) -> bool:
    """Return True if Django only wants to see which attributes the decorator sets."""
    return getattr(view, "__module__", None) == method_decorator.__module__


_generation: list[str] = []
"""Part of every key once the counts have been reset; empty in a process that serves."""


def reset_throttles() -> None:
    """Let every throttle of this process begin anew: earlier counts are ignored, in any backend.

    For tests. The pytest plugin does it before each; under another runner, call it in ``setUp()``.
    """
    _generation[:] = [uuid.uuid4().hex]
    get_backend.cache_clear()


call_before_each_test(reset_throttles)

_next_report = 0.0
_unreported = 0


def _report(error: Exception, *, fails_open: bool) -> None:
    """Log that requests cannot be counted, now and then, and not on the event loop: a log handler may block."""
    global _next_report, _unreported  # noqa: PLW0603 - of the process, as the log is
    _errors.add("let_through" if fails_open else "unavailable")
    _unreported += 1
    if (now := time.monotonic()) < _next_report:
        return
    number, _unreported, _next_report = _unreported, 0, now + _QUIET
    message = "The throttles' backend failed for %d requests, the last of which was %s: %s: %s"
    fate = "let through" if fails_open else "answered 503"
    record = log_error(message, number, fate, type(error).__name__, error, error=error)
    current_drain().keep(asyncio.get_running_loop().create_task(record))
