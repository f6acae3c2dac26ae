"""The system check of middleware, and Django's own of it, which know Django's classes by their paths only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.checks import CheckMessage, register
from django.core.checks import Warning as CheckWarning
from django.utils.deprecation import MiddlewareMixin
from django.utils.module_loading import import_string

from daf_orm.patches import Patch, PatchTable
from daf_views.middleware.base import InlineMixin
from daf_views.middleware.twins import TWINS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@register("daf_views")
def check_middleware(**_: Any) -> list[CheckMessage]:
    """``daf_views.W001``: middleware that costs async requests a thread hop."""
    return [
        CheckWarning(f"{path} costs every async request a thread hop: {reason}.", hint=remedy, id="daf_views.W001")
        for path in settings.MIDDLEWARE
        for reason, remedy in _hop(path)
    ]


def _hop(path: str) -> Iterator[tuple[str, str]]:
    """Yield the reasons for which a middleware hops, each with a remedy."""
    try:
        middleware = import_string(path)
    except ImportError:  # Django reports it when it loads the middleware
        return
    if path in TWINS:
        yield f"Django runs {_named(_hooks(middleware))} in a thread", _THREAD_FREE
    elif not getattr(middleware, "async_capable", False):
        yield "it is synchronous: it holds a thread, and a place in the pool, until the response is ready", _SYNC_ONLY
    elif hooks := _hooks(middleware):
        yield f"Django runs {_named(hooks)} in a thread", _HOOKS


def _hooks(middleware: Any) -> list[str]:
    """Return the methods of a middleware that Django, or its ``MiddlewareMixin``, runs in a thread."""
    hooks = []
    if getattr(middleware, "__acall__", None) is MiddlewareMixin.__acall__:
        hooks += ["process_request", "process_response"]
    if not _is_inline(middleware, "process_view"):
        hooks += ["process_view"]
    hooks += ["process_template_response"]
    return [hook for hook in hooks if hasattr(middleware, hook) and not iscoroutinefunction(getattr(middleware, hook))]


def _is_inline(middleware: Any, hook: str) -> bool:
    return isinstance(middleware, type) and issubclass(middleware, InlineMixin) and hasattr(middleware, f"a{hook}")


def _named(hooks: list[str]) -> str:
    return " and ".join(f"{hook}()" for hook in hooks)


def _or_twin(path: str) -> Callable[[Callable[[], bool]], Callable[[], bool]]:
    """Return a wrapper for a function that looks for a middleware of Django: it finds the twin as well."""

    def wrapper(original: Callable[[], bool]) -> Callable[[], bool]:
        return lambda: original() or TWINS[path] in settings.MIDDLEWARE

    return wrapper


_SECURITY = "django.core.checks.security"
_WHY = "check --deploy would report middleware as missing that thread_free() has replaced, and skip what depends on it"
PATCHES = PatchTable(
    Patch(
        owner=f"{_SECURITY}.base",
        name="_security_middleware",
        wrapper=_or_twin("django.middleware.security.SecurityMiddleware"),
        why=_WHY,
    ),
    Patch(
        owner=f"{_SECURITY}.base",
        name="_xframe_middleware",
        wrapper=_or_twin("django.middleware.clickjacking.XFrameOptionsMiddleware"),
        why=_WHY,
    ),
    Patch(
        owner=f"{_SECURITY}.csrf",
        name="_csrf_middleware",
        wrapper=_or_twin("django.middleware.csrf.CsrfViewMiddleware"),
        why=_WHY,
    ),
    Patch(
        owner=f"{_SECURITY}.sessions",
        name="_session_middleware",
        wrapper=_or_twin("django.contrib.sessions.middleware.SessionMiddleware"),
        why=_WHY,
    ),
)
"""Active while ``"daf_views"`` is installed."""

_THREAD_FREE = "Write MIDDLEWARE = thread_free([...]), with thread_free from daf_views.middleware."
_SYNC_ONLY = (
    "Make it async-capable (django.utils.decorators.sync_and_async_middleware, or a class with async_capable = True "
    "that awaits get_response). Until then put it first: the middleware above it in MIDDLEWARE runs in that thread too."
)
_HOOKS = (
    "If it never blocks, let it inherit from daf_views.middleware.base.InlineMixin first, whose hooks run on the "
    "event loop; if it does, give it an `async def __acall__` (and `async def process_view`) that awaits what blocks."
)
