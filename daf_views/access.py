"""Access control of views: Django's access mixins, which ask ``request.auser()`` and cost no thread.

On an :class:`~daf_views.views.AsyncView` they decide before anything else, as Django's do, and redirect
unauthenticated users to the login page. On an :class:`~daf_views.api.AsyncAPIView` they decide when the request's
user is known: after ``authenticate()``, throttles and permissions, before the body. There the response is a problem:
401 for an unauthenticated user, 403 for an authenticated one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.views import View

from daf_views.auth.decisions import described, is_no_decision, remedy_for
from daf_views.auth.identity import is_known, load_user, user_of
from daf_views.exceptions import ForbiddenError, NotAuthenticatedError
from daf_views.views.base import AsyncView
from daf_views.views.class_checks import refuse_async_functions, refuse_sync_overrides
from daf_views.views.dispatch import settled
from daf_views.views.pipeline import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from django.http import HttpRequest

    from daf_views._core.description import Description
    from daf_views.views.pipeline import Proceed

    _View = AsyncView
else:
    _View = object

__all__ = ["AccessMixin", "LoginRequiredMixin", "PermissionRequiredMixin", "UserPassesTestMixin"]


class AccessMixin(_View):
    """The base of the mixins. They stand before the view: ``class Orders(LoginRequiredMixin, ListView)``.

    Once they have let a request in, ``request.user`` is the user, loaded: it may be read on the event loop.
    """

    login_url: Any = None
    """The login page: a URL or the name of one. None: ``settings.LOGIN_URL``."""
    permission_denied_message: str = ""
    raise_exception: bool = False
    """Answer 403 to unauthenticated users too, instead of redirecting them to the login page."""
    redirect_field_name: str | None = REDIRECT_FIELD_NAME
    """The parameter of the login page with the next URL; None or "" for none."""

    _coroutines: ClassVar[tuple[str, ...]] = ("has_permission", "test_func")
    _functions: ClassVar[tuple[str, ...]] = (
        "get_login_url",
        "get_permission_denied_message",
        "get_permission_required",
        "get_redirect_field_name",
        "get_test_func",
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_sync_overrides(cls, cls._coroutines, originals="django.contrib.auth")
        refuse_async_functions(cls, cls._functions, "is called without awaiting")
        if View in cls.__mro__ and AsyncView not in cls.__mro__:
            raise TypeError(
                f"{cls.__qualname__} is a synchronous view, which awaits nothing: use Django's own mixin there."
            )
        if AsyncView in cls.__mro__ and cls.__mro__.index(AsyncView) < cls.__mro__.index(AccessMixin):
            raise TypeError(f"{cls.__qualname__} would let every request in: name its access mixin before its view.")

    def get_login_url(self) -> str:
        """Return the URL of the login page. Raises ImproperlyConfigured if none is defined."""
        login_url = self.login_url or settings.LOGIN_URL
        if not login_url:
            name = type(self).__name__
            raise ImproperlyConfigured(f"{name} has no login page: define {name}.login_url or settings.LOGIN_URL.")
        return str(login_url)

    def get_permission_denied_message(self) -> str:
        """Return the message of a 403."""
        return self.permission_denied_message

    def get_redirect_field_name(self) -> str | None:
        """Return the name of the parameter with the next URL."""
        return self.redirect_field_name

    async def handle_no_permission(self) -> HttpResponseBase:
        """Return, or raise, the response to a denied request. An override may be synchronous, if it does not block."""
        has_user = is_known(await user_of(self.request))
        message = self.get_permission_denied_message()
        if self._answers_problems:
            raise (ForbiddenError if has_user else NotAuthenticatedError)(message or None)
        if has_user or self.raise_exception:
            raise PermissionDenied(message)
        return _to_login(self.request, resolve_url(self.get_login_url()), self.get_redirect_field_name())

    async def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        """Answer the request if it is allowed."""
        if not self._answers_problems and (refusal := await self._refusal()) is not None:
            return refusal
        return await super().dispatch(request, *args, **kwargs)

    async def _let_in(self, request: HttpRequest, proceed: Proceed) -> HttpResponseBase:  # noqa: ARG002 - a stage's
        if (refusal := await self._refusal()) is not None:
            return refusal
        response: HttpResponseBase = await proceed()
        return response

    def _describe_refusals(self, operation: Description) -> None:
        operation.require_permission()
        operation.add_status(401)

    async def _refusal(self) -> HttpResponseBase | None:
        await load_user(self.request)
        if await self._is_allowed():
            return None
        response: HttpResponseBase = await settled(self.handle_no_permission())
        return response

    async def _is_allowed(self) -> bool:
        """Allow or deny the request. A mixin that allows it asks the next one along the MRO."""
        return True

    stages: ClassVar[Sequence[Stage]] = (
        Stage(name="access", around=_let_in, uses="_answers_problems", describe=_describe_refusals),
    )


class LoginRequiredMixin(AccessMixin):
    """Lets in authenticated users."""

    async def _is_allowed(self) -> bool:
        return is_known(await user_of(self.request)) and await super()._is_allowed()


class PermissionRequiredMixin(AccessMixin):
    """Lets in users with all of ``permission_required``: a permission, ``"library.add_book"``, or several."""

    permission_required: str | Iterable[str] | None = None

    def get_permission_required(self) -> Iterable[str]:
        """Return the permissions. Raises ImproperlyConfigured if there are none to return."""
        if self.permission_required is None:
            name = type(self).__name__
            raise ImproperlyConfigured(
                f"{name} names no permission: define {name}.permission_required, "
                f"or override {name}.get_permission_required()."
            )
        return (self.permission_required,) if isinstance(self.permission_required, str) else self.permission_required

    async def has_permission(self) -> bool:
        """Return True if the user has all of them."""
        user = await user_of(self.request)
        return hasattr(user, "ahas_perms") and await user.ahas_perms(self.get_permission_required())

    async def _is_allowed(self) -> bool:
        return _allows(self, "has_permission", await self.has_permission()) and await super()._is_allowed()


class UserPassesTestMixin(AccessMixin):
    """Lets in users for which ``async def test_func(self)`` returns true."""

    async def test_func(self) -> bool:
        """Allow or deny the request by ``test_func``."""
        raise NotImplementedError(f"{type(self).__name__} has no test: write `async def test_func(self)`.")

    def get_test_func(self) -> Callable[[], Coroutine[Any, Any, bool]]:
        """Return the test, a coroutine function."""
        return self.test_func

    async def _is_allowed(self) -> bool:
        return _allows(self, "test_func", await self.get_test_func()()) and await super()._is_allowed()


def _allows(view: Any, name: str, answer: Any) -> bool:
    if is_no_decision(answer):
        raise TypeError(
            f"{type(view).__qualname__}.{name}() returned {described(answer)}, which counts as true: "
            f"{remedy_for(answer, 'return False, or raise PermissionDenied')}."
        )
    return bool(answer)


def _to_login(request: HttpRequest, login_url: str, field: str | None) -> HttpResponseBase:
    from django.contrib.auth.views import redirect_to_login  # noqa: PLC0415 - needs the apps, this module must not

    here, there = urlsplit(request.build_absolute_uri()), urlsplit(login_url)
    is_here = there.scheme in {"", here.scheme} and there.netloc in {"", here.netloc}
    return redirect_to_login(request.get_full_path() if is_here else here.geturl(), login_url, field)
