"""Admission of a request: authentication, throttles and permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from daf_views._core.description import describe
from daf_views.auth.authentication import Authentication
from daf_views.auth.decisions import described, is_no_decision, is_no_user, remedy_for
from daf_views.auth.identity import anonymous, is_known, reconcile_user, user_of
from daf_views.auth.permissions import describe_permission
from daf_views.exceptions import APIError, ForbiddenError, NotAuthenticatedError
from daf_views.throttling.middleware import describe_path
from daf_views.throttling.throttle import AsyncThrottle
from daf_views.views.pipeline import Stage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from django.http import HttpRequest

    from daf_views._core.description import Description
    from daf_views.views.base import AsyncView

    _View = AsyncView
else:
    _View = object


@runtime_checkable
class Throttle(Protocol):
    """Counts requests: one object serves all requests of a view, concurrently."""

    async def check(self, request: HttpRequest, view: Any, /) -> None:
        """Count the request. Raise ThrottledError, with ``retry_after``, if it is one too many."""


@runtime_checkable
class Permission(Protocol):
    """Allows or denies a request. One object serves all requests of a view, concurrently."""

    async def has_permission(self, request: HttpRequest, view: Any, /) -> bool:
        """Return True if the request is allowed. If not, it is answered 403, with the permission's ``message``, if any.

        May raise an :class:`~daf_views.exceptions.APIError` instead.
        """


class Admission(_View):
    """The checks of an API view before it looks at the body: its part of ``admit()``."""

    authentication: Sequence[Authentication | type[Authentication]] = ()
    """:class:`~daf_views.auth.Authentication` classes or instances, asked in this order. Without any, the user is the
    one that middleware has set."""
    throttle: Throttle | type[Throttle] | None = None
    """One :class:`Throttle`, asked before ``throttles``."""
    throttles: Sequence[Throttle | type[Throttle]] = ()
    permissions: Sequence[Permission | type[Permission]] = ()

    _is_uncounted = True
    _is_proven = False
    """True if the request has proof of its user that no browser sends automatically."""

    async def authenticate(self, request: HttpRequest) -> Any:
        """Return the user of the request, which becomes ``request.user``; None leaves ``request.user`` unchanged.

        Asks ``authentication``. Raises NotAuthenticatedError for invalid proof. Comes before throttles, which
        may count by user.
        """
        each: Any  # an instance, once the class is made
        for each in self.authentication:
            if (user := await each.authenticate(request)) is not None:
                self._is_proven = not each.is_sent_by_browsers
                return user
        return anonymous() if self.authentication else None

    async def admit(self, request: HttpRequest) -> None:
        """Authenticate, count, and ask the permissions, in this order. A request with invalid proof is counted, too."""
        await self._pipeline.admit(self, request, None)

    async def check_object_permissions(self, request: HttpRequest, obj: Any) -> None:
        """Ask the permissions for one object. Raises as :meth:`admit` does if one of them denies it."""
        for permission in self.permissions:
            check = getattr(permission, "has_object_permission", None)
            if check is not None and not _answer_of(permission, await check(request, self, obj)):
                raise await self._denied(request, permission)

    async def _denied(self, request: HttpRequest, permission: Any) -> APIError:
        """Return a 401 for an unauthenticated request, if the view has a challenge; otherwise a 403."""
        message = getattr(permission, "message", None)
        challenges = ", ".join(each.challenge for each in self.authentication)
        if challenges and not is_known(await user_of(request)):
            return NotAuthenticatedError(message, challenge=challenges)
        return ForbiddenError(message)

    async def _find_user(self, request: HttpRequest) -> None:
        reconcile_user(request)
        try:
            user = await self.authenticate(request)
        except NotAuthenticatedError:
            if (counting := self._count(request)) is not None:
                await counting  # a guess counts, too
            raise
        if user is not None:
            _log_in(request, _checked_user(self, user))

    @property
    def _asked_throttles(self) -> Sequence[Any]:
        return self.throttles if self.throttle is None else (self.throttle, *self.throttles)

    def _count(self, request: HttpRequest) -> Awaitable[None] | None:
        self._is_uncounted = False
        throttles = self._asked_throttles
        return self._ask(throttles, request) if throttles else None

    async def _ask(self, throttles: Sequence[Any], request: HttpRequest) -> None:
        for throttle in throttles:
            _expect_nothing(throttle, await throttle.check(request, self))

    async def _ask_permissions(self, request: HttpRequest) -> None:
        permission: Any
        for permission in self.permissions:
            if not _answer_of(permission, await permission.has_permission(request, self)):
                raise await self._denied(request, permission)

    def _describe_authentication(self, operation: Description) -> None:
        for authentication in self.authentication:
            describe(authentication, operation, Authentication.describe)

    def _describe_throttles(self, operation: Description) -> None:
        for throttle in self._asked_throttles:
            describe(throttle, operation, AsyncThrottle.describe)

    def _describe_permissions(self, operation: Description) -> None:
        for permission in self.permissions:
            describe(permission, operation, describe_permission)

    def _describe_path(self, operation: Description) -> None:
        describe_path(operation)

    stages: ClassVar[Sequence[Stage]] = (
        Stage(name="authenticate", run=_find_user, describe=_describe_authentication),
        Stage(name="throttle", run=_count, describe=_describe_throttles),
        Stage(name="permit", run=_ask_permissions, uses="permissions", describe=_describe_permissions),
        Stage(name="throttle, if an admit() has left that out", after="permit", run=_count, uses="_is_uncounted"),
        Stage(name="throttles of the path", after="permit", describe=_describe_path),
    )


def _expect_nothing(throttle: Any, answer: Any) -> None:
    if answer is not None:
        raise TypeError(
            f"{type(throttle).__qualname__}.check() returned {answer!r}, which would be ignored: raise "
            "ThrottledError to refuse a request."
        )


def _answer_of(permission: Any, answer: Any) -> Any:
    """Return a permission's decision. Raise TypeError for a value that is none, and would count as true."""
    if is_no_decision(answer):
        raise TypeError(
            f"{type(permission).__qualname__}.has_permission() returned {described(answer)}, which counts as true: "
            f"{remedy_for(answer, 'return False, or raise an APIError')}."
        )
    return answer


def _checked_user(view: AsyncView, user: Any) -> Any:
    if is_no_user(user):
        raise TypeError(
            f"authenticate() of {type(view).__qualname__}, or of its `authentication`, returned {described(user)}, "
            f"which would count as an authenticated user: {remedy_for(user, 'return the user alone, or None')}."
        )
    return user


def _log_in(request: HttpRequest, user: Any) -> None:
    async def auser() -> Any:
        return user

    request.user = user
    request.auser = auser
    if is_known(user):
        request.proven_user = user  # type: ignore[attr-defined] # for keys of throttles: it may not be a Django user
